"""Double Q-learning: one table chooses the action that the other one values, so that luck is not taken for worth.

van Hasselt, "Double Q-learning", NeurIPS 2010; Sutton & Barto, "Reinforcement learning", 2nd ed., section 6.7.
"""

from __future__ import annotations

from typing import Any

from rlhub_core import Collector
from rlhub_tabular.learner import Step
from rlhub_tabular.table import Floats, bootstrapped
from rlhub_tabular.table_learner import TableLearner


class DoubleQLearning(TableLearner):
    """Learns two tables, a random one of them from each step, and acts on their mean.

    With `learning_rate` none each table counts its own updates.
    """

    tables = (2,)

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Q₁(S, A) ← Q₁(S, A) + α (R + γ Q₂(S', argmax_a Q₁(S', a)) − Q₁(S, A)), or with 1 and 2 exchanged."""
        learning = self.rng.integers(0, 2, len(step.state))  # [B] which table
        best = self.q[learning, step.next_state].argmax(1)  # [B]
        target = bootstrapped(step.reward, self.discount, step.terminated, self.q[1 - learning, step.next_state, best])
        place = learning * (self.states.count * self.actions) + self.place(step.state, step.action)
        return {"td_error": self.update(place, target)}

    def action_values(self, state: Any) -> Floats:
        """Return [B, A] the mean of both tables."""
        values: Floats = (self.q[0, state] + self.q[1, state]) / 2
        return values
