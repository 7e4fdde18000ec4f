"""The randomness of environments that know nothing of seeds.

Old environments draw from `random`, from `numpy.random` or from generators that they made themselves. To be resumed
exactly, and to be left alone by everything else that draws from the global generators, each adapted environment gets
global generators of its own, in force only while its own methods run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.random.mtrand import get_bit_generator, set_bit_generator


class OwnRandomness:
    """Seeds a foreign environment, and keeps its draws from the global generators apart from everyone else's.

    Attributes:
        seed_method: whether the environment's own `seed` method is called as well.
    """

    def __init__(self, env: Any, *, seed_method: bool = True) -> None:
        self._env, self.seed_method = env, seed_method
        self._python = random.Random().getstate()
        self._numpy: Any = np.random.MT19937()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Let the environment's own global generators be in force for the length of the block."""
        outer_python, outer_numpy = random.getstate(), get_bit_generator()
        random.setstate(self._python)
        set_bit_generator(self._numpy)
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), get_bit_generator()
            random.setstate(outer_python)
            set_bit_generator(outer_numpy)

    def seed(self, seed: int) -> None:
        """Seed everything that the environment may draw from: global generators, its own, its `seed` method."""
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.MT19937(seed)
        for generator in _generators(self._env):
            _reseed(generator, seed)
        method = getattr(self._env, "seed", None)
        if self.seed_method and callable(method):
            with self():
                method(seed % 2**31)  # what every library of the time took


def _generators(thing: Any, deep: int = 4) -> Iterator[Any]:
    """Yield the generators that an object and what it wraps hold as attributes."""
    for name, value in sorted(getattr(thing, "__dict__", {}).items()):
        if isinstance(value, random.Random | np.random.RandomState | np.random.Generator):
            yield value
        elif deep and "env" in name and hasattr(value, "step"):
            yield from _generators(value, deep - 1)


def _reseed(generator: Any, seed: int) -> None:
    if isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, np.random.RandomState):
        generator.seed(seed % 2**32)
    else:
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
