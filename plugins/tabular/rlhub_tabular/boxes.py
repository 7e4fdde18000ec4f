"""Box observations of finite bounds, those that have none given by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box
from numpy.typing import NDArray

from rlhub_core import ConfigError, EnvironmentContractError, SpaceError
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
    for dimension in np.flatnonzero(~(lows < highs))[:1].tolist():
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
    numbers = tuple(number) if isinstance(number, (tuple, list, np.ndarray)) else (number,) * dimensions
    whole = (isinstance(each, (int, np.integer)) and not isinstance(each, bool) and each > 0 for each in numbers)
    if len(numbers) != dimensions or not all(whole):
        raise ConfigError(
            f"{owner}: {name} must be one positive whole number, or one for each of {dimensions} dimensions, "
            f"not {number}."
        )
    return tuple(map(int, numbers))


def flat(observations: Any, owner: str) -> NDArray[np.float64]:
    """Return observations [B, ...] as [B, D].

    Raises:
        EnvironmentContractError: where one is not a number.
    """
    points = np.asarray(observations, np.float64).reshape(len(observations), -1)
    if np.isnan(points).any():
        raise EnvironmentContractError(
            f"{owner}: the environment observed {points[np.isnan(points).any(1)][0].tolist()}; NaN lies nowhere."
        )
    return points


def _filled(own: NDArray[np.float64], given: Bound, name: str, owner: str) -> NDArray[np.float64]:
    if given is None:
        return own
    try:
        bound = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        bound = np.zeros((0, 0))
    if bound.ndim == 0:
        return np.where(np.abs(own) >= ENDLESS, bound, own)
    if bound.shape != own.shape:
        raise ConfigError(f"{owner}: {name} must be one number, or one for each of {len(own)} dimensions, not {given}.")
    return bound
