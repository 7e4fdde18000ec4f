"""Q-learning: the values of the best actions, whatever policy plays.

Watkins, "Learning from delayed rewards", PhD thesis, Cambridge 1989; Sutton & Barto, "Reinforcement learning", 2nd ed.,
section 6.5.
"""

from __future__ import annotations

from rlhub_core import Collector
from rlhub_tabular.learner import Step
from rlhub_tabular.table import bootstrapped
from rlhub_tabular.table_learner import TableLearner


class QLearning(TableLearner):
    """Learns from every step as if it went on with the best action."""

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Q(S, A) ← Q(S, A) + α (R + γ max_a Q(S', a) − Q(S, A))."""
        best = self.q[step.next_state].max(1)  # [B]
        target = bootstrapped(step.reward, self.discount, step.terminated, best)
        return {"td_error": self.update(self.place(step.state, step.action), target)}
