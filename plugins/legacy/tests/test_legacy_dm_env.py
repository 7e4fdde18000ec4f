"""dm_env's contract: its environments as Gymnasium environments, and Gymnasium environments as its."""

from __future__ import annotations

import random
import warnings
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import rlhub_legacy.dm_env as dm_env
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from rlhub_legacy.array_specs import spec_of

import rlhub_core as rlhub
from rlhub_core.testing import check_exact_restore, check_exact_resume

specs = dm_env.specs


class Line(dm_env.Environment):
    """A walk on 0..9 from a random start, moved at random by each of three generators; nothing is seeded."""

    observation: Any = specs.BoundedArray((1,), np.float32, 0, 9, "place")
    action: Any = specs.DiscreteArray(2)

    def __init__(self) -> None:
        self._rng = np.random.RandomState()
        self.calls: list[Any] = []

    def observation_spec(self) -> Any:
        return self.observation

    def action_spec(self) -> Any:
        return self.action

    def reset(self) -> Any:
        self.calls.append("reset")
        self._seen = np.array([self._rng.randint(3, 7)], np.float32)
        return dm_env.restart(self._seen)

    def step(self, action: Any) -> Any:
        self.calls.append(action)
        self._seen += (-1, 1)[action] * random.choice([1, 2]) * np.random.choice([1, 1, -1])
        self._seen.clip(0, 9, out=self._seen)  # the same array each time
        if self._seen[0] == 0:
            return dm_env.termination(-1, self._seen)
        if self._seen[0] == 9:
            return dm_env.truncation(1, self._seen, discount=0.5)
        return dm_env.transition(np.float64(0), self._seen, discount=0.9)


class Scripted:
    """Returns what it is told, in order, and is no subclass of anything."""

    def __init__(self, *steps: Any, observation: Any = None, action: Any = None) -> None:
        self.steps, self.actions = list(steps), list[Any]()
        self._observation = observation or specs.Array((), np.float32)
        self._action = action or specs.DiscreteArray(2)

    def observation_spec(self) -> Any:
        return self._observation

    def action_spec(self) -> Any:
        return self._action

    def reset(self) -> Any:
        return self.steps.pop(0)

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        return self.steps.pop(0)


def seen(*values: float) -> list[Any]:
    return [(0, None, None, values[0]), *[(1, 0.0, 1.0, value) for value in values[1:]]]


def test_it_is_a_gymnasium_environment() -> None:
    env = rlhub.adapt(Line())
    with warnings.catch_warnings(action="error"):
        check_env(env, skip_render_check=True)
    assert env.unwrapped is env
    assert isinstance(env.get_wrapper_attr("theirs"), Line)
    assert env.observation_space == spaces.Box(0, 9, (1,), np.float32)
    assert env.action_space == spaces.Discrete(2)
    assert env.metadata["render_modes"] == []


def test_a_last_step_of_discount_0_is_a_termination_and_of_another_a_truncation() -> None:
    steps = [(0, None, None, 0.0), (1, 2, 0.25, 1.0), (2, 3.0, 0.0, 2.0), (0, None, None, 0.0), (2, 4, 0.5, 1.0)]
    env = rlhub.adapt(Scripted(*steps, (0, None, None, 0.0), (2, 5, 1.0, 1.0)))
    assert env.reset()[1] == {}
    assert env.step(0) == (1.0, 2.0, False, False, {"discount": 0.25})
    assert env.step(1) == (2.0, 3.0, True, False, {})
    env.reset()
    assert env.step(1) == (1.0, 4.0, False, True, {"discount": 0.5})
    env.reset()
    _, reward, *rest = env.step(1)
    assert rest == [False, True, {}], "a time limit is no discount"
    assert isinstance(reward, float)


def test_nothing_is_reset_by_a_step() -> None:
    theirs = Scripted(*seen(0.0), (2, 0.0, 0.0, 0.0), *seen(1.0))
    env = rlhub.adapt(theirs)
    with pytest.raises(ResetNeeded, match=r"No episode is running: call reset\(\) first"):
        env.step(0)
    env.reset()
    env.step(0)
    with pytest.raises(ResetNeeded):
        env.step(0)
    assert len(theirs.actions) == 1, "it was not even asked"


def test_observations_are_copies_in_the_declared_type() -> None:
    env = rlhub.adapt(Line())
    first, _ = env.reset(seed=1)
    before = first.copy()
    second, *_ = env.step(1)
    assert first is not second
    np.testing.assert_array_equal(first, before)
    assert rlhub.adapt(Scripted(*seen(3))).reset()[0].dtype == np.float32, "a Python number is taken"


def test_nested_specifications() -> None:
    Pair = namedtuple("Pair", "left right")
    observation = {
        "image": specs.BoundedArray((2, 2), np.uint8, 0, 255),
        "parts": (specs.Array((3,), np.float64), specs.BoundedArray((), np.int32, -1, 1)),
        "open": specs.Array((), bool),
    }
    action = Pair(specs.BoundedArray((2,), np.float32, [-1, -2], [1, 2]), specs.BoundedArray((), np.int32, 5, 7))
    value = {"image": [[0, 1], [2, 255]], "parts": (np.arange(3.0), -1), "open": True, "more": "is ignored"}
    theirs = Scripted((0, None, None, value), (1, 0.0, 1.0, value), observation=observation, action=action)
    env = rlhub.adapt(theirs)
    assert env.observation_space["image"] == spaces.Box(0, 255, (2, 2), np.uint8)  # type: ignore[index]
    assert env.observation_space["parts"][1] == spaces.Discrete(3, start=-1)  # type: ignore[index]
    assert env.observation_space["open"] == spaces.Discrete(2)  # type: ignore[index]
    assert env.action_space[1] == spaces.Discrete(3, start=5)  # type: ignore[index]
    got, _ = env.reset()
    assert env.observation_space.contains(got)
    assert (got["parts"][1], got["open"]) == (-1, 1)
    env.step((np.array([0.5, -1.5], np.float32), np.int64(6)))
    assert isinstance(theirs.actions[0], Pair)
    assert theirs.actions[0].right == 6
    assert theirs.actions[0].right.dtype == np.int32
    np.testing.assert_array_equal(theirs.actions[0].left, np.float32([0.5, -1.5]))


@pytest.mark.parametrize(
    ("spec", "space", "action", "given"),
    [
        (specs.DiscreteArray(4), spaces.Discrete(4), 3, np.int32(3)),
        (specs.BoundedArray((), np.int64, -2, 2), spaces.Discrete(5, start=-2), -2, np.int64(-2)),
        (specs.BoundedArray((1,), np.int32, 0, 4), spaces.Discrete(5), 4, np.array([4], np.int32)),
        (
            specs.BoundedArray((2,), np.int32, [1, 0], [3, 1]),
            spaces.MultiDiscrete([3, 2], start=[1, 0]),
            np.array([3, 1]),
            np.array([3, 1], np.int32),
        ),
        (specs.BoundedArray((1,), float, -2, 2), spaces.Box(-2, 2, (1,), np.float64), np.float64([1]), np.float64([1])),
    ],
)
def test_actions(spec: Any, space: Any, action: Any, given: Any) -> None:
    theirs = Scripted(*seen(0, 1), action=spec)
    env = rlhub.adapt(theirs)
    assert env.action_space == space
    env.reset()
    env.step(action)
    np.testing.assert_array_equal(theirs.actions[0], given)
    assert theirs.actions[0].dtype == given.dtype
    assert np.shape(theirs.actions[0]) == np.shape(given)


@pytest.mark.parametrize("nest", [lambda spec: [spec], lambda spec: {"a": spec}, lambda spec: (spec,)])
def test_a_nest_of_one_action_is_that_action(nest: Any) -> None:
    theirs = Scripted(*seen(0, 1), action=nest(specs.DiscreteArray(2)))
    env = rlhub.adapt(theirs)
    assert env.action_space == spaces.Discrete(2)
    env.reset()
    env.step(1)
    assert theirs.actions == [nest(1)]


@pytest.mark.parametrize("action", [2, -1, 0.5, [0], "left", None])
def test_what_is_no_action_is_refused(action: Any) -> None:
    env = rlhub.adapt(Scripted(*seen(0, 1)))
    env.reset()
    with pytest.raises(InvalidAction, match=r"is no action of Discrete\(2\)"):
        env.step(action)


def test_a_largest_float_is_no_bound() -> None:
    env = rlhub.adapt(Scripted(observation=specs.BoundedArray((2,), np.float32)))
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (2,), np.float32)


FIRST = (0, None, None, 0.0)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([None], "Scripted.reset() returned None; expected a time step: step_type, reward, discount, observation."),
        ([(0.0, {})], "Scripted.reset() returned a tuple of 2; expected a time step"),
        ([(1, 0.0, 1.0, 0.0)], "Scripted.reset() returned a tuple of 4; expected a time step of step_type FIRST (0), "),
        ([("FIRST", 0.0, 1.0, 0.0)], "step_type 0 (FIRST), 1 (MID) or 2 (LAST), not 'FIRST' (str)."),
        ([(np.zeros(4), 1.0, False, {})], "step_type 0 (FIRST), 1 (MID) or 2 (LAST), not an array of shape (4,)"),
        ([(0, None, None, np.zeros(3))], "reset() returned an array of shape (3,) and type float64; expected an obs"),
        ([(0, None, None, None)], "Scripted.reset() returned None; expected an observation of shape () and type float"),
        (
            [FIRST, FIRST],
            "Scripted.step(1) returned a tuple of 4; expected a time step of step_type MID (1) or LAST (2)",
        ),
        ([FIRST, (1, None, 1.0, 0.0)], "Scripted.step(1) returned None; expected a reward that is a number."),
        ([FIRST, (1, "1", 1.0, 0.0)], "Scripted.step(1) returned '1' (str); expected a reward that is a number."),
        ([FIRST, (1, [1, 2], 1.0, 0.0)], "Scripted.step(1) returned a list of 2; expected a reward that is a number."),
        ([FIRST, (1, float("nan"), 1.0, 0.0)], "returned nan (float); expected a reward that is a number."),
        ([FIRST, (2, 1.0, None, 0.0)], "returned None; expected a discount from 0 to 1; at the last step, 0 says that"),
        ([FIRST, (1, 1.0, 1.5, 0.0)], "Scripted.step(1) returned 1.5 (float); expected a discount from 0 to 1"),
    ],
)
def test_what_is_wrong_is_told_at_the_first_call(steps: list[Any], said: str) -> None:
    env = rlhub.adapt(Scripted(*steps))

    def play() -> None:
        env.reset()
        env.step(1)

    with pytest.raises(rlhub.EnvironmentContractError) as caught:
        play()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "value", "said"),
    [
        (
            specs.BoundedArray((2,), np.float32, 0, 1),
            [0, 2],
            "expected an observation within Box(0.0, 1.0, (2,), float32)",
        ),
        (
            specs.Array((), np.int32),
            0.5,
            "expected an observation of type int32, as its specification says; not all of",
        ),
        (specs.BoundedArray((1,), np.uint8, 0, 255), [300], "expected an observation of type uint8"),
        ({"a": specs.Array((), float)}, {"b": 1.0}, "expected an observation that is a dict with the keys a."),
        ((specs.Array((), float),), (1.0, 2.0), "expected an observation that is a tuple of 1."),
    ],
)
def test_an_observation_that_is_not_as_specified(spec: Any, value: Any, said: str) -> None:
    env = rlhub.adapt(Scripted((0, None, None, value), observation=spec))
    with pytest.raises(rlhub.EnvironmentContractError) as caught:
        env.reset()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("which", "spec", "said"),
    [
        ("action", 3, "Scripted.action_spec() returned 3 (int); expected a specification with shape and dtype, or a"),
        ("observation", {}, "expected a specification with shape and dtype, or a dict, tuple or list of them."),
        (
            "action",
            specs.Array((), np.int32),
            "integer actions with a minimum and a maximum, fewer than 2**31.",
        ),
        ("observation", specs.Array((), "U9"), "expected specifications of numbers; an array of type <U9 is none"),
        (
            "observation",
            SimpleNamespace(shape=(1,), dtype=float, minimum=2, maximum=1),
            "expected a minimum that is at most the maximum.",
        ),
        (
            "observation",
            SimpleNamespace(shape=(3,), dtype=float, minimum=[0, 0], maximum=1),
            "expected bounds that are numbers of the shape (3,).",
        ),
        (
            "observation",
            SimpleNamespace(shape="ab", dtype="nothing"),
            "expected a shape of whole numbers and a numpy d",
        ),
    ],
)
def test_a_specification_that_is_none(which: str, spec: Any, said: str) -> None:
    theirs = Scripted()
    setattr(theirs, f"_{which}", spec)
    with pytest.raises(rlhub.EnvironmentContractError) as caught:
        rlhub.adapt(theirs)
    assert said in str(caught.value)


def test_what_is_no_environment_is_told_what_it_lacks() -> None:
    with pytest.raises(
        rlhub.EnvironmentContractError,
        match=r"legacy/dm_env looked for action_spec\(\), observation_spec\(\), st",
    ):
        rlhub.adapt(SimpleNamespace(reset=print))


def test_it_is_resumed_exactly() -> None:
    check_exact_restore(Line)
    config = {"learning_starts": 50, "hidden_sizes": [8], "buffer_size": 300}
    check_exact_resume("deep/dqn", Line, steps=400, config=config)


def test_generators_of_a_task_are_seeded() -> None:
    class WithTask(Line):
        def __init__(self) -> None:
            super().__init__()
            self.task = SimpleNamespace(_random=np.random.RandomState())
            self._rng = SimpleNamespace(randint=lambda *bounds: self.task._random.randint(*bounds))  # type: ignore[assignment]

    check_exact_restore(WithTask)


def test_it_renders_by_itself_or_by_its_physics_and_is_closed(tmp_path: Path) -> None:
    class Shown(Line):
        closed = 0

        def close(self) -> None:
            self.closed += 1

        def render(self) -> Any:
            return np.zeros((8, 8, 3), np.uint8)

    theirs = Shown()
    env = rlhub.adapt(theirs)
    assert (env.render_mode, env.metadata["render_modes"]) == ("rgb_array", ["rgb_array"])
    env.reset()
    assert env.render().shape == (8, 8, 3)  # type: ignore[union-attr]
    assert rlhub.adapt(theirs, render_mode=None).render_mode is None
    env.close()
    assert theirs.closed == 1
    by_physics = Line()
    by_physics.physics = SimpleNamespace(render=lambda: np.ones((4, 5, 3), np.uint8))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(rlhub.adapt(by_physics).render(), np.ones((4, 5, 3)))  # type: ignore[arg-type]
    video = rlhub.record(
        lambda observations, first: np.ones(len(first), np.int64), tmp_path / "a.gif", Shown, max_steps=9
    )
    assert video.exists()


def actions_of(spec: Any, space: Any, count: int) -> list[Any]:
    space.seed(4)
    return [space.sample() for _ in range(count)]


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Blackjack-v1", "Taxi-v4"])
def test_there_and_back_again_is_the_same_environment(name: str) -> None:
    ours, there = gymnasium.make(name), dm_env.Environment(gymnasium.make(name), seed=5)
    back = rlhub.adapt(dm_env.Environment(gymnasium.make(name)))
    assert back.action_space == ours.action_space
    observation, _ = ours.reset(seed=5)
    time_step = there.reset()
    assert time_step.first()
    assert (time_step.reward, time_step.discount) == (None, None)
    np.testing.assert_array_equal(time_step.observation, observation)
    ours.action_space.seed(1)
    for _ in range(250):
        action = ours.action_space.sample()
        observation, reward, terminated, truncated, _ = ours.step(action)
        time_step = there.step(action)
        np.testing.assert_array_equal(time_step.observation, observation)
        assert time_step.reward == reward
        assert time_step.last() == (terminated or truncated)
        assert time_step.discount == (0.0 if terminated else 1.0)
        if time_step.last():
            ours.reset()
            assert there.step(action).first(), "dm_env's contract: the action is ignored"
    there.close()


def test_there_and_back_again_is_seeded() -> None:
    check_exact_restore(lambda: dm_env.Environment(gymnasium.make("CartPole-v1")), steps=20)  # of its first stretch


def test_a_gymnasium_environment_says_its_specifications() -> None:
    with dm_env.Environment(gymnasium.make("CartPole-v1"), discount=0.9) as env:
        assert env.action_spec().num_values == 2
        assert env.observation_spec().shape == (4,)
        assert env.observation_spec().validate(env.reset().observation).dtype == np.float32
        assert env.step(env.action_spec().generate_value()).discount == 0.9
        assert env.reward_spec().shape == env.discount_spec().shape == ()
        assert env.discount_spec().maximum == 1
    nested = spec_of(spaces.Dict({"a": spaces.MultiBinary(3), "b": spaces.Tuple([spaces.Discrete(3, start=2)])}), "x")
    assert nested["a"].maximum == 1
    assert (nested["b"][0].minimum, nested["b"][0].maximum) == (2, 4)
    with pytest.raises(ValueError, match=r"does not allow an array of shape \(\) and type float64"):
        nested["a"].validate(1.0)
    with pytest.raises(ValueError, match="does not allow 5"):
        nested["b"][0].validate(np.int64(5))
    with pytest.raises(rlhub.EnvironmentContractError, match="No array specification can say what Text"):
        spec_of(spaces.Text(3), "x")


def test_a_class_on_it_needs_the_four_methods() -> None:
    class Empty(dm_env.Environment):
        env = "its own affair"

    with (
        Empty() as empty,
        pytest.raises(NotImplementedError, match="Empty needs reset, step, observation_spec and act"),
    ):
        empty.reset()
    with pytest.raises(NotImplementedError, match="Empty needs reset"):
        rlhub.adapt(Empty())
    with pytest.raises(TypeError, match=r"Environment\(env\) needs a Gymnasium environment"):
        dm_env.Environment()


@pytest.mark.parametrize(("place", "said"), [(4, "returned 4 (int)"), (-1, "returned -1 (int)")])
def test_a_choice_out_of_bounds_is_told_at_every_step(place: int, said: str) -> None:
    steps = [dm_env.restart(0), dm_env.transition(0, 1), dm_env.transition(0, place)]
    env = rlhub.adapt(Scripted(*steps, observation=specs.DiscreteArray(4)))
    env.reset()
    env.step(0)
    with pytest.raises(rlhub.EnvironmentContractError) as caught:
        env.step(1)
    assert said in str(caught.value)
    assert "expected an observation of Discrete(4)" in str(caught.value)


def test_a_seed_method_without_argument_makes_generators_that_are_seeded() -> None:
    class Reseeding(Line):
        def seed(self) -> None:  # type: ignore[override]
            self._rng = np.random.RandomState()

    check_exact_restore(Reseeding)


def test_integers_without_bounds_are_no_actions() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match="integer actions with a minimum and a maximum"):
        rlhub.adapt(Scripted(action=specs.BoundedArray((), np.int32)))


def test_a_render_in_the_manner_of_gym_is_asked_for_pixels() -> None:
    class Shown(Line):
        screen = np.zeros((2, 3, 3), np.uint8)

        def render(self, mode: str = "human") -> Any:
            return self.screen if mode == "rgb_array" else None

    env = rlhub.adapt(Shown())
    shown: Any = env.render()
    Shown.screen += 1
    assert shown.sum() == 0, "a copy"

    class Window(Line):
        def render(self) -> Any:
            return None

    with pytest.raises(rlhub.EnvironmentContractError, match=r"Window.render\(\) returned None; expected uint8 pixels"):
        rlhub.adapt(Window()).render()


def test_an_attribute_that_raises_is_told() -> None:
    class Raising(Line):
        @property
        def observation_spec(self) -> Any:
            raise RuntimeError("no display")

    with pytest.raises(rlhub.EnvironmentContractError, match="one of which raises RuntimeError: no display"):
        rlhub.adapt(Raising())


@pytest.mark.parametrize("discount", [0.0, 1.5, -1, float("nan")])
def test_a_discount_under_which_a_truncation_would_be_lost_is_refused(discount: float) -> None:
    with pytest.raises(rlhub.ConfigError, match="discount must be above 0 and at most 1"):
        dm_env.Environment(gymnasium.make("CartPole-v1"), discount=discount)


def test_names_are_in_the_modules_they_are_in_there() -> None:
    from rlhub_legacy.dm_env.specs import BoundedArray

    assert BoundedArray is specs.BoundedArray
