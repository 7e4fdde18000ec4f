"""What actor-critics share: rollouts of many environments, with returns and advantages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhub_core import Collector, Progress, Scheduled, Transition, option
from rlhub_core.memory import Held
from rlhub_core.schedules import value, whole
from rlhub_deep.policy_learner import PolicyConfig, PolicyLearner
from rlhub_deep.rollouts import Steps, taken
from rlhub_deep.sizes import learning_from_rollouts
from rlhub_deep.values import lambda_returns


@dataclass(frozen=True)
class ActorCriticConfig(PolicyConfig):
    """Hyper-parameters that every actor-critic has."""

    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    rollout_length: Scheduled[int] = option(
        5, "of each environment between two times it learns", unit="steps", minimum=1
    )
    gae_lambda: Scheduled[float] = option(
        1.0, "λ of advantages; 0: one step, 1: to the rollout's end", minimum=0, maximum=1
    )
    entropy_coefficient: Scheduled[float] = option(0.0, "weight of the entropy bonus in the loss", minimum=0)
    value_coefficient: Scheduled[float] = option(0.5, "weight of the value's squared error in the loss", minimum=0)
    normalize_advantages: bool = option(False, "to mean 0 and standard deviation 1, a batch at a time")
    diagnostics: bool = option(False, "also measure what an update improved on its own batch")


class Rollout(NamedTuple):
    """What T steps of B environments leave to learn from, flattened to N = T B."""

    observation: Any  # [N, ...]
    action: Tensor  # [N, ...]
    log_prob: Tensor  # [N] of the action, when it was drawn
    value: Tensor  # [N] as it was estimated then
    advantage: Tensor  # [N]
    returns: Tensor  # [N] what the value should have been

    def rows(self, chosen: Tensor) -> Rollout:
        """Return some of its rows."""
        return Rollout(taken(self.observation, chosen), *(part[chosen] for part in self[1:]))


class ActorCritic(PolicyLearner):
    """Draws actions from a policy and learns policy and value from rollouts; what it learns, a subclass says."""

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act for a rollout, then learn from it."""
        while self.steps < until:
            rollout = self.collect(collector)
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes(), self.learn(rollout))

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Improve policy and value; return what was measured."""
        raise NotImplementedError

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold."""
        return learning_from_rollouts(self.config, self.steps, num_envs, self.network, self.observation_space)

    @torch.no_grad()
    def collect(self, collector: Collector) -> Rollout:
        """Act for a rollout and return what happened with its advantages (Schulman et al. 2016) and λ-returns."""
        config, steps, outputs, cuts = self.config, Steps(), [], []
        for time in range(whole(config.rollout_length, self.steps)):
            outputs.append(self.network.of_arrays(collector.observations))  # [B, policy's + 1]
            action = self.policy.sample(outputs[-1][:, :-1], self.rng)
            transition = collector.step(self.policy.to_env(action))
            steps.add(transition, action, value(config.discount, self.steps))
            cuts += self._values_at_cuts(transition, time)
        outputs.append(self.network.of_arrays(collector.observations))
        recorded = torch.as_tensor(np.stack(outputs))  # [T + 1, B, policy's + 1]
        values, next_values = recorded[:-1, :, -1], recorded[1:, :, -1].clone()  # [T, B] of the true successor …
        for time, env, cut_off in cuts:
            next_values[time, env] = cut_off  # … also where an episode was cut off and another began
        gae_lambda = value(config.gae_lambda, self.steps)
        returns = lambda_returns(steps.reward, steps.discount, next_values, steps.ended, gae_lambda)
        score = self.policy.score(recorded[:-1, :, :-1].flatten(0, 1), steps.action)
        learnt = steps.action, score.log_prob, values.flatten(), (returns - values).flatten(), returns.flatten()
        return Rollout(steps.observation(self.device), *(part.to(self.device) for part in learnt))

    def _values_at_cuts(self, transition: Transition, time: int) -> list[tuple[int, int, float]]:
        """Return (time, environment, value of the last observation) of the episodes that were cut off in this step."""
        cut = np.flatnonzero(transition.truncated & ~transition.terminated)
        if not cut.size:
            return []
        values = self.network.of_arrays(taken(transition.next_observation, cut))[:, -1]
        return [(time, env, float(last)) for env, last in zip(cut.tolist(), values, strict=True)]


def normalized(advantage: Tensor) -> Tensor:
    """Return advantages [N] less their mean, divided by their standard deviation; equal ones become 0."""
    return (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)


def explained_variance(estimate: Tensor, target: Tensor) -> float:
    """Return the share of the targets' variance that estimates explain: 1 is all of it, 0 what a constant does."""
    variance = target.var(correction=0)
    return float(1 - (target - estimate).var(correction=0) / variance) if variance > 0 else 0.0
