"""Wrappers that take other actions than the environment does."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import RepeatAction
from numpy.typing import NDArray

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import squeezed
from rlhub_legacy.wrappers.checks import at_least, continuous_actions

Env = gymnasium.Env[Any, Any]
ActionWrapper = gymnasium.ActionWrapper[Any, Any, Any]


class ActionClip(ActionWrapper, RecordConstructorArgs):
    """Clips actions to the bounds of their space, which stays as it is (Gymnasium's ClipAction makes it unbounded)."""

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._bounds = continuous_actions(env, bounded=False)

    def action(self, action: Any) -> NDArray[Any]:
        """Return the nearest action within the bounds."""
        clipped: NDArray[Any] = np.clip(action, self._bounds.low, self._bounds.high)
        return clipped.astype(self._bounds.dtype)


class ActionDiscretize(ActionWrapper, RecordConstructorArgs):
    """Makes continuous actions choices, evenly spaced from the lowest to the highest, both included.

    Pendulum's torque in 5 is -2, -1, 0, 1, 2 (Gymnasium's DiscretizeAction takes the middles of 5 bins, -1.6 to 1.6).

    Args:
        env: whose actions are a bounded Box.
        num_actions: of each dimension, 2 or more: one number for all, or one for each in the order of the flat array.

    Attributes:
        values: the action that each choice of each dimension stands for, [size][num_actions].

    Raises:
        SpaceError, ConfigError: for other actions, or numbers that do not fit.
    """

    def __init__(self, env: Env, num_actions: int | list[int]) -> None:
        RecordConstructorArgs.__init__(self, num_actions=num_actions)
        super().__init__(env)
        self._continuous = box = continuous_actions(env, bounded=True)
        size = box.low.size
        numbers: list[Any] = [num_actions] * size if np.ndim(num_actions) == 0 else list(np.ravel(num_actions))
        if len(numbers) != size:
            raise ConfigError(f"num_actions must be one number, or {size} for {squeezed(box)}, not {num_actions!r}")
        for number in numbers:
            at_least("num_actions", number, 2)
        each = zip(box.low.flat, box.high.flat, numbers, strict=True)
        self.values = [np.linspace(low, high, int(number)) for low, high, number in each]
        self.action_space = Discrete(int(numbers[0])) if size == 1 else MultiDiscrete(np.reshape(numbers, box.shape))

    def action(self, action: Any) -> NDArray[Any]:
        """Return the continuous action that a choice stands for, in the environment's shape.

        Raises:
            gymnasium.error.InvalidAction: for what is no choice.
        """
        choices = np.ravel(action)
        if not self.action_space.contains(np.asarray(action)[()]):
            raise InvalidAction(f"{action!r} is no action of {squeezed(self.action_space)}.")
        chosen = [values[choice] for values, choice in zip(self.values, choices, strict=True)]
        return np.array(chosen, self._continuous.dtype).reshape(self._continuous.shape)


class ActionOffset(ActionWrapper, RecordConstructorArgs):
    """Makes choices count from 0.

    Args:
        env: whose actions are Discrete or MultiDiscrete from another number, or a bounded Box of integers, which
            becomes MultiDiscrete.

    Raises:
        SpaceError: for other actions.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._start, self.action_space = _from_zero(env.action_space)

    def action(self, action: Any) -> Any:
        """Return the environment's own number."""
        return action + self._start


def _from_zero(space: Space[Any]) -> tuple[Any, Space[Any]]:
    if isinstance(space, Discrete):
        return space.start, Discrete(int(space.n))
    if isinstance(space, MultiDiscrete):
        return space.start, MultiDiscrete(space.nvec)
    if isinstance(space, Box) and space.dtype is not None and space.dtype.kind in "iu":
        count = space.high.astype(np.int64) - space.low.astype(np.int64) + 1
        if (count > 0).all():
            return space.low.astype(np.int64), MultiDiscrete(count)
    raise SpaceError(f"it needs actions that are bounded whole numbers, not {squeezed(space)}")


def action_repeat(env: Env, times: int) -> Env:
    """Return an environment that repeats each action and sums the rewards, up to the end of an episode.

    It is Gymnasium's RepeatAction, but that a repetition of 1 is refused, as in TF-Agents.

    Args:
        env: any.
        times: how often, 2 or more.

    Raises:
        ConfigError: for fewer.
    """
    at_least("times", times, 2)
    return RepeatAction(env, int(times))


class OneHotAction(ActionWrapper, RecordConstructorArgs):
    """Takes a choice as an array with one number for each; the index of the highest is meant.

    Args:
        env: whose actions are Discrete.
        dtype: "int64", as in TF-Agents, or "float32", which algorithms for continuous actions can learn with.

    Raises:
        SpaceError, ConfigError: for other actions, or another type.
    """

    def __init__(self, env: Env, dtype: Literal["int64", "float32"] = "int64") -> None:
        RecordConstructorArgs.__init__(self, dtype=dtype)
        super().__init__(env)
        if not isinstance(env.action_space, Discrete):
            raise SpaceError(f"it needs Discrete actions, not {squeezed(env.action_space)}")
        if dtype not in ("int64", "float32"):
            raise ConfigError(f"dtype must be 'int64' or 'float32', not {dtype!r}")
        self._start = env.action_space.start
        self._box = self.action_space = Box(0, 1, (int(env.action_space.n),), np.dtype(dtype).type)

    def action(self, action: Any) -> np.int64:
        """Return the choice.

        Raises:
            gymnasium.error.InvalidAction: for an array of another shape or type.
        """
        array = np.asarray(action)
        if array.shape != self._box.shape or array.dtype != self._box.dtype:
            raise InvalidAction(f"{action!r} is no action of {squeezed(self._box)}: its shape or type is another.")
        return np.int64(self._start + array.argmax())


class ExtraDisabledActions(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds actions that the action mask forbids: `info["action_mask"]`, 1 for a possible action and 0 for these.

    It shows whether an algorithm honours masks: one that takes a forbidden action gets an error.

    Args:
        env: whose actions are Discrete; a mask that it tells itself is kept.
        num_extra_actions: how many, 1 or more.

    Raises:
        SpaceError, ConfigError: for other actions, or fewer.
    """

    def __init__(self, env: Env, num_extra_actions: int) -> None:
        RecordConstructorArgs.__init__(self, num_extra_actions=num_extra_actions)
        super().__init__(env)
        at_least("num_extra_actions", num_extra_actions, 1)
        if not isinstance(env.action_space, Discrete):
            raise SpaceError(f"it needs Discrete actions, not {squeezed(env.action_space)}")
        self._possible = Discrete(int(env.action_space.n), start=int(env.action_space.start))
        self.action_space = Discrete(int(env.action_space.n) + num_extra_actions, start=int(env.action_space.start))
        self._extra = np.zeros(num_extra_actions, np.int8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset and tell what is possible."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._masked(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step and tell what is possible.

        Raises:
            gymnasium.error.InvalidAction: for an action that never is.
        """
        if not self._possible.contains(action):
            raise InvalidAction(f"{action!r} is disabled: only {squeezed(self._possible)} is possible.")
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._masked(info)

    def _masked(self, info: dict[str, Any]) -> dict[str, Any]:
        inner = np.asarray(info.get("action_mask", np.ones(int(self._possible.n), np.int8)), np.int8)
        return info | {"action_mask": np.concatenate([inner, self._extra])}
