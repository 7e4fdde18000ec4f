"""What learners with tables share: the tables, and how they are moved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_core import Collector, NonFiniteError
from rlhub_core.errors import squeezed
from rlhub_tabular.learner import Learner, Step
from rlhub_tabular.states import States
from rlhub_tabular.table import Floats, Ints, check_size, move, possible_actions, rows


class TableLearner(Learner):
    """Plays, and learns a table of action values from every step; what is learnt is `learn`'s.

    Attributes:
        q: [..., S, A] the table, or tables; -inf where an action is impossible.
        updates: [..., S, A] how often each entry was moved.
        visits: [S, A] how often each action was taken.
    """

    kept: ClassVar[tuple[str, ...]] = ("q", "updates", "visits", "where")
    tables: ClassVar[tuple[int, ...]] = ()  # shape of tables beside states and actions
    evaluates: ClassVar[bool] = False  # whether it learns the values of whatever policy plays

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Discrete,
        config: Any,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        super().__init__(action_space, config, seed, total_steps)
        self.states = States(observation_space)
        shape = (*self.tables, self.states.count, self.actions)
        check_size(
            2 * math.prod(shape) + self.states.count * self.actions,  # values and updates, and visits
            f"The tables of {squeezed(observation_space)} with {self.states.count:,} states",
            "Use fewer states, such as fewer bins, or tabular/linear_q.",
        )
        self.q = np.full(shape, float(config.initial_value))
        self.updates = np.zeros(shape, np.int64)
        self.visits = np.zeros(shape[-2:], np.int64)
        self.where: tuple[Ints, NDArray[np.bool_]] | None = None  # state of each environment, and whether it is a first

    def begin(self, collector: Collector) -> Ints:
        """Return the states that the environments are in; forget running episodes that are not theirs any more."""
        possible = possible_actions(collector.env, self.states.count, self.actions)
        if possible is not None:
            self.q[..., ~possible] = -np.inf
        state = self.index(collector.observations)
        if self.where is None or not all(map(np.array_equal, self.where, (state, collector.first))):
            self.forget(collector)
        return state

    def forget(self, collector: Collector) -> None:
        """Drop what belongs to running episodes."""

    def remember(self, step: Step, state: Ints, collector: Collector) -> None:
        """Count the actions that were taken, and note where the environments are."""
        np.add.at(self.visits.reshape(-1), self.place(step.state, step.action), 1)
        self.where = state, collector.first

    def index(self, observations: Any) -> Ints:
        """Return [B] the states that observations are."""
        return self.states.index(observations)

    def action_values(self, state: Any) -> Floats:
        """Return [B, A] what the actions are worth, as far as this is known."""
        values: Floats = self.q[state]
        return values

    # what their updates are made of

    def draw_next(self, step: Step, collector: Collector) -> tuple[Ints, Ints]:
        """Draw A' [B] of every true successor S', and the actions that are to be taken now.

        They differ only where an episode was truncated, for there the game goes on from another state.
        """
        assert self.where is not None
        now = self.draw(self.where[0], collector.observations, collector.first, collector.steps)
        if not step.truncated.any():
            return now, now
        following = now.copy()
        cut_off, drawn = self.draw_at_cut_offs(step, collector)
        following[cut_off] = drawn
        return following, now

    def draw_at_cut_offs(self, step: Step, collector: Collector) -> tuple[Ints, Ints]:
        """Return which environments' episodes were truncated, and draw what they would have done next, if they can."""
        cut_off = np.flatnonzero(step.truncated & ~step.terminated)
        cut_off = cut_off[self.action_values(step.next_state[cut_off]).max(1) > -np.inf]
        if not len(cut_off):
            return cut_off, cut_off
        observations, first = rows(step.next_observation, cut_off), np.zeros(len(cut_off), np.bool_)
        return cut_off, self.draw(step.next_state[cut_off], observations, first, collector.steps)

    def update(self, places: Ints, targets: Floats) -> float:
        """Move entries [B] of the flattened tables towards targets [B]; return the mean size of the errors."""
        return move(self.q.reshape(-1), self.updates.reshape(-1), places, targets, self.learning_rate)

    def place(self, state: Ints, action: Ints) -> Ints:
        """Return [B] where states and actions stand in the flattened table."""
        return state * self.actions + action

    # what was learnt

    def save(self, folder: Path) -> None:
        """Write what was learnt.

        Raises:
            NonFiniteError: where a value has left all bounds: infinite is only that of an action that is impossible.
        """
        wrong = np.isinf(self.q) & (self.visits > 0)
        if wrong.any():
            raise NonFiniteError(f"the value of an action is {self.q[wrong][0]:g} in {np.count_nonzero(wrong)} places")
        super().save(folder)

    @property
    def q_values(self) -> Floats:
        """[S, A] values of actions; -inf where one is impossible."""
        return np.array(self.action_values(slice(None)))

    @property
    def values(self) -> Floats:
        """[S] values of states: of the best action; of the policy that plays where a `behaviour` is evaluated.

        The latter are means over the actions that it took there.
        """
        q = self.q_values
        best = np.where(np.isfinite(q).any(1), q.max(1), 0.0)
        if self.config.behaviour is None or not self.evaluates:
            return best
        taken = self.visits.sum(1)
        mean = (self.visits * np.where(self.visits > 0, q, 0.0)).sum(1) / np.maximum(taken, 1)
        return np.where(taken > 0, mean, best)

    @property
    def policy(self) -> Ints:
        """[S] the greedy actions, the first of equals."""
        greedy: Ints = self.q_values.argmax(1) + self.first_action
        return greedy
