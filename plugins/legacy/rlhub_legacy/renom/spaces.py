"""The spaces of an environment of ReNom RL, which says only shapes: the rest is read from what it returns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from rlhub_core import EnvironmentContractError
from rlhub_legacy.faults import wrong

SAMPLES = 1_000  # from which the bounds of continuous actions are inferred, where nobody says them


def shape_of(theirs: Any, field: Literal["action_shape", "state_shape"]) -> tuple[int, ...]:
    """Return a shape that an environment states; its class's word counts before the object's.

    A number n stands for (n,).

    Raises:
        EnvironmentContractError: where it states none, or something that is no shape.
    """
    stated = getattr(type(theirs), field, None)
    if stated is None or hasattr(stated, "__get__") or not np.size(stated):
        stated = getattr(theirs, field, None)
    shape = tuple(stated) if isinstance(stated, tuple | list | np.ndarray) else (stated,)
    if not shape or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in shape):
        raise EnvironmentContractError(
            f"{type(theirs).__qualname__}.{field} is {stated!r}; expected a tuple of positive numbers, such as (4,)."
        )
    return tuple(int(n) for n in shape)


def observation_space_of(theirs: Any, look: Callable[[], Any]) -> Box:
    """Return the space of states: bytes stay bytes, all other numbers are float32 without bounds.

    Args:
        theirs: the environment.
        look: returns a state of it.
    """
    shape, state = shape_of(theirs, "state_shape"), look()
    checked_state(theirs, "reset()", state, shape)
    if np.asarray(state).dtype == np.uint8:
        return Box(0, 255, shape, np.uint8)
    return Box(-np.inf, np.inf, shape, np.float32)


def action_space_of(theirs: Any, sample: Callable[[], Any]) -> Discrete | Box:
    """Return the space of actions, whose kind is told by what a sample is.

    Of a discrete action (n,) is their number, of a continuous one it is the action's shape.

    Args:
        theirs: the environment.
        sample: returns a random action of it.
    """
    shape, action = shape_of(theirs, "action_shape"), sample()
    array = np.asarray(action)
    if array.dtype.kind in "iu" and array.size == 1 and len(shape) == 1:
        if not 0 <= array.item() < shape[0]:
            raise wrong(theirs, "sample()", action, f"an action from 0 to {shape[0] - 1}, as action_shape {shape} says")
        return Discrete(shape[0])
    if array.dtype.kind == "f" and (array.shape == shape or (array.size == 1 and math.prod(shape) == 1)):
        return _box(theirs, np.stack([np.reshape(sample(), shape) for _ in range(SAMPLES)]))
    raise wrong(
        theirs,
        "sample()",
        action,
        f"one of {shape[0]} discrete actions as an integer, or a continuous one as floats of shape {shape} "
        f"(action_shape); where it is neither, adapt(…, action_space=…) says what it is",
    )


def checked_state(theirs: Any, method: str, state: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a state as an array of numbers of the stated shape, or raise what is wrong with it."""
    try:
        array = np.asarray(state)
    except ValueError:  # lists of unequal lengths
        raise wrong(theirs, method, state, f"a state of shape {shape}, as state_shape says") from None
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise wrong(theirs, method, state, f"a state of shape {shape}, as state_shape says")
    return array


def _box(theirs: Any, actions: NDArray[Any]) -> Box:
    """Return the smallest box around some actions [N, ...], saying so."""
    low, high = actions.min(0).astype(np.float32), actions.max(0).astype(np.float32)
    name = type(theirs).__qualname__
    warnings.warn(
        f"{name} says no bounds of its actions. Inferred from {len(actions):,} samples: from {low.tolist()} to "
        f"{high.tolist()}. Say them: adapt(…, action_space=Box(low, high, {low.shape})), or as {name}.action_space.",
        stacklevel=2,
    )
    if not (low < high).all():
        raise wrong(theirs, "sample()", actions[0], f"actions that differ; {len(actions):,} of them were the same")
    return Box(low, high, dtype=np.float32)


def given(theirs: Any, name: str, space: Any) -> Space[Any] | None:
    """Return a space that the user says, or that the environment has as an attribute; None where neither does."""
    space = space if space is not None else getattr(theirs, name, None)
    return space if isinstance(space, Space) else None
