"""A replay buffer for Stable-Baselines3 that stores every frame once: `DQN(…, replay_buffer_class=FrameReplayBuffer)`.

Against SB3's own buffer, which stores two whole stacks a transition, 84×84×4 observations take an eighth of the memory.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import Space
from numpy.random import mtrand
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from rlhub_core import Replay, Transition, state


class FrameReplayBuffer(ReplayBuffer):
    """What SB3's `ReplayBuffer` is to an algorithm, over `rlhub_core.Replay`; observations may be dicts, too.

    Batches are drawn from numpy's global generator, as SB3 draws its own.

    Args:
        buffer_size: frames, all environments together; an episode of T steps takes T + k of them.
        observation_space: of one environment.
        action_space: of one environment.
        device: where batches go.
        n_envs: B.
        optimize_memory_usage: must be off: there is nothing left to save.
        handle_timeout_termination: bootstrap where an episode was cut off (`info["TimeLimit.truncated"]`).
        stack: k, the frames that an observation stacks along its first axis; None: as its shape suggests.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: Space[Any],
        action_space: Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        stack: int | None = None,
    ) -> None:
        if optimize_memory_usage:
            raise ValueError("FrameReplayBuffer stores every frame once already: leave optimize_memory_usage off.")
        super(ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs=n_envs)
        self.optimize_memory_usage, self.handle_timeout_termination = False, handle_timeout_termination
        self._stack = stack
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.replay = Replay(
            self.buffer_size, self.n_envs, self.observation_space, stack=self._stack, action_space=self.action_space
        )
        self._next: Any = None  # the successors [B, ...] added last: another observation does not go on from there

    def size(self) -> int:
        """Return how many transitions of each environment can be drawn."""
        return len(self.replay) // self.n_envs

    def add(
        self, obs: Any, next_obs: Any, action: NDArray[Any], reward: Any, done: Any, infos: list[dict[str, Any]]
    ) -> None:
        """Store one step of every environment; `next_obs` holds the true successors."""
        over = np.array(done, np.bool_)
        timeout = np.array([info.get("TimeLimit.truncated", False) for info in infos], np.bool_)
        terminated = over & ~timeout if self.handle_timeout_termination else over
        first = np.ones(self.n_envs, np.bool_) if self._next is None else _differ(obs, self._next)
        action = action.reshape(self.n_envs, *(self.action_space.shape or ()))
        self.replay.add(Transition(obs, action, reward, next_obs, terminated, over & ~terminated, {}), action, first)
        self._next = next_obs

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples | DictReplayBufferSamples:  # type: ignore[override]
        """Draw transitions, with replacement; a `VecNormalize` normalises what was stored raw."""
        rng = np.random.Generator(mtrand.get_bit_generator())
        batch = self.replay.sample(batch_size, rng, discount=1.0)
        kind = DictReplayBufferSamples if isinstance(batch.observation, dict) else ReplayBufferSamples
        actions = batch.action.reshape(batch_size, self.action_dim)
        return kind(
            self._tensors(batch.observation, env),
            self.to_torch(actions.astype(self._maybe_cast_dtype(self.action_space.dtype), copy=False), copy=False),
            self._tensors(batch.next_observation, env),
            self.to_torch(1 - batch.discount[:, None], copy=False),
            self.to_torch(self._normalize_reward(batch.reward[:, None], env), copy=False),
        )

    def save(self, folder: Path) -> None:
        """Write all that a later step needs; frames that an earlier checkpoint has are linked from there."""
        self.replay.save(folder, "frames")
        state.save(folder, "replay", {"next": self._next})

    def load(self, folder: Path) -> None:
        """Become the buffer that was saved.

        Raises:
            CheckpointError: where a file is missing, damaged or of another buffer.
        """
        saved = state.load(folder, "replay")
        if "replay" in saved:  # as checkpoints of format 1 have it
            self.restore(saved)
            return
        self.replay.load(folder, "frames")
        self._next = saved["next"]

    def state(self) -> dict[str, Any]:
        """Return all that a later step needs, as `restore` takes it."""
        return {"replay": self.replay.state(), "next": self._next}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Become the buffer whose `state` was taken."""
        self.replay.restore(saved["replay"])
        self._next = saved["next"]

    def _tensors(self, observation: Any, env: VecNormalize | None) -> Any:
        normal = self._normalize_obs(observation, env)
        if not isinstance(normal, dict):
            return self.to_torch(normal.reshape(-1, *self.obs_shape), copy=False)
        shapes: Any = self.obs_shape
        return {key: self.to_torch(values.reshape(-1, *shapes[key]), copy=False) for key, values in normal.items()}


def _differ(one: Any, other: Any) -> NDArray[np.bool_]:
    """Return [B] where observations are not the same."""
    if isinstance(one, dict):
        return functools.reduce(np.logical_or, [_differ(one[key], other[key]) for key in one])
    differ: NDArray[np.bool_] = np.any((one != other).reshape(len(one), -1), axis=1)
    return differ
