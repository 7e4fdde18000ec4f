"""The randomness of environments that know nothing of seeds.

Old environments draw from `random`, from `numpy.random` or from generators that they made themselves. To be resumed
exactly, and to be left alone by everything else that draws from the global generators, each adapted environment gets
global generators of its own, in force only while its own methods run. (Of two normal numbers that
`numpy.random.randn` makes at once it keeps one for the next call; one so kept is dropped at the border.)
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from numpy.random.mtrand import get_bit_generator, set_bit_generator

_GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)
_LEAVES = (type, ModuleType, FunctionType, MethodType, np.ndarray, *_GENERATORS)
_DEEP = 8  # as many wrappers as people put around each other
_MANY = 1_000  # what is in a longer list than this is data


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

        Each generator that it holds is seeded otherwise, or what it draws from two of them would be the same. A wrapper
        without a `seed` method has that of what it wraps. One without argument is called before all else, for it may
        have made new generators. Gymnasium's environments within are seeded as they want it: by a reset.
        """
        method = _seed_method(self._env) if self.seed_method else None
        takes_seed = method is not None and takes_argument(method)
        if method is not None and not takes_seed:
            with self(), suppress(NotImplementedError):
                method()
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.MT19937(seed)
        held = list(_held(self._env))
        for index, source in enumerate(each for each in held if _is_source(each)):
            _reseed(source, np.random.SeedSequence([seed, index]))
        with self():
            _reset_gymnasium(held, seed)
            if method is not None and takes_seed:
                with suppress(NotImplementedError):
                    method(seed % 2**31)  # what every library of the time took


def _held(root: Any) -> Iterator[Any]:
    """Yield an object and all that it holds, each once: in attributes, lists, tuples and dicts, in a fixed order."""
    seen: dict[int, Any] = {}
    row = [root]
    for _ in range(_DEEP):
        within = []
        for thing in row:
            if id(thing) not in seen:
                seen[id(thing)] = thing  # and not its id alone, which another may get
                yield thing
                within += _parts(thing)
        row = within


def _parts(thing: Any) -> list[Any]:
    """Return what an object holds; generators of its class become its own, for others share that class."""
    if isinstance(thing, _LEAVES):
        return []
    if isinstance(thing, list | tuple | dict):
        return [] if len(thing) > _MANY else list(thing.values() if isinstance(thing, dict) else thing)
    attributes = getattr(thing, "__dict__", None)
    named = dict(attributes) if isinstance(attributes, dict) else {}
    for kind in type(thing).__mro__[:-1]:
        for name, value in vars(kind).items():
            if isinstance(value, MemberDescriptorType) and "__slots__" in vars(kind):
                with suppress(AttributeError):  # a slot that is empty
                    named[name] = value.__get__(thing)
            elif isinstance(value, _GENERATORS) and name not in named:
                with suppress(AttributeError):
                    setattr(thing, name, copy.deepcopy(value))
                    named[name] = getattr(thing, name)
    return [part for _, part in sorted(named.items(), key=lambda item: str(item[0]))]


def _seed_method(env: Any) -> Any:
    """Return the `seed` method of an environment, or of the outermost that it wraps and that has one."""
    for each in _held(env):
        if each is env or any(callable(getattr(each, name, None)) for name in ("step", "_step", "act")):
            for name in ("seed", "_seed"):  # the latter is how classes of Gym before 0.9.6 named what they defined
                if callable(method := getattr(each, name, None)):
                    return method
    return None


def _reset_gymnasium(held: list[Any], seed: int) -> None:
    """Reset the outermost of Gymnasium's environments."""
    inner: set[int] = set()
    for each in held:
        if isinstance(each, gymnasium.Env) and id(each) not in inner:
            inner.update(map(id, _held(each)))
            each.reset(seed=seed)


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


def _is_source(thing: Any) -> bool:
    """Return whether something is a generator, or a space, which makes its own when something is drawn from it."""
    return isinstance(thing, _GENERATORS) or (
        not isinstance(thing, type)
        and all(callable(getattr(thing, name, None)) for name in ("sample", "seed", "contains"))
    )


def _reseed(source: Any, seeds: np.random.SeedSequence) -> None:
    number = int(seeds.generate_state(1)[0])
    if isinstance(source, np.random.Generator):
        source.bit_generator.state = type(source.bit_generator)(seeds).state
    elif isinstance(source, random.Random | np.random.RandomState):
        source.seed(number)
    else:
        source.seed(number % 2**31)
