"""What an environment of a user remembers in plain attributes, as a tree that can be saved, and back.

Numbers, strings, arrays, and lists, tuples, dicts, sets and deques of them are plain. What else an object holds (an
emulator, a generator) is brought back by repeating its steps.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

LARGEST = 1 << 22  # bytes of an array; a larger one is data that the environment was given, not what it remembers


class _NotPlainError(Exception):
    """A value cannot be written down."""


def remembered(thing: Any) -> dict[str, Any]:
    """Return the plain attributes of an object, and the names of all that it has."""
    attributes = getattr(thing, "__dict__", {})
    plain: dict[str, Any] = {}
    for name, value in attributes.items():
        try:
            plain[name] = _written(value)
        except _NotPlainError:
            continue
    return {"plain": plain, "names": sorted(attributes)}


def recall(thing: Any, memory: dict[str, Any]) -> None:
    """Give an object the plain attributes of which `remembered` made a tree, and no others."""
    attributes = getattr(thing, "__dict__", {})
    for name in set(remembered(thing)["plain"]) - set(memory["names"]):
        del attributes[name]
    attributes.update({name: _read(value) for name, value in memory["plain"].items()})


def _written(value: Any) -> Any:
    """Return a value as a tree, all that JSON has no word for as a list [what it is, its parts...]."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return ["scalar", np.asarray(value)]
    if kind is np.ndarray and value.dtype.kind in "biuf" and value.nbytes <= LARGEST:
        return ["array", value.copy()]
    if kind in (list, tuple):
        return [kind.__name__, [_written(part) for part in value]]
    if kind is deque:
        return ["deque", [_written(part) for part in value], value.maxlen]
    if kind is dict:
        return ["dict", [[_written(key), _written(part)] for key, part in value.items()]]
    if kind is set:
        return ["set", [_written(part) for part in sorted(value, key=repr)]]
    raise _NotPlainError


def _read(tree: Any) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, parts = tree[0], tree[1]
    if kind == "scalar":
        return parts[()]
    if kind == "array":
        return parts.copy()
    if kind == "dict":
        return {_read(key): _read(part) for key, part in parts}
    if kind == "deque":
        return deque((_read(part) for part in parts), tree[2])
    made: Any = {"list": list, "tuple": tuple, "set": set}[kind]
    return made(_read(part) for part in parts)
