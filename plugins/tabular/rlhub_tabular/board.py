"""Where the states of a world stand, for pictures: cells on a board, and what its model says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
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
        step_reward: the usual reward of a step that ends nothing.
    """

    cells: NDArray[np.int64]
    walls: NDArray[np.bool_]
    headings: tuple[str, ...]
    endings: dict[int, float]
    step_reward: float = 0.0

    @property
    def panels(self) -> int:
        """How many boards stand side by side: one for each set of keys held, say."""
        return int(self.cells[:, 0].max()) + 1

    @property
    def standing(self) -> list[int]:
        """The states that stand somewhere and in which an episode goes on."""
        somewhere = np.flatnonzero(self.cells[:, 0] != NOWHERE).tolist()
        return [state for state in somewhere if state not in self.endings]

    @property
    def goals(self) -> set[int]:
        """The endings of the greatest reward, where it is no less than that of any step."""
        best = max((self.endings[state] for state in self.endings if self.cells[state, 0] != NOWHERE), default=0.0)
        good = best >= self.step_reward
        return {state for state, reward in self.endings.items() if good and reward == best}

    @classmethod
    def of(cls, env: Any) -> Board:
        """Return the board of an environment, single or vector.

        A world tells its own `cells`, `board` and `headings`; of Gymnasium's worlds the `desc` or `shape` tells the
        cells, and the model where actions lead. The states of any other stand row by row: in the order of the first two
        parts of an observation, the others making panels, or in a rectangle.
        """
        space = getattr(env, "single_observation_space", env.observation_space)
        actions = int(getattr(env, "single_action_space", env.action_space).n)
        states, model = States(space), told(env, "P")
        world, walls = _told(env)  # the cells of the model's states
        cells, empty = _row_by_row(states.sizes)
        if world is None and model is not None and len(model) == states.count:
            world = cells
        if isinstance(space, Discrete) and world is not None and len(world) == states.count:
            cells, empty = world, empty if walls is None else walls
        if walls is None or walls.shape != empty.shape:
            walls = empty
        if model is None or world is None or len(model) != len(world):
            return cls(cells, walls, tuple(told(env, "headings") or ()), {})
        headings = tuple(told(env, "headings") or _headings(model, world, actions))
        numbered = cells is world
        return cls(cells, walls, headings, *_rewards(model, world, None if numbered else cells))


def _told(env: Any) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
    """Return the cells and walls that a world tells, in whichever way."""
    cells, board = told(env, "cells"), told(env, "board")
    if cells is not None and board is not None:
        return np.asarray(cells, np.int64), np.asarray(board, np.bool_)
    desc, shape, model = told(env, "desc"), told(env, "shape"), told(env, "P")
    shape = np.shape(desc) if desc is not None else shape  # FrozenLake and its like number cells row by row
    if model is None or not isinstance(shape, tuple) or len(shape) != 2 or math.prod(shape) != len(model):
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


def _rewards(model: Any, world: NDArray[np.int64], cells: NDArray[np.int64] | None) -> tuple[dict[int, float], float]:
    """Return the reward for entering each state in which episodes end, and that of other steps.

    Args:
        model: of the world.
        world: [S, 3] the cells of its states.
        cells: those of a table that numbers states otherwise; there they are found by row and column.
    """
    endings: dict[int, float] = {}
    steps: list[float] = []
    for state, _, outcomes in _rows(model):
        for _, successor, reward, terminated in outcomes:
            if not terminated:
                steps.append(float(reward))
            elif successor != state:
                endings[int(successor)] = float(reward)
    if cells is not None:
        places = {tuple(world[state, 1:].tolist()): reward for state, reward in endings.items()}
        places.pop((NOWHERE, NOWHERE), None)
        found = ((state, places.get(tuple(place))) for state, place in enumerate(cells[:, 1:].tolist()))
        endings = {state: reward for state, reward in found if reward is not None}
    return endings, float(np.median(steps)) if steps else 0.0


def _rows(model: Any) -> Any:
    """Yield (state, action, its outcomes) of a model `P`, whose tables are dicts or lists."""
    for state, table in model.items() if isinstance(model, dict) else enumerate(model):
        for action, outcomes in table.items() if isinstance(table, dict) else enumerate(table):
            yield state, action, outcomes
