"""The functions that make time steps, by TF-Agents' names: the observation comes first here, the reward in dm_env.

A batch gives its size, or its outer dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhub_legacy.time_steps import StepType, TimeStep

__all__ = ["StepType", "TimeStep", "restart", "termination", "transition", "truncation"]


def restart(observation: Any, batch_size: int | None = None) -> TimeStep:
    """Return the first time step of an episode: reward 0, discount 1."""
    return _time_step(StepType.FIRST, observation, 0.0, 1.0, None if batch_size is None else (batch_size,))


def transition(observation: Any, reward: Any, discount: Any = 1.0, outer_dims: Sequence[int] | None = None) -> TimeStep:
    """Return a time step amid an episode."""
    return _time_step(StepType.MID, observation, reward, discount, outer_dims)


def termination(observation: Any, reward: Any, outer_dims: Sequence[int] | None = None) -> TimeStep:
    """Return the last time step of an episode whose future is worth nothing."""
    return _time_step(StepType.LAST, observation, reward, 0.0, outer_dims)


def truncation(observation: Any, reward: Any, discount: Any = 1.0, outer_dims: Sequence[int] | None = None) -> TimeStep:
    """Return the last time step of an episode that was cut off."""
    return _time_step(StepType.LAST, observation, reward, discount, outer_dims)


def _time_step(kind: StepType, observation: Any, reward: Any, discount: Any, outer: Sequence[int] | None) -> TimeStep:
    shape = tuple(outer or ())
    reward = np.asarray(reward, np.float32)
    if reward.ndim < len(shape):
        reward = np.broadcast_to(reward, shape).copy()
    return TimeStep(
        np.full(shape, int(kind), np.int32), reward, np.broadcast_to(np.float32(discount), shape).copy(), observation
    )
