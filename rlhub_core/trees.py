"""Arrays that are nested in dicts and tuples, as batches of observations and actions are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def leaves(tree: Any) -> list[NDArray[Any]]:
    """Return the arrays of a tree, those of a dict in the order of its keys."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple):
        return [leaf for child in tree for leaf in leaves(child)]
    return [] if tree is None else [np.asarray(tree)]


def mapped(function: Callable[[NDArray[Any]], Any], tree: Any) -> Any:
    """Return a tree of what a function gives for each array."""
    if isinstance(tree, dict):
        return {key: mapped(function, tree[key]) for key in tree}
    if isinstance(tree, tuple):
        return tuple(mapped(function, child) for child in tree)
    return None if tree is None else function(np.asarray(tree))


def overlap(one: Any, other: Any) -> bool:
    """Return whether two trees of one structure share memory."""
    return any(np.may_share_memory(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))
