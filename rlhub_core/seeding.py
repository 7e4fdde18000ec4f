"""One seed makes all: every part of a run draws from a stream of its own, so that adding a part changes no other."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

SEED_BITS = 31  # what every environment accepts: ale-py takes signed 32-bit seeds


def stream(seed: int, *names: str | int) -> int:
    """Return the seed of a named stream: a pure function of the run's seed and the names, in [0, 2^31)."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) % (1 << SEED_BITS)


def stretch_seeds(seed: int, envs: NDArray[np.int64], stretches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one environment seed for each (environment index, stretch index), in [0, 2^31).

    Args:
        seed: the collector's seed.
        envs: [N] environment indices.
        stretches: [N] stretch indices.

    The mixing function is that of SplitMix64 (Steele, Lea & Flood 2014), vectorised.
    """
    state = _mix(np.uint64(seed & (2**64 - 1)) ^ _mix(envs.astype(np.uint64)))
    return (_mix(state ^ _mix(stretches.astype(np.uint64) + np.uint64(1 << 32))) >> np.uint64(64 - SEED_BITS)).astype(
        np.int64
    )


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)  # array arithmetic wraps silently, as wanted
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
