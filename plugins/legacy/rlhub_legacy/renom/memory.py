"""What an environment of a user remembers in plain attributes, as a tree that can be saved, and back.

Numbers, strings, arrays, and lists, tuples, dicts, sets and deques of them are plain; two names of one list or array
stay two names of one, and a view of an array stays a view of it. What else an object holds (an
emulator, a generator) is brought back by repeating its steps.
"""

from __future__ import annotations

from collections import deque
from types import MemberDescriptorType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_legacy.randomness import attributes_of

LARGEST = 1 << 22  # bytes of an array; a larger one is data that the environment was given, not what it remembers


class _NotPlainError(Exception):
    """A value cannot be written down."""


def remembered(thing: Any) -> dict[str, Any]:
    """Return the plain attributes of an object, and the names of all that it has."""
    attributes = attributes_of(thing)
    plain: dict[str, Any] = {}
    known: dict[int, int] = {}
    for name, value in attributes.items():
        before = len(known)
        try:
            plain[name] = _written(value, known)
        except (_NotPlainError, RecursionError):
            while len(known) > before:
                known.popitem()
    return {"plain": plain, "names": sorted(attributes)}


def recall(thing: Any, memory: dict[str, Any]) -> None:
    """Give an object the plain attributes of which `remembered` made a tree, and no others."""
    held, known = getattr(thing, "__dict__", {}), list[Any]()
    for name in set(remembered(thing)["plain"]) - set(memory["names"]):
        held.pop(name) if name in held else object.__delattr__(thing, name)
    for name, tree in memory["plain"].items():
        value = _read(tree, known)
        if isinstance(getattr(type(thing), name, None), MemberDescriptorType):
            object.__setattr__(thing, name, value)
        else:
            held[name] = value


def _written(value: Any, known: dict[int, int]) -> Any:
    """Return a value as a tree, all that JSON has no word for as a list [what it is, its parts...].

    Args:
        value: it.
        known: id -> number of the arrays and containers that are written already: a second name of one, or a view of
            an array, is to be that again.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return ["scalar", np.asarray(value)]
    if kind is tuple:
        return ["tuple", [_written(part, known) for part in value]]
    if id(value) in known:
        return ["same", known[id(value)]]
    if kind is np.ndarray and value.dtype.kind in "biuf":
        return _written_array(value, known)
    if kind not in (list, deque, dict, set):
        raise _NotPlainError
    known[id(value)] = len(known)
    if kind is dict:
        return ["dict", [[_written(key, known), _written(part, known)] for key, part in value.items()]]
    parts = [_written(part, known) for part in (sorted(value, key=repr) if kind is set else value)]
    return [kind.__name__, parts, value.maxlen] if kind is deque else [kind.__name__, parts]


def _written_array(array: NDArray[Any], known: dict[int, int]) -> Any:
    if array.nbytes > LARGEST:
        raise _NotPlainError
    base = array.base
    if type(base) is np.ndarray and base.flags.c_contiguous and base.dtype.kind in "biuf" and base.nbytes <= LARGEST:
        offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        whole = _written(base, known)
        known[id(array)] = len(known)
        return ["view", whole, array.dtype.str, offset, list(array.shape), list(array.strides)]
    known[id(array)] = len(known)
    return ["array", array.copy()]


def _read(tree: Any, known: list[Any]) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, parts = tree[0], tree[1]
    if kind == "scalar":
        return parts[()]
    if kind == "same":
        return known[parts]
    if kind == "tuple":
        return tuple(_read(part, known) for part in parts)
    if kind == "view":
        base, (dtype, offset, shape, strides) = _read(parts, known), tree[2:]
        known.append(np.ndarray(shape, dtype, base, offset, strides))
        return known[-1]
    if kind == "array":
        known.append(parts.copy())
        return known[-1]
    made: Any = {"list": list, "dict": dict, "set": set}[kind]() if kind != "deque" else deque(maxlen=tree[2])
    known.append(made)  # before its parts, which may name it
    if kind == "dict":
        made.update((_read(key, known), _read(part, known)) for key, part in parts)
    elif kind == "set":
        made.update(_read(part, known) for part in parts)
    else:
        made.extend(_read(part, known) for part in parts)
    return made
