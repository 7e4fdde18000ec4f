"""Uniform experience replay that stores every frame once.

Each environment has a ring of frames. An episode is written as the frames of its first observation (all of its
stack), then the newest frame of every successor, the last one included. So the observation whose newest frame is f is
the frames f-k+1..f, and its successor is f-k+2..f+1, always: no window crosses an episode's edge, and what followed a
truncation is kept. Observations that are no stack are the case k = 1. Against a buffer of whole stacks and successors
this takes an eighth of the memory.
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
        if self.length < stack + 2:
            least = (stack + 2) * num_envs
            raise ConfigError(f"buffer_size {capacity} is too small for {num_envs} environments: at least {least}.")
        shape = (space.shape or ()) if stack == 1 else (space.shape or ())[1:]
        self.frames = np.zeros((num_envs, self.length, *shape), space.dtype)
        self.actions = np.zeros((num_envs, self.length), np.int64)  # taken at the observation that ends in this frame
        self.rewards = np.zeros((num_envs, self.length), np.float32)
        self.terminated = np.zeros((num_envs, self.length), np.bool_)
        self.usable = np.zeros((num_envs, self.length), np.bool_)  # does an observation acted on end here?
        self.written = np.zeros(num_envs, np.int64)  # frames so far
        self._rows = np.arange(num_envs)

    def add(self, transition: Transition, first: NDArray[np.bool_]) -> None:
        """Store one step of every environment.

        Args:
            transition: of the step.
            first: [B] whether `transition.observation` was the first of an episode.

        Raises:
            ConfigError: where observations turn out not to be stacks of frames.
        """
        if first.any():
            for env in np.flatnonzero(first):
                for frame in self._split(transition.observation[env : env + 1]):
                    self._write(np.array([env]), frame)
        newest = (self._rows, (self.written - 1) % self.length)
        self.actions[newest] = transition.action
        self.rewards[newest] = transition.reward
        self.terminated[newest] = transition.terminated
        self.usable[newest] = True
        successor = transition.next_observation
        if self.stack > 1 and not np.array_equal(successor[:, :-1], transition.observation[:, 1:]):
            raise ConfigError("frame_stack: successive observations are no stacks of frames. Set frame_stack=1.")
        self._write(self._rows, successor if self.stack == 1 else successor[:, -1])

    def sample(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement."""
        filled = int(min(self.written.max(), self.length))
        chosen = np.empty(0, np.int64)
        while len(chosen) < size:
            drawn = rng.integers(len(self._rows) * filled, size=2 * (size - len(chosen)))
            chosen = np.concatenate([chosen, drawn[self.usable[drawn // filled, drawn % filled]]])
        env, slot = np.divmod(chosen[:size], filled)
        window = (slot[:, None] + np.arange(1 - self.stack, 2)) % self.length  # [N, k + 1]
        frames = self.frames[env[:, None], window]
        observation, successor = (frames[:, 0], frames[:, 1]) if self.stack == 1 else (frames[:, :-1], frames[:, 1:])
        return Batch(
            observation, self.actions[env, slot], self.rewards[env, slot], successor, self.terminated[env, slot]
        )

    def state(self) -> dict[str, Any]:
        """Return the filled part, as `restore` takes it."""
        filled = int(min(self.written.max(), self.length))
        names = ("frames", "actions", "rewards", "terminated", "usable")
        return {"written": self.written, **{name: getattr(self, name)[:, :filled] for name in names}}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the replay whose `state` was taken."""
        self.written[:] = state["written"]
        for name in ("frames", "actions", "rewards", "terminated", "usable"):
            getattr(self, name)[:, : state[name].shape[1]] = state[name]

    def _write(self, envs: NDArray[np.int64], frames: NDArray[Any]) -> None:
        slot = self.written[envs] % self.length
        self.frames[envs, slot] = frames
        self.usable[envs, slot] = False
        self.usable[envs, (slot + self.stack - 1) % self.length] = False  # its oldest frame was just overwritten
        self.written[envs] += 1

    def _split(self, observation: NDArray[Any]) -> list[NDArray[Any]]:
        return [observation] if self.stack == 1 else [observation[:, k] for k in range(self.stack)]


def frame_stack(space: Space[Any], given: int | None) -> int:
    """Return how many frames an observation stacks along its first axis: as given, or as its shape suggests.

    Raises:
        ConfigError: where the space has another number of them.
    """
    shape = space.shape or ()
    looks_stacked = isinstance(space, Box) and len(shape) == 3 and 1 < shape[0] < min(shape[1:])
    if given is None:
        return shape[0] if looks_stacked else 1
    if given > 1 and (not shape or shape[0] != given):
        raise ConfigError(f"frame_stack: observations have shape {shape}, so their first axis is no stack of {given}.")
    return given
