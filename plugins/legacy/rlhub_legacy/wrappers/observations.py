"""Wrappers that observe otherwise than the environment does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import listed, squeezed
from rlhub_legacy.wrappers.checks import at_least, indices, type_of

Env = gymnasium.Env[Any, Any]
ObservationWrapper = gymnasium.ObservationWrapper[Any, Any, Any]


class FlattenObservations(ObservationWrapper, RecordConstructorArgs):
    """Makes the arrays of a dict of observations one flat array, in the order of its keys.

    Types are not mixed (Gymnasium's FlattenObservation promotes them, and makes choices one-hot).

    Args:
        env: whose observations are a Dict; dicts and tuples in it are flattened as well.
        observations_allowlist: keys to keep, by default all; a list, or "[one,other]".

    Raises:
        SpaceError, ConfigError: for other observations, arrays of several types, unknown keys.
    """

    def __init__(self, env: Env, observations_allowlist: list[str] | str | None = None) -> None:
        RecordConstructorArgs.__init__(self, observations_allowlist=observations_allowlist)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Dict):
            raise SpaceError(f"it needs Dict observations, not {squeezed(space)}")
        allowed = _names(observations_allowlist)
        unknown = set(allowed or ()) - space.keys()
        if allowed == []:
            raise ConfigError(f"observations_allowlist must name one observation or more of {listed(space.keys())}")
        if unknown:
            raise ConfigError(f"there is no observation {listed(unknown)}; there are {listed(space.keys())}")
        self._keys = [key for key in space if allowed is None or key in allowed]
        boxes = [box for key in self._keys for box in _boxes(space[key])]
        types = {str(box.dtype) for box in boxes}
        if len(types) != 1:
            raise SpaceError(f"it needs observations of one type; these are of {listed(types)}")
        low, high = (np.concatenate([np.ravel(bounds) for bounds in each]) for each in _bounds(boxes))
        self._type = np.dtype(types.pop())
        self.observation_space = Box(low, high, dtype=self._type.type)

    def observation(self, observation: Any) -> NDArray[Any]:
        """Return the flat array."""
        parts = [part for key in self._keys for part in _arrays(observation[key])]
        return np.concatenate(parts).astype(self._type)


def _names(given: list[str] | str | None) -> list[str] | None:
    """Return a list of keys; a shell may have taken the quotes of one."""
    if not isinstance(given, str):
        return given
    return [name.strip().strip("'\"") for name in given.strip("[]()").split(",") if name.strip()]


def _boxes(space: Space[Any]) -> Iterator[Box]:
    if isinstance(space, Dict):
        for part in space.values():
            yield from _boxes(part)
    elif isinstance(space, Tuple):
        for part in space.spaces:
            yield from _boxes(part)
    else:
        yield _as_box(space)


def _bounds(boxes: list[Box]) -> tuple[list[Any], list[Any]]:
    return [box.low for box in boxes], [box.high for box in boxes]


def _arrays(value: Any) -> Iterator[NDArray[Any]]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _arrays(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from _arrays(part)
    else:
        yield np.ravel(value)


def _as_box(space: Space[Any]) -> Box:
    """Return the numbers that a space of arrays holds, as a Box."""
    if isinstance(space, Box):
        return space
    if isinstance(space, Discrete):
        return Box(int(space.start), int(space.start + space.n) - 1, (), np.int64)
    if isinstance(space, MultiDiscrete):
        return Box(space.start, space.start + space.nvec - 1, dtype=np.int64)
    if isinstance(space, MultiBinary):
        return Box(0, 1, space.shape, np.int8)
    raise SpaceError(f"{squeezed(space)} is no space of arrays")


class ObservationFilter(ObservationWrapper, RecordConstructorArgs):
    """Observes some numbers of an array, by index (Gymnasium's FilterObservation knows keys only).

    Args:
        env: whose observations are a Box of one dimension.
        idx: which, counted from 0, in the order they are wanted.

    Raises:
        SpaceError, ConfigError: for other observations, no index, or one that is out of bounds.
    """

    def __init__(self, env: Env, idx: list[int]) -> None:
        RecordConstructorArgs.__init__(self, idx=idx)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise SpaceError(f"it needs observations that are one array of one dimension, not {squeezed(space)}")
        self._index = indices("idx", idx, space)
        self.observation_space = Box(space.low[self._index], space.high[self._index], dtype=type_of(space))

    def observation(self, observation: Any) -> NDArray[Any]:
        """Return the numbers at the indices."""
        chosen: NDArray[Any] = np.asarray(observation)[self._index]
        return chosen


class History(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Observes the last observations, the newest last, on a new first axis.

    With the actions it is a dict of `observation` and `action`, where each action is the one that led to the
    observation beside it. Where there was none, before the first step, it is zero.

    Args:
        env: whose observations (and actions) are arrays or numbers, no dicts or tuples.
        history_length: how many, 2 or more.
        include_actions: whether actions are observed as well.
        tile_first_step_obs: whether an episode's first observation stands for those before it; zeros do by default.

    Raises:
        SpaceError, ConfigError: for other spaces, or a shorter history.
    """

    def __init__(
        self, env: Env, history_length: int = 3, include_actions: bool = False, tile_first_step_obs: bool = False
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            history_length=history_length,
            include_actions=include_actions,
            tile_first_step_obs=tile_first_step_obs,
        )
        super().__init__(env)
        at_least("history_length", history_length, 2)
        box = _as_box(env.observation_space)
        self._with_actions, self._tiled = include_actions, tile_first_step_obs
        self._nothing = np.zeros(box.shape, box.dtype)
        self._observations: deque[NDArray[Any]] = deque(maxlen=history_length)
        self._actions: deque[NDArray[Any]] = deque(maxlen=history_length)
        stacked: Space[Any] = _stacked(box, history_length, zeros=not tile_first_step_obs)
        self.observation_space = stacked
        if include_actions:
            actions = _as_box(env.action_space)
            self._no_action = np.zeros(actions.shape, actions.dtype)
            parts = {"observation": stacked, "action": _stacked(actions, history_length, zeros=True)}
            self.observation_space = Dict(parts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset and forget what was before."""
        observation, info = self.env.reset(seed=seed, options=options)
        first = np.array(observation, self._nothing.dtype)
        length = self._observations.maxlen or 0
        self._observations.extend([first if self._tiled else self._nothing] * (length - 1))
        self._observations.append(first)
        if self._with_actions:
            self._actions.extend([self._no_action] * length)
        return self._history(), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step and observe the last observations."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._observations.append(np.array(observation, self._nothing.dtype))
        if self._with_actions:
            self._actions.append(np.array(action, self._no_action.dtype))
        return self._history(), reward, terminated, truncated, info

    def _history(self) -> Any:
        stacked = np.stack(self._observations)
        return {"observation": stacked, "action": np.stack(self._actions)} if self._with_actions else stacked


def _stacked(box: Box, length: int, *, zeros: bool) -> Box:
    """Return the space of `length` arrays of a Box; with zeros, they are in its bounds."""
    low, high = (np.minimum(box.low, 0), np.maximum(box.high, 0)) if zeros else (box.low, box.high)
    low, high = (np.stack([bound.astype(box.dtype)] * length) for bound in (low, high))
    return Box(low, high, dtype=type_of(box))
