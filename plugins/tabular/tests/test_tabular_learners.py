"""Learners with tables: their updates against numbers worked by hand, and what all of them promise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from rlhub_tabular.double_q_learning import DoubleQLearning
from rlhub_tabular.expected_sarsa import ExpectedSarsa
from rlhub_tabular.monte_carlo import MonteCarlo
from rlhub_tabular.q_learning import QLearning
from rlhub_tabular.sarsa import Sarsa
from rlhub_tabular.table import discounted_returns, epsilon_greedy, expected_value, move
from rlhub_tabular.td_lambda import TDLambda, along_traces

import rlhub_core as rlhub
from rlhub_core import ConfigError, SpaceError
from rlhub_core.schedules import Linear
from rlhub_core.testing import check_exact_resume

Maker = Callable[..., Any]
LEARNERS = (QLearning, DoubleQLearning, Sarsa, ExpectedSarsa, MonteCarlo, TDLambda)
ENDINGS = ("terminated", "truncated")


def chain(world: Maker, ending: str) -> Callable[[], Any]:
    """Return a maker of states 0, 1, 2: action 0 stays, for -1, in state 0; action 1 goes on, for 2 and then for 4."""
    end = (1.0, 2, 4.0, ending == "terminated", ending == "truncated")
    stay, on, back = (1.0, 0, -1.0, False, False), (1.0, 1, 2.0, False, False), (1.0, 0, 0.0, False, False)
    return lambda: world([[[stay], [on]], [[back], [end]], [[end], [end]]])


def script(*actions: int) -> Callable[[Any, Any], Any]:
    """Return a behaviour that says these one after another, and 1 in the last state, from which none is taken."""
    left = iter(actions)
    return lambda observations, first: np.array([1 if observations[0] == 2 else next(left)])


class Coins:
    """A generator whose coins are known."""

    def __init__(self, *sides: int) -> None:
        self.sides = iter(sides)

    def integers(self, low: int, high: int, size: int) -> Any:
        return np.array([next(self.sides)])


# the updates, from tables of 8 with α = γ = 1/2

BY_HAND: dict[str, tuple[Any, Sequence[int], dict[str, Any], Sequence[Sequence[float]], Sequence[Sequence[float]]]] = {
    # Q01 = 8 + (2 + 8/2 - 8)/2 = 7; Q11 = 8 + (4 - 8)/2 = 6, or 8; Q00 = 8 + (-1 + max(8, 7)/2 - 8)/2 = 5.5;
    # Q01 = 7 + (2 + max(8, 6)/2 - 7)/2 = 6.5; Q11 = 6 + (4 - 6)/2 = 5, or 8
    "q_learning": (QLearning, (1, 1, 0, 1, 1), {}, [[5.5, 6.5], [8, 5], [8, 8]], [[5.5, 6.5], [8, 8], [8, 8]]),
    # Q00 = 8 + (-1 + 7/2 - 8)/2 = 5.25, for 1 comes next; Q01 = 7 + (2 + 6/2 - 7)/2 = 6, or 7 + (2 + 8/2 - 7)/2 = 6.5
    "sarsa": (Sarsa, (1, 1, 0, 1, 1, 1), {}, [[5.25, 6], [8, 5], [8, 8]], [[5.25, 6.5], [8, 8], [8, 8]]),
    # with ε = 1/2: V0 = 7.5/2 + 8/2 = 7.75, Q00 = 8 + (-1 + 7.75/2 - 8)/2; V1 = 7/2 + 8/2, Q01 = 7 + (2 + 7.5/2 - 7)/2
    "expected_sarsa": (
        ExpectedSarsa,
        (1, 1, 0, 1, 1),
        {"epsilon": 0.5},
        [[5.4375, 6.375], [8, 5], [8, 8]],
        [[5.4375, 6.5], [8, 8], [8, 8]],
    ),
    # returns of 1, 1: 2 + 4/2 = 4 and 4; of 0, 0, 1, 1: -1 + 1/2, -1 + 4/2, 4, 4.
    # Truncated, 8 follows: 6 and 8; 0, 2, 6, 8
    "first visits": (
        MonteCarlo,
        (1, 1, 0, 0, 1, 1),
        {"learning_rate": None},
        [[-0.5, 4], [8, 4], [8, 8]],
        [[0, 6], [8, 8], [8, 8]],
    ),
    "every visit": (
        MonteCarlo,
        (1, 1, 0, 0, 1, 1),
        {"learning_rate": None, "first_visit": False},
        [[0.25, 4], [8, 4], [8, 8]],
        [[1, 6], [8, 8], [8, 8]],
    ),
    # first visits with α = 1/2: Q01 = 8 - 2 - 1, Q11 the same, Q00 = (8 - 0.5)/2;
    # or Q01 = 8 - 1 - 0.5, Q11 = 8, Q00 = 4
    "constant": (
        MonteCarlo,
        (1, 1, 0, 0, 1, 1),
        {},
        [[3.75, 5], [8, 5], [8, 8]],
        [[4, 6.5], [8, 8], [8, 8]],
    ),
    # λ = 1/2, so traces shrink by 1/4. δ = -5, Q00 = 8 - 2.5; δ = -1 + 8/2 - 5.5 = -2.5, Q00 = 5.5 - 1.25 (z = 1);
    # δ = 2 + 8/2 - 8 = -2, Q01 = 7, Q00 = 4.25 - 1/4; δ = 4 - 8, Q11 = 6, Q01 = 7 - 2/4, Q00 = 4 - 2/16; or δ = 0.
    # Then a new episode without traces: Q01 = 6.5 + (2 + 6/2 - 6.5)/2, or 7 + (2 + 8/2 - 7)/2
    "replacing traces": (
        TDLambda,
        (0, 0, 1, 1, 1, 1),
        {"trace": 0.5, "replacing": True},
        [[3.875, 5.75], [8, 6], [8, 8]],
        [[4, 6.5], [8, 8], [8, 8]],
    ),
    # as before, with z = 1.25 the second time: Q00 = 5.5 - 1.25 * 1.25 = 3.9375, - 0.3125, - 2 * 0.078125
    "accumulating traces": (
        TDLambda,
        (0, 0, 1, 1, 1, 1),
        {"trace": 0.5, "replacing": False},
        [[3.46875, 5.75], [8, 6], [8, 8]],
        [[3.625, 6.5], [8, 8], [8, 8]],
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", BY_HAND)
def test_updates_by_hand(world: Maker, learner: Maker, case: str, ending: str) -> None:
    kind, actions, config, terminated, truncated = BY_HAND[case]
    config = {"learning_rate": 0.5, **config}
    steps = len(actions) - (kind in (Sarsa, TDLambda))  # which draw the next action too
    one, collector = learner(
        kind, chain(world, ending), discount=0.5, initial_value=8.0, behaviour=script(*actions), **config
    )
    assert [progress.steps for progress in one.train(collector, steps)] == list(range(1, steps + 1))
    assert one.q_values.tolist() == (terminated if ending == "terminated" else truncated)


@pytest.mark.parametrize("ending", ENDINGS)
def test_double_q_learning_by_hand(world: Maker, learner: Maker, ending: str) -> None:
    """Coins 0 0 1 1 1 0 1; the sixth and seventh step tell it from Q-learning.

    6: argmax Q₁(0) = 0 is worth Q₂(0, 0) = 5.5, not 8: Q₁(0, 0) = 8 + (-1 + 5.5/2 - 8)/2;
    7: argmax Q₂(0) = 1 is worth Q₁(0, 1) = 7: Q₂(0, 0) = 5.5 + (-1 + 7/2 - 5.5)/2.
    """
    behaviour = script(1, 1, 0, 1, 1, 0, 0)
    config = {"learning_rate": 0.5, "discount": 0.5, "initial_value": 8.0, "behaviour": behaviour}
    one, collector = learner(DoubleQLearning, chain(world, ending), **config)
    one.rng = Coins(0, 0, 1, 1, 1, 0, 1)
    list(one.train(collector, 7))
    last = 6 if ending == "terminated" else 8
    assert one.q.tolist() == [[[4.875, 7], [8, last], [8, 8]], [[4, 7], [8, last], [8, 8]]]
    assert one.q_values.tolist() == [[4.4375, 7], [8, last], [8, 8]]
    assert one.visits.tolist() == [[3, 2], [0, 2], [0, 0]]


def test_the_learning_rate_is_read_before_the_step(world: Maker, learner: Maker) -> None:
    seen: list[int] = []

    def rate(step: int) -> float:
        seen.append(step)
        return 0.5

    one, collector = learner(QLearning, chain(world, "terminated"), learning_rate=rate, epsilon=Linear(1.0, 0.0, 3))
    list(one.train(collector, 4))
    assert seen == [0, 1, 2, 3]


# moving many at once


@pytest.mark.parametrize("rate", [None, 0.3, 1.0])
def test_many_updates_of_one_entry_are_the_mean_over_their_orders(rate: float | None) -> None:
    targets, places = np.array([1.0, -2.0, 5.0, 7.0, 3.0]), np.array([2, 0, 2, 2, 0])
    values, visits = np.array([4.0, 9.0, -1.0]), np.array([1, 3, 2])
    orders = []
    for order in itertools.permutations(range(5)):
        one, seen = values.copy(), visits.copy()
        for index in order:
            place = places[index]
            seen[place] += 1
            one[place] += (1 / seen[place] if rate is None else rate) * (targets[index] - one[place])
        orders.append(one)
    error = move(values, visits, places, targets, rate)
    np.testing.assert_allclose(values, np.mean(orders, 0), rtol=1e-14)
    assert visits.tolist() == [3, 3, 5]
    assert error == pytest.approx(np.mean([2, 6, 6, 8, 1]))


@pytest.mark.parametrize("rate", [None, 0.1])
def test_updates_of_different_entries_are_the_textbooks_to_the_last_bit(rate: float | None) -> None:
    rng = np.random.default_rng(0)
    values, visits = rng.normal(size=50), rng.integers(0, 9, 50)
    places, targets = rng.permutation(50)[:20], rng.normal(size=20)
    one, seen = values.copy(), visits.copy()
    for place, target in zip(places, targets, strict=True):
        move(one, seen, np.array([place]), np.array([target]), rate)
        plain = values[place] + (1 / (visits[place] + 1) if rate is None else rate) * (target - values[place])
        assert one[place] == plain
    move(values, visits, places, targets, rate)
    assert np.array_equal(values, one)
    assert np.array_equal(visits, seen)


def test_traces_of_many_without_a_past_are_moves() -> None:
    rng = np.random.default_rng(0)
    places, errors = np.array([1, 3, 1, 1, 0]), rng.normal(size=5)
    values = rng.normal(size=4)
    moved = values.copy()
    move(moved, np.zeros(4, int), places, values[places] + errors, 0.3)
    np.testing.assert_allclose(values + along_traces(np.eye(4)[places], errors, 0.3), moved, rtol=1e-14)
    alone = along_traces(np.eye(4)[places[:1]] * 0.7, errors[:1], 0.3)
    assert alone.tolist() == [0, 0.3 * errors[0] * 0.7, 0, 0]


def test_many_environments_learn_what_one_learns(world: Maker, learnt: Maker) -> None:
    """In a deterministic world with one behaviour every target of a state and action is the same in the end."""
    for kind in (QLearning, Sarsa, ExpectedSarsa, MonteCarlo, TDLambda):
        config = {
            "learning_rate": 0.5,
            "discount": 0.5,
            "epsilon": 0.0,
            "behaviour": lambda o, first: np.ones(len(o), int),
        }
        many = learnt(kind, chain(world, "terminated"), 7 * 40, num_envs=7, **config)
        np.testing.assert_allclose(many.q_values, [[0, 4], [0, 4], [0, 0]], atol=1e-6)
        assert many.visits.tolist() == [[0, 140], [0, 140], [0, 0]]


# who plays


@pytest.mark.parametrize("copies", [1, 5])
def test_epsilon_greedy_draws_the_best_and_the_possible(copies: int) -> None:
    values = np.array([[3.0, 1.0, -np.inf, 3.0, -7.0]] * copies)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([epsilon_greedy(values, 0.4, rng) for _ in range(20_000 // copies)])
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(shares, [0.4, 0.1, 0, 0.4, 0.1], atol=0.015)
    assert shares[2] == 0
    assert expected_value(values, 0.4) == pytest.approx([0.4 * 3 + 0.1 + 0.4 * 3 - 0.7] * copies)


def test_impossible_actions_are_never_tried(world: Maker, learner: Maker) -> None:
    on, end = [(1.0, 1, 0.0, False, False)], [(1.0, 0, 1.0, True, False)]
    for kind in LEARNERS:
        for num_envs in (1, 3):
            one, collector = learner(kind, lambda: world([[on, []], [[], end]]), num_envs=num_envs, epsilon=1.0)
            next(one.train(collector, 300))
            assert np.isneginf(one.q_values).tolist() == [[False, True], [True, False]]
            list(one.train(collector, 300))  # the world itself objects to what is impossible
            assert np.isfinite(one.q_values).tolist() == [[True, False], [False, True]]
            assert one.policy.tolist() == [0, 1]
            assert one.values == pytest.approx([0.99, 1.0], abs=0.2)


def test_the_actor_is_deterministic_and_the_exploring_one_draws_apart(learnt: Maker) -> None:
    for kind in LEARNERS:
        one = learnt(kind, "FrozenLake-v1", 200, num_envs=2)
        states, first = np.arange(16), np.zeros(16, bool)
        before = one.rng.bit_generator.state
        assert (one.actor()(states, first) == one.policy).all()
        one.config = type(one.config)(epsilon=1.0)
        explored = [one.actor(explore=True)(states, first).tolist() for _ in range(2)]
        assert explored[0] == explored[1] != one.policy.tolist()
        assert one.rng.bit_generator.state == before


def test_actions_and_states_may_start_elsewhere(world: Maker, learnt: Maker) -> None:
    class Shifted(gymnasium.Wrapper[Any, Any, Any, Any]):
        def __init__(self, env: Any) -> None:
            super().__init__(env)
            self.observation_space, self.action_space = Discrete(3, start=5), Discrete(2, start=-1)

        def reset(self, **options: Any) -> Any:
            return self.env.reset(**options)[0] + 5, {}

        def step(self, action: Any) -> Any:
            state, *rest = self.env.step(action + 1)
            return state + 5, *rest

    config = {"learning_rate": 0.5, "discount": 0.5}
    for kind in LEARNERS:
        shifted = learnt(kind, lambda: Shifted(chain(world, "terminated")()), 100, **config)
        plain = learnt(kind, chain(world, "terminated"), 100, **config)
        assert shifted.policy.tolist() == (plain.policy - 1).tolist()
        assert shifted.q_values.tolist() == plain.q_values.tolist()
        assert shifted.actor()(np.array([5, 6]), None).tolist() == shifted.policy[:2].tolist()


@pytest.mark.parametrize(
    ("gives", "problem"),
    [
        ([0, 1], r"for 1 observations it must give actions of shape \(1,\), not \(2,\)"),
        ([2], "must be whole numbers from 0 to 1; it gave"),
        ([-1], "must be whole numbers from 0 to 1; it gave"),
        ([0.5], "must be whole numbers from 0 to 1; it gave"),
        ([1], "in states .0. it gave .1., where not all of them are possible"),
    ],
)
def test_a_behaviour_of_wrong_actions_is_refused(world: Maker, learner: Maker, gives: Any, problem: str) -> None:
    one, collector = learner(
        QLearning, lambda: world([[[(1.0, 0, 0.0, False, False)], []]]), behaviour=lambda o, f: np.array(gives)
    )
    with pytest.raises(ConfigError, match=f"behaviour: .*{problem}"):
        next(one.train(collector, 1))


@pytest.mark.parametrize("kind", LEARNERS)
def test_nothing_is_asked_of_terminal_states(world: Maker, learner: Maker, kind: Any) -> None:
    """Environments side by side end in both ways at once; where one terminates nothing is possible."""
    ways = [[(0.5, 1, 1.0, True, False), (0.25, 0, 1.0, False, True), (0.25, 1, 1.0, True, True)]]
    for behaviour in (None, lambda observations, first: np.array([[0][seen] for seen in observations])):
        for num_envs in (1, 5):
            config = {"behaviour": behaviour, "epsilon": 1.0}
            one, collector = learner(kind, lambda: world([ways, [[]]]), num_envs=num_envs, **config)
            list(one.train(collector, 200))
            assert one.q_values[1].tolist() == [-np.inf]
            assert one.values == pytest.approx([1 / (1 - 0.99 / 4), 0], abs=0.5)


@pytest.mark.parametrize("kind", [Sarsa, MonteCarlo, TDLambda])
@pytest.mark.parametrize("num_envs", [1, 2])
def test_after_a_truncation_the_policy_is_asked_what_it_would_have_done(
    world: Maker, learner: Maker, kind: Any, num_envs: int
) -> None:
    """In state 1 it takes action 1, which is worth 20; in state 0, where it goes on, action 0."""
    cut_off = [(1.0, 1, 4.0, False, True)]
    make = lambda: world([[cut_off, cut_off], [cut_off, cut_off]])  # noqa: E731
    config = {"behaviour": lambda observations, first: np.asarray(observations), "learning_rate": 1.0, "discount": 0.5}
    one, collector = learner(kind, make, num_envs=num_envs, **config)
    one.q[1] = 10, 20
    next(one.train(collector, num_envs))
    assert one.q_values.tolist() == [[4 + 20 / 2, 0], [10, 20]]


# what is learnt of a policy


@pytest.mark.parametrize("kind", [Sarsa, MonteCarlo, TDLambda])
@pytest.mark.parametrize("num_envs", [1, 4])
def test_a_behaviour_is_evaluated(learnt: Maker, kind: Any, num_envs: int) -> None:
    """Sutton & Barto, example 6.2: on five states between two ends the values are 1/6 to 5/6."""

    class Walk(gymnasium.Env[Any, Any]):
        observation_space, action_space = Discrete(7), Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.state = 3
            return 3, {}

        def step(self, action: Any) -> Any:
            self.state += 2 * int(action) - 1
            return self.state, float(self.state == 6), self.state in (0, 6), False, {}

    rng = np.random.default_rng(1)
    config: dict[str, Any] = {"behaviour": lambda o, first: rng.integers(0, 2, len(o)), "discount": 1.0}
    rate = None if kind is MonteCarlo else Linear(0.5, 0.005)
    one = learnt(kind, Walk, 16_000, num_envs=num_envs, learning_rate=rate, **config)
    np.testing.assert_allclose(one.values[1:6], np.arange(1, 6) / 6, atol=0.06)
    assert one.values[[0, 6]].tolist() == [0, 0]


def test_discounted_returns_by_hand() -> None:
    rewards = np.array([1.0, 2.0, 4.0])
    assert discounted_returns(rewards, 0.5).tolist() == [3, 4, 4]
    assert discounted_returns(rewards, 0.5, 8.0).tolist() == [4, 6, 8]
    assert discounted_returns(rewards[:0], 0.5).tolist() == []


# the run


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("q_learning", {}),
        ("q_learning", {"learning_rate": None, "initial_value": 2.0, "discount": "linear(0.5, 1.0)"}),
        ("double_q_learning", {}),
        ("double_q_learning", {"learning_rate": None}),
        ("sarsa", {}),
        ("sarsa", {"learning_rate": None}),
        ("expected_sarsa", {"learning_rate": "linear(1.0, 0.1)"}),
        ("monte_carlo", {}),
        ("monte_carlo", {"first_visit": False, "learning_rate": 0.1}),
        ("td_lambda", {}),
        ("td_lambda", {"replacing": False, "learning_rate": None, "trace": "linear(1.0, 0.5)"}),
    ],
)
def test_a_resumed_run_is_the_run(name: str, config: dict[str, Any], num_envs: int) -> None:
    check_exact_resume(f"tabular/{name}", "FrozenLake-v1", steps=502, num_envs=num_envs, config=config, log_every=50)


@pytest.mark.parametrize("kind", LEARNERS)
def test_other_environments_begin_other_episodes(world: Maker, learner: Maker, kind: Any) -> None:
    one, collector = learner(kind, chain(world, "terminated"), epsilon=1.0)
    progress = one.train(collector, 100)
    while collector.first[0]:
        next(progress)
    _, fresh = learner(kind, chain(world, "terminated"), seed=5)
    next(one.train(fresh, 101))
    if kind is Sarsa:
        assert one.where[0].tolist() == fresh.observations.tolist()
    if kind is MonteCarlo:
        assert len(one.running.state()["places"]) <= 1
    if kind is TDLambda:
        assert (one.traces > 0).sum() <= 1


def test_a_tuple_of_numbers_is_learnt_evaluated_and_resumed() -> None:
    check_exact_resume("tabular/q_learning", "Blackjack-v1", steps=300, num_envs=2)
    run = rlhub.train("tabular/monte_carlo", "Blackjack-v1", steps=200, num_envs=2, progress=False)
    algorithm: Any = run.algorithm
    assert algorithm.q_values.shape == (32 * 11 * 2, 2)
    assert rlhub.evaluate(run, episodes=10).lengths == rlhub.evaluate(rlhub.load(run.folder), episodes=10).lengths


@pytest.mark.parametrize("name", ["q_learning", "monte_carlo", "td_lambda"])
def test_a_continuous_environment_is_refused_with_a_way_out(name: str) -> None:
    advice = r"The wrapper tabular/bins makes a Box discrete: --wrapper tabular/bins:bins=10\."
    with pytest.raises(
        SpaceError, match=f"tabular/{name} needs a Discrete.* observation space; CartPole-v1 .*{advice}"
    ):
        rlhub.train(f"tabular/{name}", "CartPole-v1", steps=10)


def test_a_table_that_fits_no_memory_is_refused() -> None:
    with pytest.raises(SpaceError, match="would have 1,000,000,000 states; use fewer, such as fewer bins"):
        QLearning(
            Discrete(10**9),
            Discrete(4),
            QLearning.Config(),
            seed=0,
            total_steps=1,
        )
