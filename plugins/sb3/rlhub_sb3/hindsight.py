"""Hindsight experience replay: what it needs of spaces, of environments and of a run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from gymnasium import Space, spaces
from stable_baselines3 import HerReplayBuffer

from rlhub_core import Collector, ConfigError, EnvironmentContractError, SpaceError
from rlhub_core.collector import has_method
from rlhub_core.errors import squeezed
from rlhub_sb3.vec_env import CollectorVecEnv

GOAL = ("observation", "achieved_goal", "desired_goal")


def check_goals(observation_space: Space[Any], owner: str) -> None:
    """Raise SpaceError where hindsight cannot know what was reached and what was wanted."""
    if not isinstance(observation_space, spaces.Dict) or not set(GOAL) <= set(observation_space.spaces):
        raise SpaceError(
            f"{owner}: hindsight needs Dict observations with {', '.join(GOAL)}, not {squeezed(observation_space)}. "
            "Leave her out."
        )


def attach(buffer: HerReplayBuffer, env: CollectorVecEnv, collector: Collector, owner: str) -> None:
    """Make a replay buffer ready for a collector, or refuse it."""
    if not has_method(collector.env, "compute_reward"):
        raise EnvironmentContractError(
            f"{owner}: hindsight needs an environment with a method "
            f"compute_reward(achieved_goal, desired_goal, info); {collector.env} has none. Leave her out."
        )
    normalization = collector.normalization
    goals = {"achieved_goal", "desired_goal"}
    if normalization and (normalization.return_moments or goals & normalization.observation_moments.keys()):
        raise ConfigError(
            f"{owner}: hindsight computes rewards from goals as the environment gives them. Normalise neither "
            "rewards nor goals: normalize=observations,keys=[observation]."
        )
    env.tells_infos = buffer.copy_info_dict
    if (collector.first & (buffer._current_ep_start != buffer.pos)).any():  # the episodes it knows were left
        with warnings.catch_warnings(action="ignore"):
            buffer.truncate_last_trajectory()


@contextlib.contextmanager
def explained(owner: str) -> Iterator[None]:
    """Raise as ConfigError what hindsight says where learning begins before the first episode has ended."""
    try:
        yield
    except RuntimeError as error:
        if "before the end of the first episode" not in str(error):
            raise
        raise ConfigError(f"{owner}: {error}") from error
