"""The array specifications of dm_env and TF-Agents, and Gymnasium's spaces: from one to the other.

A specification is told by its attributes alone: `shape` and `dtype`, with `minimum` and `maximum`, or `num_values`,
where it is bounded. Dicts, tuples and lists of them may be nested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.error import InvalidAction
from numpy.typing import NDArray

from rlhub_core import EnvironmentContractError
from rlhub_core.errors import squeezed

Fault = Callable[[Any, str], EnvironmentContractError]
"""`fault(got, expected)`: the error of a method that returned something else than expected."""

MOST_CHOICES = 65_536  # values of an observed integer that are told apart as choices; more are a quantity


class Array:
    """What arrays of a shape and type are.

    Args:
        shape: of the arrays.
        dtype: of their elements.
        name: for a reader.
    """

    def __init__(self, shape: Any, dtype: Any, name: str | None = None) -> None:
        self.shape, self.dtype, self.name = tuple(int(size) for size in shape), np.dtype(dtype), name

    def validate(self, value: Any) -> NDArray[Any]:
        """Return a value as an array.

        Raises:
            ValueError: where it is not what this says.
        """
        array = np.asarray(value)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(f"{self} does not allow an array of shape {array.shape} and type {array.dtype}.")
        return array

    def generate_value(self) -> NDArray[Any]:
        """Return an array that is as this says."""
        return np.zeros(self.shape, self.dtype)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({said})"


class BoundedArray(Array):
    """What arrays of a shape, a type and bounds are; without a bound, the type's own holds.

    Args:
        shape: of the arrays.
        dtype: of their elements.
        minimum: of each element, or of all.
        maximum: likewise; both are allowed values.
        name: for a reader.
    """

    def __init__(
        self, shape: Any, dtype: Any, minimum: Any = None, maximum: Any = None, name: str | None = None
    ) -> None:
        super().__init__(shape, dtype, name)
        low, high = _limits(self.dtype)
        self.minimum = np.asarray(low if minimum is None else minimum, self.dtype)
        self.maximum = np.asarray(high if maximum is None else maximum, self.dtype)
        if not (self.minimum <= self.maximum).all():
            raise ValueError(f"{self} has a minimum above its maximum.")

    def validate(self, value: Any) -> NDArray[Any]:
        """Return a value as an array.

        Raises:
            ValueError: where it is not what this says.
        """
        array = super().validate(value)
        if not ((array >= self.minimum) & (array <= self.maximum)).all():
            raise ValueError(f"{self} does not allow {array}.")
        return array

    def generate_value(self) -> NDArray[Any]:
        """Return an array that is as this says: its minimum."""
        return np.broadcast_to(self.minimum, self.shape).astype(self.dtype)


class DiscreteArray(BoundedArray):
    """One of the numbers from 0 up to `num_values`, which is none of them."""

    def __init__(self, num_values: int, dtype: Any = np.int32, name: str | None = None) -> None:
        super().__init__((), dtype, 0, num_values - 1, name)
        self.num_values = num_values


# from a specification to a space


def space_of(spec: Any, fault: Fault, *, action: bool) -> Space[Any]:
    """Return the space of a specification.

    One bounded integer is a Discrete that starts at its minimum; several are a MultiDiscrete in actions and a Box in
    observations; truth values are a Discrete(2) or MultiBinary; other arrays are a Box. A dict or tuple of one action
    is that action.

    Args:
        spec: a specification, or a dict, tuple or list of them.
        fault: as for `Fault`.
        action: whether it is of actions.
    """
    if is_leaf(spec):
        return _leaf_space(spec, fault, action)
    if action and isinstance(spec, Mapping | tuple | list) and len(spec) == 1:  # what learns knows one action
        return space_of(_only(spec), fault, action=action)
    if isinstance(spec, Mapping) and spec:
        return spaces.Dict({str(key): space_of(part, fault, action=action) for key, part in spec.items()})
    if isinstance(spec, tuple | list) and spec:
        return spaces.Tuple([space_of(part, fault, action=action) for part in spec])
    raise fault(spec, "a specification with shape and dtype, or a dict, tuple or list of them")


def is_leaf(spec: Any) -> bool:
    """Return whether something specifies one array."""
    return hasattr(spec, "shape") and hasattr(spec, "dtype")


def _leaf_space(spec: Any, fault: Fault, action: bool) -> Space[Any]:
    shape, dtype = _shape_and_type(spec, fault)
    if dtype.kind == "b":
        return spaces.MultiBinary(shape) if shape else spaces.Discrete(2)
    low, high = _bounds(spec, shape, dtype, fault)
    if dtype.kind == "f":
        return spaces.Box(low, high, shape, dtype.type)
    choices = [int(highest) - int(lowest) + 1 for lowest, highest in zip(low.flat, high.flat, strict=True)]
    if action and not (_told_bounds(spec) and choices and max(choices) < 2**31):
        raise fault(spec, "integer actions with a minimum and a maximum, fewer than 2**31")
    one = len(choices) == 1 and (action or not shape)
    if one and (action or choices[0] <= MOST_CHOICES):
        return spaces.Discrete(choices[0], start=int(low.flat[0]))
    if action:
        return spaces.MultiDiscrete(np.reshape(choices, shape), start=low.astype(np.int64))
    return spaces.Box(low, high, shape, dtype.type)


def _shape_and_type(spec: Any, fault: Fault) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        shape, dtype = tuple(int(size) for size in spec.shape), np.dtype(spec.dtype)
    except (TypeError, ValueError):
        raise fault(spec, "a shape of whole numbers and a numpy dtype in every specification") from None
    if dtype.kind not in "biuf":
        raise fault(spec, f"specifications of numbers; an array of type {dtype} is none that can be learnt from")
    return shape, dtype


def _told_bounds(spec: Any) -> bool:
    if getattr(spec, "num_values", None) is not None:
        return True
    return getattr(spec, "minimum", None) is not None and getattr(spec, "maximum", None) is not None


def _bounds(spec: Any, shape: tuple[int, ...], dtype: np.dtype[Any], fault: Fault) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return lowest and highest values, of the whole shape; a float's largest number stands for no bound."""
    limits = _limits(dtype)
    count = getattr(spec, "num_values", None)
    given = (0, count - 1) if count is not None else (getattr(spec, "minimum", None), getattr(spec, "maximum", None))
    bounds = [limit if bound is None else bound for bound, limit in zip(given, limits, strict=True)]
    try:
        low, high = (np.broadcast_to(np.clip(bound, *limits), shape).astype(dtype) for bound in bounds)
    except (TypeError, ValueError):
        raise fault(spec, f"bounds that are numbers of the shape {shape}") from None
    if not (low <= high).all():
        raise fault(spec, "a minimum that is at most the maximum")
    if dtype.kind == "f":
        low, high = np.where(low <= limits[0], -np.inf, low), np.where(high >= limits[1], np.inf, high)
    return low, high


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "b":
        return False, True
    numbers: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return numbers.min, numbers.max


# values


def observed(spec: Any, space: Space[Any], value: Any, fault: Fault) -> Any:
    """Return an observation as its space has it: copies, in the declared type.

    Args:
        spec: of the observation.
        space: of that specification.
        value: what was observed.
        fault: as for `Fault`, for a value that is not as specified.
    """
    if isinstance(space, spaces.Dict) and not is_leaf(spec):
        if not isinstance(value, Mapping) or not spec.keys() <= value.keys():
            raise fault(value, f"an observation that is a dict with the keys {', '.join(map(str, spec))}")
        return {str(key): observed(part, space[str(key)], value[key], fault) for key, part in spec.items()}
    if isinstance(space, spaces.Tuple) and not is_leaf(spec):
        if not isinstance(value, tuple | list) or len(value) != len(spec):
            raise fault(value, f"an observation that is a tuple of {len(spec)}")
        return tuple(observed(*each, fault) for each in zip(spec, space.spaces, value, strict=True))
    shape, dtype = tuple(spec.shape), np.dtype(spec.dtype)
    array = _array(value)
    if array is None or array.shape != shape:
        raise fault(value if array is None else array, f"an observation of shape {shape} and type {dtype}")
    cast = array.astype(dtype)
    if dtype.kind != "f" and array.dtype != dtype and not np.array_equal(cast, array):
        raise fault(array, f"an observation of type {dtype}, as its specification says; not all of it fits")
    if isinstance(space, spaces.Discrete):
        choice = np.int64(cast)
        if not space.contains(choice):  # at every step: as an index, -1 would silently be the last
            raise fault(value, f"an observation of {squeezed(space)}")
        return choice
    return cast.astype(np.int8) if isinstance(space, spaces.MultiBinary) else cast


def _array(value: Any) -> NDArray[Any] | None:
    """Return a value as an array of numbers, if it is one."""
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return None
    return array if array.dtype.kind in "biuf" else None


def acted(spec: Any, space: Space[Any], action: Any) -> Any:
    """Return an action as its specification has it.

    Args:
        spec: of the action.
        space: of that specification.
        action: of the space; a fresh array or scalar is returned.

    Raises:
        gymnasium.error.InvalidAction: for a choice that is none, or an array of another shape.
    """
    if isinstance(space, spaces.Dict) and not is_leaf(spec):
        return {key: acted(part, space[str(key)], action[str(key)]) for key, part in spec.items()}
    if isinstance(space, spaces.Tuple) and not is_leaf(spec):
        return _rebuilt(spec, [acted(*each) for each in zip(spec, space.spaces, action, strict=True)])
    if not is_leaf(spec):
        return _rebuilt(spec, [acted(_only(spec), space, action)])
    array = np.array(action)
    wrong_choice = not isinstance(space, spaces.Box) and not space.contains(_as_choice(space, array))
    if wrong_choice or array.shape != (space.shape or ()):
        raise InvalidAction(f"{action!r} is no action of {squeezed(space)}.")
    array = array.reshape(spec.shape).astype(np.dtype(spec.dtype))
    return array if array.shape else array[()]  # a scalar can be a key or an index, an array of no axes cannot


def _only(spec: Any) -> Any:
    return next(iter(spec.values() if isinstance(spec, Mapping) else spec))


def _rebuilt(spec: Any, parts: list[Any]) -> Any:
    """Return values in the dict or tuple that their specifications came in."""
    if isinstance(spec, Mapping):
        return dict(zip(spec, parts, strict=True))
    return type(spec)(*parts) if hasattr(spec, "_fields") else type(spec)(parts)


def _as_choice(space: Space[Any], array: NDArray[Any]) -> Any:
    return array[()] if isinstance(space, spaces.Discrete) and not array.shape else array


# from a space to a specification


def spec_of(space: Space[Any], name: str) -> Any:
    """Return the specification of a space.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary, Box, or a Dict or Tuple of them.
        name: of the specification.

    Raises:
        EnvironmentContractError: for any other space.
    """
    if isinstance(space, spaces.Dict):
        return {key: spec_of(part, key) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(spec_of(part, f"{name}_{index}") for index, part in enumerate(space.spaces))
    if isinstance(space, spaces.Discrete):
        if not space.start:
            return DiscreteArray(int(space.n), np.int64, name)
        return BoundedArray((), np.int64, space.start, space.start + space.n - 1, name)
    if isinstance(space, spaces.MultiDiscrete):
        return BoundedArray(space.shape, space.dtype, space.start, space.start + space.nvec - 1, name)
    if isinstance(space, spaces.MultiBinary):
        return BoundedArray(space.shape, np.int8, 0, 1, name)
    if isinstance(space, spaces.Box):
        if not (space.bounded_below | space.bounded_above).any():
            return Array(space.shape, space.dtype, name)
        return BoundedArray(space.shape, space.dtype, space.low, space.high, name)
    raise EnvironmentContractError(f"No array specification can say what {squeezed(space)} is.")
