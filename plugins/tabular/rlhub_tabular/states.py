"""Observations that take finitely many values, numbered 0 to S - 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from numpy.typing import NDArray

from rlhub_core import EnvironmentContractError, SpaceError


class States:
    """Numbers the observations of a Discrete, MultiDiscrete or MultiBinary space, or of a Tuple of them, row by row.

    Attributes:
        sizes: how many values each part of an observation takes.
        count: S, how many states that makes.

    Raises:
        SpaceError: for any other space.
    """

    def __init__(self, space: Space[Any]) -> None:
        self._space = space
        self._starts, self.sizes = _parts(space)
        self.count = math.prod(self.sizes)

    def index(self, observations: Any) -> NDArray[np.int64]:
        """Return [B] the states of a batch of observations, as vector environments give them.

        Raises:
            EnvironmentContractError: for an observation that is not in the space.
        """
        if isinstance(self._space, Discrete):
            states = np.asarray(observations, np.int64) - self._starts[0]
            highest = states.item() if len(states) == 1 else states.view(np.uint64).max()  # where -1 is a huge one
            if not 0 <= highest < self.count:
                raise self._outside(observations)
            return states
        columns = np.concatenate(_columns(self._space, observations), 1) - self._starts  # [B, parts]
        try:
            numbers: NDArray[np.int64] = np.ravel_multi_index(tuple(columns.T), self.sizes)
        except ValueError:
            raise self._outside(observations) from None
        return numbers

    def _outside(self, observations: Any) -> EnvironmentContractError:
        return EnvironmentContractError(f"The environment observed {observations}; not all of it is in {self._space}.")


def _parts(space: Space[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Return the smallest value, and the number of values, of each part of a space."""
    if isinstance(space, Discrete):
        return [int(space.start)], (int(space.n),)
    if isinstance(space, MultiDiscrete):
        return np.ravel(space.start).tolist(), tuple(np.ravel(space.nvec).tolist())
    if isinstance(space, MultiBinary):
        return [0] * math.prod(space.shape), (2,) * math.prod(space.shape)
    if isinstance(space, Tuple) and len(space.spaces):
        parts = [_parts(part) for part in space.spaces]
        return [start for starts, _ in parts for start in starts], tuple(size for _, sizes in parts for size in sizes)
    raise SpaceError(f"Tables need observations of finitely many values; {space} has none.")


def _columns(space: Space[Any], observations: Any) -> list[NDArray[np.int64]]:
    """Return the parts of a batch of observations as arrays [B, ...]."""
    if isinstance(space, Tuple):
        pairs = zip(space.spaces, observations, strict=True)
        return [column for part, batch in pairs for column in _columns(part, batch)]
    batch = np.asarray(observations, np.int64)
    return [batch.reshape(len(batch), -1)]
