"""Losses and gradients that are not finite: found before the optimiser changes anything, and told with the batch.

What is looked at is worked out anyway, so a look costs less than a ten-thousandth of an update. An `update_again` takes
the batch that was told and comes by the same place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

from rlhub_core import NonFiniteError
from rlhub_deep.network import Network
from rlhub_deep.saving import to_tree

Batch = TypeVar("Batch", bound=tuple[Any, ...])


def finite(name: str, number: float) -> float:
    """Return a number that was measured.

    Raises:
        NonFiniteError: where it is none.
    """
    if not math.isfinite(number):
        raise NonFiniteError(f"{name} is {number:g}", found={name: number})
    return number


def told(error: NonFiniteError, network: Network, batch: Any, **more: Any) -> dict[str, Any]:
    """Return a batch as arrays for an error; what else was worked out is added to what the error has found.

    Args:
        error: that is being handled.
        network: whose gradient is written.
        batch: a named tuple of tensors, arrays, or dicts of them.
        more: name -> tensor or number that was worked out.
    """
    error.found |= network.named_gradients() | {name: to_tree(value) for name, value in more.items()}
    return {name: to_tree(part) for name, part in batch._asdict().items()}


def batch_of(kind: type[Batch], batch: Mapping[str, Any], device: torch.device) -> Batch:
    """Return the named tuple of tensors that `told` was given."""
    return kind(*(_tensors(batch[name], device) for name in kind._fields))  # type: ignore[attr-defined]


def _tensors(part: Any, device: torch.device) -> Any:
    if isinstance(part, Mapping):
        return {name: _tensors(each, device) for name, each in part.items()}
    return torch.from_numpy(part.copy()).to(device)
