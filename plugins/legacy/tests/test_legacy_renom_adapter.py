"""ReNom's environments as Gymnasium's: spaces, checks, determinism, and the class to inherit from."""

from __future__ import annotations

import warnings
from collections import deque
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.utils.env_checker import check_env
from rlhub_legacy.renom import BaseEnv, ReNomEnv
from rlhub_legacy.renom.memory import recall, remembered

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError
from rlhub_core.testing import check_exact_restore


class Plain:
    """Nothing but what the dialect needs, and no class to inherit from."""

    action_shape: Any = (3,)
    state_shape: Any = (2,)
    first: Any = None
    result: Any = None
    action: Any = None

    def __init__(self) -> None:
        self.state = np.zeros(2)

    def reset(self) -> Any:
        self.state = np.random.normal(size=2)
        return self.state if self.first is None else self.first

    def step(self, action: Any) -> Any:
        self.got = action
        self.state += np.random.normal(size=2)
        return (self.state, -1, bool(abs(self.state[0]) > 3)) if self.result is None else self.result

    def sample(self) -> Any:
        return np.random.randint(3) if self.action is None else self.action


class Continuous(Plain):
    action_shape = (2,)

    def sample(self) -> Any:
        return np.random.uniform([-1, 0], [1, 5])


def made(kind: type[Plain] = Plain, **attributes: Any) -> Plain:
    """Return an object of a class of its own with other attributes."""
    return type(kind.__name__, (kind,), attributes)()


def test_an_object_is_recognised_adapted_and_kept() -> None:
    theirs = Plain()
    env = rlhub.adapt(theirs)
    assert isinstance(env, ReNomEnv)
    assert env.unwrapped is env
    assert env.theirs is theirs
    assert (env.action_space, env.observation_space) == (Discrete(3), Box(-np.inf, np.inf, (2,), np.float32))
    observation, info = env.reset(seed=1)
    after, reward, terminated, truncated, more = env.step(np.int64(2))
    assert (info, more, reward, terminated, truncated) == ({}, {}, -1.0, False, False)
    assert type(reward) is float
    assert type(theirs.got) is int
    assert observation.dtype == after.dtype == np.float32
    assert theirs.state.dtype == np.float64
    theirs = made(first=np.zeros(2, np.float32))
    observation, _ = rlhub.adapt(theirs).reset(seed=1)
    theirs.first += 1
    assert (observation == 0).all(), "observations are copies"


@pytest.mark.parametrize("kind", [Plain, Continuous])
def test_gymnasium_checks_it(kind: type[Plain]) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_env(rlhub.adapt(kind()), skip_render_check=True)
    texts = [str(each.message) for each in said if "no bounds of its actions" not in str(each.message)]
    acceptable = ("-infinity", "infinity", "symmetric and normalized", "not having a spec")
    assert all(any(words in text for words in acceptable) for text in texts), texts


@pytest.mark.filterwarnings("ignore:Continuous says no bounds")
@pytest.mark.parametrize("kind", [Plain, Continuous])
def test_it_is_restored_exactly(kind: type[Plain]) -> None:
    check_exact_restore(kind)


def test_what_it_carries_from_game_to_game_is_restored(tmp_path: Path) -> None:
    class Harder(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.games, self.names = 0, {"left": deque([1.5], maxlen=2)}

        def reset(self) -> Any:
            self.games += 1
            self.names["left"].append(self.games)
            return super().reset() * self.games

        def epoch_step(self) -> None:
            self.games += np.random.random() < 0.01

    check_exact_restore(Harder)


def test_a_gymnasium_environment_inside_is_seeded_with_all_that_it_draws() -> None:
    class Inside(Plain):
        action_shape, state_shape = 2, [4]

        def __init__(self) -> None:
            self.env = gymnasium.make("CartPole-v1")
            self.is_first = True

        def reset(self) -> Any:
            if self.is_first:
                self.env.reset()
            self.is_first = False  # as those do that go on after a lost life
            return self.env.step(self.env.action_space.sample())[0]

        def step(self, action: Any) -> Any:
            state, reward, terminated, truncated, _ = self.env.step(action)
            self.is_first = terminated or truncated
            return state, reward, self.is_first

        def sample(self) -> Any:
            return np.array([self.env.action_space.sample()])

    assert rlhub.adapt(Inside()).action_space == Discrete(2)
    check_exact_restore(Inside)


def test_what_is_remembered_is_recalled_as_it_was() -> None:
    class Thing:
        def __init__(self) -> None:
            self.queue, self.numbers = deque([1, (2.5, None)], maxlen=2), {3: {"a"}, "x": [np.int8(4), np.arange(3)]}
            self.other = object()

    thing = Thing()
    memory = remembered(thing)
    queue, numbers = thing.queue, thing.numbers
    thing.queue, thing.numbers, thing.later = deque(), {}, 1  # type: ignore[attr-defined]
    recall(thing, memory)
    assert (thing.queue, thing.queue.maxlen, hasattr(thing, "later")) == (queue, 2, False)
    assert repr(thing.numbers) == repr(numbers)


def test_names_of_one_thing_stay_names_of_one_thing() -> None:
    class Board(Plain):
        state_shape = (3, 3)

        def __init__(self) -> None:
            self.board, self.games = np.zeros((5, 5)), 0
            self.middle, self.turned = self.board[1:4, 1:4], self.board[::-1]
            self.place: dict[str, Any] = {"games": []}
            self.place["self"], self.past = self.place, self.place["games"]

        def reset(self) -> Any:
            self.games += 1
            self.past.append(self.games)
            self.board[:] = len(self.place["self"]["games"])
            return self.middle

        def step(self, action: Any) -> Any:
            self.turned[2, 2] += action
            return self.middle, 1.0, np.random.random() < 0.1

    check_exact_restore(Board)


def test_slots_are_attributes() -> None:
    class Slotted:
        __slots__ = ("games", "later", "rng")
        action_shape, state_shape = 2, 1

        def __init__(self) -> None:
            self.rng, self.games = np.random.RandomState(), 0

        def reset(self) -> Any:
            self.games += 1
            return self.rng.rand(1) * self.games

        def step(self, action: Any) -> Any:
            return self.rng.rand(1) * self.games, 1, self.rng.rand() < 0.1

        def sample(self) -> Any:
            return np.random.randint(2)

    check_exact_restore(Slotted)
    env = rlhub.adapt(Slotted())
    theirs: Any = env.unwrapped.theirs  # type: ignore[attr-defined]
    env.reset(seed=1)
    carried, theirs.later = env.unwrapped.carried, 3  # type: ignore[attr-defined]
    recall(theirs, carried["memory"])
    assert not hasattr(theirs, "later")


# what it says of itself


def test_the_word_of_the_class_counts_before_that_of_the_object() -> None:
    class Both(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.action_shape = (7,)

    class OnObject(Plain):
        action_shape = None

        def __init__(self) -> None:
            super().__init__()
            self.action_shape = 4

    assert rlhub.adapt(Both()).action_space == Discrete(3)
    assert rlhub.adapt(OnObject()).action_space == Discrete(4)


def test_the_bounds_of_continuous_actions_are_inferred_aloud_or_said() -> None:
    with pytest.warns(UserWarning, match=r"Continuous says no bounds .* Inferred from 1,000 samples: from \[-0.99"):
        space = rlhub.adapt(Continuous()).action_space
    assert isinstance(space, Box)
    assert (space.low <= [-0.99, 0.05]).all()
    assert (space.high >= [0.99, 4.9]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = Box(-1, 1, (2,))
        assert rlhub.adapt(Continuous(), action_space=said).action_space == said
        assert rlhub.adapt(made(Continuous, action_space=said)).action_space == said


def test_spaces_that_only_a_user_can_know_are_said() -> None:
    both = MultiDiscrete([2, 2])
    theirs = made(action_shape=(2,), action=np.array([0, 1]))
    with pytest.raises(EnvironmentContractError, match=r"Plain.sample\(\) returned an array of shape \(2,\) .*int64.*"):
        rlhub.adapt(theirs)
    env = rlhub.adapt(theirs, action_space=both, observation_space=Box(-9, 9, (2,)))
    assert (env.action_space, env.observation_space) == (both, Box(-9, 9, (2,)))
    with pytest.raises(ConfigError, match=r"has the shape \(3,\), but Plain.state_shape is \(2,\)"):
        rlhub.adapt(Plain(), observation_space=Box(-9, 9, (3,)))


def test_a_state_is_one_of_some_where_its_space_says_so() -> None:
    env = rlhub.adapt(made(state_shape=1, observation_space=Discrete(5), first=[3], result=(np.array([4.0]), 0, False)))
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert (observation, env.step(0)[0]) == (3, 4)


def test_bytes_stay_bytes() -> None:
    env = rlhub.adapt(made(first=np.array([0, 255], np.uint8), result=(np.array([1, 2], np.uint8), True, 0)))
    assert env.observation_space == Box(0, 255, (2,), np.uint8)
    env.reset(seed=0)
    assert env.step(0)[1:4] == (1.0, False, False)
    wrong = rlhub.adapt(made(first=np.array([0, 255], np.uint8)))
    wrong.reset(seed=0)
    with pytest.raises(EnvironmentContractError, match=r"returned an array .*float64; expected a state of type uint8"):
        wrong.step(0)


def test_what_is_cut_off_is_no_termination() -> None:
    env = rlhub.adapt(made(result=(np.zeros(2), 0.0, True), truncated=True))
    env.reset(seed=0)
    assert env.step(0)[2:4] == (False, True)


@pytest.mark.parametrize("flag", [True, np.True_, 1])
def test_a_flag_cuts_an_episode_off_and_is_over_with_it(flag: Any) -> None:
    class Limited(Plain):
        games = 0

        def reset(self) -> Any:
            self.games += 1
            return super().reset()

        def step(self, action: Any) -> Any:
            if self.games == 2:
                self.truncated = flag
            return np.zeros(2), 0.0, action == 1

    theirs = Limited()
    env = rlhub.adapt(theirs)
    theirs.games = 1
    ends = []
    for action in (0, 1, 1):
        env.reset(seed=0)
        ends.append(env.step(action)[2:4])
    assert ends == [(False, True), (True, False), (True, False)]


# what is wrong is told at the first call


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ((np.zeros(2), 0.0), r"Plain.step\(1\) returned a tuple of 2; expected a tuple of 3: state, reward, terminal"),
        ((np.zeros(2), 0.0, False, {}), r"Plain.step\(1\) returned a tuple of 4"),
        (np.zeros(3), r"Plain.step\(1\) returned an array of shape \(3,\)"),
        ((np.zeros(3), 0.0, False), r"step\(1\)\[0\] returned an array of shape \(3,\) .*; expected a state of shape"),
        ((None, 0.0, False), r"step\(1\)\[0\] returned None; expected a state of shape \(2,\)"),
        (([[1, 2], [1]], 0.0, False), r"step\(1\)\[0\] returned a list of 2; expected a state of shape \(2,\)"),
        ((np.zeros(2), "1", False), r"step\(1\)\[1\] returned '1' \(str\); expected a reward"),
        ((np.zeros(2), np.nan, False), r"step\(1\)\[1\] returned nan \(float\); expected a reward"),
        ((np.zeros(2), [1, 2], False), r"step\(1\)\[1\] returned a list of 2; expected a reward"),
        ((np.zeros(2), 0.0, "no"), r"step\(1\)\[2\] returned 'no' \(str\); expected whether the state is terminal"),
        ((np.zeros(2), 0.0, 2), r"step\(1\)\[2\] returned 2 \(int\)"),
        ((np.zeros(2), 0.0, None), r"step\(1\)\[2\] returned None"),
    ],
)
def test_a_wrong_step_is_told(result: Any, told: str) -> None:
    env = rlhub.adapt(made(result=result))
    env.reset(seed=0)
    with pytest.raises(EnvironmentContractError, match=told):
        env.step(1)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"first": np.zeros(3)}, r"Plain.reset\(\) returned an array of shape \(3,\) .*; expected a state of shape"),
        ({"first": (np.zeros(2), {})}, r"Plain.reset\(\) returned a tuple of 2; expected a state of shape \(2,\)"),
        ({"action": np.zeros(2)}, r"Plain.sample\(\) returned an array of shape \(2,\) .*; expected one of 3 discrete"),
        ({"action": 3}, r"Plain.sample\(\) returned 3 \(int\); expected an action from 0 to 2"),
        ({"action": "left"}, r"Plain.sample\(\) returned 'left' \(str\)"),
        ({"action_shape": ()}, r"Plain.action_shape is \(\); expected a tuple of positive numbers"),
        ({"state_shape": (2.5,)}, r"Plain.state_shape is \(2.5,\); expected a tuple of positive numbers"),
        ({"state_shape": "2"}, r"Plain.state_shape is '2'"),
    ],
)
def test_what_contradicts_itself_is_told_before_the_first_step(attributes: dict[str, Any], told: str) -> None:
    with pytest.raises(EnvironmentContractError, match=told):
        rlhub.adapt(made(**attributes))


def test_what_an_object_lacks_is_told() -> None:
    class Half:
        action_shape = (2,)

        def reset(self) -> Any: ...

    with pytest.raises(EnvironmentContractError, match=r"legacy/renom looked for sample\(\), state_shape, step\(\)"):
        rlhub.adapt(Half())


def test_pictures_are_given_on_or_shown() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    env = rlhub.adapt(made(render=lambda self: picture))
    assert env.render_mode == "rgb_array"
    env.reset(seed=0)
    assert env.render() is picture
    silent = rlhub.adapt(made(render=lambda self: None))
    with pytest.raises(EnvironmentContractError, match=r"Plain.render\(\) returned None; expected pixels .*human"):
        silent.render()
    assert rlhub.adapt(made(render=lambda self: None), render_mode="human").render() is None
    assert rlhub.adapt(Plain()).render_mode is None
    with pytest.raises(ConfigError, match=r"Plain has no render\(\)"):
        rlhub.adapt(Plain(), render_mode="human")


# the class to inherit from


class Line(BaseEnv):
    """Walks left and right."""

    def __init__(self, action_shape: Any = (2,), state_shape: Any = (1,)) -> None:
        self.position = 0
        super().__init__(action_shape, state_shape)

    def reset(self) -> Any:
        self.position = 0
        return np.array([0.0])

    def step(self, action: Any) -> Any:
        self.position += 2 * action - 1
        return np.array([self.position]), 1.0, abs(self.position) > 3

    def sample(self) -> Any:
        return np.random.randint(2)


def test_shapes_may_be_passed_and_those_of_the_class_win() -> None:
    class Stated(Line):
        action_shape = (2,)

    assert Line().action_shape == (2,)
    assert Stated((9,)).action_shape == (2,)
    check_exact_restore(Line)


def test_a_shape_may_be_a_property_or_an_array() -> None:
    class Said(Line):
        @property
        def action_shape(self) -> Any:
            return (2,)

    assert rlhub.adapt(Said()).action_space == Discrete(2)
    assert rlhub.adapt(Line(np.array([2]), np.array([1]))).action_space == Discrete(2)


@pytest.mark.parametrize("field", ["action_shape", "state_shape"])
def test_a_shape_must_be_said(field: str) -> None:
    with pytest.raises(
        EnvironmentContractError, match=rf"Line has no {field}. Set it on the class, or as self.{field}"
    ):
        Line(**{field: None})


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ({"reset": lambda self: np.zeros(2)}, r"Wrong.reset\(\) returned an array of shape \(2,\)"),
        ({"sample": lambda self: None}, r"Wrong.sample\(\) returned None; expected a random action"),
        ({"step": lambda self, action: (np.zeros(1), 0.0)}, r"Wrong.step\(action\) returned a tuple of 2"),
        ({"step": lambda self, action: (np.zeros(2), 0.0, True)}, r"Wrong.step\(action\)\[0\] returned an array"),
    ],
)
def test_what_is_overridden_wrongly_is_told_when_it_is_made(methods: dict[str, Any], told: str) -> None:
    with pytest.raises(EnvironmentContractError, match=told):
        type("Wrong", (Line,), methods)()


def test_what_must_be_overridden_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"BaseEnv must have a method reset\(self\) -> state"):
        BaseEnv((2,), (1,))


def test_what_is_set_too_late_is_told() -> None:
    class Late(Line):
        def __init__(self) -> None:
            BaseEnv.__init__(self, (2,), (1,))
            self.goal = 3

        def reset(self) -> Any:
            return np.array([self.goal])

    with pytest.raises(AttributeError) as told:
        Late()
    assert "set what they need before super().__init__()" in "".join(told.value.__notes__)


def test_the_test_hooks_stand_for_those_of_training() -> None:
    class Counting(Line):
        count = 0

        def start(self) -> None:
            self.count += 1

        epoch_step = close = start

    line = Counting()
    line.test_start()
    line.test_epoch_step()
    line.test_close()
    assert line.count == 3
    assert not any((line.terminate(), line.terminate_epoch(), line.stop_epoch(), line.test_terminate()))
