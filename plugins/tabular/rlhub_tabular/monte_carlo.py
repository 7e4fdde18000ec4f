"""On-policy Monte Carlo control: the value of an action is the mean of the returns that followed it.

Sutton & Barto, "Reinforcement learning", 2nd ed., section 5.4; Singh & Sutton, "Reinforcement learning with replacing
eligibility traces", Machine Learning 22 (1996), on first and every visits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rlhub_core import Collector, Scheduled, option, state
from rlhub_tabular.learner import LearnerConfig, Step
from rlhub_tabular.table import Floats, Ints, discounted_returns
from rlhub_tabular.table_learner import TableLearner


@dataclass(frozen=True)
class MonteCarloConfig(LearnerConfig):
    """Hyper-parameters of `tabular/monte_carlo`."""

    learning_rate: Scheduled[float] | None = option(
        None, "step size α; none: 1 / updates of the state and action, the mean of all returns", minimum=0, maximum=1
    )
    first_visit: bool = option(True, "learn from the first visit of a state and action in an episode, not from every")


class MonteCarlo(TableLearner):
    """Learns when an episode ends, from what followed each of its actions.

    Where an episode is truncated, its return is not known: what the table says of the action that would have been taken
    next stands for the rest. With `behaviour` it evaluates that policy.
    """

    Config: ClassVar[type[MonteCarloConfig]] = MonteCarloConfig
    evaluates = True
    running: Running  # episodes

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Q(S_t, A_t) ← Q(S_t, A_t) + α (G_t − Q(S_t, A_t)) for every step of the episodes that ended."""
        self.running.add(self.place(step.state, step.action), step.reward)
        ended = np.flatnonzero(step.terminated | step.truncated)
        if not len(ended):
            return {}
        after = self._after(step, collector)
        lessons = [self._lesson(env, after[env]) for env in ended.tolist()]
        places, returns = map(np.concatenate, zip(*lessons, strict=True))
        return {"return_error": self.update(places, returns)}

    def _lesson(self, env: int, after: float) -> tuple[Ints, Floats]:
        """Return the places [N] that an episode visited, and the returns that followed."""
        places, rewards = self.running.take(env)
        returns = discounted_returns(rewards, self.discount, after)
        if not self.config.first_visit:
            return places, returns
        places, first = np.unique(places, return_index=True)
        return places, returns[first]

    def _after(self, step: Step, collector: Collector) -> Floats:
        """Return [B] what follows the last step of an episode: nothing, unless it was truncated."""
        after = np.zeros(len(step.state))
        cut_off, drawn = self.draw_at_cut_offs(step, collector)
        after[cut_off] = self.q[step.next_state[cut_off], drawn]
        return after

    def forget(self, collector: Collector) -> None:
        """Drop the running episodes."""
        self.running = Running(collector.num_envs)

    def save(self, folder: Path) -> None:
        """Write the running episodes as well."""
        super().save(folder)
        state.save(folder, "running", self.running.state() if self.where is not None else None)

    def load(self, folder: Path) -> None:
        """Read the running episodes as well."""
        super().load(folder)
        saved = state.load(folder, "running")
        if saved is not None:
            self.running = Running(**saved)


class Running:
    """The running episodes of B environments, step by step.

    Args:
        num_envs: B.
        begun: [B] row in which each episode began.
        places: [T, B] of states and actions in the table.
        rewards: [T, B]
    """

    def __init__(self, num_envs: int, begun: Any = 0, places: Any = None, rewards: Any = None) -> None:
        self._begun = np.zeros(num_envs, np.int64) + begun  # [B]
        self._size = 0 if places is None else len(places)
        self._places: NDArray[np.int64] = np.zeros((64, num_envs), np.int64) if places is None else places
        self._rewards: NDArray[np.float64] = np.zeros((64, num_envs)) if rewards is None else rewards

    def add(self, places: Ints, rewards: Floats) -> None:
        """Add a step of every environment."""
        if self._size == len(self._places):
            self._make_room()
        self._places[self._size], self._rewards[self._size] = places, rewards
        self._size += 1

    def take(self, env: int) -> tuple[Ints, Floats]:
        """Return places and rewards [T] of an environment's episode, which is over."""
        steps = slice(int(self._begun[env]), self._size)
        self._begun[env] = self._size
        return self._places[steps, env], self._rewards[steps, env]

    def state(self) -> dict[str, Any]:
        """Return what makes another one like this."""
        oldest = int(self._begun.min())
        return {
            "num_envs": len(self._begun),
            "begun": self._begun - oldest,
            "places": self._places[oldest : self._size],
            "rewards": self._rewards[oldest : self._size],
        }

    def _make_room(self) -> None:
        """Drop the rows before the oldest episode, and have as many free as are left, or more."""
        oldest = int(self._begun.min())
        kept = self._size - oldest
        free = max(64, kept)
        self._places = np.concatenate([self._places[oldest:], np.zeros((free, len(self._begun)), np.int64)])
        self._rewards = np.concatenate([self._rewards[oldest:], np.zeros((free, len(self._begun)))])
        self._begun -= oldest
        self._size = kept
