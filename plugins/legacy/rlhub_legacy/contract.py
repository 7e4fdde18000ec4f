"""What every old contract has in common: rewards, flags and infos, checked and made what Gymnasium wants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlhub_legacy.faults import wrong

_DEEP = 20  # wrappers around each other


def number(theirs: Any, call: str, value: Any) -> float:
    """Return a reward as a float; EnvironmentContractError where it is no number."""
    plain = _plain(value)
    if not isinstance(plain, int | float) or math.isnan(plain):
        raise wrong(theirs, call, value, "a number as the reward")
    return float(plain)


def flag(theirs: Any, call: str, value: Any) -> bool:
    """Return whether an episode is over as a bool; EnvironmentContractError where it is neither true nor false."""
    plain = _plain(value)
    if not isinstance(plain, bool | int | float) or plain not in (0, 1):
        raise wrong(theirs, call, value, "True or False for whether the episode is over")
    return bool(plain)


def info_of(theirs: Any, call: str, value: Any) -> dict[str, Any]:
    """Return an info as a dict of our own; EnvironmentContractError where it is neither a mapping nor None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong(theirs, call, value, "a dict or None as the info")
    return dict(value)


def _plain(value: Any) -> Any:
    """Return the one number in an array as Python's own."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def limited(theirs: Any) -> bool:
    """Return whether a time limit's wrapper, theirs or one that theirs wraps as `env`, has reached its limit.

    Gym's did not tell a cut from an end until 0.12, and who wraps one often does not hand on what it tells.
    """
    for _ in range(_DEEP):
        limit, elapsed = getattr(theirs, "_max_episode_steps", None), getattr(theirs, "_elapsed_steps", None)
        theirs = next((getattr(theirs, name) for name in ("env", "gym") if hasattr(theirs, name)), None)
        if theirs is None:
            return False
        most = steps(limit)
        if most is not None and isinstance(elapsed, int | np.integer) and elapsed >= most:
            return True
    return False


def steps(limit: Any) -> int | None:
    """Return a limit of steps as a whole number, or None where there is none."""
    plain = _plain(limit)
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not 0 < plain < math.inf:
        return None
    return math.ceil(plain)
