"""TF-Agents: its environments as Gymnasium environments, and its names to write an environment with.

`import rlhub_legacy.tf_agents as tf_agents` stands in for the package in a class written on
`tf_agents.environments.py_environment.PyEnvironment` with `tf_agents.specs` and `tf_agents.trajectories.time_step`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from rlhub_core import EnvironmentContractError
from rlhub_legacy.array_specs import Array, BoundedArray, is_leaf
from rlhub_legacy.time_steps import StepType, TimeStep, TimeStepEnv

# time steps: the observation comes first here, the reward in dm_env


_TimeStep = TimeStep  # a class body shadows its own names


class time_step:
    """The functions that make time steps, by TF-Agents' names; a batch gives its size, or its outer dimensions."""

    StepType = StepType
    TimeStep = TimeStep

    @staticmethod
    def restart(observation: Any, batch_size: int | None = None) -> _TimeStep:
        """Return the first time step of an episode: reward 0, discount 1."""
        outer = () if batch_size is None else (batch_size,)
        return _time_step(StepType.FIRST, observation, 0.0, 1.0, outer)

    @staticmethod
    def transition(observation: Any, reward: Any, discount: Any = 1.0, outer_dims: Sequence[int] = ()) -> _TimeStep:
        """Return a time step amid an episode."""
        return _time_step(StepType.MID, observation, reward, discount, outer_dims)

    @staticmethod
    def termination(observation: Any, reward: Any, outer_dims: Sequence[int] = ()) -> _TimeStep:
        """Return the last time step of an episode whose future is worth nothing."""
        return _time_step(StepType.LAST, observation, reward, 0.0, outer_dims)

    @staticmethod
    def truncation(observation: Any, reward: Any, discount: Any = 1.0, outer_dims: Sequence[int] = ()) -> _TimeStep:
        """Return the last time step of an episode that was cut off."""
        return _time_step(StepType.LAST, observation, reward, discount, outer_dims)


def _time_step(kind: StepType, observation: Any, reward: Any, discount: Any, outer: Sequence[int]) -> TimeStep:
    shape = tuple(outer)
    reward = np.asarray(reward, np.float32)
    if reward.ndim < len(shape):
        reward = np.broadcast_to(reward, shape).copy()
    return TimeStep(
        np.full(shape, int(kind), np.int32), reward, np.broadcast_to(np.float32(discount), shape).copy(), observation
    )


class PyEnvironment(abc.ABC):
    """A base for environments that were written on TF-Agents' of this name.

    A subclass has `_reset`, `_step`, `action_spec` and `observation_spec`. `step` begins an episode where none has
    begun and, with `handle_auto_reset`, where one has ended; the action is ignored then.
    """

    def __init__(self, handle_auto_reset: bool = False) -> None:
        self._handle_auto_reset = handle_auto_reset
        self._current_time_step: TimeStep | None = None

    @abc.abstractmethod
    def _reset(self) -> TimeStep: ...

    @abc.abstractmethod
    def _step(self, action: Any) -> TimeStep: ...

    @abc.abstractmethod
    def observation_spec(self) -> Any:
        """Return the specification of observations: one, or a dict or tuple of them."""

    @abc.abstractmethod
    def action_spec(self) -> Any:
        """Return the specification of actions, likewise."""

    def reset(self) -> TimeStep:
        """Begin an episode."""
        self._current_time_step = self._reset()
        return self._current_time_step

    def step(self, action: Any) -> TimeStep:
        """Take a step, or begin an episode."""
        current = getattr(self, "_current_time_step", None)  # where a class forgot super().__init__()
        if current is None or (getattr(self, "_handle_auto_reset", False) and self.should_reset(current)):
            return self.reset()
        self._current_time_step = self._step(action)
        return self._current_time_step

    def current_time_step(self) -> TimeStep:
        """Return what was last returned.

        Raises:
            ValueError: before the first reset.
        """
        if getattr(self, "_current_time_step", None) is None:
            raise ValueError("There is no current time step before the first reset().")
        assert self._current_time_step is not None
        return self._current_time_step

    def should_reset(self, current_time_step: TimeStep) -> bool:
        """Return whether an episode is over."""
        return current_time_step.is_last()

    def time_step_spec(self) -> TimeStep:
        """Return the specifications of what a time step holds."""
        return TimeStep(
            Array((), np.int32, "step_type"), self.reward_spec(), self.discount_spec(), self.observation_spec()
        )

    def reward_spec(self) -> Any:
        """Return the specification of rewards."""
        return Array((), np.float32, "reward")

    def discount_spec(self) -> Any:
        """Return the specification of discounts."""
        return BoundedArray((), np.float32, 0.0, 1.0, "discount")

    @property
    def batched(self) -> bool:
        """Whether it is several environments in one."""
        return False

    @property
    def batch_size(self) -> int | None:
        """How many, where it is several."""
        return None

    def seed(self, seed: int) -> Any:
        """Seed it; a class that takes none leaves this as it is."""
        raise NotImplementedError("This environment takes no seed.")

    def get_info(self) -> Any:
        """Return anything about the last step; a class that tells nothing leaves this as it is."""
        raise NotImplementedError("This environment tells nothing about its steps.")

    def render(self, mode: str = "rgb_array") -> Any:
        """Return pixels; a class that shows nothing leaves this as it is."""
        raise NotImplementedError("This environment renders nothing.")

    def get_state(self) -> Any:
        """Return its state; a class that has none to give leaves this as it is."""
        raise NotImplementedError("This environment does not give its state.")

    def set_state(self, state: Any) -> None:
        """Take over a state; likewise."""
        raise NotImplementedError("This environment takes no state.")

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Free what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class specs:
    """The specifications, by TF-Agents' names."""

    ArraySpec = Array
    BoundedArraySpec = BoundedArray


# the modules that these are in, there

_PyEnvironment = PyEnvironment
_time_step_module = time_step


class environments:
    """The package of this name."""

    class py_environment:
        """The module of this name."""

        PyEnvironment: TypeAlias = _PyEnvironment


class trajectories:
    """The package of this name."""

    time_step = _time_step_module


py_environment = environments.py_environment


class TfAgentsEnv(TimeStepEnv):
    """An environment of TF-Agents, as a Gymnasium environment; arguments and errors as for `TimeStepEnv`.

    One that is a batch of one is taken out of it. What `get_info` tells, where it is a dict, is told in `info`.

    Raises:
        EnvironmentContractError: also for a batch of several.
    """

    def __init__(self, theirs: Any, *, render_mode: Literal["rgb_array", "auto"] | None = "auto") -> None:
        super().__init__(theirs, render_mode=render_mode)
        self._of_one = bool(getattr(theirs, "batched", False))
        if self._of_one and theirs.batch_size != 1:
            raise EnvironmentContractError(
                f"{type(theirs).__qualname__} is a batch of {theirs.batch_size} environments. Adapt a single one; "
                f"num_envs={theirs.batch_size} makes as many of it."
            )

    def _renderer(self) -> Any:
        method = super()._renderer()
        only_raises = (
            getattr(method, "__qualname__", "") == "PyEnvironment.render"
        )  # which is the base's, here and there
        return None if only_raises else method

    def _pixels(self, renderer: Any) -> Any:
        pixels = renderer("rgb_array")
        return np.asarray(pixels)[0] if self._of_one and np.ndim(pixels) == 4 else pixels

    def _info(self) -> dict[str, Any]:
        method = getattr(self.theirs, "get_info", None)
        if not callable(method):
            return {}
        try:
            with self._randomness():
                told = method()
        except NotImplementedError:
            return {}
        return dict(told) if isinstance(told, Mapping) else {}

    def _batched(self, action: Any) -> Any:
        return _each(action, lambda part: np.asarray(part)[None]) if self._of_one else action

    def _unbatched(self, observation: Any) -> Any:
        return _each(observation, lambda part: np.asarray(part)[0]) if self._of_one else observation


def _each(nest: Any, change: Any) -> Any:
    """Return a dict or tuple of arrays, however deep, with every array changed."""
    if isinstance(nest, Mapping):
        return {key: _each(part, change) for key, part in nest.items()}
    if isinstance(nest, tuple | list) and not is_leaf(nest):
        parts = [_each(part, change) for part in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)
    return change(nest)
