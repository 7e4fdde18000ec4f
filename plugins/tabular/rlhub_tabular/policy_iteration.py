"""Policy iteration: what is this policy worth, what would be better, until nothing would.

Howard, "Dynamic Programming and Markov Processes", MIT Press (1960); Sutton & Barto, "Reinforcement Learning: An
Introduction", 2nd ed. (2018), section 4.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_tabular.model import Floats, Model
from rlhub_tabular.planner import Planner

ROUNDING = 1e-11  # of solved equations, as a share of the largest value


class PolicyIteration(Planner):
    """Evaluates a policy exactly and makes it greedy; the first one takes every possible action alike.

    A step is one evaluation with one improvement. An action is only left for one that is better by more than the
    threshold, so that equally good ones do not take turns.

    Attributes:
        residual: most that another action would have been better than the last policy evaluated.
    """

    name = "tabular/policy_iteration"

    def __init__(self, *args: Any, **making: Any) -> None:
        super().__init__(*args, **making)
        self._policy: NDArray[np.int64] | None = None  # None: every possible action alike

    @property
    def policy(self) -> NDArray[np.int64]:
        """[S] the action of each state, counted as the environment does."""
        return super().policy if self._policy is None else self._policy + self.first_action

    @property
    def converged(self) -> bool:
        """Whether no action is better than the policy's own, once it has one: the first policy is always left."""
        return self.steps > 1 and super().converged

    @property
    def tolerance(self) -> float:
        """The gain that is none: the threshold, or what solving equations leaves where values are that large."""
        return max(super().tolerance, ROUNDING * float(np.abs(self.values).max()))

    def sweep(self, model: Model) -> dict[str, float]:
        """Evaluate the policy, then improve it."""
        self.values = model.policy_evaluation(self._probabilities(model), self.config.discount, start=self.values)
        self.q_values = model.q_values(self.values, self.config.discount)
        gain = model.state_values(self.q_values) - self.values  # [S]
        self.residual = float(gain.max())
        greedy = self.q_values.argmax(1)
        if self._policy is None:
            self._policy = greedy
            return {"states_changed": float(len(greedy))}
        better = gain > self.tolerance
        self._policy = np.where(better, greedy, self._policy)
        return {"states_changed": float(better.sum())}

    def state(self) -> dict[str, Any]:
        """Return everything that a later improvement needs, and an actor."""
        return super().state() | {"policy": self._policy}

    def restore(self, saved: dict[str, Any]) -> None:
        """Become what `state` returned."""
        super().restore(saved)
        self._policy = saved["policy"]

    def _probabilities(self, model: Model) -> Floats:
        """Return [S, A] the probability of every action."""
        if self._policy is None:
            return np.asarray(model.possible / np.maximum(1, model.possible.sum(1, keepdims=True)))
        return np.asarray(np.eye(model.actions)[self._policy] * model.possible)
