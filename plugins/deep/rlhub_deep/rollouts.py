"""Steps of many environments as one batch, whether observations are arrays or dicts of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Transition
from rlhub_deep.modules import to_tensors


class Steps:
    """T steps of B environments, noted one after the other."""

    def __init__(self) -> None:
        self._observations: list[Any] = []
        self._actions: list[NDArray[Any]] = []
        self._rewards: list[NDArray[Any]] = []
        self._discounts: list[NDArray[Any]] = []
        self._ended: list[NDArray[np.bool_]] = []

    def add(self, transition: Transition, action: NDArray[Any], discount: float) -> None:
        """Note a step.

        Args:
            transition: of the step.
            action: [B, ...] as it is to be learnt from.
            discount: γ; where the episode terminated, 0 is noted.
        """
        self._observations.append(transition.observation)
        self._actions.append(action)
        self._rewards.append(transition.reward)
        self._discounts.append(discount * ~transition.terminated)
        self._ended.append(transition.terminated | transition.truncated)

    def observation(self, device: torch.device) -> Any:
        """Return what was acted on, [T B, ...]."""
        return to_tensors(joined(self._observations), device)

    @property
    def action(self) -> Tensor:
        """[T B, ...]."""
        return torch.as_tensor(np.concatenate(self._actions))

    @property
    def reward(self) -> Tensor:
        """[T, B]."""
        return torch.as_tensor(np.stack(self._rewards), dtype=torch.float32)

    @property
    def discount(self) -> Tensor:
        """[T, B], 0 where nothing follows."""
        return torch.as_tensor(np.stack(self._discounts), dtype=torch.float32)

    @property
    def ended(self) -> Tensor:
        """[T, B] bool, terminated or truncated."""
        return torch.as_tensor(np.stack(self._ended))


def joined(parts: Sequence[Any]) -> Any:
    """Return the observations of T steps [B, ...] as one batch [T B, ...]."""
    if isinstance(parts[0], dict):
        return {name: joined([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)


def taken(observations: Any, chosen: Any) -> Any:
    """Return some rows of observations, which may be tensors."""
    if isinstance(observations, dict):
        return {name: taken(part, chosen) for name, part in observations.items()}
    return observations[chosen]
