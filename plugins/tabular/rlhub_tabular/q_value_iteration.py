"""Q-value iteration: every action becomes worth what it gains and the best action after it, over and over.

Bellman's optimality equation for the values of actions: Sutton & Barto, "Reinforcement Learning: An Introduction", 2nd
ed. (2018), equation 3.20; Géron, "Hands-On Machine Learning", 2nd ed. (2019), equation 18-3.
"""

from __future__ import annotations

import numpy as np

from rlhub_tabular.model import Model
from rlhub_tabular.planner import Planner


class QValueIteration(Planner):
    """q(s, a) ← Σ p (r + γ max_a' q(s', a')), from 0; −∞ where an action is impossible."""

    name = "tabular/q_value_iteration"

    def sweep(self, model: Model) -> dict[str, float]:
        """Back up every action once."""
        before = self.q_values
        self.q_values = model.q_values(model.state_values(before), self.config.discount)
        self.values = model.state_values(self.q_values)
        change = np.subtract(self.q_values, before, out=np.zeros_like(before), where=model.possible)
        self.residual = float(np.abs(change).max())
        return {}
