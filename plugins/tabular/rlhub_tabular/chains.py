"""Markov chains: states that follow one another with fixed probabilities, whatever anybody does.

Sutton & Barto, "Reinforcement Learning: An Introduction", 2nd ed. (2018), chapter 3, has them as decision processes
without decisions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_tabular.distributions import Distribution, RandomNumbers

NAME = "transition_probabilities"


class MarkovChain:
    """A chain of S states.

    Args:
        transition_probabilities: [S, S] of going from each state (row) to each (column).

    Attributes:
        probabilities: [S, S] the same, as an array.
        absorbing: the states that are never left.

    Raises:
        ConfigError: for a row that is no distribution over the states.
    """

    def __init__(self, transition_probabilities: Any) -> None:
        count = len(transition_probabilities)
        self._rows = [Distribution.of(row, count, f"{NAME}[{s}]") for s, row in enumerate(transition_probabilities)]
        self.probabilities: NDArray[np.float64] = np.array(transition_probabilities, np.float64)
        self.absorbing = tuple(state for state, row in enumerate(self._rows) if row.states == [state])

    def sample(
        self, rng: RandomNumbers, start: int = 0, until: Collection[int] | None = None, max_steps: int = 50
    ) -> list[int]:
        """Return states as they follow one another, from `start` to the first in `until`, at most `max_steps` states.

        Every state but one that ends the sequence is followed by one draw, the last of `max_steps` states too.

        Args:
            rng: anything with `random()`.
            start: the first state.
            until: states that end the sequence; by default the absorbing ones.
            max_steps: states at most.

        Raises:
            ConfigError: where `start` is no state.
        """
        if not 0 <= start < len(self._rows):
            raise ConfigError(f"start must be a state, 0 to {len(self._rows) - 1}, not {start!r}.")
        ends = set(self.absorbing if until is None else until)
        state, states = start, []
        for _ in range(max_steps):
            states.append(state)
            if state in ends:
                break
            state = self._rows[state].draw(rng)
        return states

    def stationary_distribution(self) -> NDArray[np.float64]:
        """Return the [S] shares of time that the chain spends in each state in the long run, π = π P.

        Raises:
            ConfigError: where they depend on the state it starts in.
        """
        count = len(self._rows)
        balance = np.vstack([self.probabilities.T - np.eye(count), np.ones(count)])  # [S + 1, S] times π is [0 … 0, 1]
        shares, _, rank, _ = np.linalg.lstsq(balance, np.eye(count + 1)[-1], rcond=None)
        if rank < count:
            raise ConfigError("The chain has several parts that are never left: its long run depends on the start.")
        shares = np.clip(shares, 0, None)
        return np.asarray(shares / shares.sum())
