"""Single environments stepped side by side: Gymnasium's `SyncVectorEnv` with a shorter way through arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from rlhub_core.checks import misshapen, no_info
from rlhub_core.errors import EnvironmentContractError, EnvironmentFault
from rlhub_core.faults import raised

_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class SideBySide(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv`, which gives the same but in half the time beside that of the environments.

    Infos of one name that no array holds together are kept as objects, where Gymnasium's would raise or lose something.
    Every array that is returned is new, so that nothing needs to be copied. Observations that are not arrays, resets of
    all environments, and a step in which an episode begins go Gymnasium's own way.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._arrays = isinstance(self.single_observation_space, _ARRAYS) and isinstance(
            self.single_action_space, _ARRAYS
        )
        self._next_step = self.autoreset_mode is AutoresetMode.NEXT_STEP

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes: everywhere, or where `options["reset_mask"]` [B] says so."""
        mask = (options or {}).get("reset_mask")
        if not (self._arrays and _is_mask(mask, self.num_envs)) or isinstance(seed, int):
            return super().reset(seed=seed, options=options)
        seeds = [None] * self.num_envs if seed is None else seed
        others = {name: value for name, value in (options or {}).items() if name != "reset_mask"}
        self._autoreset_envs = self._autoreset_envs & ~mask
        infos: dict[str, Any] = {}
        for i in np.flatnonzero(mask).tolist():
            self._env_obs[i], info = self.envs[i].reset(seed=seeds[i], options=others)
            infos = self._add_info(infos, info, i)
        return self._stacked(self._env_obs), infos

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
            if info or info is None:
                infos = self._add_info(infos, info, i)
        self._autoreset_envs = terminated | truncated
        return self._stacked(seen), rewards, terminated, truncated, infos

    def close_extras(self, **keywords: Any) -> None:
        """Close every environment.

        Raises:
            EnvironmentFault: where one raised; the others are closed nevertheless.
        """
        failed: dict[int, Exception] = {}
        for index, env in enumerate(self.envs):
            try:
                env.close()
            except Exception as error:
                failed[index] = error
        for index, first in failed.items():
            raise EnvironmentFault(raised(first), index=index) from first

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        """Add the info of one environment; values that no array holds together are those of an array of objects."""
        if not isinstance(env_info, Mapping):
            raise no_info(env_info, env_num)
        for key, value in env_info.items():
            before = vector_infos.get(key)
            if before is not None and not _alike(before, value):
                vector_infos[key] = self._as_objects(before, vector_infos[f"_{key}"])
                vector_infos[key][env_num] = value
                vector_infos[f"_{key}"][env_num] = True
            else:
                vector_infos = super()._add_info(vector_infos, {key: value}, env_num)
        return vector_infos

    def _as_objects(self, values: Any, present: NDArray[np.bool_]) -> NDArray[Any]:
        """Return what an info tells of each environment, None where it tells nothing."""
        objects = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(present):
            if isinstance(values, dict):
                objects[i] = {
                    key: part[i] for key, part in values.items() if f"_{key}" in values and values[f"_{key}"][i]
                }
            else:
                objects[i] = values[i]
        return objects

    def _stacked(self, seen: list[Any]) -> NDArray[Any]:
        """Return observations as one new array [B, ...]."""
        space = self.single_observation_space
        try:
            stacked = np.array(seen, space.dtype)
        except (TypeError, ValueError):  # they are not even of one shape, or no numbers
            stacked = np.empty(0)
        if stacked.shape != (self.num_envs, *space.shape):  # type: ignore[misc] # a space of arrays has a shape
            wrong = [(i, text) for i, one in enumerate(seen) if (text := misshapen(space, one)[0])]
            index, text = wrong[0]
            raise EnvironmentContractError(f"{self.envs[index]} gave an observation that {text}.", index=index)
        return stacked


def _is_mask(mask: Any, num_envs: int) -> TypeGuard[NDArray[np.bool_]]:
    return isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (num_envs,) and bool(mask.any())


def _alike(values: Any, value: Any) -> bool:
    """Return whether a value goes, as it is, where infos of its name already are."""
    if isinstance(values, dict) or isinstance(value, dict):
        return isinstance(values, dict) and isinstance(value, dict)
    if values.dtype == object:
        return bool(values.ndim == 1)
    try:
        given = np.asarray(value)
    except ValueError:  # rows of different lengths
        return False
    return bool(given.shape == values.shape[1:] and np.can_cast(given.dtype, values.dtype, "same_kind"))
