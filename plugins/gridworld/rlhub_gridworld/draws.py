"""Random numbers that depend on nothing but an episode's seed and a step: the same for one episode and for a batch.

An episode's numbers are those of a SplitMix64 generator (Steele, Lea & Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), which is counter-based: the n-th number is computed without those before it.
An episode and a step are whole numbers, or arrays of uint64 for a batch, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_TO_UNIT = 2.0**-53


def first_seed(seed: int) -> int:
    """Return the seed of the episode after a reset with this seed."""
    return int(_mixed(seed & MASK))


def first_seeds(seeds: Sequence[int]) -> NDArray[np.uint64]:
    """Return `first_seed` of each [N]."""
    return np.array([first_seed(seed) for seed in seeds], np.uint64)


def fresh_seeds(count: int) -> NDArray[np.uint64]:
    """Return seeds of episodes [count] from the operating system's entropy."""
    return np.asarray(np.random.SeedSequence().generate_state(count, np.uint64), np.uint64)


def next_seed(episode: Any) -> Any:
    """Return the seed of the episode after this one, where nobody gives another."""
    return _mixed(episode ^ MASK)


def uniform(episode: Any, step: Any) -> Any:
    """Return a number in [0, 1), of an episode's step: 0 for its start, 1 for its first action.

    Args:
        episode: its seed, or uint64 [N].
        step: how many actions, or uint64 [N].
    """
    return (_mixed((episode + step * _GOLDEN) & MASK) >> 11) * _TO_UNIT


def another(episode: Any, step: Any) -> Any:
    """Return a second number in [0, 1) of an episode's step, from 1, which the first tells nothing of."""
    return uniform(episode ^ MASK, step)  # its number 0 is the seed of the next episode


def _mixed(state: Any) -> Any:
    state = (state + _GOLDEN) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)
