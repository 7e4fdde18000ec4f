"""Advantage actor-critic: many environments in step, one update for every rollout.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016, algorithm S3, with its workers in step
instead of asynchronous (`deep/a3c`) and, where gae_lambda < 1, the advantages of Schulman et al., "High-dimensional
continuous control using generalized advantage estimation", ICLR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from rlhub_core import option
from rlhub_core.schedules import value
from rlhub_deep.actor_critic import ActorCritic, ActorCriticConfig, Rollout, explained_variance, normalized


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
        norm = self.optimizer.step(value(config.learning_rate, self.steps), value(config.max_grad_norm, self.steps))
        metrics = {
            "policy_loss": losses.policy.item(),
            "value_loss": losses.value.item(),
            "entropy": losses.entropy.item(),
            "gradient_norm": norm,
            "explained_variance": explained_variance(rollout.value, rollout.returns),
        }
        if config.diagnostics:
            after = self.losses(self.network.again(rollout.observation), rollout)
            metrics["policy_improvement"] = (losses.policy - after.policy).item()
            metrics["value_improvement"] = (losses.value - after.value).item()
        return metrics

    def differentiate(self, rollout: Rollout) -> Losses:
        """Write the gradient of the loss into the network's; return the loss's parts."""
        config, step = self.config, self.steps
        outputs = self.network.record(rollout.observation).requires_grad_()
        losses = self.losses(outputs, rollout)
        loss = (
            losses.policy
            + value(config.value_coefficient, step) * losses.value
            - value(config.entropy_coefficient, step) * losses.entropy
        )
        self.network.backward(*torch.autograd.grad(loss, outputs))
        return losses

    def losses(self, outputs: Tensor, rollout: Rollout) -> Losses:
        """Return −A log π(a|s), (G − V(s))² and the policy's entropy, means over the batch."""
        log_prob, entropy = self.policy.log_prob_and_entropy(outputs[:, :-1], rollout.action)
        advantage = normalized(rollout.advantage) if self.config.normalize_advantages else rollout.advantage
        policy_loss = -(advantage * log_prob).mean()
        return Losses(policy_loss, (rollout.returns - outputs[:, -1]).square().mean(), entropy.mean())
