"""What all learners share: who plays, the loop of steps, and how all of it is saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_core import Actor, Collector, ConfigError, NonFiniteError, Progress, Scheduled, option, state
from rlhub_core.actors import ACTION_VALUES, with_values
from rlhub_core.schedules import Linear, resolved, value
from rlhub_tabular.table import Floats, Ints, epsilon_greedy, said


@dataclass(frozen=True)
class LearnerConfig:
    """Hyper-parameters of every learner."""

    learning_rate: Scheduled[float] | None = option(
        Linear(0.5, 0.05), "step size α; none: 1 / updates of the state and action", minimum=0, maximum=1
    )
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    epsilon: Scheduled[float] = option(Linear(1.0, 0.05), "probability of a random action", minimum=0, maximum=1)
    initial_value: float = option(0.0, "of every possible action; more than can be had makes it try everything")
    behaviour: Actor | None = option(
        None, "(observations, first) -> actions that plays, in place of the ε-greedy policy"
    )


class Step(NamedTuple):
    """One step of B environments, as a learner sees it."""

    state: Ints  # [B, ...] numbers of states, or of tiles
    action: Ints  # [B] counted from 0
    reward: Floats  # [B]
    next_state: Ints  # [B, ...] of the true successor, also where an episode ended
    next_observation: Any  # [B, ...] likewise
    terminated: NDArray[np.bool_]  # [B]
    truncated: NDArray[np.bool_]  # [B]


class Learner:
    """Plays, and learns the values of actions from every step; what is learnt is `learn`'s."""

    Config: ClassVar[type[Any]] = LearnerConfig
    may_be_infinite: ClassVar[tuple[str, ...]] = ("learner/q",)  # -inf where an action is impossible
    kept: ClassVar[tuple[str, ...]]  # attributes that, with steps and generator, are all that `save` writes

    def __init__(self, action_space: Discrete, config: Any, seed: int, total_steps: int) -> None:
        self.config, self.steps = resolved(config, total_steps), 0
        self.actions, self.first_action = int(action_space.n), int(action_space.start)
        self.seed, self.rng = seed, np.random.default_rng(seed)

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Play a step in every environment, and learn from it."""
        state = self.begin(collector)
        while self.steps < until:
            action = self.act(state, collector)  # [B]
            happened = collector.step(action + self.first_action)
            next_state = self.index(happened.next_observation)
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
            state = next_state if same else self.index(collector.observations)
            self.remember(step, state, collector)
            metrics = self.learn(step, collector)
            self.steps = collector.steps
            for name, number in metrics.items():  # the mean of errors
                if not math.isfinite(number):
                    raise NonFiniteError(f"{name} is {number:g}", found=metrics)
            yield Progress(self.steps, collector.episodes(), metrics)

    # what the algorithms do

    def index(self, observations: Any) -> Ints:
        """Return [B, ...] the numbers of states, or of tiles, that a batch of observations is."""
        raise NotImplementedError

    def action_values(self, state: Any) -> Floats:
        """Return [B, A] what the actions are worth, as far as this is known; -inf where one is impossible."""
        raise NotImplementedError

    def learn(self, step: Step, collector: Collector) -> dict[str, float]:
        """Learn from a step; return what was measured."""
        raise NotImplementedError

    def begin(self, collector: Collector) -> Ints:
        """Return the states that the environments are in."""
        return self.index(collector.observations)

    def remember(self, step: Step, state: Ints, collector: Collector) -> None:
        """Note a step before it is learnt from, and the states [B, ...] that the environments are in after it."""

    def act(self, state: Ints, collector: Collector) -> Ints:
        """Return the actions [B] to take, counted from 0."""
        return self.draw(state, collector.raw_observations, collector.first, collector.steps)

    # who plays

    def draw(self, state: Ints, observations: Any, first: NDArray[np.bool_], steps: int) -> Ints:
        """Draw actions [B] of the policy that plays: the behaviour where there is one, else ε-greedy.

        Args:
            state: [B, ...]
            observations: [B, ...] the same, for the behaviour.
            first: [B] where an episode begins.
            steps: env steps taken when the actions are, at which ε is read.
        """
        if self.config.behaviour is None:
            return epsilon_greedy(self.action_values(state), value(self.config.epsilon, steps), self.rng)
        action = said(self.config.behaviour, observations, first, self.actions, self.first_action)
        if np.isneginf(self.action_values(state)[np.arange(len(state)), action]).any():
            raise ConfigError(f"behaviour: in states {state} it gave {action}, where not all of them are possible.")
        return action

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy, or one that plays as training does and draws from a stream of its own."""
        if not explore:
            return with_values(
                lambda observations, first: self.action_values(self.index(observations)).argmax(1) + self.first_action,
                lambda observations: {ACTION_VALUES: self.action_values(self.index(observations))},
            )
        if self.config.behaviour is not None:
            behaviour: Actor = self.config.behaviour
            return behaviour
        rng = np.random.default_rng((self.seed, self.steps))
        return lambda observations, first: (
            epsilon_greedy(self.action_values(self.index(observations)), value(self.config.epsilon, self.steps), rng)
            + self.first_action
        )

    @property
    def learning_rate(self) -> float | None:
        """α in force, None for 1 / updates."""
        return None if self.config.learning_rate is None else float(value(self.config.learning_rate, self.steps))

    @property
    def discount(self) -> float:
        """γ in force."""
        return float(value(self.config.discount, self.steps))

    # the run

    def save(self, folder: Path) -> None:
        """Write what was learnt, the random generator, and what else the next step needs."""
        kept = {name: getattr(self, name) for name in self.kept}
        state.save(folder, "learner", {"steps": self.steps, "rng": self.rng.bit_generator.state} | kept)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "learner")
        self.steps, self.rng.bit_generator.state = saved["steps"], saved["rng"]
        for name in self.kept:
            setattr(self, name, saved[name])
