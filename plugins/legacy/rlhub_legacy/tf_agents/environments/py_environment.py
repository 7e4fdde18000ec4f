"""The base of environments, by TF-Agents' name."""

from __future__ import annotations

import abc
from typing import Any, Self

import numpy as np

from rlhub_legacy.array_specs import Array, BoundedArray
from rlhub_legacy.time_steps import TimeStep


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
