"""Spaces of older libraries, told by their attributes, and what an environment returned as a space wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rlhub_core import EnvironmentContractError
from rlhub_legacy.faults import described

Space = spaces.Space[Any]


class Unfit(Exception):
    """A value that is none of a space; its text says what would be."""


def space_of(theirs: Any, name: str) -> Space:
    """Return Gymnasium's space for one like those of old Gym; one of Gymnasium's is returned untouched.

    Args:
        theirs: told by its attributes: `spaces`, `nvec`, `low` and `high`, or `n`.
        name: whose it is, for the message: "CartPole.action_space".

    Raises:
        EnvironmentContractError: for something that has none of them.
    """
    if isinstance(theirs, gymnasium.Space):
        return theirs
    for attribute, make in _KINDS.items():
        if hasattr(theirs, attribute):
            try:
                return make(theirs, name)
            except (TypeError, ValueError, AssertionError, AttributeError) as error:
                raise EnvironmentContractError(f"{name} is a space that cannot be: {error}.") from error
    raise EnvironmentContractError(
        f"{name} is {described(theirs)}; expected a space: something with `n`, with `low` and `high`, with `nvec`, or "
        "with `spaces`."
    )


def _nested(theirs: Any, name: str) -> Space:
    if isinstance(theirs.spaces, Mapping):
        return spaces.Dict({key: space_of(part, f"{name}[{key!r}]") for key, part in theirs.spaces.items()})
    return spaces.Tuple([space_of(part, f"{name}[{index}]") for index, part in enumerate(theirs.spaces)])


def _multi_discrete(theirs: Any, _: str) -> Space:
    return spaces.MultiDiscrete(np.asarray(theirs.nvec, np.int64))


def _ranges(theirs: Any, _: str) -> Space:
    """Return the space of a MultiDiscrete before 2018, which was given as a range for each part."""
    low, high = np.asarray(theirs.low, np.int64), np.asarray(theirs.high, np.int64)
    return spaces.MultiDiscrete(high - low + 1, start=low)


def _box(theirs: Any, _: str) -> Space:
    dtype = np.dtype(getattr(theirs, "dtype", None) or _guessed(theirs.low, theirs.high))
    shape = getattr(theirs, "shape", None)
    shape = np.broadcast(theirs.low, theirs.high).shape if shape is None else tuple(shape)
    low, high = (np.broadcast_to(_bound(bound, dtype), shape) for bound in (theirs.low, theirs.high))
    return spaces.Box(low.copy(), high.copy(), shape, dtype.type)


def _guessed(low: Any, high: Any) -> type[np.generic]:
    """Return the type of a Box before 2018, which had none: as Gym told it afterwards, bytes where all fits them."""
    return np.uint8 if np.all(np.equal(low, 0)) and np.all(np.equal(high, 255)) else np.float32


def _bound(bound: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a bound in a type; of whole numbers, which know no infinity, the least or the greatest instead."""
    array = np.asarray(bound)
    if dtype.kind in "iu" and array.dtype.kind == "f":
        limits = np.iinfo(dtype)
        finite = np.nan_to_num(array, posinf=0, neginf=0).astype(dtype)
        return np.where(np.isfinite(array), finite, np.where(array > 0, limits.max, limits.min)).astype(dtype)
    return array.astype(dtype)


def _discrete(theirs: Any, _: str) -> Space:
    if "Binary" in type(theirs).__name__ or np.ndim(theirs.n):
        return spaces.MultiBinary(theirs.n)
    return spaces.Discrete(int(theirs.n), start=int(getattr(theirs, "start", 0)))


_KINDS: dict[str, Callable[[Any, str], Space]] = {  # in this order: a Box may have `n`, a nested space anything
    "spaces": _nested,
    "nvec": _multi_discrete,
    "num_discrete_space": _ranges,
    "low": _box,
    "n": _discrete,
}


def fitted(space: Space, value: Any) -> Any:
    """Return a copy of a value in the type that a space declares.

    Raises:
        Unfit: where it has another shape, or cannot be had in that type without loss. Bounds are not looked at.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping) or value.keys() != space.keys():
            raise Unfit(f"a dict with {', '.join(map(repr, space))}")
        return {key: _part(part, value[key], f"[{key!r}]") for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space):
            raise Unfit(f"a tuple of {len(space)}")
        return tuple(_part(part, value[index], f"[{index}]") for index, part in enumerate(space))
    if space.shape is None or space.dtype is None:
        raise Unfit(f"one of {space}, which has no shape; nothing here is known of such spaces")
    given = _array(value)
    if given is None or given.shape != space.shape:
        raise Unfit(_wanted(space))
    with np.errstate(invalid="ignore"):  # of what is no whole number; it is found out just below
        array = given.astype(space.dtype)  # a copy
    if array.dtype.kind in "iu" and given.dtype != array.dtype and not np.array_equal(array, given):
        raise Unfit(_wanted(space))
    if isinstance(space, spaces.Discrete):
        if not space.contains(array[()]):
            raise Unfit(_wanted(space))
        return array[()]
    return array


def _part(space: Space, value: Any, where: str) -> Any:
    try:
        return fitted(space, value)
    except Unfit as error:
        raise Unfit(f"{error} at {where}, which has {described(value)}") from None


def _array(value: Any) -> NDArray[Any] | None:
    """Return a value as an array of numbers, or None where it is none."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return None
    return array if array.dtype.kind in "biuf" else None


def _wanted(space: Space) -> str:
    if isinstance(space, spaces.Discrete):
        return f"a whole number from {space.start} to {space.start + space.n - 1}"
    return f"numbers of shape {space.shape} that fit {space.dtype}"
