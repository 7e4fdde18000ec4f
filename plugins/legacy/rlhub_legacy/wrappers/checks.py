"""What several wrappers ask of what they are given."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import squeezed


def continuous_actions(env: gymnasium.Env[Any, Any], *, bounded: bool) -> Box:
    """Return the action space, which is a Box of floats.

    Raises:
        SpaceError: where it is not, or where it should be bounded and is not.
    """
    space = env.action_space
    if not isinstance(space, Box) or space.dtype is None or space.dtype.kind != "f":
        raise SpaceError(f"it needs continuous actions, a Box of floats, not {squeezed(space)}")
    if bounded and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise SpaceError(f"it needs actions with finite bounds, not {squeezed(space)}")
    return space


def at_least(name: str, number: int, least: int) -> None:
    """Raise ConfigError where a whole number is none or too small."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
        raise ConfigError(f"{name} must be a whole number from {least}, not {number!r}")


def type_of(box: Box) -> Any:
    """Return the type of a Box's numbers."""
    assert box.dtype is not None
    return box.dtype.type
