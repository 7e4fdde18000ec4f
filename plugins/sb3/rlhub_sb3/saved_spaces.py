"""Spaces out of a file that Stable-Baselines3 has saved, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from rlhub_sb3.pickles import Made, UnreadableError, number, numbers

ENDLESS = 1e38  # bounds beyond it mean that there is none: before 1.0, Gymnasium wrote float32's largest number


def space_of(tree: Any) -> Space[Any]:
    """Return the space that a pickle describes.

    Raises:
        UnreadableError: where it describes none of Gymnasium's (or of gym's, before it).
    """
    if not isinstance(tree, Made) or tree.kind not in KINDS or not isinstance(tree.state, dict):
        raise UnreadableError("no space")
    try:
        return KINDS[tree.kind](tree.state)
    except (AssertionError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UnreadableError(f"{tree.kind}: {error!r}") from error


def has_floats(space: Space[Any]) -> bool:
    """Return whether there is something in a space that is worth normalising."""
    if isinstance(space, spaces.Dict):
        return any(map(has_floats, space.values()))
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"


def difference(saved: Space[Any], here: Space[Any]) -> str | None:
    """Return in which respect two spaces differ, or None where a model of the one fits the other."""
    if type(saved) is not type(here):
        return "another kind of space"
    if isinstance(saved, spaces.Dict) and isinstance(here, spaces.Dict):
        if set(saved) != set(here):
            return "other keys"
        parts = ((key, difference(saved[key], here[key])) for key in saved)
        return next((f"{key!r}: {what}" for key, what in parts if what), None)
    for what, of in RESPECTS.items():
        if not _equal(of(saved), of(here)):
            return what
    return None


def _equal(one: Any, other: Any) -> bool:
    return bool(np.shape(one) == np.shape(other) and np.all(np.isclose(one, other)))


def _bounds(space: Any) -> NDArray[np.float64]:
    bounds = np.array([space.low, space.high], np.float64) if isinstance(space, spaces.Box) else np.zeros(0)
    return np.where(np.abs(bounds) > ENDLESS, np.copysign(np.inf, bounds), bounds)


RESPECTS: dict[str, Callable[[Any], Any]] = {
    "another shape": lambda space: space.shape,
    "another dtype": lambda space: [ord(letter) for letter in np.dtype(space.dtype).str],
    "other bounds": _bounds,
    "another number of choices": lambda space: getattr(space, "n", getattr(space, "nvec", 0)),
    "another first choice": lambda space: getattr(space, "start", 0),
}


def _box(facts: dict[str, Any]) -> Space[Any]:
    low, high = numbers(facts["low"]), numbers(facts["high"])
    return spaces.Box(low, high, low.shape, low.dtype.type)


def _multi_binary(facts: dict[str, Any]) -> Space[Any]:
    n = facts["n"]
    return spaces.MultiBinary([int(number(size)) for size in n] if isinstance(n, (tuple, list)) else int(number(n)))


def _dict(facts: dict[str, Any]) -> Space[Any]:
    parts = facts["spaces"].items if isinstance(facts["spaces"], Made) else facts["spaces"]
    return spaces.Dict({key: space_of(part) for key, part in parts.items()})


KINDS: dict[str, Callable[[dict[str, Any]], Space[Any]]] = {
    "Box": _box,
    "Discrete": lambda facts: spaces.Discrete(int(number(facts["n"])), start=int(number(facts.get("start", 0)))),
    "MultiDiscrete": lambda facts: spaces.MultiDiscrete(numbers(facts["nvec"])),
    "MultiBinary": _multi_binary,
    "Dict": _dict,
}
