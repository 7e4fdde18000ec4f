"""SARSA: the values of the actions of the policy that plays, exploration included.

Rummery & Niranjan, "On-line Q-learning using connectionist systems", Cambridge 1994; Sutton & Barto, "Reinforcement
learning", 2nd ed., section 6.4.
"""

from __future__ import annotations

from typing import ClassVar

from rlhub_core import Collector
from rlhub_tabular.learner import Step
from rlhub_tabular.table import Ints, bootstrapped
from rlhub_tabular.table_learner import TableLearner


class Sarsa(TableLearner):
    """Learns from every step and the action that is taken next.

    Where an episode is truncated, no action follows; one is drawn that would have been taken. With `behaviour` it
    evaluates that policy.
    """

    kept: ClassVar[tuple[str, ...]] = (*TableLearner.kept, "next_action")
    evaluates = True
    next_action: Ints | None = None  # [B] A', drawn before the update

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Q(S, A) ← Q(S, A) + α (R + γ Q(S', A') − Q(S, A))."""
        following, self.next_action = self.draw_next(step, collector)
        next_value = self.q[step.next_state, following]  # [B]
        target = bootstrapped(step.reward, self.discount, step.terminated, next_value)
        return {"td_error": self.update(self.place(step.state, step.action), target)}

    def act(self, state: Ints, collector: Collector) -> Ints:
        """Return the actions [B] that the last update drew."""
        return super().act(state, collector) if self.next_action is None else self.next_action

    def forget(self, collector: Collector) -> None:
        """Drop the actions that were drawn for other states."""
        self.next_action = None
