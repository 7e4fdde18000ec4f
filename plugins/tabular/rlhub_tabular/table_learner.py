"""What learners with tables share: the tables, who plays, and how all of it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_core import Actor, Collector, ConfigError, Progress, Scheduled, SpaceError, option, state
from rlhub_core.errors import squeezed
from rlhub_core.schedules import Linear, resolved, value
from rlhub_tabular.states import States
from rlhub_tabular.table import Floats, Ints, epsilon_greedy, move, possible_actions, rows, said

LARGEST = 10**8  # entries of a table; 800 MB


@dataclass(frozen=True)
class TableConfig:
    """Hyper-parameters of every learner with a table."""

    learning_rate: Scheduled[float] | None = option(
        Linear(0.5, 0.05), "step size α; none: 1 / visits of the state and action", minimum=0, maximum=1
    )
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    epsilon: Scheduled[float] = option(Linear(1.0, 0.05), "probability of a random action", minimum=0, maximum=1)
    initial_value: float = option(0.0, "of every possible action; more than can be had makes it try everything")
    behaviour: Actor | None = option(
        None, "(observations, first) -> actions that plays, in place of the ε-greedy policy"
    )


class Step(NamedTuple):
    """One step of B environments, in numbers of states and actions."""

    state: Ints  # [B]
    action: Ints  # [B]
    reward: Floats  # [B]
    next_state: Ints  # [B] the true successor, also where an episode ended
    next_observation: Any  # [B, ...] likewise
    terminated: NDArray[np.bool_]  # [B]
    truncated: NDArray[np.bool_]  # [B]


class TableLearner:
    """Plays, and learns a table of action values from every step; what is learnt is `learn`'s.

    Attributes:
        q: [..., S, A] the table, or tables; -inf where an action is impossible.
        updates: [..., S, A] how often each entry was moved.
    """

    Config: ClassVar[type[Any]] = TableConfig
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
        self.config, self.steps = resolved(config, total_steps), 0
        self.states, self.actions = States(observation_space), int(action_space.n)
        self.first_action = int(action_space.start)
        if self.states.count * self.actions > LARGEST:
            raise SpaceError(
                f"A table of {squeezed(observation_space)} would have {self.states.count:,} states; use fewer, "
                "such as fewer bins, or tabular/linear_q."
            )
        shape = (*self.tables, self.states.count, self.actions)
        self.q = np.full(shape, float(config.initial_value))
        self.updates = np.zeros(shape, np.int64)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.where: tuple[Ints, NDArray[np.bool_]] | None = None  # state of each environment, and whether it is a first

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Play a step in every environment, and learn from it."""
        state = self.begin(collector)
        while self.steps < until:
            action = self.act(state, collector)  # [B]
            happened = collector.step(action + self.first_action)
            next_state = self.states.index(happened.next_observation)
            step = Step(
                state,
                action,
                happened.reward,
                next_state,
                happened.next_observation,
                happened.terminated,
                happened.truncated,
            )
            same = collector.observations is happened.next_observation  # no episode ended
            state = next_state if same else self.states.index(collector.observations)
            self.where = state, collector.first
            metrics = self.learn(step, collector)
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes(), metrics)

    def begin(self, collector: Collector) -> Ints:
        """Return the states that the environments are in; forget running episodes that are not theirs any more."""
        possible = possible_actions(collector.env, self.states.count, self.actions)
        if possible is not None:
            self.q[..., ~possible] = -np.inf
        state = self.states.index(collector.observations)
        if self.where is None or not all(map(np.array_equal, self.where, (state, collector.first))):
            self.forget(collector)
        return state

    # what the algorithms do otherwise

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Update the table from a step; return what was measured."""
        raise NotImplementedError

    def forget(self, collector: Collector) -> None:
        """Drop what belongs to running episodes."""

    def act(self, state: Ints, collector: Collector) -> Ints:
        """Return the actions [B] to take, counted from 0."""
        return self.draw(state, collector.observations, collector.first)

    def action_values(self, state: Any) -> Floats:
        """Return [B, A] what the actions are worth, as far as this is known."""
        values: Floats = self.q[state]
        return values

    # what their updates are made of

    def draw(self, state: Ints, observations: Any, first: NDArray[np.bool_]) -> Ints:
        """Draw actions [B] of the policy that plays: the behaviour where there is one, else ε-greedy."""
        if self.config.behaviour is not None:
            action = said(self.config.behaviour, observations, first, self.actions, self.first_action)
            if np.isneginf(self.action_values(state)[np.arange(len(state)), action]).any():
                raise ConfigError(f"behaviour: in states {state} it gave {action}, where not all of them are possible.")
            return action
        return epsilon_greedy(self.action_values(state), value(self.config.epsilon, self.steps), self.rng)

    def draw_next(self, step: Step, collector: Collector) -> tuple[Ints, Ints]:
        """Draw A' [B] of every true successor S', and the actions that are to be taken now.

        They differ only where an episode was truncated, for there the game goes on from another state.
        """
        assert self.where is not None
        now = self.draw(self.where[0], collector.observations, collector.first)
        if not step.truncated.any():
            return now, now
        following = now.copy()
        cut_off, drawn = self.draw_at_cut_offs(step)
        following[cut_off] = drawn
        return following, now

    def draw_at_cut_offs(self, step: Step) -> tuple[Ints, Ints]:
        """Return which environments' episodes were truncated, and draw what they would have done next."""
        cut_off = np.flatnonzero(step.truncated & ~step.terminated)
        if not len(cut_off):
            return cut_off, cut_off
        observations, first = rows(step.next_observation, cut_off), np.zeros(len(cut_off), np.bool_)
        return cut_off, self.draw(step.next_state[cut_off], observations, first)

    def move(self, places: Ints, targets: Floats) -> float:
        """Move entries [B] of the flattened tables towards targets [B]; return the mean size of the errors."""
        rate = None if self.config.learning_rate is None else value(self.config.learning_rate, self.steps)
        return move(self.q.reshape(-1), self.updates.reshape(-1), places, targets, rate)

    def place(self, state: Ints, action: Ints) -> Ints:
        """Return [B] where states and actions stand in the flattened table."""
        return state * self.actions + action

    @property
    def discount(self) -> float:
        """γ in force."""
        return float(value(self.config.discount, self.steps))

    # what was learnt

    @property
    def q_values(self) -> Floats:
        """[S, A] values of actions; -inf where one is impossible."""
        return np.array(self.action_values(slice(None)))

    @property
    def visits(self) -> Ints:
        """[S, A] how often each action's value was updated."""
        counts: Ints = self.updates.reshape(-1, self.states.count, self.actions).sum(0)
        return counts

    @property
    def values(self) -> Floats:
        """[S] values of states: of the best action; of the policy that plays where a `behaviour` is evaluated.

        The latter are means over the actions that it took there.
        """
        q, visits = self.q_values, self.visits
        best = np.where(np.isfinite(q).any(1), q.max(1), 0.0)
        if self.config.behaviour is None or not self.evaluates:
            return best
        seen = visits.sum(1)
        mean = (visits * np.where(visits > 0, q, 0.0)).sum(1) / np.maximum(seen, 1)
        return np.where(seen > 0, mean, best)

    @property
    def policy(self) -> Ints:
        """[S] the greedy actions, the first of equals."""
        greedy: Ints = self.q_values.argmax(1) + self.first_action
        return greedy

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy, or one that plays as training does and draws from a stream of its own."""
        if not explore:
            return lambda observations, first: (
                self.action_values(self.states.index(observations)).argmax(1) + self.first_action
            )
        if self.config.behaviour is not None:
            behaviour: Actor = self.config.behaviour
            return behaviour
        rng = np.random.default_rng((self.seed, self.steps))
        return lambda observations, first: (
            epsilon_greedy(
                self.action_values(self.states.index(observations)), value(self.config.epsilon, self.steps), rng
            )
            + self.first_action
        )

    def save(self, folder: Path) -> None:
        """Write tables, counts, random generator, and where the environments are."""
        state.save(
            folder,
            "table",
            {
                "steps": self.steps,
                "q": self.q,
                "updates": self.updates,
                "rng": self.rng.bit_generator.state,
                "where": self.where,
            },
        )

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "table")
        self.steps, self.q, self.updates, self.where = (saved[name] for name in ("steps", "q", "updates", "where"))
        self.rng.bit_generator.state = saved["rng"]
