"""Learners with tables learn: what is known exactly, what Sutton & Barto's figures show, and never too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from rlhub_tabular.double_q_learning import DoubleQLearning
from rlhub_tabular.expected_sarsa import ExpectedSarsa
from rlhub_tabular.mdp import MDP
from rlhub_tabular.monte_carlo import MonteCarlo
from rlhub_tabular.q_learning import QLearning
from rlhub_tabular.sarsa import Sarsa
from rlhub_tabular.td_lambda import TDLambda

import rlhub_core as rlhub
from rlhub_core.evaluation import play
from rlhub_core.schedules import Linear

Maker = Callable[..., Any]
LEARNERS = (QLearning, DoubleQLearning, Sarsa, ExpectedSarsa, MonteCarlo, TDLambda)

# the decision process of Géron, Hands-On Machine Learning, 2nd ed., chapter 18
POSSIBLE = [[0, 1, 2], [0, 2], [1]]
CHANCES = [[[0.7, 0.3, 0], [1, 0, 0], [0.8, 0.2, 0]], [[0, 1, 0], None, [0, 0, 1]], [None, [0.8, 0.1, 0.1], None]]
REWARDS = [[[10, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, -50]], [[0, 0, 0], [40, 0, 0], [0, 0, 0]]]


def optimum(env: Any, discount: float = 1.0, horizon: int = 10_000) -> np.ndarray[Any, Any]:
    """Return [S] what the best policy returns within so many steps, by value iteration on the world's model."""
    model = env.unwrapped.P
    values = np.zeros(len(model))
    for _ in range(horizon):
        before = values
        values = np.array(
            [
                max(
                    sum(p * (reward + discount * (not over) * before[then]) for p, then, reward, over in model[s][a])
                    for a in model[s]
                    if model[s][a]
                )
                for s in range(len(model))
            ]
        )
        if np.abs(values - before).max() < 1e-12:
            break
    return values


class Unseeded(MDP):
    """A decision process that keeps the generator it was given."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset()


def test_a_known_run_of_q_learning_to_the_last_digit() -> None:
    """One generator draws action and next state in turn, as the book's notebook does."""
    draws = np.random.RandomState(42)
    env = Unseeded(CHANCES, REWARDS, POSSIBLE)
    env.np_random = draws  # type: ignore[assignment]
    run = rlhub.train(
        "tabular/q_learning",
        env,
        steps=10_000,
        config={
            "discount": 0.9,
            "learning_rate": lambda step: 0.05 / (1 + 0.005 * step),
            "behaviour": lambda observations, first: np.array([draws.choice(POSSIBLE[observations[0]])]),
        },
        progress=False,
    )
    algorithm: Any = run.algorithm
    known: Any = [
        [18.77621289, 17.2238872, 13.74543343],
        [0, -np.inf, -8.00485647],
        [-np.inf, 49.40208921, -np.inf],
    ]
    np.testing.assert_allclose(algorithm.q_values, known, rtol=0, atol=1e-7)
    assert algorithm.policy.tolist() == [0, 0, 1]
    assert algorithm.visits.sum() == 10_000


def test_its_policy_is_found_whatever_the_seed(learnt: Maker) -> None:
    for seed in range(20):
        config = {"discount": 0.9, "learning_rate": Linear(0.2, 0.01), "epsilon": 1.0}
        one = learnt(QLearning, lambda: MDP(CHANCES, REWARDS, POSSIBLE), 6_000, seed=seed, num_envs=8, **config)
        assert one.policy.tolist() == [0, 0, 1], seed


# small worlds


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_way_over_the_lake_is_found(learnt: Maker, kind: Any) -> None:
    one = learnt(kind, lambda: gymnasium.make("FrozenLake-v1", is_slippery=False), 8_000)
    evaluation = play(one.actor(), rlhub.make_vec("FrozenLake-v1", 1, is_slippery=False), 1, seed=0)
    assert (evaluation.mean, evaluation.lengths) == (1.0, (6,))


@pytest.mark.parametrize(("kind", "lengths"), [(QLearning, {13}), (Sarsa, {15, 17}), (ExpectedSarsa, {15, 17})])
def test_q_learning_walks_along_the_cliff_and_sarsa_does_not(learnt: Maker, kind: Any, lengths: set[int]) -> None:
    """Sutton & Barto, figure 6.5."""
    config = {"epsilon": 0.1, "learning_rate": 0.5 if kind is not Sarsa else Linear(0.5, 0.02), "discount": 1.0}
    one = learnt(kind, "CliffWalking-v1", 24_000, **config)
    evaluation = play(one.actor(), rlhub.make_vec("CliffWalking-v1", 1), 1, seed=0, longest_episode=100)
    assert set(evaluation.lengths) <= lengths
    assert evaluation.mean == -evaluation.lengths[0]


@pytest.mark.parametrize("kind", LEARNERS)
def test_no_learner_is_better_than_the_best(learnt: Maker, kind: Any) -> None:
    best = optimum(gymnasium.make("FrozenLake-v1"), horizon=100)[0]  # steps that an episode may last
    rates = {"learning_rate": Linear(0.2, 0.01), "epsilon": Linear(1.0, 0.1)}
    one = learnt(kind, "FrozenLake-v1", 40_000, seed=1, num_envs=20, **rates)
    returns = play(one.actor(), rlhub.make_vec("FrozenLake-v1", 50), 400, seed=1).returns
    margin = 3 * np.std(returns) / np.sqrt(len(returns))
    assert 0.2 < np.mean(returns) <= best + margin  # by chance it is 0.015
    reachable = optimum(gymnasium.make("FrozenLake-v1"), 0.99)
    assert one.values.max() <= reachable.max() + 0.1


class Bias(gymnasium.Env[Any, Any]):
    """Sutton & Barto, example 6.7: right ends with 0, left leads to ten ends with normal rewards of mean -0.1."""

    observation_space, action_space = Discrete(3), Discrete(10)
    P = {0: {a: [(1.0, 1 + a, 0.0, a == 1)] * (a < 2) for a in range(10)}}
    P |= {state: {a: [(1.0, 2, -0.1, True)] for a in range(10)} for state in (1, 2)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action: Any) -> Any:
        if self.state == 1:
            return 2, float(self.np_random.normal(-0.1, 1.0)), True, False, {}
        self.state = 1 + int(action)
        return self.state, 0.0, self.state == 2, False, {}


def test_double_q_learning_is_not_taken_in_by_luck(learner: Maker) -> None:
    """Figure 6.7: Q-learning prefers left at first, by the maximum over ten noisy values."""
    lefts = {}
    for kind in (QLearning, DoubleQLearning):
        starts = left = 0
        for seed in range(30):
            one, collector = learner(kind, Bias, seed=seed, epsilon=0.1, learning_rate=0.1, discount=1.0)
            for progress in one.train(collector, 250):
                for episode in progress.episodes:
                    starts, left = starts + 1, left + (episode.length == 2)
        lefts[kind] = left / starts
    assert lefts[QLearning] > lefts[DoubleQLearning] + 0.15
    assert lefts[DoubleQLearning] < 0.4


def test_optimism_explores_without_epsilon(learnt: Maker) -> None:
    make = lambda: gymnasium.make("FrozenLake-v1", is_slippery=False)  # noqa: E731
    hopeful = learnt(QLearning, make, 1_500, epsilon=0.0, initial_value=1.0, learning_rate=0.5, discount=0.9)
    assert play(hopeful.actor(), rlhub.make_vec(make, 1), 1, seed=0).lengths == (6,)
    assert (hopeful.visits[[0, 1, 4]] > 0).all()


def test_blackjack_is_played_well(learnt: Maker) -> None:
    one = learnt(MonteCarlo, "Blackjack-v1", 30_000, num_envs=20, discount=1.0)
    returns = play(one.actor(), rlhub.make_vec("Blackjack-v1", 50), 1_500, seed=3).returns
    assert np.mean(returns) > -0.15  # the best is -0.04; a fair coin loses 0.4


def test_a_pole_is_balanced_in_bins(learnt: Maker) -> None:
    env = rlhub.EnvironmentSource.of(
        "CartPole-v1", wrappers=["tabular/bins:bins=[1,4,10,6],low=[-2.4,-3,-0.21,-3],high=[2.4,3,0.21,3]"]
    )
    one = learnt(QLearning, env, 60_000, num_envs=8, epsilon=Linear(1.0, 0.0, 40_000), learning_rate=Linear(0.5, 0.05))
    assert play(one.actor(), env.make_vec(8), 16, seed=0).mean > 100
