"""What environments must give: whether it is so is found out at a small price."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from rlhub_core.errors import EnvironmentFault, NonFiniteError, squeezed
from rlhub_core.trees import leaves

STRICT = 128  # vector steps at the beginning, each of which is checked
EVERY = 499  # vector steps between two checks after that; a prime, so that no rhythm of an environment hides from it
_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_ROUNDING = 1e-4  # relative; that far outside of a Box nobody is warned


def misshapen(space: Space[Any], observation: Any) -> tuple[str, str]:
    """Return what is wrong with the structure, shape or dtype of an observation, and what is unusual but harmless.

    Either is "" where there is nothing. Values are left to `Checks`.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, Mapping) or observation.keys() != space.spaces.keys():
            return f"is {_what(observation)}; its space is {squeezed(space)}", ""
        return _first(misshapen(inner, observation[key]) for key, inner in space.spaces.items())
    if isinstance(space, spaces.Tuple):
        if not isinstance(observation, (tuple, list)) or len(observation) != len(space.spaces):
            return f"is {_what(observation)}; its space is {squeezed(space)}", ""
        return _first(map(misshapen, space.spaces, observation))
    if isinstance(space, _ARRAYS):
        return _misshapen_array(space, observation)
    return ("" if space.contains(observation) else f"is {_what(observation)}; its space is {squeezed(space)}"), ""


class Checks:
    """Looks at batches of observations for what their space does not hold.

    A number that is NaN or infinite is a fault, and so is one outside of a space of integers. A Box of floats is often
    stated too small: a number beyond its bound is warned of once, and a fault where it is farther out than the Box is
    wide (of a bound without an opposite one: farther than its own size, or 1).

    Args:
        space: of a single observation.
        num_envs: B.
    """

    def __init__(self, space: Space[Any], num_envs: int) -> None:
        self._space, self._num_envs = space, num_envs
        self._leaves = [(leaf, *_limits(leaf, 1.0)) for leaf in _parts(space)]
        self._narrow: list[Any] | None = [_limits(leaf, 0.0) for leaf in _parts(space)]
        self._warned: set[str] = set()
        self.at = 0  # vector step whose outcome is to be looked at next
        self.resets = 0  # so far
        self.masked_resets = 3  # that are still to be looked at
        self._failed: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Let every later step, reset and checkpoint end with an error, also where somebody catches it."""
        self._failed, self.at = error, -1

    def raise_again(self) -> None:
        """Raise what has failed before, if anything has."""
        if self._failed is not None:
            raise self._failed

    def batch(self, raw: Any, *, strict: bool) -> EnvironmentFault | None:
        """Return the fault in a batch of observations [B, ...], or None; where strict, warn of what is harmless."""
        for number, ((space, low, high), got) in enumerate(zip(self._leaves, _batches(self._space, raw), strict=False)):
            fault = self._form(space, got) if isinstance(space, _ARRAYS) else _one_by_one(space, got)
            if fault is not None:
                return fault
            if low is not None:
                inside = (got >= low) & (got <= high)  # NaN is not; where there is no bound, it is the largest number
                if np.count_nonzero(inside) != inside.size:
                    return _outside(space, got, inside)
                if strict and self._narrow is not None:
                    self._look_closely(number, space, got)
        return None

    def apart(self, observations: Any) -> EnvironmentFault | None:
        """Return the fault in the form of observations before they are put together, or None; warn of the harmless."""
        for index, observation in enumerate(observations):
            wrong, harmless = misshapen(self._space, observation)
            if wrong:
                return EnvironmentFault(f"The observation {wrong}.", index=index)
            if harmless:
                self.warn(f"An observation {harmless}.")
        return None

    def warn(self, text: str) -> None:
        """Say something once."""
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, stacklevel=2)

    def _form(self, space: Any, got: Any) -> EnvironmentFault | None:
        expected = (self._num_envs, *space.shape)
        if not isinstance(got, np.ndarray) or got.shape != expected:
            return EnvironmentFault(f"The observations are {_what(got)}; expected {list(expected)} of {space.dtype}.")
        if got.dtype != space.dtype and not np.can_cast(got.dtype, space.dtype, "same_kind"):
            return EnvironmentFault(f"The observations are {_what(got)}; their space is {squeezed(space)}.")
        if got.dtype != space.dtype:
            self.warn(f"Observations are {got.dtype}, where their space is of {space.dtype}; say the same in both.")
        return None

    def _look_closely(self, number: int, space: Any, got: NDArray[Any]) -> None:
        assert self._narrow is not None
        low, high = self._narrow[number]
        far = np.argwhere((got < low) | (got > high))
        if len(far):
            value = got[tuple(far[0])]
            self._narrow = None
            self.warn(f"An observation holds {value}, outside of its space {squeezed(space)}; widen the space.")


def outcome(
    rewards: Any, terminated: Any, truncated: Any, info: Any, num_envs: int
) -> EnvironmentFault | None:  # each [B]
    """Return the fault in what a step gives beside observations, or None."""
    if not isinstance(rewards, np.ndarray) or rewards.shape != (num_envs,) or rewards.dtype.kind not in "fiub":
        return EnvironmentFault(f"The rewards are {_what(rewards)}; expected numbers, [{num_envs}].")
    for name, given in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(given, np.ndarray) or given.shape != (num_envs,) or given.dtype != np.bool_:
            return EnvironmentFault(f"`{name}` is {_what(given)}; expected bool, [{num_envs}].")
    if not isinstance(info, Mapping):
        return no_info(info)
    return no_number(rewards, "reward")


def of_actions(actions: Any) -> NonFiniteError | None:
    """Return the error in actions [B, ...] that no environment can do anything with, or None."""
    for leaf in leaves(actions):
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            index, *_ = first = tuple(np.argwhere(~np.isfinite(leaf))[0])
            return NonFiniteError(f"the action for environment {index} holds {leaf[first]}", found={"actions": leaf})
    return None


def no_info(info: Any, index: int | None = None) -> EnvironmentFault:
    """Return the fault of an environment that forgets its info."""
    return EnvironmentFault(f"The info is {_what(info)}; expected a dict, which may be empty.", index=index)


def no_number(values: NDArray[Any], what: str) -> EnvironmentFault | None:
    """Return the fault in rewards or returns [B] that are not all finite, or None."""
    finite = np.isfinite(values)
    if finite.all():
        return None
    index = int(np.argmin(finite))
    return EnvironmentFault(f"The {what} is {values[index]}, no finite number.", index=index)


def _misshapen_array(space: Any, observation: Any) -> tuple[str, str]:
    try:
        array = np.asarray(observation)
    except ValueError:  # rows of different lengths
        return f"is {_what(observation)}; its space is {squeezed(space)}", ""
    if array.shape != space.shape:
        return f"has shape {list(array.shape)}; its space is {squeezed(space)}", ""
    if array.dtype == space.dtype:
        return "", ""
    if array.dtype.kind not in "fiub":
        return f"is {_what(observation)}; its space is {squeezed(space)}", ""
    if space.dtype.kind in "iub":
        with np.errstate(invalid="ignore"):
            kept = array.astype(space.dtype) == array
        if not kept.all():
            return f"holds {array[~kept][0]} of {array.dtype}, which {space.dtype}, its space's, cannot hold", ""
    harmless = isinstance(space, spaces.Box) and f"is {array.dtype}, where its space is of {space.dtype}"
    return "", f"{harmless}; say the same in both" if harmless else ""


def _one_by_one(space: Space[Any], got: Any) -> EnvironmentFault | None:
    for index, observation in enumerate(got):
        if not space.contains(observation):
            return EnvironmentFault(f"An observation lies outside of its space {squeezed(space)}.", index=index)
    return None


def _first(found: Iterator[tuple[str, str]]) -> tuple[str, str]:
    harmless = ""
    for wrong, harm in found:
        if wrong:
            return wrong, ""
        harmless = harmless or harm
    return "", harmless


def _parts(space: Space[Any]) -> Iterator[Any]:
    """Yield the spaces in a nested one, in the order of `_batches`."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        for inner in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            yield from _parts(inner)
    else:
        yield space


def _batches(space: Space[Any], raw: Any) -> Iterator[Any]:
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from _batches(inner, raw[key])
    elif isinstance(space, spaces.Tuple):
        for inner, part in zip(space.spaces, raw, strict=True):
            yield from _batches(inner, part)
    else:
        yield raw


def _limits(space: Any, slack: float) -> tuple[Any, Any]:
    """Return the least and the greatest number to accept, or (None, None) where its dtype holds no other.

    Args:
        space: of one part.
        slack: how many of its widths a Box of floats is wider.
    """
    if isinstance(space, spaces.Discrete):
        return space.start, space.start + space.n - 1
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    if isinstance(space, spaces.MultiBinary):
        return 0, 1
    if not isinstance(space, spaces.Box):
        return None, None
    if space.dtype.kind != "f":
        least, greatest = (False, True) if space.dtype.kind == "b" else _range(np.iinfo(space.dtype))
        everything = bool((space.low == least).all() and (space.high == greatest).all())
        return (None, None) if everything else (_single(space.low), _single(space.high))
    least, greatest = _range(np.finfo(space.dtype))
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        width = np.where(np.isfinite(low) & np.isfinite(high), high - low, 0.0)
        size = np.maximum(1.0, np.maximum(_size(low), _size(high)))
        margin = slack * np.maximum(width, np.where(width > 0, 0.0, size)) + _ROUNDING * size
        low, high = low - margin, high + margin
    return (
        _single(np.clip(low, least, greatest).astype(space.dtype)),
        _single(np.clip(high, least, greatest).astype(space.dtype)),
    )


def _range(limits: Any) -> tuple[Any, Any]:
    return limits.min, limits.max


def _size(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(bounds), np.abs(bounds), 0.0)


def _single(bounds: NDArray[Any]) -> Any:
    """Return bounds that are all the same as one number, which is compared with sooner."""
    return bounds.flat[0] if bounds.size and (bounds == bounds.flat[0]).all() else bounds


def _outside(space: Any, got: NDArray[Any], inside: NDArray[np.bool_]) -> EnvironmentFault:
    place = tuple(np.argwhere(~inside)[0])
    value, index = got[place], int(place[0])
    if not np.isfinite(value):
        return EnvironmentFault(f"The observation holds {value}, no finite number.", index=index)
    return EnvironmentFault(f"The observation holds {value}, outside of its space {squeezed(space)}.", index=index)


def _what(thing: Any) -> str:
    """Return what something is, without showing all of it."""
    if isinstance(thing, np.ndarray):
        return f"{list(thing.shape)} of {thing.dtype}"
    if isinstance(thing, (tuple, list)):
        return f"a {type(thing).__name__} of {len(thing)}"
    if isinstance(thing, Mapping):
        return f"a dict of {', '.join(map(repr, thing)) or 'nothing'}"
    shown = repr(thing)
    return f"{shown if len(shown) <= 40 else type(thing).__name__} ({type(thing).__name__})"
