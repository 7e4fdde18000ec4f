"""The arithmetic of tables: targets, ε-greedy draws, and moving many estimates at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import Actor, ConfigError, EnvironmentContractError, SpaceError
from rlhub_tabular.model import Model
from rlhub_tabular.worlds import numbers_are_its_own, told

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LARGEST = 2 * 10**8  # numbers in tables; 1.6 GB
LOWEST = np.finfo(np.float64).min  # what any possible action reaches, and -inf does not


def bootstrapped(reward: Floats, discount: float, terminated: NDArray[np.bool_], next_value: Floats) -> Floats:
    """Return R + γ V(S') [B], without V where the episode terminated; an episode cut off has a future all the same.

    Where nothing can be done, and V is -inf, there is none either.
    """
    target: Floats = reward + discount * np.where(terminated | (next_value == -np.inf), 0.0, next_value)
    return target


def epsilon_greedy(values: Floats, epsilon: float, rng: np.random.Generator) -> Ints:
    """Draw actions [B]: with probability ε any possible one, else any of the best (Sutton & Barto, section 2.2).

    Args:
        values: [B, A] of actions, -inf where one is impossible.
        epsilon: probability of exploring.
        rng: where draws come from.
    """
    if len(values) == 1:
        return np.array([_epsilon_greedy_of_one(values[0].tolist(), epsilon, rng)])
    draws = rng.random((len(values), values.shape[1] + 1))
    least = np.where(draws[:, -1] < epsilon, LOWEST, values.max(1))  # [B] that a candidate is worth
    chosen: Ints = np.where(values >= least[:, None], draws[:, :-1], -1.0).argmax(1)
    return chosen


def _epsilon_greedy_of_one(values: list[float], epsilon: float, rng: np.random.Generator) -> int:
    """Draw one action; the same draw without arrays, which for one environment are most of the time of a step."""
    least = LOWEST if rng.random() < epsilon else max(values)
    candidates = [action for action, worth in enumerate(values) if worth >= least]
    if len(candidates) > 1:
        return candidates[int(rng.random() * len(candidates))]
    return candidates[0] if candidates else 0  # in a terminal state there may be none


def expected_value(values: Floats, epsilon: float) -> Floats:
    """Return [B] the mean over what `epsilon_greedy` draws of the actions' values [B, A]; 0 where none is possible."""
    possible, best = values >= LOWEST, values.max(1)  # [B, A], [B]
    mean = np.where(possible, values, 0.0).sum(1) / np.maximum(possible.sum(1), 1)
    expected: Floats = epsilon * mean + (1 - epsilon) * np.where(best >= LOWEST, best, 0.0)
    return expected


def move(values: Floats, updates: Ints, places: Ints, targets: Floats, rate: float | None) -> float:
    """Move estimates towards targets, Q ← Q + α (target − Q), and count; return the mean size of the errors before.

    Where n of the B places are the same one, it moves as if their updates had come one after another, on average over
    all their orders: by (1 − (1 − α)^n) (mean target − Q).

    Args:
        values: [N] estimates, changed in place.
        updates: [N] targets that each has been moved towards, changed in place.
        places: [B] which of them.
        targets: [B]
        rate: α, or None for 1 / updates, which makes every estimate the mean of its targets.
    """
    if len(places) == 1:
        return _move_one(values, updates, int(places[0]), float(targets[0]), rate)
    errors = targets - values[places]  # [B]
    places, which, times = np.unique(places, return_inverse=True, return_counts=True)
    updates[places] += times
    step_size = times / updates[places] if rate is None else repeated(rate, times)
    values[places] += step_size * (np.bincount(which, errors) / times)
    return float(np.abs(errors).mean())


def _move_one(values: Floats, updates: Ints, place: int, target: float, rate: float | None) -> float:
    """Move one estimate; the same without arrays."""
    error = target - float(values[place])
    updates[place] += 1
    values[place] += (1 / int(updates[place]) if rate is None else rate) * error
    return abs(error)


def repeated(rate: float, times: NDArray[Any]) -> Floats:
    """Return the step size 1 − (1 − α)^n of n updates one after another; of one, α itself to the last bit."""
    return np.where(times == 1, rate, 1.0 - (1.0 - rate) ** times)


def discounted_returns(rewards: Floats, discount: float, after: float = 0.0) -> Floats:
    """Return G_t = R_t+1 + γ G_t+1 [T] of an episode (Sutton & Barto, equation 3.9).

    Args:
        rewards: [T] R_1 to R_T.
        discount: γ.
        after: G_T, what follows the last step.
    """
    returns = np.empty(len(rewards))
    for time, reward in zip(reversed(range(len(rewards))), reversed(rewards.tolist()), strict=True):
        returns[time] = after = reward + discount * after
    return returns


def said(behaviour: Actor, observations: Any, first: NDArray[np.bool_], actions: int, first_action: int) -> Ints:
    """Return the actions [B] that a user's function gives, counted from 0.

    Raises:
        ConfigError: where they are not B actions of the action space.
    """
    given = np.asarray(behaviour(observations, first))
    if given.shape != first.shape:
        raise ConfigError(
            f"behaviour: for {len(first)} observations it must give actions of shape {first.shape}, not {given.shape}."
        )
    action: Ints = given.astype(np.int64) - first_action
    if action.min() < 0 or action.max() >= actions or (given != action + first_action).any():
        last = first_action + actions - 1
        raise ConfigError(
            f"behaviour: its actions must be whole numbers from {first_action} to {last}; it gave {given}."
        )
    return action


def rows(observations: Any, which: Ints) -> Any:
    """Return some of a batch of observations, arrays or tuples of them."""
    if isinstance(observations, tuple):
        return tuple(rows(part, which) for part in observations)
    return np.asarray(observations)[which]


def possible_actions(env: Any, states: int, actions: int) -> NDArray[np.bool_] | None:
    """Return [S, A] which actions a world's model has transitions for, or None where it tells of none."""
    if not numbers_are_its_own(env):
        return None
    try:
        possible = Model(told(env, "P")).possible
    except EnvironmentContractError:  # P may be anything
        return None
    return possible if possible.shape == (states, actions) else None


def check_size(numbers: int, owner: str, advice: str) -> None:
    """Refuse tables of so many numbers that they fit no memory.

    Raises:
        SpaceError: which gives the advice.
    """
    if numbers > LARGEST:
        gigabytes = numbers * 8 / 10**9
        raise SpaceError(f"{owner} would take {gigabytes:,.1f} GB; at most {LARGEST * 8 / 10**9:.1f}. {advice}")
