"""The maps of the worlds on offer."""

from __future__ import annotations

import numpy as np

from rlhub_core import ConfigError
from rlhub_gridworld.options import is_whole, positive

EXAMPLE = """\
##########
#S...>..O#
#.##.#...#
#a#..#x..#
###..##A##
#...^....#
#.O.#..x.#
#...#..>G#
##########"""

GRID_4X4 = """\
S...
....
....
...G"""

FOUR_ROOMS = """\
#############
#S....#.....#
#.....#.....#
#...........#
#.....#.....#
#.....#.....#
##.####.....#
#.....###G###
#.....#.....#
#.....#.....#
#...........#
#.....#.....#
#############"""

CLIFF = """\
............
............
............
SxxxxxxxxxxG"""

WINDY = """\
..........
..........
..........
S......G..
..........
..........
.........."""
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)

KEY_DOOR = """\
###########
#....#....#
#.a..#..b.#
#....A....#
#....#....#
#S...##B###
#....#....#
#....#...G#
###########"""


def empty(height: int, width: int) -> tuple[str, ...]:
    """Return a room of height × width tiles within walls; from its upper left corner to its lower right one."""
    height, width = _size("room", height, width)
    inside = np.full((height, width), ".")
    inside[0, 0], inside[-1, -1] = "S", "G"
    return _rows(np.pad(inside, 1, constant_values="#"))


def maze(height: int, width: int, layout_seed: int) -> tuple[str, ...]:
    """Return a perfect maze of height × width places: between any two there is exactly one way.

    It is drawn uniformly among all of them, as a loop-erased random walk from each place to those already joined
    (Wilson, "Generating random spanning trees more quickly than the cover time", STOC 1996).
    """
    height, width = _size("maze", height, width)
    if not is_whole(layout_seed) or layout_seed < 0:
        raise ConfigError(f"layout_seed must be a whole number from 0, not {layout_seed!r}.")
    rng = np.random.default_rng(layout_seed)
    board = np.full((2 * height + 1, 2 * width + 1), "#")
    board[-2, -2] = "G"
    for first in np.ndindex(height, width):
        here, way = first, {}  # the last direction taken from each place, so that loops are forgotten
        while board[2 * here[0] + 1, 2 * here[1] + 1] == "#":
            way[here] = _neighbour(here, height, width, rng)
            here = way[here]
        here = first
        while board[2 * here[0] + 1, 2 * here[1] + 1] == "#":
            there = way[here]
            board[2 * here[0] + 1, 2 * here[1] + 1] = "."
            board[here[0] + there[0] + 1, here[1] + there[1] + 1] = "."
            here = there
    board[1, 1] = "S"
    return _rows(board)


def _size(what: str, height: int, width: int) -> tuple[int, int]:
    size = positive("height", height), positive("width", width)
    if size == (1, 1):
        raise ConfigError(f"A {what} of 1 × 1 has no place for a start and a goal. Make it longer or wider.")
    return size


def _neighbour(place: tuple[int, ...], height: int, width: int, rng: np.random.Generator) -> tuple[int, ...]:
    row, column = place
    around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    inside = [(r, c) for r, c in around if 0 <= r < height and 0 <= c < width]
    return inside[rng.integers(len(inside))]


def _rows(board: np.ndarray[tuple[int, ...], np.dtype[np.str_]]) -> tuple[str, ...]:
    return tuple("".join(row) for row in board)
