"""A model as arrays says what the table says."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from rlhub_tabular import model as module
from rlhub_tabular.model import Model
from rlhub_tabular.sparse import Sparse

import rlhub_core as rlhub
from rlhub_core import EnvironmentContractError, TrainingError

Table = Any
LEAVES: Table = [[[(1.0, 1, 1.0, False)], [(0.5, 0, 2.0, True), (0.5, 0, 4.0, False)]], [[(1.0, 1, 0.0, True)], []]]


def random_table(rng: np.random.Generator, states: int, actions: int) -> Table:
    """Return a table with repeated next states, impossible actions and transitions that end."""
    table: dict[int, dict[int, Any]] = {}
    for state in range(states):
        table[state] = {}
        for action in range(actions):
            count = int(rng.integers(0 if action else 1, 5))
            chances: Any = rng.dirichlet(np.ones(count)) if count else []
            table[state][action] = [
                (p, int(rng.integers(states)), float(rng.normal()), bool(rng.random() < 0.2)) for p in chances
            ]
    return table


def backup(table: Table, values: NDArray[np.float64], discount: float, states: int, actions: int) -> Any:
    """Return [S, A] by the definition."""
    worth = np.full((states, actions), -np.inf)
    for state in range(states):
        for action in range(actions):
            if table[state][action]:
                worth[state, action] = sum(
                    p * (r + discount * (0.0 if terminated else values[following]))
                    for p, following, r, terminated in table[state][action]
                )
    return worth


def uniform(model: Model) -> Any:
    return model.possible / model.possible.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(20))
def test_a_backup_is_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    table, values = random_table(rng, states, actions), rng.normal(size=states)
    model, expected = Model(table), backup(table, values, 0.9, states, actions)
    np.testing.assert_allclose(model.q_values(values, 0.9), expected, atol=1e-12)
    assert model.possible.tolist() == np.isfinite(expected).tolist()
    np.testing.assert_array_equal(model.state_values(expected), expected.max(1))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dense", [0, 2_000])
def test_evaluation_solves_its_equation(seed: int, dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE", dense)
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    model = Model(random_table(rng, states, actions))
    policy = model.possible * rng.random((states, actions)) + 1e-3 * model.possible
    policy /= policy.sum(1, keepdims=True)
    values = model.policy_evaluation(policy, 0.9, start=rng.normal(size=states))
    worth = np.where(policy > 0, model.q_values(values, 0.9), 0)
    np.testing.assert_allclose(values, (policy * worth).sum(1), atol=1e-10)


def test_lists_and_dicts_tell_the_same() -> None:
    as_dicts = {s: dict(enumerate(rows)) for s, rows in enumerate(LEAVES)}
    missing = {s: {a: each for a, each in rows.items() if each} for s, rows in as_dicts.items()}
    shorter = [LEAVES[0], LEAVES[1][:1]]
    for table in (LEAVES, as_dicts, missing, shorter):
        model = Model(table)
        assert (model.states, model.actions) == (2, 2)
        assert model.row.tolist() == [0, 1, 1, 2]
        assert model.probability.tolist() == [1.0, 0.5, 0.5, 1.0]
        assert model.next_state.tolist() == [1, 0, 0, 1]
        assert model.reward.tolist() == [1.0, 2.0, 4.0, 0.0]
        assert model.terminated.tolist() == [False, True, False, True]
        assert model.possible.tolist() == [[True, True], [True, False]]


def test_nothing_is_worth_anything_after_the_end() -> None:
    worth = Model(LEAVES).q_values(np.array([10.0, 100.0]), 0.5)
    assert worth.tolist() == [[51.0, 5.5], [0.0, -np.inf]]  # 1 + 100 / 2;  (2 + 4 + 10 / 2) / 2


def test_a_state_without_actions_is_worth_nothing() -> None:
    model = Model([[[(1.0, 1, 3.0, False)]], [[]]])
    worth = model.q_values(np.zeros(2), 0.9)
    assert model.state_values(worth).tolist() == [3.0, 0.0]
    assert model.policy_evaluation(np.array([[1.0], [0.0]]), 1.0).tolist() == [3.0, 0.0]


@pytest.mark.parametrize("dense", [0, 2_000])
def test_without_discount_endless_policies_have_a_value_where_nothing_is_gained(
    dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DENSE", dense)
    stay, leave = [(1.0, 0, 0.0, False)], [(0.5, 0, -1.0, False), (0.5, 1, 1.0, True)]
    model = Model([[stay, leave], [[(1.0, 1, 0.0, True)], []]])
    assert model.policy_evaluation(np.array([[1.0, 0.0], [1.0, 0.0]]), 1.0).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(model.policy_evaluation(np.array([[0.0, 1.0], [1.0, 0.0]]), 1.0), 0, atol=1e-12)
    gaining = Model([[[(1.0, 1, 0.0, False)]], [[(1.0, 0, 2.0, False)]]])
    said = "With discount 1 a policy has no value where it goes on for ever, as in state 1. Choose a discount below 1."
    with pytest.raises(TrainingError, match=said):
        gaining.policy_evaluation(np.ones((2, 1)), 1.0)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ([[1.0, 0.0]], r"A policy here has shape \(2, 2\), not \(1, 2\)"),
        ([[0.5, 0.0], [1.0, 0.0]], r"possible actions sum to 1; in state 0: \[0\.5, 0\.0\]"),
        ([[0.5, 0.5], [0.5, 0.5]], r"possible actions sum to 1; in state 1: \[0\.5, 0\.5\]"),
    ],
)
def test_no_policy(policy: Any, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        Model(LEAVES).policy_evaluation(np.array(policy), 0.9)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([[[(0.5, 0, 1.0, False)]]], r"P\[0\]\[0\]: probabilities sum to 0.5, not 1\."),
        ([[[(1.0, 1, 1.0, False)]]], r"P\[0\]\[0\] holds a next state that is none of 0 to 0\."),
        ([[[(1.5, 0, 1.0, False), (-0.5, 0, 1.0, False)]]], r"P\[0\]\[0\] holds a negative probability\."),
        ([[[(1.0, 0, np.nan, False)]]], r"P\[0\]\[0\] holds a reward that is not finite\."),
        (
            [[[(1.0, 0, 1.0)]]],
            r"P is no model, P\[state\]\[action\] = \[\(probability, next_state, reward, terminated\)",
        ),
        (3, "P is no model"),
        ({1: {0: []}}, "P is no model"),
        ([[], []], "P is no model, .*: no state has an action"),
        ({0: {}}, "P is no model, .*: no state has an action"),
    ],
)
def test_no_model(table: Any, said: str) -> None:
    with pytest.raises(EnvironmentContractError, match=said):
        Model(table)


@pytest.mark.parametrize("seed", range(30))
def test_sparse_products(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns, count = (int(n) for n in rng.integers(1, 12, 3))
    row, column, weight = rng.integers(0, rows, count * 3), rng.integers(0, columns, count * 3), rng.random(count * 3)
    if seed % 2:
        row[: count * 2] = 0  # one row much longer than the others
    full = np.zeros((rows, columns))
    np.add.at(full, (row, column), weight)
    matrix, vector = Sparse(row, column, weight, (rows, columns)), rng.normal(size=columns)
    np.testing.assert_allclose(matrix.dense(), full)
    np.testing.assert_allclose(matrix @ vector, full @ vector, atol=1e-12)


def test_memory_grows_with_the_transitions_and_not_with_the_longest_row() -> None:
    states = 3_000
    row = np.concatenate([np.arange(states), np.zeros(states, np.int64)])
    column = np.concatenate([np.arange(states), np.arange(states)])
    matrix = Sparse(row, column, np.ones(len(row)), (states, states))
    kept = sum(each.nbytes for each in vars(matrix).values() if isinstance(each, np.ndarray))
    assert kept < 100 * len(row)
    assert (matrix @ np.ones(states)).tolist() == [states + 1.0, *[1.0] * (states - 1)]


def test_the_model_of_an_environment() -> None:
    single = gymnasium.make("FrozenLake-v1", is_slippery=False)
    vector = rlhub.make_vec("FrozenLake-v1", 3, is_slippery=False)
    other = rlhub.make_vec("FrozenLake-v1", 2, vectorization_mode="async", is_slippery=False)
    for env in (single, single.unwrapped, vector, other):
        model = Model.of(env)
        assert (model.states, model.actions, len(model.probability)) == (16, 4, 64)
    other.close()


def test_an_environment_without_a_model_is_refused() -> None:
    for env in (gymnasium.make("CartPole-v1"), rlhub.make_vec("CartPole-v1", 2)):
        with pytest.raises(EnvironmentContractError) as error:
            Model.of(env, "tabular/value_iteration")
        assert str(error.value) == (
            "tabular/value_iteration needs a model, P[state][action] = [(probability, next_state, reward, terminated), "
            "…]; CartPole-v1 tells none. FrozenLake-v1, CliffWalking-v1, Taxi-v4 and tabular/MDP-v0 do; "
            "tabular/q_learning and tabular/sarsa learn without one."
        )
