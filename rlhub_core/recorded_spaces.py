"""Gymnasium's spaces <-> trees that `rlhub_core.state` can save: an algorithm is built again without environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from rlhub_core.errors import CheckpointError, SpaceError, squeezed

_WRITE: dict[type[Any], Callable[[Any], dict[str, Any]]] = {
    spaces.Box: lambda space: {"low": space.low, "high": space.high, "dtype": space.dtype.name},
    spaces.Discrete: lambda space: {"n": int(space.n), "start": int(space.start), "dtype": space.dtype.name},
    spaces.MultiDiscrete: lambda space: {"nvec": space.nvec, "start": space.start, "dtype": space.dtype.name},
    spaces.MultiBinary: lambda space: {"n": list(space.shape) if isinstance(space.n, (tuple, list)) else int(space.n)},
    spaces.Dict: lambda space: {"parts": {name: to_tree(part) for name, part in space.items()}},
    spaces.Tuple: lambda space: {"parts": [to_tree(part) for part in space]},
}
_READ: dict[str, Callable[..., Space[Any]]] = {
    "Box": lambda low, high, dtype: spaces.Box(low, high, dtype=np.dtype(dtype).type),
    "Discrete": lambda n, start, dtype: spaces.Discrete(n, start=start, dtype=np.dtype(dtype).type),
    "MultiDiscrete": lambda nvec, start, dtype: spaces.MultiDiscrete(nvec, dtype=np.dtype(dtype).type, start=start),
    "MultiBinary": lambda n: spaces.MultiBinary(n),
    "Dict": lambda parts: spaces.Dict({name: of_tree(part) for name, part in parts.items()}),
    "Tuple": lambda parts: spaces.Tuple([of_tree(part) for part in parts]),
}


def to_tree(space: Space[Any]) -> dict[str, Any]:
    """Return a space as a tree.

    Raises:
        SpaceError: for a kind of space that is none of Gymnasium's fundamental ones, Dict or Tuple.
    """
    for kind, write in _WRITE.items():
        if isinstance(space, kind):
            return {"kind": kind.__name__, **write(space)}
    raise SpaceError(f"{squeezed(space)} cannot be recorded: it is no {', '.join(_READ)}.")


def of_tree(tree: Any) -> Space[Any]:
    """Return the space that `to_tree` was given.

    Raises:
        CheckpointError: where the tree describes none.
    """
    try:
        arguments = {name: value for name, value in tree.items() if name != "kind"}
        return _READ[tree["kind"]](**arguments)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"A recorded space cannot be read: {error!r}.") from error
