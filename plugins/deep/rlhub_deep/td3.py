"""Twin delayed deep deterministic policy gradient: three ideas against a critic that overestimates.

Fujimoto et al., "Addressing function approximation error in actor-critic methods", ICML 2018, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from rlhub_core import Scheduled, option
from rlhub_core.schedules import value, whole
from rlhub_deep.ddpg import DDPG, DDPGConfig
from rlhub_deep.noise import NoiseKind
from rlhub_deep.off_policy import Sample


@dataclass(frozen=True)
class TD3Config(DDPGConfig):
    """Hyper-parameters of `deep/td3`. Noise is in half ranges of an action: 1 reaches from its middle to its end."""

    noise: NoiseKind = option("gaussian", "that is added to actions while it explores")
    noise_scale: Scheduled[float] = option(0.1, "σ of that noise", unit="half ranges", minimum=0)
    policy_delay: Scheduled[int] = option(2, "updates of the critics for one of actor and targets", minimum=1)
    target_noise: Scheduled[float] = option(
        0.2, "σ of what smooths the values of targets", unit="half ranges", minimum=0
    )
    target_noise_clip: Scheduled[float] = option(0.5, "where that is cut off", unit="half ranges", minimum=0)


class TD3(DDPG):
    """DDPG with two critics of which the less hopeful counts, a slower actor, and smoothed targets."""

    Config: ClassVar[type[TD3Config]] = TD3Config
    critics = 2

    def update(self, sample: Sample) -> dict[str, float]:
        """Improve the critics; with every so many updates also the actor and the targets."""
        metrics = self.improve_critic(sample)
        if self.updates % whole(self.config.policy_delay, self.steps) == 0:
            metrics |= self.improve_actor(sample.observation)
            self.follow()
        return metrics

    def target_action(self, observation: Any) -> Tensor:
        """Return μ'(s') with clipped noise [N, size] (section 5.3)."""
        action = super().target_action(observation)
        scale, limit = (value(each, self.steps) for each in (self.config.target_noise, self.config.target_noise_clip))
        noise = scale * self.rng.standard_normal(tuple(action.shape), np.float32)
        noisy: Tensor = action + self._tensors(np.clip(noise, -limit, limit))
        return noisy.clamp(-1, 1)
