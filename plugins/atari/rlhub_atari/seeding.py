"""From a seed to the random numbers of a game, the same for both implementations."""

import numpy as np
from gymnasium.error import Error

SEEDS = 2**31  # ALE takes seeds from 0 to SEEDS - 1


def ale_seed(seed: int) -> int:
    """Reduce any non-negative seed to the 31 low bits that ALE takes; smaller seeds stay as they are."""
    if seed < 0:
        raise Error(f"A seed must be a non-negative integer, not {seed}.")
    return int(seed) % SEEDS


def fresh_ale_seed() -> int:
    """A seed from the operating system's entropy, for a game that was given none."""
    return int(np.random.SeedSequence().generate_state(1)[0]) % SEEDS


class WaitDraws:
    """How many frames each reset waits: uniform on 0..noop_max-1, from a 32-bit Mersenne Twister.

    ale-py draws its number in C++ with `std::mt19937` and `std::uniform_int_distribution`. numpy's
    `RandomState` is the same generator. The distribution is left to the compiler: this is the one of
    GCC's library, the multiply-and-shift of Lemire, "Fast random integer generation in an interval"
    (2019), so that both implementations play the same episodes on Linux.
    """

    def __init__(self, noop_max: int, seed: int) -> None:
        self._choices = max(1, noop_max)
        self._twister = np.random.RandomState(seed)

    def draw(self) -> int:
        """The next number of frames."""
        threshold = 2**32 % self._choices
        while True:
            product = self._choices * int(self._twister.randint(0, 2**32, dtype=np.uint32))
            if product % 2**32 >= threshold:
                return product >> 32
