"""A Markov decision process from tables, as a Gymnasium environment that also tells its model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_tabular.distributions import Distribution, numbers

Outcomes = list[tuple[float, int, float, bool]]  # probability, next state, reward, terminated

T, R = "transition_probabilities", "rewards"


class MDP(gymnasium.Env[Any, Any]):
    """S states and A actions, given by tables; each observation is the number of a state.

    Args:
        transition_probabilities: `[s][a][s']`; None or an empty row where an action is impossible.
        rewards: `[s][a][s']`, or `[s][a]` where they do not depend on the next state; those of impossible actions are
            ignored.
        possible_actions: of each state; by default those that have probabilities.
        initial_state: where episodes start, or the [S] probabilities of starting in each state.
        terminal_states: which end an episode when they are entered; their own rows are ignored.
        render_mode: "ansi" or None.

    Attributes:
        P: the model, `P[state][action] = [(probability, next_state, reward, terminated), …]`, empty where an action is
            impossible; in a terminal state every action stays there.
        possible: [S, A] bool.
        cells, board: where each state stands in a picture: side by side in one row.

    Raises:
        ConfigError: where the tables are no decision process; it names the row.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(
        self,
        transition_probabilities: Any,
        rewards: Any,
        possible_actions: Sequence[Collection[int]] | None = None,
        initial_state: int | Sequence[float] = 0,
        terminal_states: Collection[int] = (),
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise ConfigError(f"render_mode must be 'ansi' or None, not {render_mode!r}.")
        states, actions = _sizes(transition_probabilities)
        self.observation_space, self.action_space = Discrete(states), Discrete(actions)
        self.render_mode = render_mode
        self.terminal_states = _terminal(terminal_states, states)
        self._rows = _distributions(transition_probabilities, possible_actions, self.terminal_states, actions)
        self.possible: NDArray[np.bool_] = np.array([[row is not None for row in rows] for rows in self._rows])
        self._check_possible()
        _check_lengths(rewards, R, states, actions, ignored=self.terminal_states)
        self.P = {s: {a: self._outcomes(rewards, s, a) for a in range(actions)} for s in range(states)}
        self._start = self._starting(initial_state)
        self._state, self._last = self._start.states[0], ""
        self.board = np.zeros((1, states), np.bool_)
        self.cells = np.stack([np.zeros(states, int), np.zeros(states, int), np.arange(states)], 1)  # [S, 3]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begin an episode; from one fixed state, that takes no random number."""
        super().reset(seed=seed)
        alone = len(self._start.states) == 1
        self._state, self._last = self._start.states[0] if alone else self._start.draw(self.np_random), ""
        return self._state, self._info(1.0 if alone else self._start.probability(self._state))

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Go to the next state, chosen by one random number.

        Raises:
            gymnasium.error.InvalidAction: for an action that is impossible in this state.
        """
        state = self._state
        number = int(action)
        outcomes = self.P[state].get(number)
        if not outcomes or number != action:
            possible = ", ".join(map(str, np.flatnonzero(self.possible[state]))) or "none"
            raise gymnasium.error.InvalidAction(
                f"Action {action} is impossible in state {state}. Possible there: {possible}."
            )
        row = self._rows[state][number]
        self._state = state if row is None else row.draw(self.np_random)  # None: terminal, where every action stays
        probability, _, reward, terminated = next(each for each in outcomes if each[1] == self._state)
        self._last = f"action {number}, reward {reward:g}"
        return self._state, reward, terminated, False, self._info(probability)

    def render(self) -> str | None:
        """Return the row of states, the present one in brackets, and what led to it."""
        if self.render_mode is None:
            return None
        row = " ".join(f"[{s}]" if s == self._state else f" {s} " for s in range(len(self.P)))
        return f"{row}  {self._last}".rstrip() + "\n"

    def _info(self, probability: float) -> dict[str, Any]:
        return {"prob": probability, "action_mask": self.possible[self._state].astype(np.int8)}  # as Gymnasium's Taxi

    def _outcomes(self, rewards: Any, state: int, action: int) -> Outcomes:
        if state in self.terminal_states:
            return [(1.0, state, 0.0, True)]
        row = self._rows[state][action]
        if row is None:
            return []
        gains = _rewards(rewards[state][action], len(self._rows), f"{R}[{state}][{action}]")
        chances = zip(row.probabilities, row.states, strict=True)
        return [(p, s, float(gains[s]), s in self.terminal_states) for p, s in chances]

    def _check_possible(self) -> None:
        for state, possible in enumerate(self.possible):
            if not possible.any() and state not in self.terminal_states:
                raise ConfigError(f"State {state} has no possible action. Name it in terminal_states, or give it one.")
        for action, possible in enumerate(self.possible.T):
            if not possible.any():
                raise ConfigError(f"Action {action} is impossible in every state. Leave it out.")

    def _starting(self, initial_state: Any) -> Distribution:
        """Return the distribution of the first state."""
        count = len(self._rows)
        if np.ndim(initial_state) == 0:
            if not _is_number_below(initial_state, count):
                raise ConfigError(f"initial_state must be a state, 0 to {count - 1}, not {initial_state!r}.")
            initial_state = np.eye(count)[int(initial_state)]
        start = Distribution.of(initial_state, count, "initial_state")
        ended = [state for state in start.states if state in self.terminal_states]
        if ended:
            raise ConfigError(f"initial_state: no episode can start in {ended[0]}, which is a terminal state.")
        return start


def _sizes(table: Any) -> tuple[int, int]:
    """Return S and A of a table [S][A] of rows."""
    try:
        states, actions = len(table), max((len(rows) for rows in table if rows is not None), default=0)
    except TypeError:
        raise ConfigError(f"{T} must be a table [state][action][next state].") from None
    if not actions:
        raise ConfigError(f"{T} must be a table [state][action][next state]; it has no action.")
    return states, actions


def _check_lengths(table: Any, name: str, states: int, actions: int, ignored: Collection[int] = ()) -> None:
    _check_rows(table, name, states)
    for state, rows in enumerate(table):
        if state not in ignored and (not hasattr(rows, "__len__") or len(rows) != actions):
            has = len(rows) if hasattr(rows, "__len__") else repr(rows)
            raise ConfigError(f"{name}[{state}] must have {actions} entries, one an action; it has {has}.")


def _check_rows(table: Any, name: str, states: int) -> None:
    if not hasattr(table, "__len__") or len(table) != states:
        has = len(table) if hasattr(table, "__len__") else repr(table)
        raise ConfigError(f"{name} must have {states} rows, one a state; it has {has}.")


def _distributions(
    table: Any, possible_actions: Any, terminal: Collection[int], actions: int
) -> list[list[Distribution | None]]:
    """Return [S][A] distributions of the next state, None for impossible actions and in terminal states."""
    count = len(table)
    _check_lengths(table, T, count, actions, ignored=terminal)
    if possible_actions is not None:
        _check_rows(possible_actions, "possible_actions", count)
    result: list[list[Distribution | None]] = []
    for state in range(count):
        if state in terminal:
            result.append([None] * actions)
            continue
        listed = None if possible_actions is None else _listed(possible_actions[state], state, actions)
        rows = (_distribution(table[state][action], state, action, count, listed) for action in range(actions))
        result.append(list(rows))
    return result


def _listed(given: Any, state: int, actions: int) -> set[int]:
    return _numbers_below(given, actions, f"possible_actions[{state}]", "actions")


def _distribution(row: Any, state: int, action: int, count: int, listed: set[int] | None) -> Distribution | None:
    """Return the distribution after an action, None where it is impossible."""
    owner, absent = f"{T}[{state}][{action}]", row is None or np.size(row) == 0
    if listed is None or action in listed:
        if absent and listed is not None:
            raise ConfigError(f"possible_actions[{state}] names {action}, but {owner} has no probabilities.")
        return None if absent else Distribution.of(row, count, owner)
    if not absent and numbers(row, count, owner).any():  # in an array, zeros stand where an action is impossible
        raise ConfigError(f"{owner} has probabilities, but possible_actions[{state}] does not name {action}.")
    return None


def _rewards(given: Any, count: int, owner: str) -> NDArray[np.float64]:
    """Return [S] rewards by next state."""
    row = numbers([given] * count if np.ndim(given) == 0 else given, count, owner)
    if not np.isfinite(row).all():
        raise ConfigError(f"{owner} holds a reward that is not finite.")
    return row


def _terminal(given: Collection[int], count: int) -> frozenset[int]:
    return frozenset(_numbers_below(given, count, "terminal_states", "states"))


def _numbers_below(given: Any, limit: int, name: str, what: str) -> set[int]:
    if not hasattr(given, "__iter__"):
        raise ConfigError(f"{name} must be a list of {what}, not {given!r}.")
    for number in given:
        if not _is_number_below(number, limit):
            raise ConfigError(f"{name} names {number!r}; {what} are 0 to {limit - 1}.")
    return set(map(int, given))


def _is_number_below(number: Any, limit: int) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool) and 0 <= int(number) < limit
