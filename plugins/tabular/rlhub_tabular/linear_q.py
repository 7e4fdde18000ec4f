"""Semi-gradient Q-learning with a linear function of tile-coded observations.

Sutton & Barto, "Reinforcement learning", 2nd ed., sections 9.5.4 (tile coding), 10.1 (the method, with SARSA's target)
and 16.2 (with Watkins's); Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse
coding", NeurIPS 1996; the offsets are those of Miller & Glanz (1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_core import Collector, Scheduled, option
from rlhub_core.errors import squeezed
from rlhub_core.schedules import value
from rlhub_tabular.boxes import bounds, each, flat
from rlhub_tabular.learner import Learner, LearnerConfig, Step
from rlhub_tabular.table import Floats, Ints, bootstrapped, check_size, repeated


@dataclass(frozen=True)
class LinearQConfig(LearnerConfig):
    """Hyper-parameters of `tabular/linear_q`."""

    learning_rate: Scheduled[float] = option(
        0.5, "share of the error that an update takes away, all tilings together", minimum=0, maximum=1
    )
    epsilon: Scheduled[float] = option(0.1, "probability of a random action", minimum=0, maximum=1)
    tilings: int = option(8, "grids laid over the observations, each displaced otherwise", minimum=1)
    tiles: int | tuple[int, ...] = option(8, "of each dimension, in one grid", minimum=1)
    low: float | tuple[float, ...] | None = option(None, "lower bounds, or one for all unbounded dimensions")
    high: float | tuple[float, ...] | None = option(None, "upper bounds, likewise")


class LinearQ(Learner):
    """Q-learning where an action is worth the sum of the weights of the tiles that the observation lies in."""

    Config: ClassVar[type[LinearQConfig]] = LinearQConfig
    kept = ("weights",)

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Discrete,
        config: LinearQConfig,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        super().__init__(action_space, config, seed, total_steps)
        low, high = bounds(observation_space, config.low, config.high, "tabular/linear_q")
        tiles = each(config.tiles, len(low), "tiles", "tabular/linear_q")
        count = tile_count(config.tilings, tiles)
        check_size(
            count * self.actions,
            f"tabular/linear_q: {count:,} tiles over {squeezed(observation_space)}",
            "Use fewer tiles, or an algorithm with a network, such as deep/dqn.",
        )
        self.tiles = Tiles(low, high, config.tilings, tiles)
        self.weights = np.full((self.actions, self.tiles.count), config.initial_value / config.tilings)

    def index(self, observations: Any) -> Ints:
        """Return [B, tilings] the tiles that observations lie in."""
        return self.tiles(observations)

    def action_values(self, state: Any) -> Floats:
        """Return the values [B, A] of actions where these tiles [B, tilings] are."""
        sums: Floats = self.weights[:, state].sum(2).T
        return sums

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """w ← w + α (R + γ max_a q(S', a) − q(S, A)) ∇q(S, A)."""
        best = self.action_values(step.next_state).max(1)  # [B]
        target = bootstrapped(step.reward, self.discount, step.terminated, best)
        errors = target - self.action_values(step.state)[np.arange(len(target)), step.action]
        rate = value(self.config.learning_rate, self.steps)
        move_sums(self.weights.reshape(-1), step.action[:, None] * self.tiles.count + step.state, errors, rate)
        return {"td_error": float(np.abs(errors).sum()) / len(errors)}

    # what was learnt

    def q_values(self, observations: Any) -> Floats:
        """Return the values [B, A] of the actions."""
        return self.action_values(self.index(observations))

    def values(self, observations: Any) -> Floats:
        """Return the values [B] of the best actions."""
        best: Floats = self.q_values(observations).max(1)
        return best

    def policy(self, observations: Any) -> Ints:
        """Return the greedy actions [B], the first of equals."""
        greedy: Ints = self.q_values(observations).argmax(1) + self.first_action
        return greedy


class Tiles:
    """Numbers the tiles, one of each grid, that an observation lies in.

    Grid k of n is displaced by k (1, 3, 5, …) / n of a tile along the dimensions, so that no two borders coincide and
    what is generalised to lies evenly around.

    Args:
        low: [D] of the observations; what lies beyond counts as what lies there.
        high: [D]
        tilings: n, grids.
        tiles: of each dimension; one more lies in the grid, for it is displaced.
    """

    def __init__(
        self, low: NDArray[np.float64], high: NDArray[np.float64], tilings: int, tiles: tuple[int, ...]
    ) -> None:
        self._low, self._high, self._per_unit = low, high, np.array(tiles) / (high - low)
        shares = np.arange(tilings)[:, None] * (2 * np.arange(len(low)) + 1) / tilings  # [n, D]
        self._offsets = shares % 1.0
        grid = [number + 1 for number in tiles]
        self.count = tile_count(tilings, tiles)
        self._strides = np.append(np.cumprod(grid[:0:-1])[::-1], 1).astype(np.int64)  # [D]
        self._begins = np.arange(tilings) * math.prod(grid)  # [n]

    def __call__(self, observations: Any) -> Ints:
        """Return [B, n] the tiles of observations [B, ...]."""
        points = flat(observations, "tabular/linear_q")  # [B, D]
        scaled = (np.clip(points, self._low, self._high) - self._low) * self._per_unit
        cells = (scaled[:, None] + self._offsets).astype(np.int64)  # [B, n, D]
        tiles: Ints = cells @ self._strides + self._begins
        return tiles


def tile_count(tilings: int, tiles: tuple[int, ...]) -> int:
    """Return how many tiles there are in all."""
    return tilings * math.prod(number + 1 for number in tiles)


def move_sums(weights: Floats, tiles: Ints, errors: Floats, rate: float) -> None:
    """Move sums of n weights by α times their errors, an equal share each.

    Where several of the B sums have a weight in common, it moves as if they had come one after another, as in
    `rlhub_tabular.table.move`.

    Args:
        weights: [N] changed in place.
        tiles: [B, n] which weights each sum is of.
        errors: [B] of the sums.
        rate: α.
    """
    n = tiles.shape[1]
    if len(errors) == 1:  # what follows, without sorting
        weights[tiles[0]] += rate / n * errors[0]
        return
    places, which, times = np.unique(tiles, return_inverse=True, return_counts=True)
    mean = np.bincount(which.reshape(-1), np.repeat(errors, n)) / times
    weights[places] += repeated(rate, times) / n * mean
