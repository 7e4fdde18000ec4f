"""Makes a Box observation discrete: each dimension is cut into equal bins."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.utils import RecordConstructorArgs

from rlhub_core.errors import squeezed
from rlhub_tabular.boxes import Bound, bounds, each, flat
from rlhub_tabular.table import check_size


class Bins(gymnasium.ObservationWrapper[np.int64, Any, Any], RecordConstructorArgs):
    """Numbers the cell of a grid in which a Box observation lies, row by row.

    Args:
        env: with a Box observation space.
        bins: a dimension, or one number for each.
        low: where the first bin begins: for every dimension, or one number for those that are unbounded.
        high: where the last bin ends, likewise. What lies beyond is in the outermost bin.

    Raises:
        SpaceError, ConfigError: for another space, unbounded dimensions, or bins and bounds that do not fit.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], bins: int | tuple[int, ...] = 10, low: Bound = None, high: Bound = None
    ) -> None:
        RecordConstructorArgs.__init__(self, bins=bins, low=low, high=high)
        gymnasium.ObservationWrapper.__init__(self, env)
        self._low, highest = bounds(env.observation_space, low, high, "tabular/bins")
        self.bins = each(bins, len(self._low), "bins", "tabular/bins")
        cells = math.prod(self.bins)
        check_size(cells, f"tabular/bins: {cells:,} cells of {squeezed(env.observation_space)}", "Use fewer bins.")
        self._last = np.array(self.bins) - 1
        self._per_unit = np.array(self.bins) / (highest - self._low)
        self.observation_space = Discrete(cells)

    def observation(self, observation: Any) -> np.int64:
        """Return the number of the cell; `numpy.unravel_index(number, env.bins)` gives the bin of each dimension."""
        point = flat([observation], "tabular/bins")[0]
        cell = np.clip((point - self._low) * self._per_unit, 0, self._last).astype(np.int64)
        return np.int64(np.ravel_multi_index(tuple(cell), self.bins))
