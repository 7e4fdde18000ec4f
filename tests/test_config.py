"""Parameters: parsed from text, validated, written and read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from rlhub_core import ConfigError, Scheduled, config, option
from rlhub_core.schedules import Cosine, Exponential, Linear, Piecewise, parse, resolve, value


@dataclass(frozen=True)
class Settings:
    learning_rate: Scheduled[float] = option(1e-4, "step size", minimum=0)
    batch_size: int = option(32, "transitions an update", unit="transitions", minimum=1)
    hidden_sizes: tuple[int, ...] = option((64, 64))
    clip: float | None = option(10.0)
    activation: Literal["relu", "tanh"] = option("relu")
    normalise: bool = option(False)


def bind(**given: Any) -> dict[str, Any]:
    return config.bind(Settings, given, "deep/dqn", kind="hyper-parameter")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("learning_rate", "1e-3", 1e-3),
        ("learning_rate", "linear(1e-3, 0)", Linear(1e-3, 0)),
        ("learning_rate", "linear(1.0,0.05,over=100)", Linear(1.0, 0.05, 100)),
        ("batch_size", "64", 64),
        ("hidden_sizes", "[32, 16]", (32, 16)),
        ("hidden_sizes", "(32,)", (32,)),
        ("hidden_sizes", "64,32", (64, 32)),
        ("clip", "none", None),
        ("activation", "tanh", "tanh"),
        ("normalise", "true", True),
        ("normalise", "True", True),
    ],
)
def test_text_is_read_as_the_type_says(name: str, text: str, expected: Any) -> None:
    assert bind(**{name: text})[name] == expected


@dataclass(frozen=True)
class Fixed:
    size: int = option(1, "places", fixed="the memory is laid out once")


def test_a_parameter_may_say_why_it_cannot_follow_a_schedule() -> None:
    with pytest.raises(ConfigError, match="size cannot follow a schedule: the memory is laid out once; it must be int"):
        config.bind(Fixed, {"size": "linear(1, 2, 3)"}, "deep/dqn")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rte": 1}, "deep/dqn has no hyper-parameter 'learning_rte'. Did you mean 'learning_rate'?"),
        (
            {"lr": 1},
            "deep/dqn has no hyper-parameter 'lr'. Did you mean 'learning_rate'?",
        ),
        (
            {"momentum": 1},
            "deep/dqn has no hyper-parameter 'momentum'. "
            "It has: activation, batch_size, clip, hidden_sizes, learning_rate, normalise.",
        ),
        ({"batch_size": "many"}, "deep/dqn: batch_size must be int, not 'many'."),
        ({"batch_size": 1.5}, "deep/dqn: batch_size must be int, not 1.5."),
        ({"batch_size": True}, "deep/dqn: batch_size must be int, not True."),
        (
            {"batch_size": "linear(1)"},
            "deep/dqn: batch_size: 'linear(1)' is not a schedule: linear takes numbers (start, end, over).",
        ),
        (
            {"activation": "nets:Mine"},
            "deep/dqn: activation must be 'relu' or 'tanh', not 'nets:Mine'. A recipe only names live objects; "
            "pass it again.",
        ),
        ({"batch_size": 0}, "deep/dqn: batch_size must be at least 1, not 0."),
        ({"learning_rate": -1.0}, "deep/dqn: learning_rate must be at least 0, not -1.0."),
        ({"batch_size": "linear(1,2,3)"}, "deep/dqn: batch_size cannot follow a schedule; it must be int."),
        ({"activation": "gelu"}, "deep/dqn: activation must be 'relu' or 'tanh', not 'gelu'."),
        (
            {"learning_rate": "linear(1)"},
            "deep/dqn: learning_rate: 'linear(1)' is not a schedule: linear takes numbers (start, end, over).",
        ),
    ],
)
def test_what_does_not_fit_is_said(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        bind(**given)
    assert str(error.value) == message


def test_a_missing_argument_is_named() -> None:
    def target(value: float, window: int = 100) -> None: ...

    with pytest.raises(ConfigError, match=r"core/stop needs option 'value' \(float\)\."):
        config.bind(target, {}, "core/stop")


def test_written_and_read_back_is_the_same() -> None:
    settings = bind(learning_rate="cosine(1e-3, 0, 500)", clip=None, hidden_sizes=[8])
    assert bind(**config.plain(settings)) == settings


def test_tables_are_written_and_read_back_whatever_they_are_made_of() -> None:
    table: Any = {"rows": [[0.5, 0.5], None, [[], None]], "name": "none of them", "empty": None}
    assert config.as_given(config.plain(table)) == table
    for array in (np.array([[0.5, 1.0]]), np.arange(3, dtype=np.int32)):
        back = config.as_given(config.plain({"rows": [array]}))["rows"][0]
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    ragged = np.array([np.array([1, 2]), None], object)
    assert config.plain({"b": np.int64(3), "c": np.array(["x"]), "d": [ragged[1]]}) == {
        "b": 3,
        "c": ["x"],
        "d": ["none"],
    }
    assert config.plain(np.array(["2026"], "datetime64[Y]")) == "object:numpy.ndarray"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("core/progress", ("core/progress", {})),
        ("core/evaluate:every=10_000,episodes=5", ("core/evaluate", {"every": 10_000, "episodes": 5})),
        ("a/b:x=[1, 2],y=linear(1, 0)", ("a/b", {"x": [1, 2], "y": "linear(1, 0)"})),
        ("ale_py:ALE/Pong-v5", ("ale_py:ALE/Pong-v5", {})),
        ("ale_py:ALE/Pong-v5:mode=1", ("ale_py:ALE/Pong-v5", {"mode": 1})),
        ("a/b:store=http://host:5000,n=1", ("a/b", {"store": "http://host:5000", "n": 1})),
        ('a/b:text="{}, (so) {}: \\"x\\"",n=1', ("a/b", {"text": '{}, (so) {}: "x"', "n": 1})),
        (
            'a/b:text="2024",more="true",date="2020-01-01"',
            ("a/b", {"text": "2024", "more": "true", "date": "2020-01-01"}),
        ),
        ('a/b:names=["1",b],text="x\\ny=2"', ("a/b", {"names": ["1", "b"], "text": "x\ny=2"})),
        ("a/b:text=1\ny=2", ("a/b", {"text": "1\ny=2"})),
        ("a/b:names=[train/loss,time/seconds]", ("a/b", {"names": ["train/loss", "time/seconds"]})),
    ],
)
def test_names_with_arguments(text: str, expected: Any) -> None:
    assert config.split_name(text) == expected
    assert config.split_name(config.join_name(*expected)) == expected


def test_an_argument_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'episodes' is not key=value\. Write core/evaluate:key=value,key=value\."):
        config.split_name("core/evaluate:every=1,episodes")
    with pytest.raises(ConfigError, match=r"'a/b:n=1,n=2' gives 'n' twice\. Leave one of them out\."):
        config.split_name("a/b:n=1,n=2")


def test_schedules_by_their_numbers() -> None:
    assert [Linear(1.0, 0.0, 10)(step) for step in (0, 5, 10, 20)] == [1.0, 0.5, 0.0, 0.0]
    assert [round(Cosine(1.0, 0.0, 10)(step), 6) for step in (0, 5, 10, 20)] == [1.0, 0.5, 0.0, 0.0]
    assert [Exponential(1.0, 0.5, per=10, end=0.2)(step) for step in (0, 10, 20, 99)] == [1.0, 0.5, 0.25, 0.2]
    assert [Piecewise((5, 10), (3.0, 2.0, 1.0))(step) for step in (0, 4, 5, 9, 10)] == [3.0, 3.0, 2.0, 2.0, 1.0]
    assert value(lambda step: step / 2, 8) == 4
    assert value(0.3, 8) == 0.3


def test_a_schedule_without_length_runs_over_the_whole_run() -> None:
    assert resolve(Linear(1.0, 0.0), 200) == Linear(1.0, 0.0, 200)
    with pytest.raises(ValueError, match="has no length yet"):
        Linear(1.0, 0.0)(5)


@pytest.mark.parametrize(
    "schedule", [Linear(1.0, 0.5, 9), Cosine(1, 0), Exponential(1.0, 0.9), Piecewise((1,), (2.0, 3.0))]
)
def test_a_schedule_is_written_as_the_call_that_makes_it(schedule: Any) -> None:
    assert parse(str(schedule)) == schedule
