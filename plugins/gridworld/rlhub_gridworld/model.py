"""A world as tables: what each action can lead to from each state, with which probability and reward.

Both environments step through these tables and `P` is written from them, so that the model is never another than what
happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_gridworld.maps import KEYS, ONE_WAY, Map, Place, at
from rlhub_gridworld.rules import Rules

HEADINGS = ("up", "down", "left", "right")
ACTIONS = len(HEADINGS)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # rows, columns
SIDEWAYS = ((2, 3), (2, 3), (0, 1), (0, 1))  # the actions perpendicular to each
Cell = tuple[int, int, int]  # panel, row, column
Outcome = tuple[float, int, float, bool]  # probability, next state, reward, terminated
Transitions = dict[int, dict[int, list[Outcome]]]
NOWHERE = (-1, -1, -1)


@dataclass(frozen=True, eq=False)
class Model:
    """The tables of S states and 4 actions; row `4 * state + action` of a table has its K outcomes, padded.

    A state is a set of keys held (a panel: bit i is the i-th key of the alphabet) and a place to stand; walls and
    cliffs are none, nor is a key's tile without the key. Where the board can be left, the last state is off it.
    A next state of S + panel stands for one of several starts, with these keys, so that the tables of a world with
    cliffs do not grow with the square of its starts.
    """

    map: Map
    rules: Rules
    cells: NDArray[np.int64]  # [S, 3] panel, row, column; -1 off the board
    board: NDArray[np.bool_]  # [rows, columns] true for walls
    starts: NDArray[np.int64]  # [panels, N] states, equally likely
    probability: NDArray[np.float64]  # [4 S, K]
    next_state: NDArray[np.int64]  # [4 S, K]
    reward: NDArray[np.float64]  # [4 S, K]
    terminated: NDArray[np.bool_]  # [4 S, K]
    thresholds: NDArray[np.float64]  # [4 S, K - 1] outcome k is the first whose threshold exceeds a uniform number

    @property
    def states(self) -> int:
        """S, how many states there are."""
        return len(self.cells)

    @cached_property
    def falls(self) -> bool:
        """Whether an action can lead to one of several starts."""
        return bool((self.next_state >= self.states).any())

    @property
    def outcomes(self) -> int:
        """K, the most outcomes that an action has."""
        return int(self.probability.shape[1])

    def start(self, number: Any, panel: Any = 0) -> Any:
        """Return the start, or [B] of them, that a number in [0, 1) draws, with the keys of a panel held."""
        return self.starts[panel, np.asarray(number * self.starts.shape[1], np.int64)]

    def transitions(self) -> Transitions:
        """Return `P[state][action] = [(probability, next_state, reward, terminated), …]`, as Gymnasium's toy texts."""
        tables = (self.probability, self.next_state, self.reward, self.terminated)
        rows = [
            _merged(expanded for outcome in zip(*row, strict=True) for expanded in self._expanded(*outcome))
            for row in zip(*(table.tolist() for table in tables), strict=True)
        ]
        return {s: {a: rows[ACTIONS * s + a] for a in range(ACTIONS)} for s in range(self.states)}

    def _expanded(self, chance: float, there: int, reward: float, terminated: bool) -> list[Outcome]:
        if there < self.states:
            return [(chance, there, reward, terminated)]
        starts = self.starts[there - self.states].tolist()
        return [(chance / len(starts), start, reward, terminated) for start in starts]


@lru_cache(maxsize=8)
def compiled(map: Map, rules: Rules) -> Model:
    """Return the tables of a world.

    Raises:
        ConfigError: where the map and the rules do not fit, or a goal cannot be reached.
    """
    if rules.wind is not None and len(rules.wind) != map.width:
        raise ConfigError(
            f"wind has {len(rules.wind)} numbers and the map {map.width} columns. Write one number for each column."
        )
    places = _starts(map, rules)
    if not map.places("G") and not rules.allow_unreachable:
        raise ConfigError("The map has no goal. Write a G, or pass allow_unreachable=True for a world without one.")
    cells: list[Cell] = [
        (panel, *place) for panel in range(map.panels) for place, tile in map if _stands(map, panel, tile)
    ]
    if rules.off_board == "end":
        cells.append(NOWHERE)
    number = {cell: state for state, cell in enumerate(cells)}
    starts = [[number[panel, *place] for place in places] for panel in range(map.panels)]
    back = [states[0] if len(states) == 1 else len(cells) + panel for panel, states in enumerate(starts)]
    rows = [_merged(_outcomes(map, rules, number, back, cell, action)) for cell in cells for action in range(ACTIONS)]
    model = _tables(map, rules, cells, starts, rows)
    if not rules.allow_unreachable:
        _check_reachable(model)
    return model


def landing(map: Map, rules: Rules, panel: int, place: Place, action: int) -> Place | None:
    """Return where a direction leads, or None where that is off a board which can be left.

    The step to the side comes first, then what wind and the step up or down amount to together, tile by tile; walls and
    closed doors stop it. Only the tile where it ends matters: wind carries over pits, cliffs and keys. Wind is that of
    the column in which the step starts (Sutton & Barto, 2nd ed., example 6.5).
    """
    down, right = MOVES[action]
    if map[place] in ONE_WAY and ONE_WAY.index(map[place]) != action:
        down, right = 0, 0
    if rules.wind is not None:
        down -= rules.wind[place[1]]
    for step in [(0, right)] * abs(right) + [(1 if down > 0 else -1, 0)] * abs(down):
        ahead = place[0] + step[0], place[1] + step[1]
        if ahead in map:
            place = place if _is_closed(map, panel, map[ahead]) else ahead
        elif rules.off_board == "end":
            return None
    return place


def _outcomes(
    map: Map, rules: Rules, number: dict[Cell, int], back: list[int], cell: Cell, action: int
) -> list[Outcome]:
    panel, here = cell[0], cell[1:]
    if cell == NOWHERE or map[here] in "GO":
        return [(1.0, number[cell], 0.0, True)]
    chances = [(action, 1.0 - rules.slip), *((other, rules.slip / 2) for other in SIDEWAYS[action])]
    found: list[Outcome] = []
    for direction, chance in chances:
        if not chance:
            continue
        there = landing(map, rules, panel, here, direction)
        if there is None:
            found.append((chance, number[NOWHERE], rules.off_board_reward, True))
        elif map[there] == "x":
            found.append((chance, back[panel], rules.cliff_reward, False))
        else:
            tile = map[there]
            held = map.taking(panel, tile) if tile in KEYS else panel
            reward = {"G": rules.goal_reward, "O": rules.pit_reward}.get(tile, rules.step_reward)
            found.append((chance, number[held, *there], reward, tile in "GO"))
    return found


def _merged(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return outcomes with equal ones made into one, impossible ones left out."""
    chances: dict[tuple[int, float, bool], float] = {}
    for chance, *outcome in outcomes:
        if chance > 0:
            key: Any = tuple(outcome)
            chances[key] = chances.get(key, 0.0) + chance
    return [(chance, *outcome) for outcome, chance in chances.items()]


def _tables(map: Map, rules: Rules, cells: list[Cell], starts: list[list[int]], rows: list[list[Outcome]]) -> Model:
    most = max(len(row) for row in rows)
    padded = [row + [(0.0, *row[0][1:])] * (most - len(row)) for row in rows]
    columns: list[NDArray[Any]] = [
        np.array([[outcome[part] for outcome in row] for row in padded], kind)
        for part, kind in enumerate((np.float64, np.int64, np.float64, np.bool_))
    ]
    probability, next_state, reward, terminated = columns  # [4 S, K] each
    remaining = probability[:, ::-1].cumsum(1)[:, ::-1][:, 1:]  # [4 S, K - 1] of the outcomes after each
    thresholds = np.where(remaining > 0, probability.cumsum(1)[:, :-1], 1.0)
    board = np.array([[tile == "#" for tile in row] for row in map.rows])
    tables = (np.array(cells), board, np.array(starts), probability, next_state, reward, terminated, thresholds)
    for table in tables:
        table.flags.writeable = False  # they are shared by all environments of this world
    return Model(map, rules, *tables)


def _starts(map: Map, rules: Rules) -> list[Place]:
    floors = [place for place, tile in map if tile in ".S" + ONE_WAY]
    if rules.start == "anywhere" and floors:
        return floors
    if rules.start not in ("S", "anywhere"):
        place: Any = rules.start
        if place not in floors:
            raise ConfigError(f"start is {at(place)}, where there is no floor to stand on.")
        return [place]
    if not map.places("S"):
        raise ConfigError("The map has no start. Write an S where the agent begins, or pass start=(row, column).")
    return map.places("S")


def _stands(map: Map, panel: int, tile: str) -> bool:
    return tile not in "#x" and (not tile.isalpha() or tile in "SGOv" or map.holds(panel, tile))


def _is_closed(map: Map, panel: int, tile: str) -> bool:
    return tile == "#" or (tile.lower() in KEYS and tile.isupper() and not map.holds(panel, tile))


def _check_reachable(model: Model) -> None:
    forth = _reachable(model)
    for place in model.map.places("G"):
        if not forth[(model.cells[:, 1:] == place).all(1)].any():
            raise ConfigError(
                f"The goal at {at(place)} cannot be reached. Open a way to it, or pass allow_unreachable=True."
            )
    lost = model.starts[0][~_on_a_way_to_goals(model)[model.starts[0]]]
    if len(lost):
        _, row, column = model.cells[lost[0]].tolist()
        raise ConfigError(
            f"No goal can be reached from the start at {at((row, column))}. Open a way from it, or pass "
            "allow_unreachable=True."
        )


def _on_a_way_to_goals(model: Model) -> NDArray[np.bool_]:
    """Return [S] from which states a goal can be reached."""
    goals = set(model.map.places("G"))
    found = np.array([(row, column) in goals for _, row, column in model.cells.tolist()])
    following = _following(model)
    while True:
        with_starts = np.concatenate([found, found[model.starts].any(1)])
        more = found | with_starts[following].any(1)
        if (more == found).all():
            return found
        found = more


def _reachable(model: Model) -> NDArray[np.bool_]:
    """Return [S] which states can be reached from the starts."""
    following = _following(model)
    reached = np.zeros(model.states, np.bool_)
    states = model.starts[0]
    while len(states):
        reached[states] = True
        states = np.unique(following[states])
        panels = states[states >= model.states] - model.states
        states = np.union1d(states[states < model.states], model.starts[panels])
        states = states[~reached[states]]
    return reached


def _following(model: Model) -> NDArray[np.int64]:
    """Return [S, 4 K] the states that can follow each; what pads a row is possible as well."""
    return model.next_state.reshape(model.states, -1)
