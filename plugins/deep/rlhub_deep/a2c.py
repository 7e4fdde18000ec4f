"""Advantage actor-critic: many environments in step, one update for every rollout.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016, algorithm S3, with its workers in step
instead of asynchronous (`deep/a3c`) and, where gae_lambda < 1, the advantages of Schulman et al., "High-dimensional
continuous control using generalized advantage estimation", ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from rlhub_core import NonFiniteError, option
from rlhub_core.schedules import value
from rlhub_deep.actor_critic import ActorCritic, ActorCriticConfig, Rollout, explained_variance, normalized
from rlhub_deep.finite import batch_of, finite, told

LOSSES = "policy", "value"


@dataclass(frozen=True)
class A2CConfig(ActorCriticConfig):
    """Hyper-parameters of `deep/a2c`."""

    optimizer: str = option(
        "rmsprop:alpha=0.99,eps=1e-5", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95"
    )


class Losses(NamedTuple):
    """Means over a batch."""

    policy: Tensor
    value: Tensor
    entropy: Tensor


class A2C(ActorCritic):
    """Learns policy and value from each rollout once."""

    Config: ClassVar[type[A2CConfig]] = A2CConfig

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Take one step of the optimiser on the whole rollout."""
        config = self.config
        losses = self.differentiate(rollout)
        metrics = self.step(losses, rollout)
        if config.diagnostics:
            after = self.losses(self.network.again(rollout.observation), rollout)[0]
            metrics["policy_improvement"] = (losses.policy - after.policy).item()
            metrics["value_improvement"] = (losses.value - after.value).item()
        return metrics

    def step(self, losses: Losses, rollout: Rollout) -> dict[str, float]:
        """Take the step of the optimiser whose gradient is written; return what was measured."""
        config, step = self.config, self.steps
        try:
            measured = {f"{name}_loss": finite(f"{name}_loss", getattr(losses, name).item()) for name in LOSSES}
            measured["entropy"] = losses.entropy.item()
            norm = self.optimizer.step(value(config.learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as error:
            self.network.unrecord()
            error.batch = told(error, self.network, rollout, td_error=(rollout.returns - rollout.value).abs())
            raise
        variance = explained_variance(rollout.value, rollout.returns)
        return measured | {"gradient_norm": norm, "explained_variance": variance}

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update of a rollout at which this learner met a number that is not finite."""
        rollout = batch_of(Rollout, batch, self.device)
        self.step(self.differentiate(rollout), rollout)

    def differentiate(self, rollout: Rollout) -> Losses:
        """Write the gradient of the loss into the network's; return the loss's parts."""
        losses, gradient = self.losses(self.network.record(rollout.observation), rollout)
        self.network.backward(gradient)
        return losses

    def losses(self, outputs: Tensor, rollout: Rollout) -> tuple[Losses, Tensor]:
        """Return means of −A log π(a|s), (G − V(s))² and the entropy, and the weighted sum's gradient [N, outputs]."""
        config, step, count = self.config, self.steps, len(outputs)
        score = self.policy.score(outputs[:, :-1], rollout.action)
        advantage = normalized(rollout.advantage) if config.normalize_advantages else rollout.advantage
        error = outputs[:, -1] - rollout.returns
        losses = Losses(-(advantage * score.log_prob).mean(), error.square().mean(), score.entropy.mean())
        of_policy = score.backward(advantage / -count, -value(config.entropy_coefficient, step) / count)
        of_value = error * (2 * value(config.value_coefficient, step) / count)
        return losses, torch.cat([of_policy, of_value[:, None]], 1)
