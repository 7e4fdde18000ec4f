"""What several wrappers ask of what they are given."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import listed, squeezed


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


def indices(name: str, given: Any, space: Box) -> NDArray[np.int64]:
    """Return a list of indices into observations as an array.

    Raises:
        ConfigError: where it is no list of one whole number or more, or where one is out of bounds.
    """
    array, last = np.asarray(given), len(space.low) - 1
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ConfigError(f"{name} must be a list of one index or more, not {given!r}")
    outside = [str(index) for index in array if not 0 <= index <= last]
    if outside:
        raise ConfigError(f"{name} {listed(outside)} is out of bounds; there are 0 to {last}")
    return array.astype(np.int64)


def type_of(box: Box) -> Any:
    """Return the type of a Box's numbers."""
    assert box.dtype is not None
    return box.dtype.type
