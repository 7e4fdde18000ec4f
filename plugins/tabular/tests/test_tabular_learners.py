"""Learners with tables: their updates against numbers worked by hand, and what all of them promise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete, Tuple
from rlhub_tabular import table
from rlhub_tabular.double_q_learning import DoubleQLearning
from rlhub_tabular.expected_sarsa import ExpectedSarsa
from rlhub_tabular.monte_carlo import MonteCarlo
from rlhub_tabular.q_learning import QLearning
from rlhub_tabular.sarsa import Sarsa
from rlhub_tabular.states import States
from rlhub_tabular.table import discounted_returns, epsilon_greedy, expected_value, move
from rlhub_tabular.td_lambda import TDLambda, along_traces

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError, SpaceError
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


@pytest.mark.parametrize(("kind", "seen"), [(QLearning, [0, 1, 2, 3]), (Sarsa, [0, 1, 2, 3, 4]), (TDLambda, range(5))])
def test_epsilon_is_read_before_the_step_that_it_is_of(
    world: Maker, learner: Maker, kind: Any, seen: Sequence[int]
) -> None:
    asked: list[int] = []

    def epsilon(step: int) -> float:
        asked.append(step)
        return 1.0

    one, collector = learner(kind, chain(world, "terminated"), epsilon=epsilon)
    list(one.train(collector, 4))
    assert asked == [*seen]


@pytest.mark.parametrize("kind", [Sarsa, MonteCarlo, TDLambda])
def test_what_a_cut_off_episode_would_have_done_is_drawn_with_the_next_epsilon(
    world: Maker, learner: Maker, kind: Any
) -> None:
    """ε is 1 in the first step only: of the action after it the best one's value, 8, is taken."""
    cut_off = [(1.0, 1, 0.0, False, True)]
    for seed in range(8):
        make = lambda: world([[cut_off] * 2] * 2)  # noqa: E731
        config = {"epsilon": lambda step: float(step == 0), "learning_rate": 1.0, "discount": 1.0}
        one, collector = learner(kind, make, seed=seed, **config)
        one.q[1] = 8, 0
        next(one.train(collector, 1))
        assert one.q_values[0].max() == 8


def test_expected_sarsa_s_epsilon_is_of_its_step(world: Maker, learner: Maker) -> None:
    """ε = 0, then 1: Q01 = 8 + (2 + max(10, 6)/2 - 8)/2; later 7.5 + (2 + mean(10, 6)/2 - 7.5)/2."""
    config = {"learning_rate": 0.5, "discount": 0.5, "initial_value": 8.0, "behaviour": script(1, 1, 1, 1)}
    one, collector = learner(ExpectedSarsa, chain(world, "terminated"), epsilon=lambda step: float(step > 0), **config)
    values = []
    for progress in one.train(collector, 3):
        values.append(one.q_values[0, 1])
        one.q[1] = 10, 6
        assert progress.steps <= 3
    assert values == [7, 7, 6.5]


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


def test_accumulated_traces_of_many_never_go_further_than_their_errors() -> None:
    """Shares min(α z, 1): of 5 / 2 one each; of 1 / 2 and 5 / 2 the whole way to the mean by 1 and 2 shares."""
    assert along_traces(np.full((2, 1), 5.0), np.ones(2), 0.5).tolist() == [1.0]
    assert along_traces(np.array([[1.0], [5.0]]), np.array([3.0, 6.0]), 0.5).tolist() == [(1.5 + 6) / 1.5]
    assert along_traces(np.array([[1.0], [0.5]]), np.array([4.0, 8.0]), 0.5) == pytest.approx(
        (1 - 0.5 * 0.75) * 4 / 0.75
    )


def test_many_environments_accumulate_traces_and_stay_sane(learnt: Maker) -> None:
    one = learnt(TDLambda, "CliffWalking-v1", 16_000, num_envs=8, replacing=False)
    assert np.abs(one.q_values).max() < 1_000
    assert one.values[36] > -30


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize("replacing", [True, False])
def test_traces_with_means_by_hand(world: Maker, learner: Maker, replacing: bool, num_envs: int) -> None:
    """λ = γ = 1/2: 1 / updates of Q00 are 1, 1/2 and 1/2, those of Q01 1; two that agree count twice as much.

    δ = -1 + 8/2 - 8 = -5, Q00 = 3; δ = -1 + 8/2 - 3 = 0; δ = 2 + 8/2 - 8 = -2 with z = 1/4, or 5/16:
    Q01 = 6, Q00 = 3 - 2 z / 2. Two: z of both, over twice the updates.
    """
    behaviour = iter([0, 0, 1, 1])
    config = {"trace": 0.5, "replacing": replacing, "learning_rate": None, "discount": 0.5, "initial_value": 8.0}
    one, collector = learner(
        TDLambda,
        chain(world, "terminated"),
        num_envs=num_envs,
        behaviour=lambda observations, first: np.full(num_envs, next(behaviour)),
        **config,
    )
    list(one.train(collector, 3 * num_envs))
    assert one.q_values.tolist() == [[3 - (0.25 if replacing else 0.3125), 6], [8, 8], [8, 8]]


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


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("behaves", [True, False])
def test_an_episode_cut_off_where_nothing_can_be_done_has_no_future(
    world: Maker, learner: Maker, kind: Any, num_envs: int, behaves: bool
) -> None:
    ways = [(0.5, 1, 1.0, False, True), (0.5, 0, 1.0, False, True)]
    behaviour = (lambda observations, first: np.array([[0][seen] for seen in observations])) if behaves else None
    one, collector = learner(kind, lambda: world([[ways], [[]]]), num_envs=num_envs, behaviour=behaviour, discount=0.5)
    metrics = [progress.metrics for progress in one.train(collector, 300)]
    assert np.isfinite([number for each in metrics for number in each.values()]).all()
    assert one.q_values.ravel() == pytest.approx([4 / 3, -np.inf], abs=0.3)  # q = 1 + q / 4


@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize(
    ("space", "gives"),
    [
        (Discrete(3), -1),
        (Discrete(3), 3),
        (Discrete(3, start=2), 1),
        (MultiDiscrete([3, 2]), np.array([0, 2])),
        (MultiDiscrete([3, 2]), np.array([-1, 0])),
    ],
)
def test_observations_outside_their_space_are_refused(space: Any, gives: Any, num_envs: int) -> None:
    states = States(space)
    seen = np.array([gives] * num_envs)
    seen[0] = space.sample()
    assert 0 <= states.index(seen[:1])[0] < states.count
    with pytest.raises(EnvironmentContractError, match=r"^The environment observed .*; not all of it is in .*Discrete"):
        states.index(seen[-1:] if num_envs > 1 else np.array([gives]))
    with pytest.raises(EnvironmentContractError, match="not all of it is in"):
        states.index(np.concatenate([seen, [gives]]))


def test_parts_of_observations_may_start_anywhere() -> None:
    space = Tuple([Discrete(3, start=-1), MultiDiscrete([2, 4], start=[10, -3])])
    states = States(space)
    seen = (np.array([-1, 1, 0]), np.array([[10, -3], [11, 0], [10, -1]]))
    assert states.index(seen).tolist() == [0, 23, 10]  # row by row: 2 · 8 + 1 · 4 + 3; 1 · 8 + 0 · 4 + 2
    grid = States(MultiDiscrete([2, 4], start=[10, -3]))
    assert grid.index(np.array([[11, -3]])).tolist() == [4]


class Flipped(gymnasium.ActionWrapper[Any, Any, Any]):
    """Its action 0 is the world's 1."""

    def action(self, action: Any) -> Any:
        return 1 - action


class Foreign(gymnasium.Env[Any, Any]):
    """Ends at once, and calls something of its own P."""

    observation_space, action_space = Discrete(2), Discrete(2)

    def __init__(self, P: Any) -> None:
        self.P = P

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> Any:
        return 1, 1.0, True, False, {}


def test_impossible_actions_are_of_the_world_that_is_acted_in(world: Maker, learner: Maker) -> None:
    """Wrapped, the world's impossible action 1 is action 0: nothing is known of it, and both are tried."""
    end = [(1.0, 0, 1.0, True, False)]
    for num_envs in (1, 2):
        one, _ = learner(QLearning, lambda: Flipped(world([[end, []]])), num_envs=num_envs)
        one.begin(rlhub.Collector(rlhub.make_vec(lambda: Flipped(world([[end, []]])), num_envs)))
        assert one.q_values.tolist() == [[0, 0]]
        limited = rlhub.make_vec(lambda: gymnasium.wrappers.TimeLimit(world([[end, []]]), 9), num_envs)
        assert table.possible_actions(limited, 1, 2).tolist() == [[True, False]]  # type: ignore[union-attr]


def test_worlds_in_other_processes_tell_what_is_impossible() -> None:
    given: Any = {"transition_probabilities": [[[0, 1.0], None], [None, [1.0, 0]]], "rewards": [[1.0, 0.0], [0.0, 2.0]]}
    env = rlhub.make_vec("tabular/MDP-v0", 2, vectorization_mode="async", **given)
    assert table.possible_actions(env, 2, 2).tolist() == [[True, False], [False, True]]  # type: ignore[union-attr]
    env.close()
    without = rlhub.make_vec("CartPole-v1", 1, vectorization_mode="async")
    assert table.possible_actions(without, 2, 2) is None
    without.reset()
    without.close()


@pytest.mark.parametrize(
    "foreign", [0.3, "P", {(0, 0): 1}, {0: {0: []}}, [[], []], {0: {"up": []}, 1: {}}, np.eye(2), np.ones((2, 2, 2))]
)
def test_what_is_no_model_tells_nothing(learnt: Maker, foreign: Any) -> None:
    one = learnt(QLearning, lambda: Foreign(foreign), 50, num_envs=2, learning_rate=None)
    assert one.q_values.tolist() == [[1, 1], [0, 0]]


def test_actions_that_a_model_leaves_out_are_impossible(world: Maker, learnt: Maker) -> None:
    class Short(world):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__([[[(1.0, 1, 0.0, False, False)], []], [[], [(1.0, 0, 1.0, True, False)]]])
            self.P = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {1: [(1.0, 0, 1.0, True)]}}

    assert np.isneginf(learnt(QLearning, Short, 30).q_values).tolist() == [[False, True], [True, False]]


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


@pytest.mark.parametrize("first_visit", [True, False])
def test_rare_actions_count_as_rarely_as_they_are_taken(world: Maker, learnt: Maker, first_visit: bool) -> None:
    """Stay for -1, or with probability 0.1 end for 0: -9, however many visits of an episode teach nothing."""
    rng = np.random.default_rng(0)
    config = {"behaviour": lambda o, first: (rng.random(len(o)) < 0.1).astype(int), "discount": 1.0}
    make = lambda: world([[[(1.0, 0, -1.0, False, False)], [(1.0, 0, 0.0, True, False)]]])  # noqa: E731
    one = learnt(MonteCarlo, make, 20_000, first_visit=first_visit, **config)
    assert one.values == pytest.approx([-9], rel=0.1)
    assert one.visits.sum() == 20_000
    assert one.visits[0, 1] == pytest.approx(2_000, rel=0.1)


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
    if kind in (Sarsa, TDLambda):
        one.next_action = np.array([7])  # which is of the other environment, and would be refused by this one
    next(one.train(fresh, 101))
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
    advice = r"wrapper tabular/bins makes a Box of few dimensions discrete: --wrapper tabular/bins:bins=10\."
    with pytest.raises(
        SpaceError, match=f"tabular/{name} needs a Discrete.* observation space; CartPole-v1 .*{advice}"
    ):
        rlhub.train(f"tabular/{name}", "CartPole-v1", steps=10)


def test_a_table_that_fits_no_memory_is_refused() -> None:
    for kind, numbers in ((QLearning, 12), (DoubleQLearning, 20)):  # values and updates of each table, and visits
        with pytest.raises(SpaceError) as error:
            kind(Discrete(10**9), Discrete(4), kind.Config(), seed=0, total_steps=1)
        assert str(error.value) == (
            f"The tables of Discrete(1000000000) with 1,000,000,000 states would take {numbers * 8}.0 GB; at most 1.6. "
            "Use fewer states, such as fewer bins, or tabular/linear_q."
        )


def test_traces_that_fit_no_memory_are_refused(world: Maker, learner: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LARGEST", 100)  # 3 × 6 numbers of tables, and 3 × 6 an environment
    for num_envs in (4, 5):
        one, collector = learner(TDLambda, chain(world, "terminated"), num_envs=num_envs)
        if num_envs == 4:
            next(one.train(collector, 8))
            continue
        with pytest.raises(SpaceError, match=r"Tables, and traces of 5 environments, would .* Use fewer environments"):
            next(one.train(collector, 8))
