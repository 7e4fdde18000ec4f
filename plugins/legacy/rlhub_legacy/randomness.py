"""The randomness of environments that know nothing of seeds.

Old environments draw from `random`, from `numpy.random` or from generators that they made themselves. To be resumed
exactly, and to be left alone by everything else that draws from the global generators, each adapted environment gets
global generators of its own, in force only while its own methods run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import ismemberdescriptor, signature
from types import MemberDescriptorType
from typing import Any

import gymnasium
import numpy as np
from numpy.random.mtrand import get_bit_generator, set_bit_generator

FEW = 100  # parts of a list or dict that may hold generators; a longer one holds data


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
        """Seed everything that the environment may draw from: global generators, its own, its `seed` method.

        A `seed` method without argument is called before all else, for it may have made new generators. Gymnasium's
        environments within it are seeded as they want it: by a reset.
        """
        method = getattr(self._env, "seed", None) if self.seed_method else None
        takes_seed = callable(method) and takes_argument(method)
        if callable(method) and not takes_seed:
            with self(), suppress(NotImplementedError):
                method()
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.MT19937(seed)
        for generator in _generators(self._env):
            _reseed(generator, seed)
        with self():
            _reset_gymnasium(self._env, seed)
            if callable(method) and takes_seed:
                with suppress(NotImplementedError):
                    method(seed % 2**31)  # what every library of the time took


def _generators(thing: Any, deep: int = 4) -> Iterator[Any]:
    """Yield the generators that an object and what it wraps hold as attributes."""
    for _, value in _held(thing):
        if isinstance(value, random.Random | np.random.RandomState | np.random.Generator):
            yield value
    if deep:
        for inner in _within(thing):
            yield from _generators(inner, deep - 1)


def _within(thing: Any) -> Iterator[Any]:
    """Yield the environments that an object holds as attributes."""
    for name, value in _held(thing):
        if ("env" in name or "gym" in name) and hasattr(value, "step"):
            yield value


def _held(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield an object's attributes, in slots too, and what short lists and dicts hold; generators of its classes."""
    attributes = dict(getattr(thing, "__dict__", {}))
    for kind in () if isinstance(thing, type) else type(thing).__mro__:
        for name, value in vars(kind).items():
            if ismemberdescriptor(value):
                with suppress(AttributeError):  # a slot that nothing was put into
                    attributes.setdefault(name, value.__get__(thing))
            elif isinstance(value, random.Random | np.random.RandomState | np.random.Generator):
                attributes.setdefault(name, value)
    for name, value in sorted(attributes.items()):
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        for part in (value, *parts) if len(parts) <= FEW else (value,):
            yield name, part


def _reset_gymnasium(thing: Any, seed: int, deep: int = 4) -> None:
    for inner in _within(thing):
        if isinstance(inner, gymnasium.Env):
            inner.reset(seed=seed)
        elif deep:
            _reset_gymnasium(inner, seed, deep - 1)


def attributes_of(thing: Any) -> dict[str, Any]:
    """Return what an object holds in its `__dict__` and in its slots."""
    held: dict[str, Any] = {}
    for kind in type(thing).__mro__:
        for name in [name for name, member in vars(kind).items() if isinstance(member, MemberDescriptorType)]:
            with suppress(AttributeError):  # one that is not set
                held[name] = getattr(thing, name)
    return held | getattr(thing, "__dict__", {})


def takes_argument(method: Any) -> bool:
    """Return whether a method can be called with something."""
    try:
        return bool(signature(method).parameters)
    except (TypeError, ValueError):  # of what is not written in Python
        return True


def parameters_of(method: Any) -> list[str]:
    """Return the names of a method's parameters, as far as they can be told."""
    try:
        return list(signature(method).parameters)
    except (TypeError, ValueError):
        return []


def _reseed(generator: Any, seed: int) -> None:
    if isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, np.random.RandomState):
        generator.seed(seed % 2**32)
    else:
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
