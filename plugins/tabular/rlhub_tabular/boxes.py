"""Box observations of finite bounds, those that have none given by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box
from numpy.typing import NDArray

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import squeezed

Bound = float | tuple[float, ...] | None
ENDLESS = 1e9  # bounds beyond it are as good as none: some environments say the largest float32


def bounds(space: Space[Any], low: Bound, high: Bound, owner: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest value [D] of each dimension of a Box, flattened.

    Args:
        space: a Box.
        low: one for every dimension; or a single one for those that are unbounded; None: the space's own.
        high: likewise.
        owner: who asks, for messages.

    Raises:
        SpaceError: for another space, or a dimension that stays unbounded.
        ConfigError: for a wrong number of bounds, or a low that is not below its high.
    """
    if not isinstance(space, Box):
        raise SpaceError(f"{owner} divides a Box; this is {squeezed(space)}.")
    lows = _filled(np.ravel(space.low).astype(np.float64), low, "low", owner)
    highs = _filled(np.ravel(space.high).astype(np.float64), high, "high", owner)
    for dimension in np.flatnonzero((np.abs(lows) >= ENDLESS) | (np.abs(highs) >= ENDLESS))[:1].tolist():
        raise SpaceError(
            f"{owner}: dimension {dimension} of {squeezed(space)} is unbounded. Give low and high: a number for all "
            "that are unbounded, or one for each dimension. What lies beyond counts as what lies there."
        )
    for dimension in np.flatnonzero(lows >= highs)[:1].tolist():
        raise ConfigError(
            f"{owner}: in dimension {dimension} low must be below high; "
            f"they are {lows[dimension]} and {highs[dimension]}."
        )
    return lows, highs


def each(number: int | tuple[int, ...], dimensions: int, name: str, owner: str) -> tuple[int, ...]:
    """Return a positive whole number for each dimension.

    Raises:
        ConfigError: for a wrong number of them, or one that is not positive.
    """
    numbers = (number,) * dimensions if isinstance(number, int) else tuple(number)
    if len(numbers) != dimensions or min(numbers, default=0) < 1:
        raise ConfigError(
            f"{owner}: {name} must be one positive number, or one for each of {dimensions} dimensions, not {number}."
        )
    return numbers


def _filled(own: NDArray[np.float64], given: Bound, name: str, owner: str) -> NDArray[np.float64]:
    if given is None:
        return own
    if isinstance(given, (int, float)):
        return np.where(np.abs(own) >= ENDLESS, float(given), own)
    if len(given) != len(own):
        raise ConfigError(f"{owner}: {name} must be one number, or one for each of {len(own)} dimensions, not {given}.")
    return np.asarray(given, np.float64)
