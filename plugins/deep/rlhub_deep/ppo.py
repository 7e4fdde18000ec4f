"""Proximal policy optimisation: several passes over a rollout, each update kept close to the policy that acted.

Schulman et al., "Proximal policy optimization algorithms", 2017, algorithm 1 with the clipped surrogate of equation 7;
advantages of Schulman et al., "High-dimensional continuous control using generalized advantage estimation", ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhub_core import Scheduled, option
from rlhub_core.schedules import value, whole
from rlhub_deep.actor_critic import ActorCritic, ActorCriticConfig, Rollout, explained_variance, normalized


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


class Losses(NamedTuple):
    """Means over a batch."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor  # from the policy that acted
    clip_fraction: Tensor  # share of the batch that the clipping holds back


class PPO(ActorCritic):
    """Learns policy and value from shuffled minibatches of each rollout."""

    Config: ClassVar[type[PPOConfig]] = PPOConfig

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Pass over the rollout several times, a step of the optimiser for each minibatch."""
        config, step = self.config, self.steps
        learning_rate, max_grad_norm = value(config.learning_rate, step), value(config.max_grad_norm, step)
        target_kl = value(config.target_kl, step)
        measured, norms = [], []
        before = self.losses(self.network.again(rollout.observation), rollout) if config.diagnostics else None
        for batch in self.minibatches(rollout):
            outputs = self.network.record(batch.observation).requires_grad_()
            losses = self.losses(outputs, batch)
            measured.append(torch.stack(losses).detach())
            if target_kl is not None and losses.kl > 1.5 * target_kl:
                break
            loss = (
                losses.policy
                + value(config.value_coefficient, step) * losses.value
                - value(config.entropy_coefficient, step) * losses.entropy
            )
            self.network.backward(*torch.autograd.grad(loss, outputs))
            norms.append(self.optimizer.step(learning_rate, max_grad_norm))
        names = ("policy_loss", "value_loss", "entropy", "kl", "clip_fraction")
        metrics = dict(zip(names, torch.stack(measured).mean(0).tolist(), strict=True))
        metrics["gradient_norm"] = float(np.mean(norms)) if norms else 0.0
        metrics["updates"] = float(len(norms))
        metrics["explained_variance"] = explained_variance(rollout.value, rollout.returns)
        if before is not None:
            after = self.losses(self.network.again(rollout.observation), rollout)
            metrics["policy_improvement"] = (before.policy - after.policy).item()
            metrics["value_improvement"] = (before.value - after.value).item()
        return metrics

    def minibatches(self, rollout: Rollout) -> Iterator[Rollout]:
        """Yield every row of the rollout once an epoch, shuffled anew each time."""
        count = len(rollout.value)
        for _ in range(whole(self.config.epochs, self.steps)):
            shuffled = torch.as_tensor(self.rng.permutation(count), device=self.device)
            for chosen in shuffled.tensor_split(min(whole(self.config.minibatches, self.steps), count)):
                yield rollout.rows(chosen)

    def losses(self, outputs: Tensor, batch: Rollout) -> Losses:
        """Return the clipped surrogate (equation 7) and what stands beside it, means over the batch."""
        config, step = self.config, self.steps
        clip_range, value_clip_range = value(config.clip_range, step), value(config.value_clip_range, step)
        log_prob, entropy = self.policy.log_prob_and_entropy(outputs[:, :-1], batch.action)
        advantage = normalized(batch.advantage) if config.normalize_advantages else batch.advantage
        log_ratio = log_prob - batch.log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
        policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
        values = outputs[:, -1]
        error = (values - batch.returns).square()
        if value_clip_range is not None:
            near = batch.value + (values - batch.value).clamp(-value_clip_range, value_clip_range)
            error = torch.maximum(error, (near - batch.returns).square())
        with torch.no_grad():
            kl = (ratio - 1 - log_ratio).mean()  # estimator k3 of Schulman, "Approximating KL divergence", 2020
            clip_fraction = ((ratio - 1).abs() > clip_range).float().mean()
        return Losses(policy_loss, error.mean(), entropy.mean(), kl, clip_fraction)
