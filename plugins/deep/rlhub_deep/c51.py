"""Categorical deep Q-network: a distribution of returns on fixed atoms.

Bellemare et al., "A distributional perspective on reinforcement learning", ICML 2017, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rlhub_core import ConfigError, option
from rlhub_deep.distributional import Distributional
from rlhub_deep.dqn import DQNConfig
from rlhub_deep.values import project


@dataclass(frozen=True)
class C51Config(DQNConfig):
    """Hyper-parameters of `deep/c51`: those of `deep/dqn` and the atoms."""

    atoms: int = option(51, "of the distribution of returns", minimum=2)
    v_min: float = option(-10.0, "return of the first atom")
    v_max: float = option(10.0, "return of the last atom")
    loss: Literal["cross_entropy"] = option("cross_entropy", "between distributions")  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.v_min >= self.v_max:
            raise ConfigError(f"v_min must be below v_max, not {self.v_min} and {self.v_max}.")


class C51(Distributional):
    """`deep/dqn` whose network gives the logits of a distribution for every action."""

    Config: ClassVar[type[C51Config]] = C51Config

    def outputs_per_action(self) -> int:
        """Return the number of atoms."""
        return int(self.config.atoms)

    def mean(self, numbers: Tensor) -> Tensor:
        """Return the means [...] of logits [..., atoms]."""
        config = self.config
        return numbers.softmax(-1) @ torch.linspace(config.v_min, config.v_max, config.atoms, device=numbers.device)

    def moved(self, numbers: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """Return the probabilities [N, atoms] of r + γ Z, projected on the atoms."""
        return project(numbers.softmax(1), reward, discount, self.config.v_min, self.config.v_max)

    def losses(self, numbers: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropies [N] of the target and the action's distribution, which are priorities too."""
        return -(target * numbers.log_softmax(1)).sum(1)
