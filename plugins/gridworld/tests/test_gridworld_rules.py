"""What each tile and option does, read from the model; the numbers are worked by hand."""

from typing import Any

import numpy as np
import pytest
from rlhub_gridworld.single import GridWorld
from rlhub_gridworld.vector import GridWorldVector
from rlhub_gridworld.worlds import Empty, Maze

from rlhub_core import ConfigError

UP, DOWN, LEFT, RIGHT = range(4)


def outcomes(world: GridWorld, cell: tuple[int, int, int], action: int) -> list[tuple[Any, ...]]:
    """Return (probability, cell, reward, terminated) of an action, in the order of the cells."""
    state = world.cells.tolist().index(list(cell))
    found = [(round(p, 12), tuple(world.cells[s].tolist()), r, t) for p, s, r, t in world.P[state][action]]
    return sorted(found, key=lambda outcome: outcome[1])


def test_steps_walls_and_the_border() -> None:
    world = GridWorld("S.#\n..G", step_reward=-0.5, goal_reward=2.0)
    assert outcomes(world, (0, 0, 0), RIGHT) == [(1.0, (0, 0, 1), -0.5, False)]
    assert outcomes(world, (0, 0, 0), DOWN) == [(1.0, (0, 1, 0), -0.5, False)]
    assert outcomes(world, (0, 0, 0), UP) == [(1.0, (0, 0, 0), -0.5, False)], "the border blocks"
    assert outcomes(world, (0, 0, 1), RIGHT) == [(1.0, (0, 0, 1), -0.5, False)], "a wall blocks"
    assert outcomes(world, (0, 1, 1), RIGHT) == [(1.0, (0, 1, 2), 2.0, True)], "the goal ends it, for its own reward"
    assert world.cells.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    assert world.board.tolist() == [[False, False, True], [False, False, False]]


def test_terminal_states_lead_nowhere() -> None:
    world = GridWorld("SGO", off_board="end")
    for cell in ((0, 0, 1), (0, 0, 2), (-1, -1, -1)):
        assert [outcomes(world, cell, action) for action in range(4)] == [[(1.0, cell, 0.0, True)]] * 4


def test_a_pit_ends_the_episode() -> None:
    assert outcomes(GridWorld("OSG"), (0, 0, 1), LEFT) == [(1.0, (0, 0, 0), -1.0, True)]
    assert outcomes(GridWorld("OSG", pit_reward=-7), (0, 0, 1), LEFT)[0][2] == -7.0


def test_a_slip_goes_to_the_sides_and_equal_outcomes_are_one() -> None:
    world = GridWorld("...\n.S.\n..G", slip=0.2)
    assert outcomes(world, (0, 1, 1), UP) == [
        (0.8, (0, 0, 1), 0.0, False),
        (0.1, (0, 1, 0), 0.0, False),
        (0.1, (0, 1, 2), 0.0, False),
    ]
    assert outcomes(world, (0, 0, 0), UP) == [(0.9, (0, 0, 0), 0.0, False), (0.1, (0, 0, 1), 0.0, False)]
    assert outcomes(world, (0, 0, 0), LEFT) == [(0.9, (0, 0, 0), 0.0, False), (0.1, (0, 1, 0), 0.0, False)]
    assert outcomes(world, (0, 1, 2), DOWN) == [
        (0.1, (0, 1, 1), 0.0, False),
        (0.1, (0, 1, 2), 0.0, False),
        (0.8, (0, 2, 2), 1.0, True),
    ]
    always = GridWorld("...\n.S.\n..G", slip=1)
    assert [outcome[:2] for outcome in outcomes(always, (0, 1, 1), LEFT)] == [(0.5, (0, 0, 1)), (0.5, (0, 2, 1))]


def test_wind_is_that_of_the_column_a_step_starts_in() -> None:
    world = GridWorld(("....", "....", "....", "S..G"), wind=[0, 1, 2, -1], allow_unreachable=True)
    assert outcomes(world, (0, 3, 0), RIGHT)[0][1] == (0, 3, 1), "no wind in column 0"
    assert outcomes(world, (0, 3, 1), RIGHT)[0][1] == (0, 2, 2)
    assert outcomes(world, (0, 3, 1), UP)[0][1] == (0, 1, 1)
    assert outcomes(world, (0, 3, 1), DOWN)[0][1] == (0, 3, 1), "down and up together are nothing, at the edge as well"
    assert outcomes(world, (0, 3, 2), DOWN)[0][1] == (0, 2, 2)
    assert outcomes(world, (0, 1, 2), UP)[0][1] == (0, 0, 2), "the edge stops it"
    assert outcomes(world, (0, 0, 3), LEFT)[0][1] == (0, 1, 2), "negative wind blows down"


def test_wind_and_what_is_in_its_way() -> None:
    world = GridWorld(("..#", "O..", "SxG"), wind=[2, 2, 2], allow_unreachable=True)
    assert outcomes(world, (0, 2, 0), LEFT) == [(1.0, (0, 0, 0), 0.0, False)], "it carries over the pit"
    assert outcomes(world, (0, 1, 1), RIGHT) == [(1.0, (0, 1, 2), 0.0, False)], "the wall stops it"
    leaving = GridWorld(("..", "S.", ".G"), wind=[2, 0], off_board="end", off_board_reward=-3, allow_unreachable=True)
    assert outcomes(leaving, (0, 2, 0), RIGHT) == [(1.0, (0, 0, 1), 0.0, False)]
    assert outcomes(leaving, (0, 1, 0), RIGHT) == [(1.0, (-1, -1, -1), -3.0, True)], "blown off the board"


def test_leaving_the_board_can_be_the_end() -> None:
    world = GridWorld("SG", off_board="end", off_board_reward=-2.5)
    assert [outcomes(world, (0, 0, 0), action)[0] for action in (UP, DOWN, LEFT)] == [
        (1.0, (-1, -1, -1), -2.5, True)
    ] * 3
    assert world.cells[-1].tolist() == [-1, -1, -1]


def test_keys_open_doors() -> None:
    world = GridWorld("aSABG/..b##")
    closed, opened, both = 0, 1, 3
    assert outcomes(world, (closed, 0, 1), RIGHT) == [(1.0, (closed, 0, 1), 0.0, False)], "closed"
    assert outcomes(world, (closed, 0, 1), LEFT) == [(1.0, (opened, 0, 0), 0.0, False)], "the key is taken"
    assert outcomes(world, (opened, 0, 0), UP) == [(1.0, (opened, 0, 0), 0.0, False)], "and stays so"
    assert outcomes(world, (opened, 0, 1), RIGHT) == [(1.0, (opened, 0, 2), 0.0, False)], "open"
    assert outcomes(world, (opened, 0, 2), RIGHT) == [(1.0, (opened, 0, 2), 0.0, False)], "the other one is not"
    assert outcomes(world, (both, 0, 3), RIGHT) == [(1.0, (both, 0, 4), 1.0, True)]
    cells = world.cells.tolist()
    assert [closed, 0, 0] not in cells, "nobody stands on a key without taking it"
    assert [closed, 0, 2] not in cells, "nor in a closed door"
    assert sorted({cell[0] for cell in cells}) == [0, 1, 2, 3]


def test_the_goal_behind_a_door_whose_key_is_behind_it_cannot_be_reached() -> None:
    with pytest.raises(ConfigError, match=r"The goal at row 0, column 3 \(counted from 0\) cannot be reached"):
        GridWorld("S.AG/###a")


def test_a_one_way_tile_is_left_the_way_it_points() -> None:
    for tile, way in (("^", UP), ("v", DOWN), ("<", LEFT), (">", RIGHT)):
        world = GridWorld(("...", f".{tile}.", "S.G"))
        row, column = ((0, 1), (2, 1), (1, 0), (1, 2))[way]
        for action in range(4):
            there = (0, row, column) if action == way else (0, 1, 1)
            assert outcomes(world, (0, 1, 1), action)[0][1] == there
        assert outcomes(world, (0, 0, 1), DOWN)[0][1] == (0, 1, 1), "it can be entered from anywhere"


def test_a_slip_on_a_one_way_tile_stays() -> None:
    world = GridWorld(("S>G",), slip=0.5)
    assert outcomes(world, (0, 0, 1), RIGHT) == [(0.5, (0, 0, 1), 0.0, False), (0.5, (0, 0, 2), 1.0, True)]
    assert outcomes(world, (0, 0, 1), UP) == [(0.75, (0, 0, 1), 0.0, False), (0.25, (0, 0, 2), 1.0, True)]


def test_a_cliff_leads_back_to_the_start_with_all_keys() -> None:
    world = GridWorld("aSx.AG", allow_unreachable=True)
    assert outcomes(world, (1, 0, 1), RIGHT) == [(1.0, (1, 0, 1), -100.0, False)]
    several = GridWorld("SSx.G/.....", cliff_reward=-9)
    assert outcomes(several, (0, 0, 3), LEFT) == [(0.5, (0, 0, 0), -9.0, False), (0.5, (0, 0, 1), -9.0, False)]
    assert [0, 0, 2] not in several.cells.tolist(), "nobody stands on a cliff"


def test_a_fall_to_one_of_several_starts_keeps_all_keys() -> None:
    map = "S>ax#xSAG"  # the goal is reached only by a fall with the key, to the other start
    world, many = GridWorld(map), GridWorldVector(4000, map)
    first, other = (1, 0, 0), (1, 0, 6)
    assert outcomes(world, (1, 0, 2), RIGHT) == [(0.5, first, -100.0, False), (0.5, other, -100.0, False)]
    many.reset(seed=0)
    walking = many.state == 0
    for _ in range(3):
        many.step(np.where(walking, RIGHT, UP))
    places = [tuple(cell) for cell in many.cells[many.state[walking]].tolist()]
    assert set(places) == {first, other}
    assert places.count(first) / len(places) == pytest.approx(0.5, abs=0.06)


def test_many_starts_and_cliffs_make_no_large_tables() -> None:
    world = GridWorld(["x" * 40, *["S" + "." * 39] * 38, "." * 39 + "G"], start="anywhere", slip=0.1)
    assert world._model.probability.shape == (4 * 39 * 40, 3)
    falling = world.P[0][UP]  # one in 1,559 starts, a step to the side and a fall to where it leads are two outcomes
    assert len(falling) == 1559 + 2
    assert sum(p for p, _, reward, _ in falling if reward == -100.0) == pytest.approx(0.9)


def test_starts_are_drawn_uniformly() -> None:
    def counts(**options: Any) -> dict[tuple[int, ...], int]:
        world = GridWorld("S.^S/G..#", allow_unreachable=True, **options)
        world.reset(seed=0)
        found: dict[tuple[int, ...], int] = {}
        for _ in range(3000):
            world.reset()
            place = tuple(world.cells[world.state][1:].tolist())
            found[place] = found.get(place, 0) + 1
        return found

    assert counts() == {(0, 0): pytest.approx(1500, abs=150), (0, 3): pytest.approx(1500, abs=150)}
    anywhere = counts(start="anywhere")
    assert sorted(anywhere) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    assert list(anywhere.values()) == [pytest.approx(500, abs=100)] * 6
    assert list(counts(start=[1, 2])) == [(1, 2)]


@pytest.mark.parametrize(
    "options",
    [
        {"wind": [0, 0, 1, 0, 0, 1, 0, 0, 0, 0]},
        {"map": "SSaS/xxxA/...G"},
        {"map": "SSaS/xxxA/...G", "start": "anywhere"},
    ],
    ids=["wind", "falls", "falls anywhere"],
)
def test_steps_follow_the_model(options: dict[str, Any]) -> None:
    world = GridWorld(slip=0.3, allow_unreachable=True, **options)
    world.reset(seed=3)
    rng = np.random.default_rng(0)
    seen: dict[tuple[int, int], list[tuple[int, float, bool]]] = {}
    for _ in range(30_000):
        state, action = world.state, int(rng.integers(4))
        _, reward, terminated, _, _ = world.step(action)
        seen.setdefault((state, action), []).append((world.state, reward, terminated))
        if terminated:
            world.reset()
    assert len(seen) > 30
    for (state, action), results in seen.items():
        model: Any = {tuple(outcome): p for p, *outcome in world.P[state][action]}
        assert set(results) <= set(model)
        for outcome, p in model.items():
            if p * len(results) < 10:
                continue
            error = 5 * np.sqrt(p * (1 - p) / len(results))  # five standard deviations
            assert abs(results.count(outcome) / len(results) - p) <= error + 1e-12


@pytest.mark.parametrize("slip", [0.0, 0.1, 1 / 3, 1.0])
def test_probabilities_add_up(slip: float) -> None:
    world = GridWorld(slip=slip)
    sums = [sum(p for p, *_ in world.P[s][a]) for s in range(len(world.cells)) for a in range(4)]
    np.testing.assert_allclose(sums, 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"map": "S?G"},
            "The map has '?' at row 0, column 1 (counted from 0); its tiles are: # wall, . or space floor",
        ),
        ({"map": ""}, "The map is empty. Its tiles are: # wall"),
        (
            {"map": "S..\n.G"},
            "The rows of the map are of unequal length: row 1 (counted from 0) has 2 tiles, row 0 has 3.",
        ),
        ({"map": 7}, "A map is a text or a list of rows, not 7."),
        ({"map": ".G"}, "The map has no start. Write an S where the agent begins, or pass start=(row, column)."),
        ({"map": "OG", "start": "anywhere"}, "The map has no start. Write an S"),
        ({"map": "S."}, "The map has no goal. Write a G, or pass allow_unreachable=True for a world without one."),
        (
            {"map": "S#G"},
            "The goal at row 0, column 2 (counted from 0) cannot be reached. Open a way to it, or pass "
            "allow_unreachable=True.",
        ),
        (
            {"map": "S#SG"},
            "No goal can be reached from the start at row 0, column 0 (counted from 0). Open a way from it, or pass "
            "allow_unreachable=True.",
        ),
        ({"map": "SaG"}, "The map has the key 'a' and no door 'A' for it. Write both or neither."),
        ({"map": "SBG"}, "The map has the door 'B' and no key 'b' to it. Write both or neither."),
        ({"wind": [1, 2]}, "wind has 2 numbers and the map 10 columns. Write one number for each column."),
        ({"wind": [0.5] * 10}, "wind must be a whole number of tiles for each column, not [0.5, 0.5"),
        ({"wind": np.full(10, 0.5)}, "wind must be a whole number of tiles for each column, not [0.5, 0.5"),
        ({"wind": "calm"}, "wind must be a whole number of tiles for each column, not 'calm'."),
        ({"slip": np.True_}, "slip must be a probability in [0, 1], not True."),
        ({"allow_unreachable": "no"}, "allow_unreachable must be true or false, not 'no'."),
        ({"observation": ["index"]}, "There is no observation ['index']. There are: coordinates, image, index,"),
        ({"hight": 3}, "This world has no option 'hight'. It has: allow_unreachable, cliff_reward,"),
        ({"wnd": 3}, "This world has no option 'wnd'. Did you mean 'wind'?"),
        ({"wind": 3}, "wind must be a whole number of tiles for each column, not 3."),
        ({"slip": 1.5}, "slip must be a probability in [0, 1], not 1.5."),
        ({"slip": float("nan")}, "slip must be a probability in [0, 1], not nan."),
        ({"slip": "much"}, "slip must be a probability in [0, 1], not 'much'."),
        ({"goal_reward": float("inf")}, "goal_reward must be a finite number, not inf."),
        ({"off_board": "wrap"}, "off_board must be 'block' or 'end', not 'wrap'."),
        ({"start": "here"}, "start must be 'S', 'anywhere' or a (row, column), not 'here'."),
        ({"start": (0, 0)}, "start is row 0, column 0 (counted from 0), where there is no floor to stand on."),
        ({"start": (99, 0)}, "start is row 99, column 0 (counted from 0), where there is no floor to stand on."),
        ({"observation": "pixels"}, "There is no observation 'pixels'. There are: coordinates, image, index, one_hot."),
        (
            {"view_radius": 2},
            "view_radius is for the observations image and one_hot; 'index' always tells the whole state.",
        ),
        (
            {"view_radius": 0, "observation": "image"},
            "view_radius must be a positive whole number of tiles, not 0.",
        ),
        ({"render_mode": "human"}, "render_mode must be None, 'ansi' or 'rgb_array', not 'human'."),
    ],
)
def test_what_makes_no_sense_gets_one_sentence(options: dict[str, Any], sentence: str) -> None:
    for make in (GridWorld, GridWorldVector):
        with pytest.raises(ConfigError) as caught:
            make(**options)
        assert str(caught.value).startswith(sentence)


def test_what_cannot_be_reached_is_allowed_when_asked_for() -> None:
    for map in ("S#G", "S.", "S#SG"):
        GridWorld(map, allow_unreachable=True)


def test_rewards_are_real_numbers_however_they_are_written() -> None:
    world = GridWorld("S.", step_reward=-1, allow_unreachable=True)
    world.reset()
    assert type(world.step(3)[1]) is float
    assert type(world.P[0][3][0][2]) is float


def test_maps_are_written_in_four_ways() -> None:
    rows = ["S.", ".G"]
    boards = [GridWorld(map).P for map in ("S.\n.G", "\nS \n G\n", "S./.G", rows, tuple(rows))]
    assert all(board == boards[0] for board in boards)


def test_the_indent_of_a_text_and_its_line_ends_are_none_of_the_map() -> None:
    indented = """
        S..
        .#.
          G
    """
    texts = (indented, "S..\r\n # \r\n  G\r\n", "    S..\n     # \n      G")
    assert [GridWorld(text)._model.map.rows for text in texts] == [("S..", ".#.", "..G")] * 3


def test_numbers_of_numpy_are_numbers() -> None:
    ours = GridWorld(slip=0.25, wind=(0,) * 10, start=(3, 3), step_reward=-1.0, observation="image", view_radius=2)
    numpys = GridWorld(
        slip=np.float32(0.25),
        wind=np.zeros(10, int),
        start=np.array([3, 3]),
        step_reward=np.array(-1),
        observation=np.str_("image"),
        view_radius=np.int64(2),
    )
    assert numpys.P == ours.P
    assert numpys._model is ours._model, "equal rules are compiled once"
    listed = GridWorld(slip=0.25, wind=[np.int64(0)] * 10, start=[np.int8(3), 3], step_reward=-1)
    assert listed.P == ours.P
    size: Any = {"height": np.int64(3), "width": np.uint8(4)}
    assert Empty(**size).P == Empty(3, 4).P
    assert Maze(layout_seed=np.int64(5), **size).P == Maze(3, 4, 5).P
