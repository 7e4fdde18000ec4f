"""Categorical deep Q-network: a distribution of returns on fixed atoms.

Bellemare et al., "A distributional perspective on reinforcement learning", ICML 2017, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rlhub_core import ConfigError, option
from rlhub_deep.dqn import DQN, DQNConfig, Loss
from rlhub_deep.values import dueling, project


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


class C51(DQN):
    """`deep/dqn` whose network gives the logits of a distribution for every action."""

    Config: ClassVar[type[C51Config]] = C51Config

    def outputs_per_action(self) -> int:
        """Return the number of atoms."""
        return int(self.config.atoms)

    def logits(self, outputs: Tensor) -> Tensor:
        """Return logits [N, actions, atoms]."""
        by_action = outputs.view(len(outputs), -1, self.config.atoms)
        return dueling(by_action, self.config.dueling) if self.config.dueling else by_action

    def values(self, outputs: Tensor) -> Tensor:
        """Return the distributions' means [N, actions]."""
        config = self.config
        support = torch.linspace(config.v_min, config.v_max, config.atoms, device=outputs.device)
        return self.logits(outputs).softmax(2) @ support

    def target(self, reward: Tensor, discount: Tensor, next_observation: Any) -> Tensor:
        """Return the projected distribution [N, atoms] of r + γ Z' of the best next action."""
        config = self.config
        outputs = self.target_network(next_observation, self._noise())
        best = self.best(next_observation) if config.double else self.values(outputs).argmax(1)
        chosen = self.logits(outputs)[torch.arange(len(best), device=best.device), best]  # [N, atoms]
        return project(chosen.softmax(1), reward, discount, config.v_min, config.v_max)

    def loss(self, outputs: Tensor, action: Tensor, target: Tensor, weight: Tensor) -> Loss:
        """Return the cross-entropy of the target and the action's distribution, which is its priority too."""
        with torch.enable_grad():
            outputs = outputs.requires_grad_()
            chosen = self.logits(outputs)[torch.arange(len(action), device=action.device), action]  # [N, atoms]
            each = -(target * chosen.log_softmax(1)).sum(1)  # [N]
            (gradient,) = torch.autograd.grad((weight * each).mean(), outputs)
        return Loss(gradient, each.detach, each.detach)
