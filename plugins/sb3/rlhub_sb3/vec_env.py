"""A Stable-Baselines3 `VecEnv` over an rlhub `Collector`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from rlhub_core import Collector


class CollectorVecEnv(VecEnv):
    """Steps a collector; without one it only says how many environments of which spaces there will be.

    `reset` resets nothing: it returns the observations that the collector is at, because the collector alone decides
    about resets and seeds.

    Args:
        num_envs: as many as the collector will have.
        observation_space: of one environment.
        action_space: of one environment; SB3 seeds it and samples from it.

    Attributes:
        collector: what is stepped, once there is one.
        resets: let `reset` leave the episodes that run, for an algorithm that plays whole ones.
        tells_infos: show what the environments say in `info`, for a replay buffer that keeps it.
    """

    resets = tells_infos = False

    def __init__(self, num_envs: int, observation_space: Space[Any], action_space: Space[Any]) -> None:
        self.collector: Collector | None = None
        super().__init__(num_envs, observation_space, action_space)
        self._nothing: list[dict[str, Any]] = [{} for _ in range(num_envs)]  # infos where no episode ended
        self._actions: NDArray[Any] = np.empty(0)

    def reset(self) -> Any:
        """Return the observations [B, ...] that the collector is at."""
        collector = self._collector()
        if self.resets and not collector.first.all():
            collector.restart(~collector.first)
        return collector.observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Note the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Take the step; return observations, rewards, dones and infos as SB3 wants them."""
        collector = self._collector()
        transition = collector.step(self._actions.astype(self.action_space.dtype, copy=False))
        dones = transition.terminated | transition.truncated
        infos = _each(transition.info, self.num_envs) if self.tells_infos else self._nothing
        if np.count_nonzero(dones):  # a fifth of the time of dones.any()
            infos = list(infos)
            for env in np.flatnonzero(dones).tolist():
                infos[env] = infos[env] | {
                    "terminal_observation": _row(transition.next_observation, env),
                    "TimeLimit.truncated": bool(transition.truncated[env] and not transition.terminated[env]),
                }
        rewards = transition.reward.astype(np.float32)  # always a copy: SB3 adds bootstrapped values to it
        return collector.observations, rewards, dones, infos

    def close(self) -> None:
        """Do nothing: the environments belong to the collector."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return the attribute of each environment; only `render_mode` is known before there is a collector."""
        if self.collector is None:
            if attr_name == "render_mode":
                return [None] * self.num_envs
            raise AttributeError(attr_name)
        if attr_name == "action_masks":
            return self.env_method(attr_name, indices=indices)
        return self._chosen(self.collector.env.get_attr(attr_name), indices)  # type: ignore[attr-defined]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: a changed environment could not be restored by replaying its actions."""
        raise NotImplementedError("environments are not changed during a run: a resumed run could not repeat it")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of each environment, where the vector environment offers `call`."""
        collector = self._collector()
        if method_name == "action_masks":
            masks = collector.action_masks
            if masks is None:
                raise AttributeError(method_name)
            return self._chosen(list(masks), indices)
        alone: Any = getattr(collector.env.unwrapped, "envs", None)
        if alone is not None:
            methods = (alone[index].get_wrapper_attr(method_name) for index in self._get_indices(indices))
            return [method(*method_args, **method_kwargs) for method in methods]
        called = collector.env.call(method_name, *method_args, **method_kwargs)  # type: ignore[attr-defined]
        return self._chosen(called, indices)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return false for each environment: SB3's own wrappers play no part here."""
        return self._chosen([False] * self.num_envs, indices)

    def _collector(self) -> Collector:
        if self.collector is None:
            raise RuntimeError("there is nothing to step: no collector was given")
        return self.collector

    def _chosen(self, values: Sequence[Any], indices: Any) -> list[Any]:
        return [values[index] for index in self._get_indices(indices)]


def _each(info: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Return a vector environment's `info` as one for each environment, of what it told about that one."""
    infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, values in info.items():
        if f"_{key}" not in info:
            continue  # the mask that says who told, or nobody's
        rows = _each(values, num_envs) if isinstance(values, dict) else values
        for env in np.flatnonzero(info[f"_{key}"]).tolist():
            infos[env][key] = rows[env]
    return infos


def _row(observation: Any, env: int) -> Any:
    if isinstance(observation, dict):
        return {key: _row(value, env) for key, value in observation.items()}
    return observation[env]
