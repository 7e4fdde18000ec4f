"""Semi-gradient Q-learning with a linear function of tile-coded observations.

Sutton & Barto, "Reinforcement learning", 2nd ed., sections 9.5.4 (tile coding), 10.1 (the method, with SARSA's target)
and 16.2 (with Watkins's); Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse
coding", NeurIPS 1996; the offsets are those of Miller & Glanz (1996).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_core import Actor, Collector, Progress, Scheduled, SpaceError, option, state
from rlhub_core.errors import squeezed
from rlhub_core.schedules import resolved, value
from rlhub_tabular.boxes import bounds, each
from rlhub_tabular.table import Floats, Ints, bootstrapped, epsilon_greedy, repeated, said
from rlhub_tabular.table_learner import LARGEST


@dataclass(frozen=True)
class LinearQConfig:
    """Hyper-parameters of `tabular/linear_q`."""

    learning_rate: Scheduled[float] = option(
        0.5, "share of the error that an update takes away, all tilings together", minimum=0, maximum=1
    )
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    epsilon: Scheduled[float] = option(0.1, "probability of a random action", minimum=0, maximum=1)
    initial_value: float = option(0.0, "of every action; more than can be had makes it try everything")
    tilings: int = option(8, "grids laid over the observations, each displaced otherwise", minimum=1)
    tiles: int | tuple[int, ...] = option(8, "of each dimension, in one grid", minimum=1)
    low: float | tuple[float, ...] | None = option(None, "lower bounds, or one for all unbounded dimensions")
    high: float | tuple[float, ...] | None = option(None, "upper bounds, likewise")
    behaviour: Actor | None = option(
        None, "(observations, first) -> actions that plays, in place of the ε-greedy policy"
    )


class LinearQ:
    """Q-learning where an action is worth the sum of the weights of the tiles that the observation lies in."""

    Config: ClassVar[type[LinearQConfig]] = LinearQConfig

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
        self.config, self.steps = resolved(config, total_steps), 0
        self.actions, self.first_action = int(action_space.n), int(action_space.start)
        low, high = bounds(observation_space, config.low, config.high, "tabular/linear_q")
        self.tiles = Tiles(low, high, config.tilings, each(config.tiles, len(low), "tiles", "tabular/linear_q"))
        if self.tiles.count * self.actions > LARGEST:
            raise SpaceError(
                f"tabular/linear_q would have {self.tiles.count:,} tiles over {squeezed(observation_space)}; use fewer "
                "tiles, or an algorithm with a network, such as deep/dqn."
            )
        self.weights = np.full((self.actions, self.tiles.count), config.initial_value / config.tilings)
        self.seed, self.rng = seed, np.random.default_rng(seed)

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Play a step in every environment, and learn from it."""
        tiles = self.tiles(collector.observations)  # [B, tilings]
        while self.steps < until:
            action = self.act(collector, tiles)  # [B]
            happened = collector.step(action + self.first_action)
            best = self._sums(self.tiles(happened.next_observation)).max(1)  # [B]
            discount = value(self.config.discount, self.steps)
            error = self.learn(tiles, action, bootstrapped(happened.reward, discount, happened.terminated, best))
            tiles = self.tiles(collector.observations)
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes(), {"td_error": error})

    def act(self, collector: Collector, tiles: Ints) -> Ints:
        """Return actions [B], counted from 0."""
        config = self.config
        if config.behaviour is not None:
            seen = collector.raw_observations  # as any actor, also one that normalises them itself
            return said(config.behaviour, seen, collector.first, self.actions, self.first_action)
        return epsilon_greedy(self._sums(tiles), value(config.epsilon, self.steps), self.rng)

    def learn(self, tiles: Ints, action: Ints, target: Floats) -> float:
        """w ← w + α (R + γ max_a q(S', a) − q(S, A)) ∇q(S, A); return the mean size of the errors [B]."""
        errors = target - self._sums(tiles)[np.arange(len(action)), action]
        rate = value(self.config.learning_rate, self.steps)
        move_sums(self.weights.reshape(-1), action[:, None] * self.tiles.count + tiles, errors, rate)
        return float(np.abs(errors).sum()) / len(errors)

    # what was learnt

    def q_values(self, observations: Any) -> Floats:
        """Return the values [B, A] of the actions."""
        return self._sums(self.tiles(observations))

    def values(self, observations: Any) -> Floats:
        """Return the values [B] of the best actions."""
        best: Floats = self.q_values(observations).max(1)
        return best

    def policy(self, observations: Any) -> Ints:
        """Return the greedy actions [B], the first of equals."""
        greedy: Ints = self.q_values(observations).argmax(1) + self.first_action
        return greedy

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy, or one that plays as training does and draws from a stream of its own."""
        if not explore:
            return lambda observations, first: self.policy(observations)
        if self.config.behaviour is not None:
            return self.config.behaviour
        rng = np.random.default_rng((self.seed, self.steps))
        return lambda observations, first: (
            epsilon_greedy(self.q_values(observations), value(self.config.epsilon, self.steps), rng) + self.first_action
        )

    def save(self, folder: Path) -> None:
        """Write weights and random generator."""
        saved = {"steps": self.steps, "weights": self.weights, "rng": self.rng.bit_generator.state}
        state.save(folder, "linear_q", saved)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "linear_q")
        self.steps, self.weights = saved["steps"], saved["weights"]
        self.rng.bit_generator.state = saved["rng"]

    def _sums(self, tiles: Ints) -> Floats:
        """Return the values [B, A] of actions where these tiles [B, tilings] are."""
        sums: Floats = self.weights[:, tiles].sum(2).T
        return sums


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
        self.count = tilings * math.prod(grid)
        self._strides = np.append(np.cumprod(grid[:0:-1])[::-1], 1).astype(np.int64)  # [D]
        self._begins = np.arange(tilings) * math.prod(grid)  # [n]

    def __call__(self, observations: Any) -> Ints:
        """Return [B, n] the tiles of observations [B, ...]."""
        flat = np.asarray(observations, np.float64).reshape(len(observations), -1)  # [B, D]
        scaled = (np.clip(flat, self._low, self._high) - self._low) * self._per_unit
        cells = (scaled[:, None] + self._offsets).astype(np.int64)  # [B, n, D]
        tiles: Ints = cells @ self._strides + self._begins
        return tiles


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
