"""What `deep/c51` and `deep/qrdqn` share: a distribution of returns for every action, in place of its mean.

Bellemare et al., "A distributional perspective on reinforcement learning", ICML 2017.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from rlhub_deep.dqn import DQN, Loss
from rlhub_deep.values import dueling


class Distributional(DQN):
    """`deep/dqn` whose network gives K numbers for every action, which describe the distribution of its return."""

    @abstractmethod
    def mean(self, numbers: Tensor) -> Tensor:
        """Return the means [...] of distributions [..., K]."""

    @abstractmethod
    def moved(self, numbers: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """Return the distributions of r + γ Z [N, K], as `losses` takes them, of Z [N, K], r [N] and γ [N]."""

    @abstractmethod
    def losses(self, numbers: Tensor, target: Tensor) -> Tensor:
        """Return the losses [N] of distributions [N, K] that should be what `moved` gave."""

    def errors(self, numbers: Tensor, target: Tensor, losses: Tensor) -> Tensor:
        """Return what makes N transitions worth replaying: their losses, unless a paper has it otherwise."""
        return losses

    def values(self, outputs: Tensor) -> Tensor:
        """Return the distributions' means [N, actions]."""
        return self.mean(self._by_action(outputs))

    def target(self, reward: Tensor, discount: Tensor, next_observation: Any) -> Tensor:
        """Return the distribution of r + γ Z' [N, K] of the best next action."""
        outputs = self.target_network(next_observation, self._noise())
        best = self.best(next_observation) if self.config.double else self.values(outputs).argmax(1)
        return self.moved(self._of(outputs, best), reward, discount)

    def loss(self, outputs: Tensor, action: Tensor, target: Tensor, weight: Tensor) -> Loss:
        """Return the loss of the actions' distributions, weighted as they were sampled."""
        with torch.enable_grad():
            outputs = outputs.requires_grad_()
            numbers = self._of(outputs, action)
            each = self.losses(numbers, target)
            (gradient,) = torch.autograd.grad((weight * each).mean(), outputs)
        each, numbers = each.detach(), numbers.detach()
        return Loss(gradient, lambda: each, lambda: self.errors(numbers, target, each))

    def _by_action(self, outputs: Tensor) -> Tensor:
        numbers = outputs.view(len(outputs), -1, self.outputs_per_action())  # [N, actions, K]
        return dueling(numbers, self.config.dueling) if self.config.dueling else numbers

    def _of(self, outputs: Tensor, action: Tensor) -> Tensor:
        """Return the numbers of one action each [N, K]."""
        return self._by_action(outputs)[torch.arange(len(action), device=action.device), action]
