"""What a world tells of itself beside its spaces: its model, its board."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers import Autoreset, OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit

HARMLESS = (gymnasium.RewardWrapper, Autoreset, OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit)


def told(env: Any, name: str) -> Any:
    """Return an attribute of the world inside an environment, single or vector, or None where it has none.

    Args:
        env: a `gymnasium.Env` or `VectorEnv`, wrapped or not.
        name: "P" for the model `P[state][action] = [(probability, next_state, reward, terminated), …]`, "cells" for the
            [S, 3] panel, row and column of each state on the "board" [rows, columns], which is true where a wall is,
            "headings" for where each action leads: "up", "down", "left" or "right".
    """
    return getattr(one_of(env).unwrapped, name, None)


def numbers_are_its_own(env: Any) -> bool:
    """Return whether all that is around the world inside an environment leaves observations and actions as they are."""
    while isinstance(env, HARMLESS):
        env = env.env
    if isinstance(env, (gymnasium.Wrapper, VectorWrapper)):
        return False
    one = one_of(env)
    return one is env or numbers_are_its_own(one)


def one_of(env: Any) -> Any:
    """Return one of the environments that Gymnasium steps side by side, any other environment as it is."""
    inner = env.unwrapped
    if isinstance(inner, AsyncVectorEnv):
        return inner.env_fns[0]()  # those in other processes cannot be asked, and die of what they do not know
    return inner.envs[0] if isinstance(inner, SyncVectorEnv) else env
