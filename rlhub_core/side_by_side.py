"""Single environments stepped side by side: Gymnasium's `SyncVectorEnv` with a shorter way through arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from rlhub_core.errors import EnvironmentContractError

_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class SideBySide(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv`, which gives the same but in half the time beside that of the environments.

    Every array that `step` returns is new, so that nothing needs to be copied. Observations that are not arrays, and
    a step in which an episode begins, go Gymnasium's own way.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._arrays = isinstance(self.single_observation_space, _ARRAYS) and isinstance(
            self.single_action_space, _ARRAYS
        )
        self._next_step = self.autoreset_mode is AutoresetMode.NEXT_STEP

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one step in every environment.

        Args:
            actions: [B, ...] one for each environment.

        Raises:
            EnvironmentContractError: for observations that are not of the space's shape.
        """
        if not (self._arrays and self._next_step) or np.count_nonzero(self._autoreset_envs):
            return super().step(actions)
        rewards = np.empty(self.num_envs)  # [B]
        terminated, truncated = np.empty(self.num_envs, np.bool_), np.empty(self.num_envs, np.bool_)  # [B]
        seen: list[Any] = self._env_obs
        infos: dict[str, Any] = {}
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            seen[i], rewards[i], terminated[i], truncated[i], info = env.step(action)
            if info:
                infos = self._add_info(infos, info, i)
        self._autoreset_envs = terminated | truncated
        return self._stacked(seen), rewards, terminated, truncated, infos

    def _stacked(self, seen: list[Any]) -> NDArray[Any]:
        """Return observations as one new array [B, ...]."""
        space = self.single_observation_space
        try:
            stacked = np.array(seen, space.dtype)
        except ValueError:  # they are not even of one shape
            stacked = np.empty(0)
        if stacked.shape != (self.num_envs, *space.shape):  # type: ignore[misc] # a space of arrays has a shape
            shapes = sorted({str(np.shape(one)) for one in seen})
            raise EnvironmentContractError(
                f"{self.envs[0]} gave an observation of shape {' and '.join(shapes)}; its space is {space}."
            )
        return stacked
