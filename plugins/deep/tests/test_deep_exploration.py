"""How the family explores: ε, Boltzmann, noise; and that it acts without."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from rlhub_deep.c51 import C51
from rlhub_deep.dqn import DQN, DQNConfig
from rlhub_deep.exploration import Wandering
from rlhub_deep.noisy import NoisyLinear
from rlhub_deep.qrdqn import QRDQN

from rlhub_core.schedules import Linear

Maker = Callable[..., Any]


def zeta(exponent: float) -> float:
    """Return the sum of n ** -exponent over all n: a million terms, and the integral of the rest."""
    terms = 1_000_000
    return float((np.arange(1, terms + 1) ** -exponent).sum() + (terms + 0.5) ** (1 - exponent) / (exponent - 1))


def made(action_space: Any = None, **config: Any) -> DQN:
    space = Box(-1, 1, (2,), np.float32)
    return DQN(space, action_space or Discrete(3), DQNConfig(**config), seed=0, total_steps=100, device="cpu")


def test_exploration_follows_its_schedule_and_acting_does_not_explore() -> None:
    algorithm = made(epsilon=Linear(1.0, 0.0, 100))
    observations, first = np.zeros((1_000, 2), np.float32), np.zeros(1_000, np.bool_)
    greedy = algorithm.actor()(observations, first)
    assert len(set(greedy.tolist())) == 1
    for step, share in ((0, 2 / 3), (50, 1 / 3), (100, 0.0)):
        algorithm.steps = step
        wandering = algorithm.actor(explore=True)(observations, first) != greedy
        assert wandering.mean() == pytest.approx(share, abs=0.06)


def test_random_actions_may_last() -> None:
    wandering, rng = Wandering(4), np.random.default_rng(0)
    first = np.zeros(2_000, np.bool_)
    taken = np.array([wandering.step(rng, first, 1.0, 30) for _ in range(200)])  # [200, who and what, 2,000]
    assert taken[:, 0].all()
    changes = np.diff(taken[:, 1], axis=0) != 0
    weights = np.arange(1, 30) ** -1.5
    lengths = np.append(weights, zeta(1.5) - weights.sum()) / zeta(1.5)  # what would last longer is cut off at 30
    mean = (lengths * np.arange(1, 31)).sum()
    assert changes.mean() == pytest.approx(0.75 / mean, rel=0.03)  # a quarter of new actions are the old one
    runs = [len(list(same)) for column in taken[:, 1].T[:200] for _, same in groupby(column)]
    assert max(runs) >= 30


def test_an_episode_ends_what_lasted() -> None:
    wandering, rng = Wandering(4), np.random.default_rng(0)
    first = np.zeros(500, np.bool_)
    wandering.step(rng, first, 1.0, 1_000)
    assert wandering.step(rng, first, 0.0, 1_000)[0].sum() > 200
    half = np.arange(500) < 250
    wanders = wandering.step(rng, half, 0.0, 1_000)[0]
    assert not wanders[:250].any()
    assert wanders[250:].any()


def test_plain_exploration_draws_anew_at_each_step() -> None:
    wandering, rng = Wandering(4), np.random.default_rng(0)
    first = np.zeros(20_000, np.bool_)
    one, other = (wandering.step(rng, first, 0.3, 1) for _ in range(2))
    assert other[0].mean() == pytest.approx(0.3, abs=0.01)
    assert (one[0] & other[0]).mean() == pytest.approx(0.09, abs=0.01)
    both = one[0] & other[0]
    assert (one[1] == other[1])[both].mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("epsilon", "temperature"), [(0.0, 0.5), (0.0, 2.0), (0.4, 0.5), (0.0, Linear(1.0, 0.0, 100)), (0.0, None)]
)
def test_temperature_draws_from_the_softmax(tabular: Maker, epsilon: float, temperature: Any) -> None:
    values = [1.0, 0.0, 1.6]
    algorithm = tabular(DQN, [values] * 4, actions=3, epsilon=epsilon, temperature=temperature)
    algorithm.steps = 50
    actions = algorithm.actor(explore=True)(np.zeros(20_000, np.int64), np.zeros(20_000, np.bool_))
    at = temperature(50) if callable(temperature) else temperature
    softmax = np.exp(np.array(values) / at) if at else np.array([0, 0, 1.0])
    expected = epsilon / 3 + (1 - epsilon) * softmax / softmax.sum()
    np.testing.assert_allclose(np.bincount(actions, minlength=3) / 20_000, expected, atol=0.015)
    assert set(algorithm.actor()(np.zeros(99, np.int64), np.zeros(99, np.bool_)).tolist()) == {2}


def test_noise_explores_alone() -> None:
    algorithm = made(noisy=True, epsilon=0.0)
    observations, first = np.ones((1, 2), np.float32), np.zeros(1, np.bool_)
    explore, greedy = algorithm.actor(explore=True), algorithm.actor()
    chosen = [int(explore(observations, first)[0]) for _ in range(60)]
    assert len(set(chosen)) > 1
    assert len({int(greedy(observations, first)[0]) for _ in range(60)}) == 1
    assert chosen == [int(act(observations, first)[0]) for act in [algorithm.actor(explore=True)] for _ in range(60)]
    quiet = made(epsilon=0.0).actor(explore=True)
    assert len({int(quiet(observations, first)[0]) for _ in range(60)}) == 1


@pytest.mark.parametrize("noisy", [False, True])
def test_noise_explores_while_it_learns(play: Maker, noisy: bool) -> None:
    config = DQNConfig(noisy=noisy, epsilon=0.0, learning_starts=10**6)
    algorithm = DQN(Discrete(4), Discrete(2), config, seed=0, total_steps=100)
    for _ in play(algorithm, 90):
        pass
    assert algorithm.replay is not None
    batch = algorithm.replay.sample(500, np.random.default_rng(0))
    chosen = [set(batch.action[batch.observation == state].tolist()) for state in range(3)]
    assert max(map(len, chosen)) == 1 + noisy


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", [DQN, C51, QRDQN])
def test_every_use_of_a_noisy_network_draws_anew(
    fill: Maker, kind: Any, double: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kind.Config(noisy=True, double=double, hidden_sizes=(8,), learning_starts=10**6)
    algorithm = fill(kind(Discrete(4), Discrete(2), config, seed=0, total_steps=100))
    drawn: list[tuple[float, ...]] = []
    draw = NoisyLinear.draw

    def noted(layer: NoisyLinear, rng: np.random.Generator) -> None:
        assert rng is algorithm.rng
        draw(layer, rng)
        assert layer.noise is not None
        drawn.append(tuple(layer.noise[0].tolist()))

    monkeypatch.setattr(NoisyLinear, "draw", noted)
    algorithm.learn()
    networks = 3 if double else 2  # what is learnt, its target, and the choice of the target's action
    assert len(drawn) == len(set(drawn)) == 2 * networks
    algorithm.learn()
    assert len(set(drawn)) == 4 * networks


def test_actions_begin_where_the_space_begins() -> None:
    actions = made(Discrete(3, start=5), epsilon=1.0).actor(explore=True)(
        np.zeros((99, 2), np.float32), np.zeros(99, bool)
    )
    assert set(actions.tolist()) == {5, 6, 7}
