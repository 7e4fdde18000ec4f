"""Proximal policy optimisation: several passes over a rollout, each update kept close to the policy that acted.

Schulman et al., "Proximal policy optimization algorithms", 2017, algorithm 1 with the clipped surrogate of equation 7;
advantages of Schulman et al., "High-dimensional continuous control using generalized advantage estimation", ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhub_core import NonFiniteError, Scheduled, option
from rlhub_core.schedules import value, whole
from rlhub_deep.actor_critic import ActorCritic, ActorCriticConfig, Rollout, explained_variance, normalized
from rlhub_deep.finite import batch_of, finite, told


@dataclass(frozen=True)
class PPOConfig(ActorCriticConfig):
    """Hyper-parameters of `deep/ppo`."""

    learning_rate: Scheduled[float] = option(3e-4, "step size of the optimiser", minimum=0)
    rollout_length: Scheduled[int] = option(
        2_048, "of each environment between two times it learns", unit="steps", minimum=1
    )
    epochs: Scheduled[int] = option(10, "passes over each rollout", minimum=1)
    minibatches: Scheduled[int] = option(32, "updates a pass", minimum=1)
    gae_lambda: Scheduled[float] = option(
        0.95, "λ of advantages; 0: one step, 1: to the rollout's end", minimum=0, maximum=1
    )
    clip_range: Scheduled[float] = option(0.2, "ε, how far a probability may move before it is no gain", minimum=0)
    value_clip_range: Scheduled[float] | None = option(None, "how far a value may move, likewise", minimum=0)
    target_kl: Scheduled[float] | None = option(
        None, "updates on a rollout end where the policy has moved 1.5 times as far", unit="nats", minimum=0
    )
    normalize_advantages: bool = option(True, "to mean 0 and standard deviation 1, a batch at a time")


class Loss(NamedTuple):
    """What an update needs to know about a batch of N steps, and what is told of it."""

    gradient: Tensor  # [N, outputs] of the mean loss with respect to the network's outputs
    policy: Tensor  # [N] the clipped surrogate, negative
    value: Tensor  # [N] squared errors
    entropy: Tensor  # [N]
    ratio: Tensor  # [N] how much likelier the actions are than when they were drawn


class PPO(ActorCritic):
    """Learns policy and value from shuffled minibatches of each rollout."""

    Config: ClassVar[type[PPOConfig]] = PPOConfig

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Pass over the rollout several times, a step of the optimiser for each minibatch."""
        config, step = self.config, self.steps
        target_kl = value(config.target_kl, step)
        before = self.loss(self.network.again(rollout.observation), rollout) if config.diagnostics else None
        losses, norms = [], []
        for batch in self.minibatches(rollout):
            losses.append(self.loss(self.network.record(batch.observation), batch))
            if target_kl is not None and divergence(losses[-1].ratio) > 1.5 * target_kl:
                break
            norms.append(self.step(losses[-1], batch))
        _, policy_loss, value_loss, entropy, ratio = (torch.cat(parts) for parts in zip(*losses, strict=True))
        metrics = {
            "policy_loss": policy_loss.mean().item(),
            "value_loss": value_loss.mean().item(),
            "entropy": entropy.mean().item(),
            "kl": divergence(ratio).item(),
            "clip_fraction": ((ratio - 1).abs() > value(config.clip_range, step)).float().mean().item(),
            "explained_variance": explained_variance(rollout.value, rollout.returns),
            "gradient_norm": float(np.mean(norms)) if norms else 0.0,
            "updates_per_rollout": float(len(norms)),
        }
        if before is not None:
            after = self.loss(self.network.again(rollout.observation), rollout)
            metrics["policy_improvement"] = (before.policy.mean() - after.policy.mean()).item()
            metrics["value_improvement"] = (before.value.mean() - after.value.mean()).item()
        return metrics

    def step(self, loss: Loss, batch: Rollout) -> float:
        """Take a step of the optimiser down a loss whose outputs were recorded; return the norm of its gradient."""
        config, step = self.config, self.steps
        self.network.backward(loss.gradient)
        try:
            finite("value_loss", loss.value.sum().item())  # a square that is infinite may have a finite slope
            return self.optimizer.step(value(config.learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as error:
            self.network.unrecord()
            error.batch = told(
                error, self.network, batch, td_error=loss.value.sqrt(), policy_loss=loss.policy, ratio=loss.ratio
            )
            raise

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update of a minibatch at which this learner met a number that is not finite."""
        rollout = batch_of(Rollout, batch, self.device)
        self.step(self.loss(self.network.record(rollout.observation), rollout), rollout)

    def minibatches(self, rollout: Rollout) -> Iterator[Rollout]:
        """Yield every row of the rollout once an epoch, shuffled anew each time."""
        count = len(rollout.value)
        for _ in range(whole(self.config.epochs, self.steps)):
            shuffled = torch.as_tensor(self.rng.permutation(count), device=self.device)
            for chosen in shuffled.tensor_split(min(whole(self.config.minibatches, self.steps), count)):
                yield rollout.rows(chosen)

    def loss(self, outputs: Tensor, batch: Rollout) -> Loss:
        """Return the clipped surrogate of equation 7, the value's error and the entropy, as equation 9 adds them up."""
        config, step, count = self.config, self.steps, len(outputs)
        clip_range = value(config.clip_range, step)
        score = self.policy.score(outputs[:, :-1], batch.action)
        advantage = normalized(batch.advantage) if config.normalize_advantages else batch.advantage
        ratio = (score.log_prob - batch.log_prob).exp()
        surrogate, clipped = ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage
        slope = surrogate * (surrogate <= clipped)  # of the smaller one by log π(a|s); the clipped one is flat
        of_policy = score.backward(slope / -count, -value(config.entropy_coefficient, step) / count)
        error, value_slope = self.value_error(outputs[:, -1], batch)
        of_value = value_slope * (value(config.value_coefficient, step) / count)
        gradient = torch.cat([of_policy, of_value[:, None]], 1)
        return Loss(gradient, -torch.minimum(surrogate, clipped), error, score.entropy, ratio)

    def value_error(self, values: Tensor, batch: Rollout) -> tuple[Tensor, Tensor]:
        """Return squared errors [N] and their slopes; where values are clipped, the larger error counts."""
        limit = value(self.config.value_clip_range, self.steps)
        error = values - batch.returns
        if limit is None:
            return error.square(), 2 * error
        moved = values - batch.value
        near = batch.value + moved.clamp(-limit, limit) - batch.returns
        clipped = near.square() > error.square()
        return torch.where(clipped, near, error).square(), 2 * error * ~clipped  # a clipped value is flat


def divergence(ratio: Tensor) -> Tensor:
    """Return an estimate of the KL divergence from the policy that acted, of probability ratios [N].

    Schulman, "Approximating KL divergence", 2020, estimator k3: unbiased, and never negative.
    """
    return (ratio - 1 - ratio.log()).mean()
