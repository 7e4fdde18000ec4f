"""Quantile regression deep Q-network: the quantiles of the distribution of returns.

Dabney et al., "Distributional reinforcement learning with quantile regression", AAAI 2018, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rlhub_core import option
from rlhub_deep.distributional import Distributional
from rlhub_deep.dqn import DQNConfig
from rlhub_deep.values import quantile_huber


@dataclass(frozen=True)
class QRDQNConfig(DQNConfig):
    """Hyper-parameters of `deep/qrdqn`: those of `deep/dqn` and the number of quantiles."""

    quantiles: int = option(200, "of the distribution of returns", minimum=1)
    loss: Literal["quantile_huber"] = option("quantile_huber", "of quantiles, κ = 1")  # type: ignore[assignment]


class QRDQN(Distributional):
    """`deep/dqn` whose network gives quantiles of the return for every action."""

    Config: ClassVar[type[QRDQNConfig]] = QRDQNConfig

    def outputs_per_action(self) -> int:
        """Return the number of quantiles."""
        return int(self.config.quantiles)

    def mean(self, numbers: Tensor) -> Tensor:
        """Return the means [...] of quantiles [..., K]."""
        return numbers.mean(-1)

    def moved(self, numbers: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """Return r + γ times the quantiles [N, K]."""
        return reward[:, None] + discount[:, None] * numbers

    def losses(self, numbers: Tensor, target: Tensor) -> Tensor:
        """Return the quantile Huber losses [N]."""
        return quantile_huber(numbers, target)

    def errors(self, numbers: Tensor, target: Tensor, losses: Tensor) -> Tensor:
        """Return the errors of the means [N]."""
        return (self.mean(numbers) - target.mean(1)).abs()
