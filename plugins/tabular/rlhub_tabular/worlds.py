"""What a world tells of itself beside its spaces: its model, its board."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import SyncVectorEnv


def told(env: Any, name: str) -> Any:
    """Return an attribute of the world inside an environment, single or vector, or None where it has none.

    Args:
        env: a `gymnasium.Env` or `VectorEnv`, wrapped or not.
        name: "P" for the model `P[state][action] = [(probability, next_state, reward, terminated), …]`, "cells" for the
            [S, 3] panel, row and column of each state on the "board" [rows, columns], which is true where a wall is,
            "headings" for where each action leads: "up", "down", "left" or "right".
    """
    inner = env.unwrapped
    if isinstance(inner, SyncVectorEnv):
        inner = inner.envs[0].unwrapped
    return getattr(inner, name, None)
