"""Observations of many steps as one batch, whether they are arrays or dicts of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


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
