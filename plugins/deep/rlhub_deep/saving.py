"""Torch's nested states <-> trees of numpy arrays and plain values, which `rlhub_core.state` writes without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def to_tree(state: Any) -> Any:
    """Return a copy of a `state_dict` with arrays for tensors and strings for its integer keys."""
    if isinstance(state, torch.Tensor):
        return state.detach().cpu().numpy().copy()
    if isinstance(state, dict):
        return {str(key): to_tree(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [to_tree(value) for value in state]
    return state


def to_torch(tree: Any) -> Any:
    """Return the `state_dict` of a tree."""
    if isinstance(tree, np.ndarray):
        return torch.from_numpy(tree.copy())
    if isinstance(tree, dict):
        return {int(key) if key.isdigit() else key: to_torch(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [to_torch(value) for value in tree]
    return tree
