"""Environments side by side: the same as Gymnasium's `SyncVectorEnv`, and no array is used twice."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from rlhub_core import EnvironmentContractError
from rlhub_core.side_by_side import SideBySide


class Room(gymnasium.Env[Any, Any]):
    """Says a number, an array or a dict; ends after five steps; tells something now and then."""

    action_space = spaces.Discrete(3)
    SPACES = {
        "number": spaces.Discrete(9),
        "picture": spaces.Box(0, 255, (2, 3), np.uint8),
        "bits": spaces.MultiBinary(4),
        "dict": spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(9)}),
    }

    def __init__(self, kind: str) -> None:
        self.observation_space = copy.deepcopy(self.SPACES[kind])  # it draws for itself
        self._buffer: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._time = 0
        return self._seen(), {"began": 1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._time += 1
        info = {"action": int(action), "at": np.array([self._time, 0])} if self._time % 2 else {}
        return self._seen(), float(action) / 2, self._time == 5, self._time == 4 and action == 2, info

    def _seen(self) -> Any:
        seen = self.observation_space.sample()
        if isinstance(seen, np.ndarray):  # always in the same array, as some environments do
            self._buffer = seen if self._buffer is None else self._buffer
            self._buffer[...] = seen
            return self._buffer
        return seen


def same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    else:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", list(Room.SPACES))
@pytest.mark.parametrize("masked", [False, True])
def test_it_gives_what_gymnasiums_gives(kind: str, masked: bool) -> None:
    ours, theirs = (made([lambda: Room(kind)] * 3) for made in (SideBySide, SyncVectorEnv))
    for one, other in zip(ours.reset(seed=4), theirs.reset(seed=4), strict=True):
        same(one, other)
    draw = np.random.default_rng(0)
    for _ in range(40):
        actions = draw.integers(3, size=3)
        given = ours.step(actions), theirs.step(actions)
        for one, other in zip(*given, strict=True):
            same(one, other)
        ended = given[0][2] | given[0][3]
        if masked and ended.any():
            resets = [env.reset(options={"reset_mask": ended.copy()}) for env in (ours, theirs)]
            for one, other in zip(*resets, strict=True):
                same(one, other)


def test_no_array_is_used_twice() -> None:
    env = SideBySide([lambda: Room("picture")] * 2)
    env.reset(seed=0)
    first, second = env.step(np.array([0, 1])), env.step(np.array([1, 0]))
    for one, other in zip(first[:4], second[:4], strict=True):
        assert not np.may_share_memory(one, other)


@pytest.mark.parametrize("shape", [(1,), (3,)])
def test_an_observation_of_another_shape_is_told(shape: tuple[int, ...]) -> None:
    class Growing(Room):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return np.zeros(shape if action else (2,), np.float32), 0.0, False, False, {}

    def made() -> Growing:
        env = Growing("bits")
        env.observation_space = spaces.Box(-1, 1, (2,))
        return env

    env = SideBySide([made] * 2)
    env.reset(seed=0)
    env.step(np.array([0, 0]))
    with pytest.raises(EnvironmentContractError, match=rf"observation that has shape \[{shape[0]}\]; its space is"):
        env.step(np.array([1, 0]))
    with pytest.raises(EnvironmentContractError, match=r"gave an observation that has shape"):
        env.step(np.array([1, 1]))


@pytest.mark.parametrize(
    ("tells", "told"),
    [
        ([1, 0.5], [1, 0.5]),  # Gymnasium makes this [1, 0]
        ([1, "a"], [1, "a"]),
        ([1, None], [1, None]),
        ([np.zeros(2), np.zeros(3)], [[0, 0], [0, 0, 0]]),
        ([{"b": 1}, 2], [{"b": 1}, 2]),
        ([2, {"b": 1}], [2, {"b": 1}]),
        ([[1], [1, 2]], [[1], [1, 2]]),
    ],
)
def test_infos_that_are_not_alike_are_kept_as_they_are(tells: list[Any], told: list[Any]) -> None:
    class Telling(Room):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:4], {"a": tells[int(action)]}

    env = SideBySide([lambda: Telling("number")] * 3)
    env.reset(seed=0)
    infos = env.step(np.array([0, 1, 0]))[-1]
    assert [one.tolist() if isinstance(one, np.ndarray) else one for one in infos["a"]] == [*told, told[0]]
    assert infos["_a"].tolist() == [True] * 3
