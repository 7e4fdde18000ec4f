"""A wrapper that lets hindsight replay see goals."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import squeezed
from rlhub_legacy.wrappers.checks import indices, type_of


class GoalReplay(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Observes what was reached and what was wanted beside the observation, as hindsight experience replay needs it.

    Observations are a dict of `observation`, `achieved_goal` and `desired_goal`. The reward is that of
    `compute_reward`: 0 where the goal is reached, else -1. Episodes end as before. Override the three methods for goals
    that are no numbers of the observation (TF-Agents' GoalReplayEnvWrapper has only such, abstract ones).
    Source: Andrychowicz et al., "Hindsight experience replay", 2017.

    Args:
        env: whose observations are a Box of one dimension.
        achieved: indices of the numbers that tell what was reached.
        goal: what is wanted of them, one number each; or
        desired: indices of the numbers that tell what is wanted.
        tolerance: Euclidean distance within which a goal is reached.

    Raises:
        SpaceError, ConfigError: for other observations, or numbers that do not fit.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        achieved: list[int],
        goal: list[float] | None = None,
        desired: list[int] | None = None,
        tolerance: float = 0.05,
    ) -> None:
        RecordConstructorArgs.__init__(self, achieved=achieved, goal=goal, desired=desired, tolerance=tolerance)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise SpaceError(f"it needs observations that are one array of one dimension, not {squeezed(space)}")
        if (goal is None) == (desired is None):
            raise ConfigError("say what is wanted by `goal`, numbers, or by `desired`, indices: by one of them")
        for name, given in (("achieved", achieved), ("desired", desired)):
            if given is not None:
                indices(name, given, space)
        wanted = goal if desired is None else desired
        if wanted is None or not achieved or len(wanted) != len(achieved):
            raise ConfigError(f"achieved and wanted must be equally many numbers, not {achieved} and {wanted}")
        if not tolerance >= 0:
            raise ConfigError(f"tolerance must be a distance from 0, not {tolerance}")
        self._achieved, self._desired, self._tolerance = achieved, desired, tolerance
        self._goal = np.asarray(goal, space.dtype) if goal is not None else None
        low, high = space.low[achieved], space.high[achieved]
        targets = [self._goal] if self._goal is not None else [space.low[desired], space.high[desired]]
        goals = Box(np.min([low, *targets], axis=0), np.max([high, *targets], axis=0), dtype=type_of(space))
        self.observation_space = Dict({"observation": space, "achieved_goal": goals, "desired_goal": goals})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset and observe the goals."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step; the reward is the goal's."""
        observation, _, terminated, truncated, info = self.env.step(action)
        seen = self._seen(observation)
        reward = float(self.compute_reward(seen["achieved_goal"], seen["desired_goal"], info))
        return seen, reward, terminated, truncated, info | {"is_success": reward == 0.0}

    def achieved_goal(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return what an observation says was reached."""
        return observation[self._achieved].copy()

    def desired_goal(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return what is wanted."""
        return self._goal.copy() if self._goal is not None else observation[self._desired].copy()

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """Return 0 where the goal is reached, else -1, of one pair of goals [n] or many [..., n]."""
        distance = np.linalg.norm(np.asarray(achieved_goal) - np.asarray(desired_goal), axis=-1)
        return -(distance > self._tolerance).astype(np.float32)

    def _seen(self, observation: Any) -> dict[str, NDArray[Any]]:
        array = np.asarray(observation)
        return {
            "observation": array,
            "achieved_goal": self.achieved_goal(array),
            "desired_goal": self.desired_goal(array),
        }
