"""An environment's model as flat arrays, and the two operations of dynamic programming on it.

Sutton & Barto, "Reinforcement Learning: An Introduction", 2nd ed. (2018), chapter 4: backups (equation 4.10) and
policy evaluation (equation 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import EnvironmentContractError, TrainingError
from rlhub_tabular.sparse import Sparse
from rlhub_tabular.worlds import one_of, told

Floats = NDArray[np.float64]

DENSE = 2_000  # states up to which equations are solved directly, by S² numbers and S³ / 3 multiplications
TOLERANCE = 1e-6  # by which the probabilities of an action may not sum to one
ROUNDING = 1e-13  # relative change of values below which iterating is no longer progress
SHAPE = "P[state][action] = [(probability, next_state, reward, terminated), …]"


class Model:
    """What every action leads to in every state: N transitions in all.

    Args:
        table: `P[state][action] = [(probability, next_state, reward, terminated), …]`, lists or dicts, as Gymnasium's
            toy texts have it; an impossible action has an empty list, or is missing.

    Attributes:
        states, actions: S and A.
        probability, next_state, reward, terminated: [N] of each transition, in the order of the table.
        row: [N] state · A + action that each belongs to.
        possible: [S, A] bool, false where an action has no transition.

    Raises:
        EnvironmentContractError: where the table is none of the kind, or its probabilities do not sum to one.
    """

    def __init__(self, table: Mapping[int, Any] | Sequence[Any]) -> None:
        try:
            self._read(table)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise EnvironmentContractError(f"P is no model, {SHAPE}: {error!r}.") from error
        rows = self.states * self.actions
        self.possible = (np.bincount(self.row, minlength=rows) > 0).reshape(self.states, self.actions)
        self._check()
        state, action = np.divmod(self.row, self.actions)
        self._row = action * self.states + state  # [N] by action first, so that a maximum over actions is quick
        gains = np.bincount(self._row, self.probability * self.reward, rows).reshape(self.actions, self.states)
        self._reward = np.where(self.possible.T, gains, -np.inf)  # [A, S] expected
        goes_on = ~self.terminated
        self._next = Sparse(
            self._row[goes_on], self.next_state[goes_on], self.probability[goes_on], (rows, self.states)
        )

    @classmethod
    def of(cls, env: Any, asked_by: str = "A planner") -> Model:
        """Return the model that the world inside an environment, single or vector, tells of itself.

        Args:
            env: a `gymnasium.Env` or `VectorEnv`, wrapped or not; what wrappers change is not in the model.
            asked_by: who needs it, for the message.

        Raises:
            EnvironmentContractError: where it tells none, or no valid one.
        """
        table = told(env, "P")
        if table is not None:
            return cls(table)
        raise EnvironmentContractError(
            f"{asked_by} needs a model, {SHAPE}; {_name(env)} tells none. FrozenLake-v1, CliffWalking-v1, Taxi-v4 and "
            "tabular/MDP-v0 do; tabular/q_learning and tabular/sarsa learn without one."
        )

    def q_values(self, values: Floats, discount: float) -> Floats:
        """Return [S, A] what every action is worth, Σ p (r + γ v(s')), and −∞ where it is impossible.

        After `terminated` nothing is worth anything, whatever `values` say of the next state.

        Args:
            values: [S] of the next states.
            discount: γ.
        """
        worth = (self._next @ values).reshape(self.actions, self.states)
        worth *= discount
        worth += self._reward
        return worth.T

    def state_values(self, q_values: Floats) -> Floats:
        """Return [S] the values of the best actions of [S, A]; 0 where no action is possible."""
        best: Floats = q_values.T.max(0)
        return best if self._acting.all() else np.where(self._acting, best, 0.0)

    def policy_evaluation(self, policy: Floats, discount: float, start: Floats | None = None) -> Floats:
        """Return [S] what every state is worth under a policy, the solution of v = r + γ P v.

        Beyond 2,000 states v is iterated until it changes by no more than rounding does.

        Args:
            policy: [S, A] probability of every action.
            discount: γ; where it is 1, a state from which no episode ends is worth 0 if nothing is gained from there.
            start: [S] values to iterate from.

        Raises:
            TrainingError: for a policy that takes impossible actions; with γ = 1, for one that gains for ever.
        """
        self._check_policy(policy)
        reward = (policy.T * np.where(self.possible.T, self._reward, 0.0)).sum(0)  # [S]
        onward = self._onward(policy)
        if discount == 1:
            endless = ~self._ending(policy, onward)
            self._check_endless(endless, reward)
            onward = self._onward(policy * ~endless[:, None])
        if self.states <= DENSE:
            return np.linalg.solve(np.eye(self.states) - discount * onward.dense(), reward)
        return _iterated(onward, reward, discount, np.zeros(self.states) if start is None else start)

    @cached_property
    def _acting(self) -> NDArray[np.bool_]:
        """[S] whether any action is possible."""
        return np.asarray(self.possible.any(1))

    def _read(self, table: Mapping[int, Any] | Sequence[Any]) -> None:
        self.states = len(table)
        by_state = [table[state] for state in range(self.states)]
        self.actions = max(map(_actions, by_state))
        if not self.actions:
            raise EnvironmentContractError(f"P is no model, {SHAPE}: no state has an action.")
        outcomes = [each for rows in by_state for each in _in_order(rows, self.actions)]  # [S A] lists of transitions
        counts = np.fromiter(map(len, outcomes), np.int64, len(outcomes))
        numbers = np.fromiter(chain.from_iterable(chain.from_iterable(outcomes)), np.float64)
        probability, next_state, reward, terminated = numbers.reshape(counts.sum(), 4).T
        self.row = np.repeat(np.arange(len(outcomes)), counts)
        self.probability, self.reward = probability.copy(), reward.copy()
        self.next_state, self.terminated = next_state.astype(np.int64), terminated.astype(np.bool_)

    def _check(self) -> None:
        sums = np.bincount(self.row, self.probability, self.possible.size)
        wrong = np.flatnonzero(self.possible.ravel() & ~(np.abs(sums - 1) <= TOLERANCE))
        if len(wrong):
            raise EnvironmentContractError(f"P{self._place(wrong[0])}: probabilities sum to {sums[wrong[0]]:g}, not 1.")
        outside = (self.next_state < 0) | (self.next_state >= self.states)
        for bad, what in (
            (self.probability < 0, "a negative probability"),
            (outside, f"a next state that is none of 0 to {self.states - 1}"),
            (~np.isfinite(self.reward), "a reward that is not finite"),
        ):
            if bad.any():
                raise EnvironmentContractError(f"P{self._place(self.row[bad][0])} holds {what}.")

    def _place(self, row: int) -> str:
        return f"[{row // self.actions}][{row % self.actions}]"

    def _check_policy(self, policy: Floats) -> None:
        if policy.shape != self.possible.shape:
            raise TrainingError(f"A policy here has shape {self.possible.shape}, not {policy.shape}.")
        impossible = ((policy > 0) & ~self.possible).any(1)
        wrong = np.flatnonzero(impossible | self._acting & (np.abs(policy.sum(1) - 1) > TOLERANCE))
        if len(wrong):
            row = policy[wrong[0]].tolist()
            raise TrainingError(f"A policy's probabilities of possible actions sum to 1; in state {wrong[0]}: {row}.")

    def _onward(self, policy: Floats) -> Sparse:
        """Return [S, S] the probability of going on to each state under a policy."""
        weight = self._next.weight * policy.T.ravel()[self._next.row]
        taken = weight > 0
        state = self._next.row[taken] % self.states
        return Sparse(state, self._next.column[taken], weight[taken], (self.states, self.states))

    def _ending(self, policy: Floats, onward: Sparse) -> NDArray[np.bool_]:
        """Return [S] whether an episode that is here may end some day."""
        ends = np.bincount(self._row, self.probability * self.terminated, self.possible.size)
        ending = (policy.T.ravel() * ends).reshape(self.actions, self.states).sum(0)
        can_end: NDArray[np.bool_] = (ending > 0) | ~self._acting
        while (more := can_end | (onward @ can_end.astype(np.float64) > 0)).sum() > can_end.sum():
            can_end = more
        return can_end

    def _check_endless(self, endless: NDArray[np.bool_], reward: Floats) -> None:
        """With γ = 1, refuse states whose episodes never end and never cease to gain or lose."""
        gaining = np.flatnonzero(endless & (np.abs(reward) > 0))
        if len(gaining):
            raise TrainingError(
                f"With discount 1 a policy has no value where it goes on for ever, as in state {gaining[0]}. "
                "Choose a discount below 1."
            )


def _iterated(onward: Sparse, reward: Floats, discount: float, values: Floats) -> Floats:
    """Return the fixed point of v = r + γ P v, iterated from some values."""
    while True:
        before, values = values, reward + discount * (onward @ values)
        if np.abs(values - before).max() <= ROUNDING * max(1.0, np.abs(values).max()):
            return values


def _actions(rows: Any) -> int:
    """Return how many actions a state's row has."""
    return 1 + max(rows, default=-1) if hasattr(rows, "keys") else len(rows)


def _in_order(rows: Any, actions: int) -> list[Any]:
    """Return the lists of transitions of a state's actions, empty ones for those that are missing."""
    if hasattr(rows, "keys"):
        return [rows.get(action) or () for action in range(actions)]
    return [*(each or () for each in rows), *[()] * (actions - len(rows))]


def _name(env: Any) -> str:
    """Return what a reader calls an environment."""
    alone = one_of(env)
    spec = getattr(alone, "spec", None)
    return spec.id if spec is not None else type(alone.unwrapped).__name__
