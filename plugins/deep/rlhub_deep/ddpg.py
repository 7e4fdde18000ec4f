"""Deep deterministic policy gradient: a critic of state and action, and an actor that climbs it.

Lillicrap et al., "Continuous control with deep reinforcement learning", ICLR 2016, algorithm 1, without its batch
normalisation. `prioritized` and `n_step` are as in `deep/dqn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Scheduled, option
from rlhub_core.schedules import value
from rlhub_deep.noise import Noise, NoiseKind
from rlhub_deep.off_policy import OffPolicy, OffPolicyConfig, Sample
from rlhub_deep.perceptron import tanh_backward


@dataclass(frozen=True)
class DDPGConfig(OffPolicyConfig):
    """Hyper-parameters of `deep/ddpg`. Noise is in half ranges of an action: 1 reaches from its middle to its end."""

    hidden_sizes: tuple[int, ...] = option((400, 300), "hidden layers, after the convolutions of images", unit="units")
    noise: NoiseKind = option("ornstein-uhlenbeck", "that is added to actions while it explores")
    noise_scale: Scheduled[float] = option(0.2, "σ of that noise", unit="half ranges", minimum=0)
    noise_theta: Scheduled[float] = option(0.15, "θ, what an Ornstein–Uhlenbeck process forgets in dt = 1", minimum=0)
    noise_dt: Scheduled[float] = option(1.0, "dt, the time that an env step takes to such a process", minimum=0)


class DDPG(OffPolicy):
    """Learns an action for every observation, and acts on it with noise."""

    Config: ClassVar[type[DDPGConfig]] = DDPGConfig

    def __init__(self, observation_space: Space[Any], action_space: Space[Any], config: Any, **options: Any) -> None:
        super().__init__(observation_space, action_space, config, **options)
        self.target_network = self.network.copy()
        self.parts |= {"target_network": self.target_network, "noise": self.noise}

    def update(self, sample: Sample) -> dict[str, float]:
        """Improve the critic, then the actor, and have the targets follow."""
        metrics = self.improve_critic(sample) | self.improve_actor(sample.observation)
        self.follow()
        return metrics

    def next_value(self, observation: Any) -> Tensor:
        """Return Q'(s', μ'(s')) [N], of several critics the least."""
        return self.target_critic({"action": self.target_action(observation), "observation": observation}).amin(1)

    def target_action(self, observation: Any) -> Tensor:
        """Return μ'(s') [N, size]."""
        return self.target_network(observation).tanh()

    def improve_actor(self, observation: Any) -> dict[str, float]:
        """Follow ∇_a Q(s, a) ∇_θ μ(s), the mean over the batch (equation 6)."""
        action = self.network.record(observation).tanh()
        values = self.critic.record_actions({"action": action, "observation": observation}, heads=1)
        slope = self.critic.action_gradient(torch.full_like(values, -1 / len(values)))
        loss = -values.mean().item()
        norm = self.step_actor(tanh_backward(slope, action), observation, loss, values)
        metrics = {"actor_loss": loss, "actor_gradient_norm": norm}
        if self.config.diagnostics:
            action = self.network.again(observation).tanh()
            after = self.critic.again({"action": action, "observation": observation})[:, 0]
            metrics["actor_improvement"] = loss + after.mean().item()
        return metrics

    def follow(self) -> None:
        """Move the target networks towards the online ones."""
        tau = value(self.config.tau, self.steps)
        self.target_critic.follow(self.critic, tau)
        self.target_network.follow(self.network, tau)

    def explore(
        self, outputs: NDArray[np.float32], first: NDArray[np.bool_], rng: np.random.Generator, noise: Noise | None
    ) -> NDArray[np.float32]:
        """Return the actor's actions with noise, within bounds."""
        config, step = self.config, self.steps
        assert noise is not None
        scale, theta, dt = (value(each, step) for each in (config.noise_scale, config.noise_theta, config.noise_dt))
        actions = np.tanh(outputs) + noise.step(rng, first, scale, theta, dt)
        return np.clip(actions, -1, 1).astype(np.float32)

    def make_noise(self) -> Noise:
        """Return noise that has not begun."""
        return Noise(self.config.noise, self.bounds.size)
