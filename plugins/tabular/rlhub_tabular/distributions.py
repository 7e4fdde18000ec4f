"""Probabilities over states: checked, and drawn as numpy's `RandomState.choice` draws them."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlhub_core import ConfigError

TOLERANCE = 1e-8  # by which a sum may differ from one


class RandomNumbers(Protocol):
    """What draws a number in [0, 1): numpy's generators, new and legacy, and Python's."""

    def random(self) -> float:
        """Return the next number."""
        ...


class Distribution(NamedTuple):
    """The states that can come next, and with what probability."""

    states: list[int]  # rising
    probabilities: list[float]  # of each, positive
    cumulative: list[float]  # of each and those before it, the last exactly 1

    @classmethod
    def of(cls, row: Any, count: int, owner: str) -> Distribution:
        """Return the distribution that a row of probabilities is.

        The cumulative probabilities are those of numpy's `RandomState.choice(p=row)`, so that draws are the same.

        Args:
            row: [count] probabilities.
            count: of the states.
            owner: whose probabilities they are, for messages: "transition_probabilities[2]".

        Raises:
            ConfigError: where it is no row of so many probabilities.
        """
        probabilities = numbers(row, count, owner)
        if not (probabilities >= 0).all():  # so written that NaN is refused as well
            raise ConfigError(f"{owner} holds {probabilities.min():g}; a probability is at least 0.")
        total = float(probabilities.sum())
        if abs(total - 1) > TOLERANCE:
            raise ConfigError(f"{owner} sums to {total:.10g}; probabilities sum to 1.")
        states = np.flatnonzero(probabilities)
        cumulative = probabilities[states].cumsum()
        return cls(states.tolist(), probabilities[states].tolist(), (cumulative / cumulative[-1]).tolist())

    def draw(self, rng: RandomNumbers) -> int:
        """Return a state, chosen by one random number."""
        return self.states[bisect_right(self.cumulative, rng.random())]

    def probability(self, state: int) -> float:
        """Return the probability of a state."""
        return self.probabilities[self.states.index(state)] if state in self.states else 0.0


def numbers(row: Any, count: int, owner: str) -> NDArray[np.float64]:
    """Return a row of so many numbers as an array.

    Raises:
        ConfigError: where it is none.
    """
    try:
        array = np.asarray(row, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{owner} must be a row of {count} numbers, not {row!r}.") from None
    if array.shape != (count,):
        has = f"{array.size} numbers" if array.ndim == 1 else f"shape {array.shape}"
        raise ConfigError(f"{owner} must be a row of {count} numbers, one a state; it has {has}.")
    return array
