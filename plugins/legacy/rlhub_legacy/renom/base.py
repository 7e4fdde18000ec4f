"""The class that environments of ReNom RL inherit from, with the names and rules of its reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlhub_core import EnvironmentContractError
from rlhub_legacy.faults import wrong
from rlhub_legacy.renom.spaces import checked_state, shape_of


class BaseEnv:
    """An environment in ReNom RL's dialect: override `reset`, `step` and `sample`, and any hook.

    Hooks take no arguments. Nothing but `reset`, `step` and `sample` must be there.

    Args:
        action_shape: (n,): how many actions there are, or the shape of a continuous one. A class or object that has
            the field already keeps it.
        state_shape: of a state, likewise.

    Attributes:
        truncated: set by `step` where a terminal state is none but the episode is cut off, as by a time limit.

    Raises:
        EnvironmentContractError: where a shape is missing, or `reset`, `step` and `sample` do not do what they say:
            each is called once.
    """

    action_shape: Any = None
    state_shape: Any = None
    truncated = False

    def __init__(self, action_shape: Any = None, state_shape: Any = None) -> None:
        for field, passed in (("action_shape", action_shape), ("state_shape", state_shape)):
            if _is_said(getattr(self, field)):
                continue  # not set again: it may be a property
            setattr(self, field, passed)
            if not _is_said(passed):
                raise EnvironmentContractError(
                    f"{type(self).__qualname__} has no {field}. Set it on the class, or as self.{field} before "
                    f"super().__init__(), or pass it: super().__init__(action_shape=…, state_shape=…)."
                )
        self._check()

    def reset(self) -> Any:
        """Begin an episode and return its first state, of shape `state_shape`."""
        raise NotImplementedError(f"{type(self).__qualname__} must have a method reset(self) -> state.")

    def step(self, action: Any) -> Any:
        """Take an action and return (state, reward, whether the state is terminal)."""
        raise NotImplementedError(
            f"{type(self).__qualname__} must have a method step(self, action) -> (state, reward, terminal)."
        )

    def sample(self) -> Any:
        """Return a random action: an integer, or floats of shape `action_shape`."""
        raise NotImplementedError(f"{type(self).__qualname__} must have a method sample(self) -> action.")

    def start(self) -> None:
        """Called when training starts, after the first reset."""

    def epoch(self) -> None:
        """Called when an epoch starts, after its reset."""

    def epoch_step(self) -> None:
        """Called after every step of training."""

    def close(self) -> None:
        """Called when training ends."""

    def test_start(self) -> None:
        """Called when a test starts, after its reset; `start` unless overridden."""
        self.start()

    def test_epoch_step(self) -> None:
        """Called after every step of a test; `epoch_step` unless overridden."""
        self.epoch_step()

    def test_close(self) -> None:
        """Called when a test ends; `close` unless overridden."""
        self.close()

    def terminate(self) -> bool:
        """Return whether training ends here, without another test."""
        return False

    def terminate_epoch(self) -> bool:
        """Return whether the epoch ends here, without its test."""
        return False

    def stop_epoch(self) -> bool:
        """Return whether the epoch ends here, and its test begins."""
        return False

    def test_terminate(self) -> bool:
        """Return whether the test ends here."""
        return False

    def _check(self) -> None:
        """Call each of the three methods once; what is wrong is said before anything is trained."""
        shape = shape_of(self, "state_shape")
        try:
            checked_state(self, "reset()", self.reset(), shape)
            action = self.sample()
            if action is None:
                raise wrong(self, "sample()", action, "a random action")
            result = self.step(action)
        except AttributeError as error:
            error.add_note(
                f"BaseEnv.__init__ calls reset(), sample() and step() of {type(self).__qualname__} once: set what they "
                "need before super().__init__()."
            )
            raise
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise wrong(self, "step(action)", result, "a tuple of 3: state, reward, terminal")
        checked_state(self, "step(action)[0]", result[0], shape)


def _is_said(shape: Any) -> bool:
    return bool(shape.size if isinstance(shape, np.ndarray) else shape)
