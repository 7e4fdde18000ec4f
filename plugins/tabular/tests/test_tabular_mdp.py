"""A world from tables does what the tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlhub_core as rlhub
from rlhub_core import ConfigError
from rlhub_core.testing import check_exact_restore

Change = dict[str, Any]

# Géron, "Hands-On Machine Learning", notebook of chapter 18
T: Any = [
    [[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.8, 0.2, 0.0]],
    [[0.0, 1.0, 0.0], None, [0.0, 0.0, 1.0]],
    [None, [0.8, 0.1, 0.1], None],
]
R: Any = [
    [[10, 0, 0], [0, 0, 0], [0, 0, 0]],
    [[0, 0, 0], [0, 0, 0], [0, 0, -50]],
    [[0, 0, 0], [40, 0, 0], [0, 0, 0]],
]
POSSIBLE = [[0, 1, 2], [0, 2], [1]]

ALL_POSSIBLE: Any = {
    "transition_probabilities": [[[0.5, 0.5, 0], [0, 1, 0]], [[0, 0.2, 0.8], [1, 0, 0]], [None, None]],
    "rewards": [[1.0, 2.0], [[0, 3.0, 4.0], 5.0], [0, 0]],
    "initial_state": [0.25, 0.75, 0.0],
    "terminal_states": [2],
}


def make(**options: Any) -> Any:
    given = {"transition_probabilities": T, "rewards": R, "possible_actions": POSSIBLE, **options}
    return rlhub.make("tabular/MDP-v0", **given).unwrapped


def test_with_the_notebook_s_generator_q_learning_is_the_notebook_s() -> None:
    env, rng = make(), np.random.RandomState(42)
    env.np_random = rng
    state, _ = env.reset()
    q = np.where(env.possible, 0.0, -np.inf)
    for iteration in range(10_000):
        action = rng.choice(POSSIBLE[state])
        next_state, reward, *_ = env.step(action)
        next_value, rate = q[next_state].max(), 0.05 / (1 + iteration * 0.005)
        q[state, action] = (1 - rate) * q[state, action] + rate * (reward + 0.9 * next_value)
        state = next_state
    expected = [[18.77621289, 17.2238872, 13.74543343], [0, -np.inf, -8.00485647], [-np.inf, 49.40208921, -np.inf]]
    np.testing.assert_allclose(q, expected, atol=1e-8)


def test_draws_are_those_of_numpy_s_choice() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), (7, 1)) * (np.arange(7) % 3 > 0)
    probabilities /= probabilities.sum(2, keepdims=True)
    env = make(transition_probabilities=probabilities, rewards=np.zeros((7, 1)), possible_actions=None)
    env.np_random, rng = np.random.RandomState(3), np.random.RandomState(3)
    state, _ = env.reset()
    for _ in range(500):
        expected = rng.choice(7, p=probabilities[state, 0])
        state = env.step(0)[0]
        assert state == expected


def test_the_model_is_gymnasium_s() -> None:
    env = make()
    assert env.P[0][0] == [(0.7, 0, 10.0, False), (0.3, 1, 0.0, False)]
    assert env.P[1][1] == env.P[2][0] == env.P[2][2] == []
    assert env.P[1][2] == [(1.0, 2, -50.0, False)]
    assert env.possible.tolist() == [[True, True, True], [True, False, True], [False, True, False]]
    assert env.cells.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    np.testing.assert_array_equal(env.board, np.zeros((1, 3), np.bool_))
    world = make(**ALL_POSSIBLE, possible_actions=None)
    assert world.P[1][0] == [(0.2, 1, 3.0, False), (0.8, 2, 4.0, True)]
    assert world.P[0][1] == [(1.0, 1, 2.0, False)]
    assert world.P[2] == {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 0.0, True)]}


def test_steps_follow_the_model() -> None:
    env = make(**ALL_POSSIBLE, possible_actions=None)
    state, info = env.reset(seed=5)
    counts: dict[Any, int] = {}
    starts = [state]
    for time in range(20_000):
        action = time % 2
        assert info["action_mask"].tolist() == [1, 1]
        following, reward, terminated, truncated, info = env.step(action)
        assert (info["prob"], following, reward, terminated) in env.P[state][action]
        assert not truncated
        key = state, action, following
        counts[key] = counts.get(key, 0) + 1
        state = following
        if terminated:
            state, info = env.reset()
            starts.append(state)
    assert counts[0, 0, 0] / (counts[0, 0, 0] + counts[0, 0, 1]) == pytest.approx(0.5, abs=0.03)
    assert counts[1, 0, 2] / (counts[1, 0, 1] + counts[1, 0, 2]) == pytest.approx(0.8, abs=0.03)
    assert np.mean(starts) == pytest.approx(0.75, abs=0.03)


def test_a_fixed_start_takes_no_random_number() -> None:
    env = make(initial_state=2)
    env.reset(seed=1)
    untouched = gymnasium.utils.seeding.np_random(1)[0]
    assert env.np_random.random() == untouched.random()
    assert env.reset()[0] == 2


def test_an_impossible_action_is_refused_by_name() -> None:
    env = make(initial_state=1)
    env.reset()
    for action in (1, 7, 0.9, 2.5):
        with pytest.raises(gymnasium.error.InvalidAction) as error:
            env.step(action)
        assert str(error.value) == f"Action {action} is impossible in state 1. Possible there: 0, 2."
    assert env.step(np.array(2.0))[:2] == (2, -50.0)


def test_impossible_actions_can_be_written_in_several_ways() -> None:
    zeros = np.array([[row or [0.0] * 3 for row in rows] for rows in T])
    empty = [[row or [] for row in rows] for rows in T]
    nothing_said: Change = {"possible_actions": None}
    arrays = {"rewards": np.array(R)}
    for change in (
        nothing_said,
        nothing_said | {"transition_probabilities": empty},
        {"transition_probabilities": zeros},
        arrays,
    ):
        assert make(**change).P == make().P, change


def test_it_is_a_gymnasium_environment() -> None:
    check_env(make(**ALL_POSSIBLE, possible_actions=None), skip_render_check=True)
    check_exact_restore("tabular/MDP-v0", **ALL_POSSIBLE)


def test_it_shows_itself_as_text() -> None:
    env = make(render_mode="ansi", initial_state=1)
    env.reset()
    assert env.render() == " 0  [1]  2\n"
    env.step(2)
    assert env.render() == " 0   1  [2]  action 2, reward -50\n"
    assert make().render() is None


def changed(table: Any, state: int, action: int, row: Any) -> Any:
    return [[row if (s, a) == (state, action) else old for a, old in enumerate(rows)] for s, rows in enumerate(table)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"transition_probabilities": changed(T, 0, 2, [0.8, 0.1, 0.0])},
            "transition_probabilities[0][2] sums to 0.9; probabilities sum to 1.",
        ),
        (
            {"transition_probabilities": changed(T, 2, 1, [1.1, -0.1, 0.0])},
            "transition_probabilities[2][1] holds -0.1; a probability is at least 0.",
        ),
        (
            {"transition_probabilities": changed(T, 2, 1, [0.5, 0.5])},
            "transition_probabilities[2][1] must be a row of 3 numbers, one a state; it has 2 numbers.",
        ),
        (
            {"transition_probabilities": changed(T, 2, 1, "often")},
            "transition_probabilities[2][1] must be a row of 3 numbers, not 'often'.",
        ),
        (
            {"transition_probabilities": [T[0], T[1][:2], T[2]]},
            "transition_probabilities[1] must have 3 entries, one an action; it has 2.",
        ),
        ({"transition_probabilities": 3}, "transition_probabilities must be a table [state][action][next state]."),
        (
            {"transition_probabilities": [0.5, 0.5]},
            "transition_probabilities must be a table [state][action][next state].",
        ),
        (
            {"transition_probabilities": [[], []]},
            "transition_probabilities must be a table [state][action][next state]; it has no action.",
        ),
        (
            {"transition_probabilities": changed(T, 2, 1, None), "possible_actions": None},
            "State 2 has no possible action. Name it in terminal_states, or give it one.",
        ),
        (
            {
                "transition_probabilities": [[*rows, None] for rows in T],
                "possible_actions": None,
                "rewards": np.zeros((3, 4)),
            },
            "Action 3 is impossible in every state. Leave it out.",
        ),
        (
            {"possible_actions": [[0, 1, 2], [0, 1, 2], [1]]},
            "possible_actions[1] names 1, but transition_probabilities[1][1] has no probabilities.",
        ),
        (
            {"possible_actions": [[0, 1], [0, 2], [1]]},
            "transition_probabilities[0][2] has probabilities, but possible_actions[0] does not name 2.",
        ),
        ({"possible_actions": [[0, 1, 2], [0, 2]]}, "possible_actions must have 3 rows, one a state; it has 2."),
        ({"possible_actions": [[0, 1, 3], [0, 2], [1]]}, "possible_actions[0] names 3; actions are 0 to 2."),
        ({"possible_actions": 3}, "possible_actions must have 3 rows, one a state; it has 3."),
        ({"possible_actions": [None, [0, 2], [1]]}, "possible_actions[0] must be a list of actions, not None."),
        ({"terminal_states": 1}, "terminal_states must be a list of states, not 1."),
        ({"terminal_states": [None]}, "terminal_states names None; states are 0 to 2."),
        ({"rewards": R[:2]}, "rewards must have 3 rows, one a state; it has 2."),
        ({"rewards": 1.0}, "rewards must have 3 rows, one a state; it has 1.0."),
        ({"rewards": [1.0, 2.0, 3.0]}, "rewards[0] must have 3 entries, one an action; it has 1.0."),
        (
            {"rewards": changed(R, 0, 1, [1, 2])},
            "rewards[0][1] must be a row of 3 numbers, one a state; it has 2 numbers.",
        ),
        ({"rewards": changed(R, 0, 1, [1, np.inf, 2])}, "rewards[0][1] holds a reward that is not finite."),
        ({"initial_state": 3}, "initial_state must be a state, 0 to 2, not 3."),
        ({"initial_state": True}, "initial_state must be a state, 0 to 2, not True."),
        ({"initial_state": [0.5, 0.4, 0]}, "initial_state sums to 0.9; probabilities sum to 1."),
        ({"terminal_states": [0]}, "initial_state: no episode can start in 0, which is a terminal state."),
        ({"terminal_states": [5]}, "terminal_states names 5; states are 0 to 2."),
        ({"render_mode": "rgb_array"}, "render_mode must be 'ansi' or None, not 'rgb_array'."),
    ],
)
def test_no_decision_process(change: Change, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        make(**change)
    assert str(error.value) == said


@pytest.mark.parametrize("tables", [(T, R), (changed(T, 1, 1, []), R), (T, np.array(R, float))])
def test_the_recipe_holds_the_tables(tables: Any, tmp_path: Path) -> None:
    options = {"transition_probabilities": tables[0], "rewards": tables[1], "possible_actions": POSSIBLE}
    config = {"discount": 0.9, "threshold": None}
    run = rlhub.train(
        "tabular/q_value_iteration",
        "tabular/MDP-v0",
        env_options=options,
        steps=50,
        config=config,
        folder=tmp_path / "run",
        progress=False,
    )
    assert rlhub.load(run.folder).environment.make().unwrapped.P == make().P  # type: ignore[attr-defined]
    again = rlhub.resume(run.folder, steps=60, progress=False)
    assert (again.steps, again.restored) == (60, "exact")
