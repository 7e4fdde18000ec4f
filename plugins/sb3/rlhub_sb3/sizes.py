"""How large Stable-Baselines3's buffers are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rlhub_core import Replay


def of_a_place(buffer: Any) -> float:
    """Return how many bytes one step of one environment takes in a buffer, whatever its class keeps."""
    if isinstance(getattr(buffer, "replay", None), Replay):
        return float(buffer.replay.nbytes / len(buffer.replay.rewards))
    total = sum(map(_size, vars(buffer).values()))
    return total / float(buffer.buffer_size * buffer.n_envs)


def _size(thing: Any) -> int:
    if isinstance(thing, np.ndarray):
        return int(thing.nbytes)
    parts: Iterable[Any] = thing.values() if isinstance(thing, dict) else ()
    return sum(map(_size, parts))
