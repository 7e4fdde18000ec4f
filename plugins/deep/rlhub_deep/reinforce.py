"""REINFORCE: whole episodes, each action as likely as what followed it was good.

Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", Machine Learning
8 (1992); with returns normalised over a batch of episodes, and, where asked for, a learnt baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Collector, NonFiniteError, Progress, Scheduled, Transition, option
from rlhub_core.memory import Held
from rlhub_core.protocol import Episode
from rlhub_core.schedules import value, whole
from rlhub_deep.actor_critic import explained_variance, normalized
from rlhub_deep.finite import batch_of, finite, told
from rlhub_deep.policy_learner import PolicyConfig, PolicyLearner
from rlhub_deep.rollouts import Steps, taken
from rlhub_deep.sizes import learning
from rlhub_deep.values import lambda_returns

MOST_TOGETHER = 4_096  # steps that pass through the network at once


@dataclass(frozen=True)
class ReinforceConfig(PolicyConfig):
    """Hyper-parameters of `deep/reinforce`."""

    learning_rate: Scheduled[float] = option(1e-2, "step size of the optimiser", minimum=0)
    max_grad_norm: Scheduled[float] | None = option(None, "gradients are scaled down to this norm", minimum=0)
    discount: Scheduled[float] = option(0.99, "γ, what the next step's reward is worth now", minimum=0, maximum=1)
    episodes_per_update: Scheduled[int] = option(
        10, "that an update learns from, shared out among the environments", unit="episodes", minimum=1
    )
    normalize_returns: bool = option(True, "to mean 0 and standard deviation 1 over the episodes of an update")
    baseline: bool = option(False, "learn a value, and learn from how much better than it a return was")
    value_coefficient: Scheduled[float] = option(0.5, "weight of the baseline's squared error in the loss", minimum=0)
    entropy_coefficient: Scheduled[float] = option(0.0, "weight of the entropy bonus in the loss", minimum=0)
    diagnostics: bool = option(False, "also measure what an update improved on its own batch")


class Batch(NamedTuple):
    """The N steps of whole episodes."""

    observation: Any  # [N, ...]
    action: Tensor  # [N, ...]
    returns: Tensor  # [N] discounted, from there to the episode's end
    value: Tensor  # [N] what the baseline expected, 0 without one
    advantage: Tensor  # [N] returns less that, normalised

    def rows(self, chosen: slice) -> Batch:
        """Return some of its rows."""
        return Batch(taken(self.observation, chosen), *(part[chosen] for part in self[1:]))


class Losses(NamedTuple):
    """Sums over a part of a batch, divided by the batch's size."""

    policy: Tensor
    value: Tensor
    entropy: Tensor


class Reinforce(PolicyLearner):
    """Learns a policy from the returns of whole episodes."""

    Config: ClassVar[type[ReinforceConfig]] = ReinforceConfig

    def __init__(self, observation_space: Any, action_space: Any, config: ReinforceConfig, **making: Any) -> None:
        self.values = int(config.baseline)
        super().__init__(observation_space, action_space, config, **making)

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold, beside episodes of a length that nobody knows."""
        return learning([self.network], self.observation_space, MOST_TOGETHER, "hidden_sizes")

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Play episodes, then learn from them."""
        while self.steps < until:
            batch, episodes = self.collect(collector)
            self.steps = collector.steps
            yield Progress(self.steps, episodes, self.learn(batch))

    @torch.no_grad()
    def collect(self, collector: Collector) -> tuple[Batch, list[Episode]]:
        """Play the episodes of an update and return their steps.

        They are shared out among the environments beforehand: the first that end would be the short ones. What an
        environment plays beyond its share is neither learnt from nor recorded.
        """
        config, total = self.config, whole(self.config.episodes_per_update, self.steps)
        left = np.full(collector.num_envs, total // collector.num_envs)  # [B] episodes
        left[: total % collector.num_envs] += 1
        if not collector.first.all():
            collector.restart(~collector.first)
        steps, outputs, next_values, counted = Steps(), [], [], []
        episodes: list[Episode] = []
        while left.any():
            counted.append(left > 0)
            outputs.append(self.network.of_arrays(collector.observations))  # [B, policy's + baseline's]
            action = self.policy.sample(outputs[-1][:, : self.policy.outputs], self.rng)
            transition = collector.step(self.policy.to_env(action))
            steps.add(transition, action, value(config.discount, self.steps))
            next_values.append(self._values_at_cuts(transition))
            episodes += [episode for episode in collector.episodes() if left[episode.env]]
            left -= collector.first & (left > 0)
        rows = torch.as_tensor(np.concatenate(counted))  # [T B]
        next_value = torch.as_tensor(np.stack(next_values))  # [T, B]
        returns = lambda_returns(steps.reward, steps.discount, next_value, steps.ended, 1.0).flatten()[rows]
        expected = torch.as_tensor(np.concatenate(outputs)[:, -1])[rows] if self.values else torch.zeros_like(returns)
        advantage = normalized(returns - expected) if config.normalize_returns else returns - expected
        learnt = (part.to(self.device) for part in (steps.action[rows], returns, expected, advantage))
        return Batch(taken(steps.observation(self.device), rows.to(self.device)), *learnt), episodes

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step of the optimiser on whole episodes."""
        config, count = self.config, len(batch.returns)
        total, parts = torch.zeros_like(self.network.gradient), []
        for begin in range(0, count, MOST_TOGETHER):
            part = batch.rows(slice(begin, begin + MOST_TOGETHER))
            losses, gradient = self.losses(self.network.record(part.observation), part, count)
            self.network.backward(gradient)
            total += self.network.gradient
            parts.append(torch.stack(losses))
        self.network.gradient.copy_(total)
        policy_loss, value_loss, entropy = torch.stack(parts).sum(0).tolist()
        try:
            finite("policy_loss", policy_loss)
            finite("value_loss", value_loss)
            norm = self.optimizer.step(value(config.learning_rate, self.steps), value(config.max_grad_norm, self.steps))
        except NonFiniteError as error:
            for _ in parts:
                self.network.unrecord()
            error.batch = told(error, self.network, batch, td_error=batch.advantage.abs())
            raise
        metrics = {"policy_loss": policy_loss, "entropy": entropy, "gradient_norm": norm}
        metrics["return_mean"] = batch.returns.mean().item()
        if config.baseline:
            metrics["value_loss"] = value_loss
            metrics["explained_variance"] = explained_variance(batch.value, batch.returns)
        if config.diagnostics:
            after, _ = self.losses(self.network.again(batch.observation), batch, count)
            metrics["policy_improvement"] = policy_loss - after.policy.item()
            metrics["value_improvement"] = value_loss - after.value.item()
        return metrics

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update of whole episodes at which this learner met a number that is not finite."""
        self.learn(batch_of(Batch, batch, self.device))

    def losses(self, outputs: Tensor, batch: Batch, count: int) -> tuple[Losses, Tensor]:
        """Return −A log π(a|s), the baseline's (G − V(s))² and the entropy, and the weighted sum's gradient."""
        config, step = self.config, self.steps
        score = self.policy.score(outputs[:, : self.policy.outputs], batch.action)
        gradient = score.backward(batch.advantage / -count, -value(config.entropy_coefficient, step) / count)
        error = torch.zeros_like(score.entropy)
        if self.values:
            error = outputs[:, -1] - batch.returns
            of_value = error * (2 * value(config.value_coefficient, step) / count)
            gradient = torch.cat([gradient, of_value[:, None]], 1)
        terms = -batch.advantage * score.log_prob, error.square(), score.entropy
        return Losses(*(term.sum() / count for term in terms)), gradient

    def _values_at_cuts(self, transition: Transition) -> NDArray[np.float32]:
        """Return [B] what the baseline expects after the last step of an episode that was cut off, elsewhere 0."""
        values = np.zeros(len(transition.reward), np.float32)
        cut = transition.truncated & ~transition.terminated
        if self.values and cut.any():
            values[cut] = self.network.of_arrays(taken(transition.next_observation, cut))[:, -1]
        return values
