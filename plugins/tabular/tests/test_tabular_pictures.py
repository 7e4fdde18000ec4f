"""Pictures: where states stand, what is drawn there, and what callbacks leave in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image
from rlhub_tabular import canvas, pictures
from rlhub_tabular.board import Board
from rlhub_tabular.curves import q_value_curves
from rlhub_tabular.keeping import History, ValueMap
from rlhub_tabular.model import Model

import rlhub_core as rlhub

PROCESS: dict[str, Any] = {
    "transition_probabilities": [[[0.7, 0.3], [0.0, 1.0]], [[], [0.8, 0.2]]],
    "rewards": [[[10, 0], [0, 0]], [[0, 0], [40, 0]]],
}
FIXED = {"learning_rate": 0.1, "epsilon": 0.1}


def optimal(env: gymnasium.Env[Any, Any]) -> Any:
    model = Model.of(env)
    q_values = np.zeros((model.states, model.actions))
    for _ in range(200):
        q_values = model.q_values(model.state_values(q_values), 0.95)
    return q_values


def centre(image: Image.Image, board: Board, state: int, *, aside: tuple[float, float] = (0.1, 0.1)) -> Any:
    """Return the colour of a state's cell, near one of its corners, where no arrow or number is."""
    size = canvas.LARGEST_TILE
    _, row, column = board.cells[state].tolist()
    left, top = canvas.MARGIN + column * size, canvas.MARGIN + canvas.HEAD + row * size
    return image.getpixel((int(left + aside[0] * size), int(top + aside[1] * size)))


@pytest.mark.parametrize(
    ("name", "options", "headings", "endings"),
    [
        ("FrozenLake-v1", {"is_slippery": True}, ("left", "down", "right", "up"), {5: 0, 7: 0, 11: 0, 12: 0, 15: 1}),
        ("CliffWalking-v1", {}, ("up", "right", "down", "left"), {47: -1}),
        ("tabular/MDP-v0", PROCESS, (), {}),
    ],
)
def test_a_board_knows_where_actions_lead_and_where_episodes_end(
    name: str, options: dict[str, Any], headings: tuple[str, ...], endings: dict[int, float]
) -> None:
    board = Board.of(rlhub.make(name, **options))
    assert board.headings == headings
    assert board.endings == endings


def test_the_board_of_a_vector_environment_is_that_of_its_world() -> None:
    one, many = Board.of(rlhub.make("CliffWalking-v1")), Board.of(rlhub.make_vec("CliffWalking-v1", 3))
    np.testing.assert_array_equal(one.cells, many.cells)
    assert one.cells[13].tolist() == [0, 1, 1]
    assert one.walls.shape == (4, 12)


def test_states_of_several_parts_stand_in_rows_columns_and_panels() -> None:
    board = Board.of(rlhub.make("Blackjack-v1"))  # sum of 32, dealer's card of 11, usable ace
    assert board.panels == 2
    assert board.walls.shape == (32, 11)
    assert board.cells[(20 * 11 + 10) * 2 + 1].tolist() == [1, 20, 10]


def test_many_states_without_a_board_stand_in_a_rectangle() -> None:
    board = Board.of(rlhub.make("Taxi-v4"))
    assert len({tuple(cell) for cell in board.cells.tolist()}) == 500
    assert board.walls.size < 550


def test_a_state_is_the_lighter_the_more_it_is_worth() -> None:
    env = rlhub.make("FrozenLake-v1", is_slippery=False)
    board, q_values = Board.of(env), optimal(env)
    image = pictures.value_map(board, q_values, title="values")
    brightness = [sum(centre(image, board, state)) for state in (0, 1, 2, 6, 10, 14)]  # towards the goal
    assert brightness == sorted(brightness)
    assert len(set(brightness)) > 3
    hole, goal = (centre(image, board, state) for state in (5, 15))
    assert hole[0] > hole[2]  # reddish
    assert goal[2] > goal[0]  # bluish


def test_an_arrow_points_where_the_greedy_action_leads() -> None:
    env = rlhub.make("FrozenLake-v1", is_slippery=False)
    board = Board.of(env)
    q_values = np.zeros((16, 4))
    q_values[0, 1] = 1.0  # down
    q_values[1, 2] = 1.0  # right
    image = pictures.value_map(board, q_values, limits=(-1.0, 2.0))
    background = centre(image, board, 0)
    assert centre(image, board, 0, aside=(0.5, 0.5)) != background
    assert centre(image, board, 0, aside=(0.65, 0.4)) == background
    assert centre(image, board, 1, aside=(0.65, 0.4)) != background
    assert centre(image, board, 2, aside=(0.5, 0.4)) == centre(image, board, 2)  # all actions are as good: no arrow


def test_q_values_are_triangles_on_their_sides() -> None:
    env = rlhub.make("FrozenLake-v1", is_slippery=False)
    board = Board.of(env)
    q_values = np.tile([0.0, 1.0, 2.0, 3.0], (16, 1))  # left, down, right, up
    q_values[1, 0] = -np.inf
    image = pictures.q_map(board, q_values)
    places = {"left": (0.08, 0.3), "down": (0.3, 0.92), "right": (0.92, 0.3), "up": (0.3, 0.06)}
    seen = [sum(centre(image, board, 0, aside=place)) for place in places.values()]
    assert seen == sorted(seen)
    assert len(set(seen)) == 4
    assert centre(image, board, 1, aside=places["left"]) == canvas.UNKNOWN  # impossible


def test_actions_that_are_no_moves_are_stripes_and_names() -> None:
    env = rlhub.make("tabular/MDP-v0", **PROCESS)
    board, q_values = Board.of(env), optimal(env)
    image = pictures.q_map(board, q_values)
    assert centre(image, board, 0, aside=(0.25, 0.5)) != centre(image, board, 0, aside=(0.75, 0.5))
    assert centre(image, board, 1, aside=(0.25, 0.5)) == canvas.UNKNOWN
    assert pictures.value_map(board, q_values).size == image.size


def test_visits_have_a_logarithmic_scale() -> None:
    board = Board.of(rlhub.make("CliffWalking-v1"))
    visits = np.zeros(48, np.int64)
    visits[:4] = 1, 10, 100, 1_000
    image = pictures.visit_map(board, visits)
    steps = np.diff([centre(image, board, state)[1] for state in range(4)])
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.min()
    assert centre(image, board, 40) == canvas.UNKNOWN  # never there


def test_curves_have_a_panel_each_and_the_truth_as_a_dashed_line() -> None:
    tables = np.arange(24.0).reshape(6, 2, 2)
    figure = q_value_curves(
        {"planning": (range(6), tables), "learning": (range(0, 60, 10), tables)}, state=1, action=0, true_value=20.0
    )
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), tables[:, 1, 0])
    np.testing.assert_array_equal(right.lines[0].get_xdata(), range(0, 60, 10))
    assert left.lines[1].get_linestyle() == "--"
    assert [axes.get_title() for axes in figure.axes] == ["planning", "learning"]


@pytest.mark.parametrize(("of", "table"), [("values", "q_values"), ("q_values", "q_values"), ("visits", "visits")])
def test_a_value_map_leaves_a_picture_and_a_film(tmp_path: Path, of: str, table: str) -> None:
    callback = f"tabular/value_map:of={of},every=100"
    rlhub.train(
        "tabular/q_learning", "CliffWalking-v1", steps=400, folder=tmp_path, callbacks=[callback], progress=False
    )
    still = Image.open(tmp_path / "plots" / f"{of}.png")
    film = Image.open(tmp_path / "plots" / f"{of}.gif")
    assert getattr(film, "n_frames", 1) >= 3
    assert still.width > 12 * 40


def test_a_table_of_coordinates_stands_on_the_board_of_its_world() -> None:
    plain = Board.of(rlhub.make("gridworld/FourRooms-v0"))
    board = Board.of(rlhub.make("gridworld/FourRooms-v0", observation="coordinates"))
    np.testing.assert_array_equal(board.walls, plain.walls)
    assert board.headings == plain.headings
    ends = [[each.cells[state].tolist() for state in each.endings] for each in (plain, board)]
    assert ends[0] == ends[1] == [[0, 7, 9]]


def test_a_corridor_has_arrows_too() -> None:
    assert Board.of(rlhub.make("gridworld/Empty-v0", height=1, width=5)).headings == ("up", "down", "left", "right")


def test_worlds_in_other_processes_are_drawn_as_well(tmp_path: Path) -> None:
    for mode in ("sync", "async"):
        rlhub.train(
            "tabular/q_learning",
            "gridworld/KeyDoor-v0",
            steps=40,
            num_envs=2,
            vectorization_mode=mode,
            folder=tmp_path / mode,
            callbacks=["tabular/value_map:gif=false"],
        )
    sizes = [Image.open(tmp_path / mode / "plots" / "values.png").size for mode in ("sync", "async")]
    assert sizes[0] == sizes[1]


def test_a_picture_of_many_panels_is_no_larger_than_one_of_few() -> None:
    rows = ["S" + "abcdef", "." * 7, "ABCDEFG"]
    board = Board.of(rlhub.make("gridworld/Grid-v0", map=rows))
    assert board.panels == 64
    assert max(pictures.value_map(board, np.zeros((len(board.cells), 4)), longest=600).size) < 800


@pytest.mark.parametrize("draw", [pictures.value_map, pictures.q_map])
def test_what_is_no_number_is_drawn_as_unknown(draw: Any) -> None:
    board = Board.of(rlhub.make("FrozenLake-v1", is_slippery=False))
    q_values = np.zeros((16, 4))
    q_values[:8] = np.nan
    image = draw(board, q_values)
    assert centre(image, board, 1, aside=(0.1, 0.3)) == canvas.UNKNOWN
    assert centre(image, board, 14, aside=(0.1, 0.3)) != canvas.UNKNOWN
    assert draw(board, np.full((16, 4), -np.inf)).size == draw(board, np.zeros((16, 4), int)).size


def test_an_ending_that_costs_more_than_a_step_is_no_goal() -> None:
    pit = Board.of(rlhub.make("gridworld/Grid-v0", map=["S.O"], allow_unreachable=True))
    cliff = Board.of(rlhub.make("gridworld/Cliff-v0"))  # every step costs 1, the last one too
    assert not pit.goals
    assert len(cliff.goals) == 1


def test_a_title_is_never_cut_off() -> None:
    board = Board.of(rlhub.make("tabular/MDP-v0", **PROCESS))
    title = "a title that is a good deal wider than the board of two states below it"
    image = pictures.value_map(board, np.zeros((2, 2)), title=title)
    ink = [x for x in range(image.width) if image.getpixel((x, canvas.MARGIN + 6)) != canvas.PAPER]
    assert image.width - max(ink) >= canvas.MARGIN


def test_a_history_unasked_keeps_a_bounded_number_of_tables(tmp_path: Path) -> None:
    history = History()
    rlhub.train("tabular/q_learning", "FrozenLake-v1", steps=2_500, folder=tmp_path, callbacks=[history])
    assert 500 <= len(history.steps) <= 1_001
    assert history.most(np.zeros((40_000, 40_000), np.int8)) == 10


def test_a_film_of_a_long_run_has_no_more_frames_than_can_be_watched(tmp_path: Path) -> None:
    film = ValueMap(gif=False)
    rlhub.train("tabular/q_learning", "FrozenLake-v1", steps=1_500, folder=tmp_path, callbacks=[film], progress=False)
    assert 50 <= len(film.steps) <= 100
    assert film.steps[0] == 0
    assert len(set(np.diff(film.steps))) == 1
    assert not (tmp_path / "plots" / "values.gif").exists()


def test_a_history_holds_every_table_from_the_first(tmp_path: Path) -> None:
    history = History(every=1)
    assert len(history.tables) == 0
    config = {"discount": 0.9, "threshold": None}
    run = rlhub.train(
        "tabular/q_value_iteration",
        "tabular/MDP-v0",
        env_options=PROCESS,
        steps=8,
        config=config,
        folder=tmp_path,
        callbacks=[history],
    )
    assert history.steps.tolist() == list(range(9))
    assert history.tables[0][0].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(history.tables[1][0, 0], 7.0)
    np.testing.assert_array_equal(history.tables[-1], run.algorithm.q_values)  # type: ignore[attr-defined]
    saved = rlhub.state.load(tmp_path / "tables", "history")
    np.testing.assert_array_equal(saved["q_values"], history.tables)


def test_what_was_kept_survives_a_resume(tmp_path: Path) -> None:
    callbacks = ["tabular/history:every=50", "tabular/value_map:every=50", "core/checkpoint:every=100"]
    whole = rlhub.train(
        "tabular/q_learning", "CliffWalking-v1", steps=400, folder=tmp_path / "whole", callbacks=callbacks, config=FIXED
    )
    rlhub.train(
        "tabular/q_learning", "CliffWalking-v1", steps=200, folder=tmp_path / "cut", callbacks=callbacks, config=FIXED
    )
    resumed = rlhub.resume(tmp_path / "cut", steps=400)
    kept = [rlhub.state.load(run.folder / "tables", "history") for run in (whole, resumed)]
    assert kept[0]["steps"].tolist() == kept[1]["steps"].tolist() == list(range(0, 401, 50))
    np.testing.assert_array_equal(kept[0]["q_values"], kept[1]["q_values"])
    assert Image.open(tmp_path / "cut" / "plots" / "values.gif").n_frames >= 9  # type: ignore[attr-defined]


def test_an_algorithm_without_tables_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(rlhub.ConfigError, match=r"value_iteration has no table of visits to keep; the algorithms of"):
        rlhub.train(
            "tabular/value_iteration",
            "CliffWalking-v1",
            folder=tmp_path / "run",
            callbacks=["tabular/value_map:of=visits"],
        )
