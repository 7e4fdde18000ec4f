"""Uniform experience replay that stores every frame once.

Each environment has a ring of frames. An episode is written as the frames of its first observation (all of its
stack), then the newest frame of every successor, the last one included. So the observation whose newest frame is f is
the frames f-k+1..f, and its successor is f-k+2..f+1: no window crosses an episode's edge, and what followed a
truncation is kept. Where a successor turns out not to continue its observation (a wrapper let time pass, or the frames
are no stack after all), its whole stack is written and it ends in f+k. Observations that are no stack are the case
k = 1. Against a buffer of whole stacks and successors this takes an eighth of the memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box
from numpy.typing import NDArray

from rlhub_core import ConfigError, Transition


class Batch(NamedTuple):
    """Transitions drawn from the replay, leading axis N."""

    observation: NDArray[Any]  # [N, ...]
    action: NDArray[np.int64]  # [N]
    reward: NDArray[np.float32]  # [N]
    next_observation: NDArray[Any]  # [N, ...]
    terminated: NDArray[np.bool_]  # [N] do not bootstrap


FIELDS = ("frames", "actions", "rewards", "terminated", "jump", "usable")


class Replay:
    """A ring of frames for each of B environments.

    Args:
        capacity: frames, all environments together.
        num_envs: B.
        space: of one observation.
        stack: k, the frames that an observation stacks along its first axis; 1 where it is no stack.

    Raises:
        ConfigError: for a capacity that cannot hold one observation an environment.
    """

    def __init__(self, capacity: int, num_envs: int, space: Space[Any], stack: int) -> None:
        self.stack, self.length = stack, -(-capacity // num_envs)  # frames an environment
        if self.length < 2 * stack + 1:
            least = (2 * stack + 1) * num_envs
            raise ConfigError(f"buffer_size {capacity} is too small for {num_envs} environments: at least {least}.")
        shape = (space.shape or ()) if stack == 1 else (space.shape or ())[1:]
        self.frames = np.zeros((num_envs, self.length, *shape), space.dtype)
        self.actions = np.zeros((num_envs, self.length), np.int64)  # taken at the observation that ends in this frame
        self.rewards = np.zeros((num_envs, self.length), np.float32)
        self.terminated = np.zeros((num_envs, self.length), np.bool_)
        self.jump = np.ones((num_envs, self.length), np.uint8)  # frames from here to the successor's newest one
        self.usable = np.zeros((num_envs, self.length), np.bool_)  # does an observation acted on end here?
        self.written = np.zeros(num_envs, np.int64)  # frames so far
        self._rows = np.arange(num_envs)

    def add(self, transition: Transition, action: NDArray[np.int64], first: NDArray[np.bool_]) -> None:
        """Store one step of every environment.

        Args:
            transition: of the step.
            action: [B] what is to be stored for its action.
            first: [B] whether `transition.observation` was the first of an episode.
        """
        if first.any():
            self._write_whole(np.flatnonzero(first), transition.observation)
        newest = (self._rows, (self.written - 1) % self.length)
        self.actions[newest] = action
        self.rewards[newest] = transition.reward
        self.terminated[newest] = transition.terminated
        self.usable[newest] = True
        successor = transition.next_observation
        if self.stack == 1:
            self._write(self._rows, successor)
        elif np.array_equal(successor[:, :-1], transition.observation[:, 1:]):
            self.jump[newest] = 1
            self._write(self._rows, successor[:, -1])
        else:
            follows = (successor[:, :-1] == transition.observation[:, 1:]).reshape(len(successor), -1).all(axis=1)
            self.jump[newest] = np.where(follows, 1, self.stack)
            self._write(self._rows[follows], successor[follows, -1])
            self._write_whole(self._rows[~follows], successor)

    def sample(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement."""
        filled = int(min(self.written.max(), self.length))
        chosen = np.empty(0, np.int64)
        while len(chosen) < size:
            drawn = rng.integers(len(self._rows) * filled, size=2 * (size - len(chosen)))
            chosen = np.concatenate([chosen, drawn[self.usable[drawn // filled, drawn % filled]]])
        env, slot = np.divmod(chosen[:size], filled)
        return Batch(
            self._observation(env, slot),
            self.actions[env, slot],
            self.rewards[env, slot],
            self._observation(env, slot + self.jump[env, slot].astype(np.int64)),
            self.terminated[env, slot],
        )

    def state(self) -> dict[str, Any]:
        """Return the filled part, as `restore` takes it."""
        filled = int(min(self.written.max(), self.length))
        return {"written": self.written, **{name: getattr(self, name)[:, :filled] for name in FIELDS}}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the replay whose `state` was taken."""
        self.written[:] = state["written"]
        for name in FIELDS:
            getattr(self, name)[:, : state[name].shape[1]] = state[name]

    def _observation(self, env: NDArray[np.int64], newest: NDArray[np.int64]) -> NDArray[Any]:
        """Return the observations [N, ...] that end in these frames."""
        if self.stack == 1:
            newest_alone: NDArray[Any] = self.frames[env, newest % self.length]
            return newest_alone
        window = (newest[:, None] + np.arange(1 - self.stack, 1)) % self.length  # [N, k]
        stacked: NDArray[Any] = self.frames[env[:, None], window]
        return stacked

    def _write_whole(self, envs: NDArray[np.int64], observation: NDArray[Any]) -> None:
        """Write all frames of the observations [B, ...] of some environments."""
        for k in range(self.stack):
            self._write(envs, observation[envs] if self.stack == 1 else observation[envs, k])

    def _write(self, envs: NDArray[np.int64], frames: NDArray[Any]) -> None:
        slot = self.written[envs] % self.length
        self.frames[envs, slot] = frames
        self.usable[envs, slot] = False
        self.usable[envs, (slot + self.stack - 1) % self.length] = False  # its oldest frame was just overwritten
        self.written[envs] += 1


def frame_stack(space: Space[Any], given: int | None) -> int:
    """Return how many frames an observation stacks along its first axis: as given, or as its shape suggests.

    Raises:
        ConfigError: where the space has another number of them.
    """
    shape = space.shape or ()
    looks_stacked = isinstance(space, Box) and len(shape) in (3, 4) and 1 < shape[0] < min(shape[1:3])
    if given is None:
        return shape[0] if looks_stacked else 1
    if given > 1 and (not shape or shape[0] != given):
        raise ConfigError(f"frame_stack: observations have shape {shape}, so their first axis is no stack of {given}.")
    return given
