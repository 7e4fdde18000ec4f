"""ε-greedy exploration whose random actions may last.

Dabney, Ostrovski & Barreto, "Temporally-extended ε-greedy exploration", ICLR 2021, algorithm 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EXPONENT = 1.5  # of the zeta distribution of lengths; the paper has 2, whose actions are seldom long


class Wandering:
    """Who takes which random action, for how much longer, in B environments."""

    def __init__(self, actions: int) -> None:
        self.actions = actions
        self.left = np.zeros(0, np.int64)  # [B] steps that the random action still lasts
        self.action = np.zeros(0, np.int64)  # [B]

    def step(
        self, rng: np.random.Generator, first: NDArray[np.bool_], epsilon: float, longest: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return who wanders [B] and the random actions [B].

        Args:
            rng: draws who begins, which actions, and how long they last.
            first: [B] whose episode begins, which ends what lasted.
            epsilon: probability of beginning a random action.
            longest: steps that one may last; 1: plain ε-greedy.
        """
        if len(self.left) != len(first):
            self.left, self.action = np.zeros((2, len(first)), np.int64)
        begins = (rng.random(len(first)) < epsilon) & (first | (self.left == 0))
        actions = rng.integers(self.actions, size=len(first))
        lengths: Any = np.minimum(rng.zipf(EXPONENT, len(first)), longest) if longest > 1 else 1
        self.left = np.where(begins, lengths, np.where(first, 0, self.left))
        self.action = np.where(begins, actions, self.action)
        wanders = self.left > 0
        self.left = np.maximum(self.left - 1, 0)
        return wanders, self.action

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"left": self.left, "action": self.action}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on as the one whose `state` was taken."""
        self.left, self.action = saved["left"], saved["action"]
