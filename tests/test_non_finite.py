"""Numbers that are none: no checkpoint holds one, whoever's algorithm it is, and a run leaves what led to it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium import spaces
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import (
    Actor,
    CheckpointError,
    Collector,
    NonFiniteError,
    Progress,
    RunError,
    SpaceError,
    TrainingError,
    checkpoint,
    finite,
    option,
    recorded_spaces,
)
from rlhub_core.cli import app
from rlhub_core.state import load, save

ENV = "toy/Corridor-v0"


@pytest.fixture(autouse=True)
def _toy_only(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Doubling:
    """A stranger's algorithm whose weights grow by a factor at every step, until they are infinite."""

    @dataclass(frozen=True)
    class Config:
        """Its hyper-parameters."""

        learning_rate: float = option(1e10, "factor of its weights at a step", minimum=0)

    def __init__(self, observation_space: Any, action_space: Any, config: Any, **making: Any) -> None:
        self.config, self.steps, self.weights = config, 0, np.ones(3, np.float32)
        self.best = -math.inf  # as many a search begins

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Take steps, and learn from each."""
        while self.steps < until:
            collector.step(np.ones(collector.num_envs, np.int64))
            self.steps = collector.steps
            self.learn()
            yield Progress(self.steps, collector.episodes(), {"mean_of_nothing": math.nan})

    def learn(self) -> None:
        """Grow."""
        with np.errstate(over="ignore"):
            self.weights[1] *= self.config.learning_rate

    def actor(self, *, explore: bool = False) -> Actor:
        """Return what walks to the right."""
        return lambda observations, first: np.ones(len(first), np.int64)

    def save(self, folder: Path) -> None:
        """Write all of it."""
        save(folder, "doubling", {"steps": self.steps, "best": self.best, "weights": self.weights})

    def load(self, folder: Path) -> None:
        """Read it."""
        saved = load(folder, "doubling")
        self.steps, self.best, self.weights = saved["steps"], saved["best"], saved["weights"].copy()


class Careful(Doubling):
    """The same, which looks before it leaps and says what from."""

    def learn(self, factor: Any = None) -> None:
        """Grow, unless that would be too far."""
        factor = np.full(4, self.config.learning_rate) if factor is None else factor
        with np.errstate(over="ignore"):
            loss = float(np.float32(self.weights[1] * np.float32(factor[0])))
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"loss is {loss}",
                batch={"factor": factor, "reward": np.array([1.0, -7.0, np.nan, 2.0])},
                found={"loss": loss, "td_error": np.array([0.5, np.inf, 3.0, 1.0]), "gradient/bias": np.ones(4)},
            )
        super().learn()

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Learn once more."""
        self.learn(batch["factor"])


class Impossible(Doubling):
    """Knows that some of its numbers are infinite."""

    may_be_infinite: ClassVar[tuple[str, ...]] = ("doubling/weights",)


class Fitful(Careful):
    """Never does the same twice."""

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Do nothing."""


def diverge(kind: type[Any], *, every: int = 1, **settings: Any) -> NonFiniteError:
    with pytest.raises(NonFiniteError) as caught:
        rlhub.train(
            kind,
            ENV,
            **{"steps": 50, "folder": "run", "callbacks": [f"core/checkpoint:every={every},keep=9"], **settings},
        )
    return caught.value


def test_no_checkpoint_holds_a_number_that_is_not_finite() -> None:
    error = diverge(Doubling)  # 1e10, 1e20, 1e30, inf
    assert isinstance(error, TrainingError)
    assert error.what == "what it has learnt is not finite: doubling/weights is inf in 1 of 3 places"
    name = f"object:{Doubling.__module__}.Doubling"
    assert str(error) == (
        f"{name} at step 4: {error.what}. Try a smaller learning_rate, reward_clip or normalize=observations,rewards."
    )
    assert checkpoint.steps(Path("run/checkpoints")) == [0, 1, 2, 3]
    assert error.__notes__[0] == "The checkpoint of step 3 stays: rlhub resume run goes on from it."
    assert error.__notes__[1] == "What led to it is in run/postmortem/000000000004: rlhub replay-update run"
    for step in range(4):
        folder = Path(f"run/checkpoints/{step:012d}")
        checkpoint.verify(folder)
        assert np.isfinite(load(folder / "algorithm", "doubling")["weights"]).all()


def test_the_last_checkpoint_of_a_run_is_looked_at_too() -> None:
    diverge(Doubling, every=1_000, steps=6)
    assert checkpoint.steps(Path("run/checkpoints")) == [0]


def test_what_is_not_finite_from_the_beginning_is_no_run_at_all() -> None:
    class Broken(Doubling):
        def __init__(self, *arguments: Any, **making: Any) -> None:
            super().__init__(*arguments, **making)
            self.weights[0] = np.nan

    error = diverge(Broken)
    assert error.__notes__[0] == "There is no checkpoint yet: it was so from the beginning."
    assert checkpoint.steps(Path("run/checkpoints")) == []


def test_infinities_that_an_algorithm_declares_are_its_own_affair_but_nan_is_not() -> None:
    run = rlhub.train(Impossible, ENV, steps=50, folder="run")
    assert run.algorithm.weights.tolist() == [1.0, math.inf, 1.0]  # type: ignore[attr-defined]
    save(Path(), "doubling", {"weights": np.array([1.0, math.nan, -math.inf])})
    with pytest.raises(NonFiniteError, match="doubling/weights is nan in 1 of 3 places"):
        finite.check_saved(Path(), Impossible.may_be_infinite)


def test_a_mean_of_nothing_is_no_fault() -> None:
    run = rlhub.train(Doubling, ENV, steps=100, config={"learning_rate": 1.0}, folder="run")
    assert (run.steps, run.algorithm.best) == (100, -math.inf)  # type: ignore[attr-defined]


def test_a_strangers_update_is_made_again() -> None:
    error = diverge(Careful, num_envs=2)
    assert error.what == "loss is inf"
    with pytest.raises(RunError, match=r"pass them again: algorithm=Careful\. On the command line that cannot be done"):
        rlhub.replay_update("run")
    before = sorted(path.read_bytes() for path in Path("run").rglob("*") if path.is_file())
    found = rlhub.replay_update("run", algorithm=Careful)
    assert found.reproduced is True
    assert (found.step, found.terms) == (8, {"loss": math.inf})
    assert [row["row"] for row in found.worst] == [1, 2, 3, 0]
    assert found.worst[0] == {"row": 1, "factor": 1e10, "reward": -7.0, "td_error": math.inf}
    named = {each.name: each for each in found.arrays}
    assert (named["batch/reward"].nan, named["batch/reward"].at, named["batch/reward"].largest) == (1, (2,), 7.0)
    assert named["algorithm/doubling/weights"].largest == pytest.approx(1e30)
    assert found.transitions[0]["reward"] == -0.1
    assert sorted(path.read_bytes() for path in Path("run").rglob("*") if path.is_file()) == before


def test_an_update_that_goes_well_the_second_time_is_told() -> None:
    diverge(Fitful)
    found = rlhub.replay_update("run", algorithm=Fitful)
    assert found.reproduced is False
    assert "these differ: the update went well this time" in str(found)
    assert "Since then these changed: nothing that is recorded" in str(found)


def test_the_last_transitions_are_kept() -> None:
    diverge(Doubling, every=1_000, steps=300, num_envs=2, config={"learning_rate": 2.0})
    kept = load(Path("run/postmortem/000000000300"), "transitions")
    assert set(kept) == {"observation", "action", "reward", "next_observation", "terminated", "truncated"}
    assert kept["reward"].shape == (20,)
    assert kept["observation"].shape == (20, 1)


def test_the_command_says_what_there_is() -> None:
    diverge(Doubling)
    said = CliRunner().invoke(app, ["replay-update", "run"])
    assert said.exit_code == 0, said.output
    assert f"The update cannot be made again: object:{Doubling.__module__}.Doubling does not say" in said.output
    assert "Of the last transitions, those with the largest rewards" in said.output


def test_a_run_without_a_post_mortem_and_a_folder_without_a_run() -> None:
    rlhub.train("toy/random", ENV, steps=10, folder="run")
    said = CliRunner().invoke(app, ["replay-update", "run"])
    assert (said.exit_code, said.output) == (2, "run has no post-mortem: it met no number that is not finite.\n")
    said = CliRunner().invoke(app, ["replay-update", "elsewhere"])
    assert said.exit_code == 2
    assert "elsewhere" in said.output


def test_a_damaged_post_mortem_is_refused() -> None:
    diverge(Careful)
    (Path("run/postmortem/000000000004") / "batch.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"damaged: batch\.json"):
        rlhub.replay_update("run", algorithm=Careful)


def test_an_error_is_not_lost_where_its_post_mortem_cannot_be_written() -> None:
    class Odd(Careful):
        def save(self, folder: Path) -> None:
            if folder.parents[1].name == "postmortem":
                raise OSError("No space left on device")
            super().save(folder)

    error = diverge(Odd)
    assert error.what == "loss is inf"
    assert error.__notes__[-1] == "A post-mortem could not be written: OSError: No space left on device."
    assert not list(Path("run/postmortem").iterdir())


def test_every_kind_of_float_is_looked_at(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for kind in (np.float16, np.float32, np.float64):
        save_file({"w": np.array([[1, np.nan], [np.inf, 2]], kind), "n": np.arange(3)}, tmp_path / "x.safetensors")
        with pytest.raises(NonFiniteError, match=r"x/w is nan in 2 of 4 places"):
            finite.check_saved(tmp_path)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    one_and_infinity = struct.pack("<2H", 0x3F80, 0x7F80)
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + one_and_infinity)
    with pytest.raises(NonFiniteError, match=r"x/w is inf in 1 of 2 places"):
        finite.check_saved(tmp_path)
    finite.check_saved(tmp_path, ["x/*"])


def test_numbers_in_json_may_be_infinite_but_not_nan(tmp_path: Path) -> None:
    save(tmp_path, "search", {"best": -math.inf, "name": "NaN"})
    finite.check_saved(tmp_path)
    save(tmp_path, "search", {"rates": [0.1, {"alpha": math.nan}]})
    with pytest.raises(NonFiniteError, match="search/rates/1/alpha is nan"):
        finite.check_saved(tmp_path)


def test_what_was_seen_is_not_looked_at(tmp_path: Path) -> None:
    save(tmp_path, "replay", {"observations": np.array([np.inf])})
    (tmp_path / "replays").mkdir()
    save(tmp_path / "replays", "segment", {"observations": np.array([np.nan])})
    finite.check_saved(tmp_path)


SPACES = [
    spaces.Box(-1, np.inf, (2, 3), np.float32),
    spaces.Box(np.array([0, 1]), np.array([5, 9]), dtype=np.int16),
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([3, 2], start=[1, 0]),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    spaces.Dict({"b/c": spaces.Discrete(2), "a": spaces.Tuple([spaces.MultiBinary(1), spaces.Box(0, 1)])}),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_a_space_is_recorded(space: Any, tmp_path: Path) -> None:
    save(tmp_path, "space", recorded_spaces.to_tree(space))
    assert recorded_spaces.of_tree(load(tmp_path, "space")) == space


def test_a_space_that_cannot_be_recorded_or_read() -> None:
    with pytest.raises(SpaceError, match="cannot be recorded: it is no Box, Discrete"):
        recorded_spaces.to_tree(spaces.Text(3))
    for tree in (
        {},
        {"kind": "Text"},
        {"kind": "Box", "low": 1},
        {"kind": "Box", "low": "x", "high": 1, "dtype": "?"},
        3,
    ):
        with pytest.raises(CheckpointError, match="A recorded space cannot be read"):
            recorded_spaces.of_tree(tree)
