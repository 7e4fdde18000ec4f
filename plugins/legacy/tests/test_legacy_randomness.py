"""An adapted environment's randomness: seeded, and apart from everyone else's."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium import spaces
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
    __slots__ = ("__hidden", "empty")

    def __init__(self) -> None:
        self.__hidden = np.random.RandomState()

    def draw(self) -> float:
        return float(self.__hidden.rand())


class Helper:
    """No environment, and holds what holds it."""

    shared = np.random.RandomState(0)  # one for all objects of the class

    def __init__(self, env: Any) -> None:
        self.env = env
        self.many = [random.Random(), {"a": np.random.default_rng()}]
        self.space = spaces.Discrete(10**9)


class Scattered(Env):
    def __init__(self) -> None:
        super().__init__()
        self.slotted, self.helper = Slotted(), Helper(self)

    def draw(self) -> list[float]:
        python, generators = self.helper.many
        return [
            self.slotted.draw(),
            python.random(),  # type: ignore[attr-defined]
            generators["a"].random(),  # type: ignore[index]
            self.helper.shared.rand(),
            float(self.helper.space.sample()),
        ]


def test_generators_are_found_wherever_they_are_held() -> None:
    one, other = Scattered(), Scattered()
    first, second = OwnRandomness(one), OwnRandomness(other)
    first.seed(3)
    second.seed(3)
    for _ in range(3):  # in turns, as environments side by side draw
        drawn = draws(first, one, 1)
        assert draws(second, other, 1) == drawn
    second.seed(4)
    assert all(a != b for a, b in zip(draws(second, other, 1)[0], drawn[0], strict=True))
    assert Helper.shared.rand() == np.random.RandomState(0).rand()  # the class's own is left alone


def test_no_two_generators_draw_the_same() -> None:
    env = Env()
    env.state, env.python = np.random.RandomState(), random.Random()
    env.other_state, env.other_python = np.random.RandomState(), random.Random()  # type: ignore[attr-defined]
    OwnRandomness(env).seed(3)
    assert env.state.rand() != env.other_state.rand()  # type: ignore[attr-defined]
    assert env.python.random() != env.other_python.random()  # type: ignore[attr-defined]


def test_a_wrapper_without_seed_has_that_of_what_it_wraps() -> None:
    got: list[int] = []
    inner = SimpleNamespace(step=print, seed=got.append)
    OwnRandomness(SimpleNamespace(wrapped=SimpleNamespace(step=print, seed=7, env=inner))).seed(5)
    assert got == [5]
