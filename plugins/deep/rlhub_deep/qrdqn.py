"""Quantile regression deep Q-network: the quantiles of the distribution of returns.

Dabney et al., "Distributional reinforcement learning with quantile regression", AAAI 2018, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rlhub_core import option
from rlhub_deep.dqn import DQN, DQNConfig, Loss
from rlhub_deep.values import dueling, quantile_huber


@dataclass(frozen=True)
class QRDQNConfig(DQNConfig):
    """Hyper-parameters of `deep/qrdqn`: those of `deep/dqn` and the number of quantiles."""

    quantiles: int = option(200, "of the distribution of returns", minimum=1)
    loss: Literal["quantile_huber"] = option("quantile_huber", "of quantiles, κ = 1")  # type: ignore[assignment]


class QRDQN(DQN):
    """`deep/dqn` whose network gives quantiles of the return for every action."""

    Config: ClassVar[type[QRDQNConfig]] = QRDQNConfig

    def outputs_per_action(self) -> int:
        """Return the number of quantiles."""
        return int(self.config.quantiles)

    def quantiles(self, outputs: Tensor) -> Tensor:
        """Return quantiles [N, actions, quantiles]."""
        by_action = outputs.view(len(outputs), -1, self.config.quantiles)
        return dueling(by_action, self.config.dueling) if self.config.dueling else by_action

    def values(self, outputs: Tensor) -> Tensor:
        """Return the distributions' means [N, actions]."""
        return self.quantiles(outputs).mean(2)

    def target(self, reward: Tensor, discount: Tensor, next_observation: Any) -> Tensor:
        """Return r + γ times the quantiles [N, quantiles] of the best next action."""
        outputs = self.target_network(next_observation, self._noise())
        best = self.best(next_observation) if self.config.double else self.values(outputs).argmax(1)
        chosen = self.quantiles(outputs)[torch.arange(len(best), device=best.device), best]
        return reward[:, None] + discount[:, None] * chosen

    def loss(self, outputs: Tensor, action: Tensor, target: Tensor, weight: Tensor) -> Loss:
        """Return the quantile Huber loss; the priority is the error of the mean."""
        with torch.enable_grad():
            outputs = outputs.requires_grad_()
            chosen = self.quantiles(outputs)[torch.arange(len(action), device=action.device), action]  # [N, quantiles]
            each = quantile_huber(chosen, target)
            (gradient,) = torch.autograd.grad((weight * each).mean(), outputs)
        return Loss(gradient, each.detach, (chosen.detach().mean(1) - target.mean(1)).abs)
