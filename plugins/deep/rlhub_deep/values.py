"""Action values: the formulas of the family, as pure functions with their sources."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

Dueling = Literal["mean", "max"]


def dueling(outputs: Tensor, form: Dueling) -> Tensor:
    """Return action values from a state value and advantages.

    Wang et al., "Dueling network architectures for deep reinforcement learning", ICML 2016: Q = V + A - mean A
    (equation 9) or V + A - max A (equation 8).

    Args:
        outputs: [B, 1 + actions, ...] the state's value, then the advantages.
        form: "mean" or "max".
    """
    value, advantage = outputs[:, :1], outputs[:, 1:]
    offset = advantage.mean(1, keepdim=True) if form == "mean" else advantage.amax(1, keepdim=True)
    return value + advantage - offset


def dueling_backward(gradient: Tensor, outputs: Tensor, form: Dueling) -> Tensor:
    """Return the gradient of `dueling`'s inputs [B, 1 + actions] from that of its result [B, actions]."""
    total = gradient.sum(1, keepdim=True)  # [B, 1]
    if form == "mean":
        return torch.cat([total, gradient - total / gradient.shape[1]], 1)
    greedy = outputs[:, 1:].argmax(1, keepdim=True)
    return torch.cat([total, gradient.scatter_add(1, greedy, -total)], 1)


def huber(error: Tensor) -> Tensor:
    """Return the Huber loss of errors, quadratic up to 1 and linear beyond, elementwise."""
    return huber_loss(error, torch.zeros_like(error), reduction="none")


def project(probabilities: Tensor, reward: Tensor, discount: Tensor, low: float, high: float) -> Tensor:
    """Return the distribution of r + γ z on the atoms of z, each mass shared between its two neighbours.

    Bellemare et al., "A distributional perspective on reinforcement learning", ICML 2017, algorithm 1.

    Args:
        probabilities: [B, atoms] of z, whose atoms lie evenly from `low` to `high`.
        reward: [B].
        discount: [B], 0 where nothing follows.
        low: value of the first atom.
        high: value of the last atom.
    """
    atoms = probabilities.shape[1]
    support = torch.linspace(low, high, atoms, device=probabilities.device)
    moved = (reward[:, None] + discount[:, None] * support).clamp(low, high)  # [B, atoms]
    position = (moved - low) * ((atoms - 1) / (high - low))  # in units of atoms
    # the share of atom i in a mass at position b is max(0, 1 - |b - i|)
    share = (1 - (position[:, None, :] - torch.arange(atoms, device=position.device)[:, None]).abs()).clamp(min=0)
    return (share * probabilities[:, None, :]).sum(2)


def quantile_huber(quantiles: Tensor, targets: Tensor) -> Tensor:
    """Return the quantile Huber loss with κ = 1 of every row [B].

    Dabney et al., "Distributional reinforcement learning with quantile regression", AAAI 2018, equation 10, summed over
    quantiles and averaged over targets as in algorithm 1.

    Args:
        quantiles: [B, N] at the midpoints (i + 1/2) / N.
        targets: [B, M] samples of what is estimated.
    """
    count = quantiles.shape[1]
    midpoints = (torch.arange(count, device=quantiles.device) + 0.5) / count
    error = targets[:, None, :] - quantiles[:, :, None]  # [B, N, M]
    weight = (midpoints[:, None] - (error.detach() < 0).float()).abs()
    return (weight * huber(error)).mean(2).sum(1)


def lambda_returns(reward: Tensor, discount: Tensor, next_value: Tensor, ended: Tensor, trace: float) -> Tensor:
    """Return G_t = r_t + γ_t ((1 - λ) v_{t+1} + λ G_{t+1}), with G_{t+1} = v_{t+1} at an episode's or rollout's end.

    Sutton and Barto (2018), equation 12.20; the targets of Gallici et al. (2024).

    Args:
        reward: [T, B].
        discount: [T, B], 0 where the episode terminated.
        next_value: [T, B] of the true successor.
        ended: [T, B] bool, terminated or truncated.
        trace: λ.
    """
    returns = torch.empty_like(reward)
    following = next_value[-1]
    for time in range(len(reward) - 1, -1, -1):
        following = torch.where(ended[time], next_value[time], following)
        returns[time] = following = reward[time] + discount[time] * ((1 - trace) * next_value[time] + trace * following)
    return returns
