"""Soft actor-critic: a policy that is as random as it can be while it earns what it can.

Haarnoja et al., "Soft actor-critic algorithms and applications", 2018 (arXiv:1812.05905), algorithm 1, after Haarnoja
et al., "Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic actor", ICML 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from rlhub_core import NonFiniteError, Scheduled, option
from rlhub_core.schedules import value
from rlhub_deep.distributions import LOG_ROOT_2PI
from rlhub_deep.network import Network, Optimizer
from rlhub_deep.noise import Noise
from rlhub_deep.off_policy import OffPolicy, OffPolicyConfig, Sample
from rlhub_deep.perceptron import Constant, tanh_backward

LOG_DEVIATIONS = -20.0, 2.0  # that a policy may have


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Hyper-parameters of `deep/sac`. The entropy is that of actions scaled to -1..1."""

    learning_rate: Scheduled[float] = option(3e-4, "step size of the actor's optimiser", minimum=0)
    entropy_coefficient: Scheduled[float] | None = option(
        None, "α, what a nat of entropy is worth; none: learnt", unit="reward", minimum=0
    )
    initial_entropy_coefficient: float = option(1.0, "α at first, where it is learnt", unit="reward", minimum=1e-9)
    target_entropy: Scheduled[float] | None = option(
        None, "that a learnt α keeps; none: -1 for each number in an action", unit="nats"
    )


class SAC(OffPolicy):
    """Learns a squashed Gaussian policy and draws actions from it."""

    Config: ClassVar[type[SACConfig]] = SACConfig
    critics = 2
    outputs_per_action = 2  # mean, and logarithm of the standard deviation, before they are squashed

    def __init__(self, observation_space: Space[Any], action_space: Space[Any], config: Any, **options: Any) -> None:
        super().__init__(observation_space, action_space, config, **options)
        start = torch.tensor([math.log(self.config.initial_entropy_coefficient)], device=self.device)
        self.log_coefficient = Network(Constant(start))
        self.coefficient_optimizer = Optimizer(self.log_coefficient, self.config.optimizer)
        self.parts |= {"log_coefficient": self.log_coefficient, "coefficient_optimizer": self.coefficient_optimizer}

    def update(self, sample: Sample) -> dict[str, float]:
        """Improve the critics, then the actor, then α, and have the target critics follow."""
        metrics = self.improve_critic(sample) | self.improve_actor(sample.observation)
        if self.config.entropy_coefficient is None:
            self.improve_coefficient(metrics["entropy"])
        self.target_critic.follow(self.critic, value(self.config.tau, self.steps))
        return metrics

    def next_value(self, observation: Any) -> Tensor:
        """Return min Q'(s', a') - α log π(a'|s') [N], for a' drawn from the policy (section 4.2)."""
        outputs = self.network(observation)
        action, log_prob = squashed_gaussian(outputs, self.normal(outputs))
        values = self.target_critic({"action": action, "observation": observation})
        return values.amin(1) - self.coefficient * log_prob

    def improve_actor(self, observation: Any) -> dict[str, float]:
        """Take a step down α log π(a|s) - min Q(s, a), the mean over the batch (section 4.2)."""
        coefficient, outputs = self.coefficient, self.network.record(observation)
        normal = self.normal(outputs)
        action, log_prob = squashed_gaussian(outputs, normal)
        values = self.critic.record_actions({"action": action, "observation": observation})  # [N, 2]
        share, least = 1 / len(values), values.argmin(1, keepdim=True)
        slope = self.critic.action_gradient(torch.zeros_like(values).scatter_(1, least, -share))
        loss, entropy = (coefficient * log_prob - values.amin(1)).mean().item(), -log_prob.mean().item()
        gradient = squashed_gaussian_backward(outputs, normal, slope, coefficient * share)
        norm = self.step_actor(gradient, observation, loss, values)
        metrics = {"actor_loss": loss, "actor_gradient_norm": norm}
        metrics |= {"entropy": entropy, "entropy_coefficient": coefficient}
        if self.config.diagnostics:
            action, log_prob = squashed_gaussian(self.network.again(observation), normal)
            after = self.critic.again({"action": action, "observation": observation}).amin(1)
            metrics["actor_improvement"] = loss - (coefficient * log_prob - after).mean().item()
        return metrics

    def improve_coefficient(self, entropy: float) -> None:
        """Take a step down log α (H - H̄): α falls where the entropy is above its target (section 5).

        As in the authors' code, it is log α that stands in the loss, where the paper has α.
        """
        target = value(self.config.target_entropy, self.steps)
        self.log_coefficient.gradient.fill_(entropy - (-self.bounds.size if target is None else target))
        try:
            self.coefficient_optimizer.step(value(self.config.learning_rate, self.steps), None)
        except NonFiniteError as error:
            error.batch = {"part": "coefficient", "entropy": np.float64(entropy)}
            raise

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the part of an update once more in which this learner met a number that is not finite."""
        if batch["part"] == "coefficient":
            self.improve_coefficient(float(batch["entropy"]))
        else:
            super().update_again(batch)

    @property
    def coefficient(self) -> float:
        """α in force."""
        given = value(self.config.entropy_coefficient, self.steps)
        return self.log_coefficient.weights.exp().item() if given is None else float(given)

    def explore(
        self, outputs: NDArray[np.float32], first: NDArray[np.bool_], rng: np.random.Generator, noise: Noise | None
    ) -> NDArray[np.float32]:
        """Return draws from the policy."""
        mean, log_deviation = np.split(outputs, 2, axis=1)
        normal = rng.standard_normal(mean.shape, np.float32)
        drawn: NDArray[np.float32] = np.tanh(mean + np.exp(np.clip(log_deviation, *LOG_DEVIATIONS)) * normal)
        return drawn

    def normal(self, outputs: Tensor) -> Tensor:
        """Return noise [N, n] for the actions of network outputs [N, 2n]."""
        noise: Tensor = self._tensors(self.rng.standard_normal((len(outputs), self.bounds.size), np.float32))
        return noise


def squashed_gaussian(outputs: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Return actions tanh(u) [N, n], u = μ + σ ε, and the logarithms of their densities [N].

    log π = Σ log N(u; μ, σ) - log(1 - tanh² u) (appendix C of the paper), where the latter is written as
    2 (log 2 - u - softplus(-2 u)), which is exact where tanh² u rounds to 1.

    Args:
        outputs: [N, 2n] μ and log σ.
        normal: [N, n] ε, drawn from the standard normal distribution.
    """
    mean, log_deviation = outputs.chunk(2, 1)
    log_deviation = log_deviation.clamp(*LOG_DEVIATIONS)
    u = mean + log_deviation.exp() * normal
    log_normal = -0.5 * normal.square() - log_deviation - LOG_ROOT_2PI
    log_slope = 2 * (math.log(2) - u - softplus(-2 * u))
    return u.tanh(), (log_normal - log_slope).sum(1)


def squashed_gaussian_backward(outputs: Tensor, normal: Tensor, of_action: Tensor, of_log_prob: float) -> Tensor:
    """Return the gradient of what `squashed_gaussian` was given [N, 2n], from those of what it returned.

    With d log π / du = 2 tanh u and dσ/d log σ = σ.

    Args:
        outputs: [N, 2n] μ and log σ.
        normal: [N, n] ε.
        of_action: [N, n].
        of_log_prob: the same for every row.
    """
    mean, log_deviation = outputs.chunk(2, 1)
    clamped = log_deviation.clamp(*LOG_DEVIATIONS)
    spread = clamped.exp() * normal
    action = (mean + spread).tanh()
    of_u = tanh_backward(of_action, action) + 2 * of_log_prob * action
    return torch.cat([of_u, (of_u * spread - of_log_prob) * (clamped == log_deviation)], 1)
