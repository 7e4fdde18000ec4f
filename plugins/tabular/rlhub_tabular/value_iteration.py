"""Value iteration: every state becomes worth what its best action gains and leads to, over and over.

Bellman, "Dynamic Programming", Princeton University Press (1957); Sutton & Barto, "Reinforcement Learning: An
Introduction", 2nd ed. (2018), section 4.4, all states at once.
"""

from __future__ import annotations

import numpy as np

from rlhub_tabular.model import Model
from rlhub_tabular.planner import Planner


class ValueIteration(Planner):
    """v(s) ← max_a Σ p (r + γ v(s')), from 0.

    When the largest change is δ, no value is further than δ γ / (1 − γ) from the optimum (Puterman 1994, section 6.3).
    """

    name = "tabular/value_iteration"

    def sweep(self, model: Model) -> dict[str, float]:
        """Back up every state once."""
        before = self.values
        self.q_values = model.q_values(before, self.config.discount)
        self.values = model.state_values(self.q_values)
        self.residual = float(np.abs(self.values - before).max())
        return {}
