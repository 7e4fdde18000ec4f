"""SARSA(λ): every step learns for all actions that led to it, as far as their eligibility traces reach.

Rummery & Niranjan, "On-line Q-learning using connectionist systems", Cambridge 1994; Singh & Sutton, "Reinforcement
learning with replacing eligibility traces", Machine Learning 22 (1996); Sutton & Barto, "Reinforcement learning",
2nd ed., section 12.7. With `behaviour` it is TD(λ) prediction of that policy (section 12.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlhub_core import Collector, Scheduled, option
from rlhub_core.schedules import Linear, value
from rlhub_tabular.learner import LearnerConfig, Step
from rlhub_tabular.sarsa import Sarsa
from rlhub_tabular.table import Floats, Ints, bootstrapped, check_size


@dataclass(frozen=True)
class TDLambdaConfig(LearnerConfig):
    """Hyper-parameters of `tabular/td_lambda`."""

    learning_rate: Scheduled[float] | None = option(
        Linear(0.5, 0.02), "step size α; none: 1 / updates of the state and action", minimum=0, maximum=1
    )
    trace: Scheduled[float] = option(0.9, "λ, share of a trace that outlasts a step", minimum=0, maximum=1)
    replacing: bool = option(True, "a visit makes a trace 1; without, it adds 1 (accumulating traces)")


class TDLambda(Sarsa):
    """SARSA with eligibility traces."""

    Config: ClassVar[type[TDLambdaConfig]] = TDLambdaConfig
    kept = (*Sarsa.kept, "traces")
    traces: Floats | None = None  # [B, S A] of the running episodes

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """δ ← R + γ Q(S', A') − Q(S, A); z(S, A) ← z(S, A) + 1, or 1; Q ← Q + α δ z; z ← γ λ z."""
        assert self.traces is not None
        following, self.next_action = self.draw_next(step, collector)
        next_value = self.q[step.next_state, following]  # [B]
        target = bootstrapped(step.reward, self.discount, step.terminated, next_value)
        place = self.place(step.state, step.action)
        errors = target - self.q.reshape(-1)[place]  # [B]
        mark(self.traces, place, self.config.replacing)
        np.add.at(self.updates.reshape(-1), place, 1)
        self.q += self._change(errors).reshape(self.q.shape)
        self.traces *= self.discount * value(self.config.trace, self.steps)
        self.traces[step.terminated | step.truncated] = 0.0
        return {"td_error": float(np.abs(errors).mean())}

    def _change(self, errors: Floats) -> Floats:
        """Return [S A] what is added to the table."""
        assert self.traces is not None
        rate = self.learning_rate
        if rate is None:  # the shares sum to no more than 1, for traces of a place do not to more than its updates
            return (errors @ self.traces) / np.maximum(self.updates.reshape(-1), 1)
        return along_traces(self.traces, errors, rate)

    def forget(self, collector: Collector) -> None:
        """Drop the traces."""
        super().forget(collector)
        check_size(
            (3 + 3 * collector.num_envs) * self.q.size,  # tables; traces, and twice as much to go along them
            f"Tables, and traces of {collector.num_envs} environments,",
            "Use fewer environments, fewer states, or tabular/sarsa.",
        )
        self.traces = np.zeros((collector.num_envs, self.q.size))


def mark(traces: Floats, places: Ints, replacing: bool) -> None:
    """Mark the places [B] where B environments are in their traces [B, N]."""
    envs = np.arange(len(places))
    traces[envs, places] = 1.0 if replacing else traces[envs, places] + 1.0


def along_traces(traces: Floats, errors: Floats, rate: float) -> Floats:
    """Return [N] what B environments with errors δ add to a table along their traces z [B, N].

    Of one it is α δ z. Of several, each moves an entry by a share w = min(α z, 1) towards what it holds plus δ, one
    after another, on average: (1 − Π (1 − w)) Σ w δ / Σ w, so that a thousand that agree do not go a thousand times as
    far, and traces that accumulated beyond 1 / α not beyond δ.
    """
    if len(errors) == 1:
        alone: Floats = rate * errors[0] * traces[0]
        return alone
    shares = np.minimum(rate * traces, 1.0)  # [B, N]
    total = shares.sum(0)  # [N]
    mean = np.divide(errors @ shares, total, out=np.zeros_like(total), where=total > 0)
    change: Floats = (1.0 - np.prod(1.0 - shares, axis=0)) * mean
    return change
