"""The worlds on offer, against what is known of them from elsewhere."""

from collections import deque
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from rlhub_gridworld import plugin
from rlhub_gridworld.single import GridWorld
from rlhub_gridworld.worlds import Maze

EXAMPLE_WAY = [1, 1, 0, 0, *[3] * 6, *[1] * 4, 3, 1, 1]  # down to the key, back, through the one-way tile and the door
SPECS = {spec.name: spec for spec in plugin.rlhub_environments()}


def world(name: str, **options: Any) -> Any:
    """Return the world itself, without Gymnasium's wrappers."""
    return gymnasium.make(SPECS[name], **options).unwrapped


def values(P: dict[int, Any], discount: float = 1.0) -> Any:
    """Return the optimal values of all states by value iteration, its sweeps in place."""
    v = dict.fromkeys(P, 0.0)
    while True:
        change = 0.0
        for state, actions in P.items():
            best = max(
                sum(p * (r + discount * v[s] * (not over)) for p, s, r, over in actions[action]) for action in actions
            )
            change, v[state] = max(change, abs(best - v[state])), best
        if change < 1e-10:
            return v


def shortest(rows: tuple[str, ...]) -> int:
    """Return the length of the shortest way from S to G over the text itself, by breadth-first search."""
    text = {(r, c): tile for r, row in enumerate(rows) for c, tile in enumerate(row)}
    start = next(place for place, tile in text.items() if tile == "S")
    far, queue = {start: 0}, deque([start])
    while queue:
        r, c = queue.popleft()
        if text[r, c] == "G":
            return far[r, c]
        for there in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if text.get(there, "#") != "#" and there not in far:
                far[there] = far[r, c] + 1
                queue.append(there)
    raise AssertionError("no way")


def test_grid_4x4_is_the_notebooks_world() -> None:
    def reference(row: int, column: int, action: int) -> tuple[int, int, float, bool]:
        row, column = row + (action == 1) - (action == 0), column + (action == 3) - (action == 2)
        if not (0 <= row < 4 and 0 <= column < 4):
            return row, column, -1.0, True
        return row, column, (10.0 if row == column == 3 else 0.0), row == column == 3

    def picture(row: int, column: int) -> Any:
        board = np.zeros((4, 4), np.int32)
        if 0 <= row < 4 and 0 <= column < 4:
            board[row, column] = 1
        return board

    env = world("Grid4x4")
    assert env.observation_space == gymnasium.spaces.Box(0, 1, (4, 4), np.int32)
    np.testing.assert_array_equal(env.reset()[0], picture(0, 0))
    assert len(env.cells) == 17
    for row, column in np.ndindex(4, 4):
        for action in range(4):
            if row == column == 3:  # the end: there is nothing after it
                assert env.P[15][action] == [(1.0, 15, 0.0, True)]
                continue
            env.reset()
            for way in [1] * row + [3] * column:
                observation, reward, terminated, _, _ = env.step(way)
                assert (reward, terminated) == (0.0, False)
            np.testing.assert_array_equal(env._observation(), picture(row, column))
            observation, reward, terminated, truncated, info = env.step(action)
            r, c, wanted, over = reference(row, column, action)
            np.testing.assert_array_equal(observation, picture(r, c))
            assert observation.dtype == np.int32
            assert (reward, terminated, truncated, info) == (wanted, over, False, {})
            assert env.P[4 * row + column][action] == [(1.0, env.state, wanted, over)]
            if over:
                with pytest.raises(ResetNeeded, match=r"call reset\(\) first, and again after an episode has ended"):
                    env.step(1)


def test_cliff_has_the_values_of_gymnasiums() -> None:
    ours, theirs = world("Cliff"), gymnasium.make("CliffWalking-v1").unwrapped
    P = {int(s): dict(actions) for s, actions in theirs.P.items()}  # type: ignore[attr-defined]
    P[47] = {a: [(1.0, 47, 0.0, True)] for a in range(4)}  # Gymnasium lets one walk out of the goal again
    for discount in (1.0, 0.9):
        mine, other = values(ours.P, discount), values(P, discount)
        for state, (_, row, column) in enumerate(ours.cells):
            assert mine[state] == pytest.approx(other[12 * row + column])
    start = ours.cells.tolist().index([0, 3, 0])
    assert values(ours.P)[start] == -13.0
    directions = {0: 0, 1: 2, 2: 3, 3: 1}  # up, down, left, right as Gymnasium numbers them
    for state, (_, row, column) in enumerate(ours.cells[:-1]):
        for action, other_action in directions.items():
            ((p, there, reward, over),) = ours.P[state][action]
            ((q, place, other_reward, other_over),) = P[int(12 * row + column)][other_action]
            assert (p, 12 * ours.cells[there][1] + ours.cells[there][2]) == (q, place)
            assert (reward, over) == (other_reward, other_over)


def test_windy_grid_takes_15_steps() -> None:
    env = world("WindyGrid")
    assert len(env.cells) == 70
    assert values(env.P)[30] == -15.0
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
    for state in range(70):
        row, column = divmod(state, 10)
        if state == 37:
            continue
        for action, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            there = min(max(row + down - wind[column], 0), 6), min(max(column + right, 0), 9)
            assert env.P[state][action] == [(1.0, 10 * there[0] + there[1], -1.0, there == (3, 7))]


def test_four_rooms() -> None:
    env = world("FourRooms")
    assert env.board.shape == (13, 13)
    assert len(env.cells) == 104
    assert values(env.P, 0.9)[0] == pytest.approx(0.9**13)
    np.testing.assert_array_equal(env.cells[0], [0, 1, 1])


def test_key_door_takes_both_keys() -> None:
    env = world("KeyDoor")
    assert len(env.cells) == 4 * len({(r, c) for _, r, c in env.cells.tolist()}) - 4 * 2
    start = env.cells.tolist().index([0, 5, 1])
    assert values(env.P, 0.9)[start] == pytest.approx(0.9**19), "five legs of four steps"


@pytest.mark.parametrize("discount", [1.0, 0.97])
def test_the_value_of_a_maze_is_its_shortest_way(discount: float) -> None:
    for seed in range(100):
        height, width = 2 + seed % 5, 2 + seed % 7
        env = Maze(height, width, layout_seed=seed, step_reward=-1.0, goal_reward=-1.0)
        steps = shortest(env._model.map.rows)
        assert values(env.P, discount)[0] == pytest.approx(-sum(discount**k for k in range(steps)))


def test_mazes_are_perfect_and_differ() -> None:
    layouts = set()
    for seed in range(30):
        env = Maze(5, 4, layout_seed=seed)
        floor = ~env.board
        ways = int((floor[1:] & floor[:-1]).sum() + (floor[:, 1:] & floor[:, :-1]).sum())
        assert floor[1::2, 1::2].all(), "every place is there"
        assert int(floor.sum()) == ways + 1 == 2 * 20 - 1, "joined, and without a loop: a tree"
        layouts.add(env._model.map.rows)
        assert env._model.map.rows == Maze(5, 4, layout_seed=seed)._model.map.rows
    assert len(layouts) == 30


def test_every_maze_of_2_by_2_is_as_likely() -> None:
    counts = np.unique(
        [Maze(2, 2, layout_seed=seed)._model.map.rows for seed in range(800)], axis=0, return_counts=True
    )[1]
    assert list(counts) == [pytest.approx(200, abs=50)] * 4, "there are four: each lacks one of four ways"


def test_empty_is_as_large_as_asked_for() -> None:
    env = world("Empty", height=3, width=5)
    assert env.board.shape == (5, 7)
    assert len(env.cells) == 15
    assert values(env.P, 0.9)[0] == pytest.approx(0.9**5)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
@pytest.mark.filterwarnings("error")
def test_gymnasiums_checker_is_content(name: str, render_mode: str) -> None:
    check_env(world(name, render_mode=render_mode), skip_render_check=False)


@pytest.mark.parametrize("name", SPECS)
def test_the_model_of_every_world_is_whole(name: str) -> None:
    env = world(name)
    states = len(env.cells)
    assert sorted(env.P) == list(range(states))
    for actions in env.P.values():
        for outcomes in actions.values():
            assert sum(p for p, *_ in outcomes) == pytest.approx(1.0)
            assert all(0 <= s < states for _, s, _, _ in outcomes)
    on_board = env.cells[env.cells[:, 0] >= 0]
    assert not env.board[on_board[:, 1], on_board[:, 2]].any()


def test_the_example_needs_its_key() -> None:
    env = GridWorld()
    assert values(env.P, 0.9)[0] == pytest.approx(0.9 ** (len(EXAMPLE_WAY) - 1))
    env.reset(seed=0)
    for action in EXAMPLE_WAY:
        _, reward, terminated, _, _ = env.step(action)
    assert (reward, terminated) == (1.0, True)
