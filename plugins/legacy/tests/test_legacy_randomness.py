"""An adapted environment's randomness: seeded, and apart from everyone else's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from rlhub_legacy.randomness import OwnRandomness


class Inner:
    def __init__(self) -> None:
        self.generator = np.random.default_rng()

    def step(self) -> float:
        return float(self.generator.random())


class Env:
    """Draws from everything there is."""

    def __init__(self) -> None:
        self.env, self.python, self.state = Inner(), random.Random(), np.random.RandomState()

    def draw(self) -> list[float]:
        return [random.random(), np.random.rand(), self.env.step(), self.python.random(), self.state.rand()]


def draws(randomness: OwnRandomness, env: Any, n: int) -> list[list[float]]:
    drawn = []
    for _ in range(n):
        with randomness():
            drawn.append(env.draw())
        random.random(), np.random.rand()  # someone else draws in between
    return drawn


def test_the_same_seed_gives_the_same_draws_whoever_else_draws() -> None:
    one, other = Env(), Env()
    first, second = OwnRandomness(one), OwnRandomness(other)
    first.seed(3)
    drawn = draws(first, one, 5)
    second.seed(3)
    random.seed(99)
    assert draws(second, other, 5) == drawn
    second.seed(4)
    assert all(a != b for a, b in zip(draws(second, other, 1)[0], drawn[0], strict=True))


def test_the_global_generators_are_as_if_it_had_not_drawn() -> None:
    env = Env()
    randomness = OwnRandomness(env)
    randomness.seed(3)
    random.seed(7)
    np.random.seed(7)
    expected = random.Random(7).random(), np.random.RandomState(7).rand()
    with randomness():
        env.draw()
    assert (random.random(), np.random.rand()) == expected


def test_a_seed_method_is_called_with_what_old_libraries_took() -> None:
    class Seeded(Env):
        got: int | None = None

        def seed(self, seed: int) -> None:
            self.got = seed

    env = Seeded()
    OwnRandomness(env).seed(2**40 + 5)
    assert env.got == 5
    silent = Seeded()
    OwnRandomness(silent, seed_method=False).seed(1)
    assert silent.got is None


class Slotted:
    """Has no attributes but in slots, a private one among them, and a generator that its class holds."""

    __slots__ = ("__mine", "never_set", "several", "table")
    shared = np.random.RandomState()

    def __init__(self) -> None:
        self.__mine, self.several, self.table = random.Random(), [np.random.default_rng()], {"a": random.Random()}

    def draw(self) -> list[float]:
        return [self.__mine.random(), self.several[0].random(), self.table["a"].random(), self.shared.rand()]


def test_generators_are_found_in_slots_lists_dicts_and_classes() -> None:
    env = Slotted()
    randomness = OwnRandomness(env)
    randomness.seed(3)
    drawn = draws(randomness, env, 2)
    randomness.seed(3)
    assert draws(randomness, env, 2) == drawn
