"""Where the states of a world stand, for pictures: cells on a board, and what its model says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_tabular.states import States
from rlhub_tabular.worlds import told

NOWHERE = -1
HEADINGS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # rows, columns


@dataclass(frozen=True)
class Board:
    """The cells of a world's states.

    Attributes:
        cells: [S, 3] panel, row and column of each state; -1 where it stands nowhere.
        walls: [rows, columns] bool.
        headings: of each action, "up", "down", "left" or "right"; empty where actions are no such moves.
        endings: the reward for entering each state in which episodes end.
    """

    cells: NDArray[np.int64]
    walls: NDArray[np.bool_]
    headings: tuple[str, ...]
    endings: dict[int, float]

    @property
    def panels(self) -> int:
        """How many boards stand side by side: one for each set of keys held, say."""
        return int(self.cells[:, 0].max()) + 1

    @classmethod
    def of(cls, env: Any) -> Board:
        """Return the board of an environment, single or vector.

        A world tells its own `cells` and `board`; of Gymnasium's worlds the `desc` or `shape` tells them. The states of
        any other stand row by row: in the order of the first two parts of an observation, the others making panels, or
        in a rectangle.
        """
        states = States(getattr(env, "single_observation_space", env.observation_space))
        actions = int(getattr(env, "single_action_space", env.action_space).n)
        cells, walls = _own(env)
        if cells is None or len(cells) != states.count:
            cells, walls = _gymnasiums(env, states.count)
        if cells is None or walls is None:
            cells, walls = _row_by_row(states.sizes)
        model = told(env, "P")
        fits = model is not None and len(model) <= states.count
        return cls(
            cells,
            walls,
            _headings(model, cells, actions) if fits else (),
            _endings(model) if fits else {},
        )


def _own(env: Any) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
    cells, board = told(env, "cells"), told(env, "board")
    if cells is None or board is None:
        return None, None
    return np.asarray(cells, np.int64), np.asarray(board, np.bool_)


def _gymnasiums(env: Any, count: int) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
    """Return the cells of FrozenLake and its like, which number them row by row."""
    desc, shape = told(env, "desc"), told(env, "shape")
    shape = np.shape(desc) if desc is not None else shape
    if not isinstance(shape, tuple) or len(shape) != 2 or math.prod(shape) != count:
        return None, None
    return _row_by_row(shape)


def _row_by_row(sizes: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return cells for states of these parts: rows, columns, and panels for all further parts."""
    count = math.prod(sizes)
    if len(sizes) == 1:
        columns = math.ceil(math.sqrt(count)) if count > 12 else count
        rows, panels = np.divmod(np.arange(count), columns), np.zeros(count, np.int64)
        return np.stack([panels, *rows], 1), np.zeros((math.ceil(count / columns), columns), np.bool_)
    row, column, *rest = np.unravel_index(np.arange(count), sizes)
    panel = np.ravel_multi_index(tuple(rest), sizes[2:]) if rest else np.zeros(count, np.int64)
    return np.stack([panel, row, column], 1), np.zeros(sizes[:2], np.bool_)


def _headings(model: Any, cells: NDArray[np.int64], actions: int) -> tuple[str, ...]:
    """Return where each action leads, by its mean move over all states: slips to either side cancel out.

    Where two lead the same way, or one nowhere in particular, they are no moves on a board, and nothing is returned.
    """
    moves = np.zeros((actions, 2))
    for state, action, outcomes in _rows(model):
        for probability, successor, _, terminated in outcomes:
            here, there = cells[state], cells[successor]
            if not terminated and there[0] == here[0] != NOWHERE and abs(there - here).sum() == 1:
                moves[action] += probability * (there - here)[1:]
    headings = tuple(heading for move in moves if (heading := _heading(move)) is not None)
    return headings if len(set(headings)) == actions else ()


def _heading(move: NDArray[np.float64]) -> str | None:
    axis = int(np.argmax(np.abs(move)))
    if abs(move[axis]) <= 2 * abs(move[1 - axis]):
        return None
    straight = (int(np.sign(move[axis])), 0) if axis == 0 else (0, int(np.sign(move[axis])))
    return next(name for name, step in HEADINGS.items() if step == straight)


def _endings(model: Any) -> dict[int, float]:
    """Return the reward for entering each state in which episodes end."""
    endings: dict[int, float] = {}
    for state, _, outcomes in _rows(model):
        for _, successor, reward, terminated in outcomes:
            if terminated and successor != state:
                endings[int(successor)] = float(reward)
    return endings


def _rows(model: Any) -> Any:
    """Yield (state, action, its outcomes) of a model `P`, whose tables are dicts or lists."""
    for state, table in model.items() if isinstance(model, dict) else enumerate(model):
        for action, outcomes in table.items() if isinstance(table, dict) else enumerate(table):
            yield state, action, outcomes
