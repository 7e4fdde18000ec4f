"""Expected SARSA: the mean over what the ε-greedy policy might do next, in place of a draw.

van Seijen, van Hasselt, Whiteson & Wiering, "A theoretical and empirical analysis of Expected Sarsa", ADPRL 2009;
Sutton & Barto, "Reinforcement learning", 2nd ed., section 6.6.
"""

from __future__ import annotations

from rlhub_core import Collector
from rlhub_core.schedules import value
from rlhub_tabular.learner import Step
from rlhub_tabular.table import bootstrapped, expected_value
from rlhub_tabular.table_learner import TableLearner


class ExpectedSarsa(TableLearner):
    """Learns the values of the ε-greedy policy from every step, also where a `behaviour` plays: then off-policy."""

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Q(S, A) ← Q(S, A) + α (R + γ Σ_a π(a | S') Q(S', a) − Q(S, A))."""
        epsilon = value(self.config.epsilon, self.steps)
        next_value = expected_value(self.q[step.next_state], epsilon)  # [B]
        target = bootstrapped(step.reward, self.discount, step.terminated, next_value)
        return {"td_error": self.update(self.place(step.state, step.action), target)}
