"""The replay against a plain list of everything that happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from rlhub_deep.replay import Replay, frame_stack

from rlhub_core import ConfigError, Transition

STACK, SIDE = 3, 4


def life(stack: int, steps: int, num_envs: int, seed: int = 0) -> Any:
    """Yield (transition, first) of environments whose every frame is unique, with episodes of 1 to 6 steps."""
    rng = np.random.default_rng(seed)
    frame = iter(range(1, 10**9))

    def new() -> Any:
        return np.full((SIDE, SIDE), next(frame), np.float32)

    def begin() -> Any:
        return np.stack([np.zeros((SIDE, SIDE), np.float32)] * (stack - 1) + [new()])

    observations = np.stack([begin() for _ in range(num_envs)])
    left = rng.integers(1, 7, num_envs)
    first = np.ones(num_envs, np.bool_)
    for _ in range(steps):
        successors = np.stack([np.concatenate([o[1:], new()[None]]) for o in observations])
        left -= 1
        over, cut = left == 0, rng.random(num_envs) < 0.5
        action, reward = rng.integers(0, 4, num_envs), rng.random(num_envs)
        yield Transition(observations, action, reward, successors, over & ~cut, over & cut, {}), first
        observations = np.stack([begin() if o else s for o, s in zip(over, successors, strict=True)])
        left = np.where(over, rng.integers(1, 7, num_envs), left)
        first = over


@pytest.mark.parametrize(("stack", "num_envs"), [(1, 1), (1, 3), (STACK, 1), (STACK, 3)])
@pytest.mark.parametrize("capacity", [60, 100_000])
def test_what_is_drawn_is_what_happened(stack: int, num_envs: int, capacity: int) -> None:
    space = Box(0, np.inf, (max(1, stack), SIDE, SIDE), np.float32)
    replay, happened = Replay(capacity, num_envs, space, stack), {}
    for transition, first in life(max(1, stack), 400, num_envs):
        replay.add(transition, transition.action, first)
        for env in range(num_envs):
            happened[float(transition.next_observation[env, -1, 0, 0])] = (transition, env)
    batch = replay.sample(2_000, np.random.default_rng(1))
    for index in range(2_000):
        transition, env = happened[float(batch.next_observation[index, -1, 0, 0])]
        np.testing.assert_array_equal(batch.observation[index], transition.observation[env])
        np.testing.assert_array_equal(batch.next_observation[index], transition.next_observation[env])
        assert batch.action[index] == transition.action[env]
        assert batch.reward[index] == np.float32(transition.reward[env])
        assert batch.terminated[index] == transition.terminated[env]
    drawn = {float(n) for n in batch.next_observation[:, -1, 0, 0]}
    assert len(drawn) > (15 if capacity == 60 else 300)
    if capacity == 60:  # only recent ones are left
        assert min(drawn) > max(happened) - 2 * 60 * (1 + stack)


def test_restored_it_draws_the_same() -> None:
    space = Box(0, np.inf, (STACK, SIDE, SIDE), np.float32)
    replay, restored = Replay(200, 2, space, STACK), Replay(200, 2, space, STACK)
    history = list(life(STACK, 150, 2))
    for transition, first in history[:100]:
        replay.add(transition, transition.action, first)
    restored.restore({name: np.array(value) for name, value in replay.state().items()})
    for transition, first in history[100:]:
        replay.add(transition, transition.action, first)
        restored.add(transition, transition.action, first)
    for ours, theirs in zip(*(r.sample(64, np.random.default_rng(3)) for r in (replay, restored)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frames_are_stored_once() -> None:
    space = Box(0, 255, (4, 84, 84), np.uint8)
    assert Replay(1_000, 1, space, 4).frames.nbytes == 1_000 * 84 * 84


@pytest.mark.parametrize("capacity", [60, 5_000])
def test_successors_that_do_not_continue_their_stack_are_kept_whole(capacity: int) -> None:
    rng = np.random.default_rng(0)
    replay, happened = Replay(capacity, 2, Box(0, 255, (3, 8, 8), np.uint8), 3), {}
    observations = rng.integers(0, 255, (2, 3, 8, 8), np.uint8)
    first = np.ones(2, np.bool_)
    for step in range(300):
        successors = np.concatenate([observations[:, 1:], rng.integers(0, 255, (2, 1, 8, 8), np.uint8)], axis=1)
        if step % 5 == 0:  # time passed unseen in one of them
            successors[step % 2] = rng.integers(0, 255, (3, 8, 8), np.uint8)
        zero = np.zeros(2)
        transition = Transition(observations, np.array([step, step]), zero, successors, zero > 0, zero > 0, {})
        replay.add(transition, transition.action, first)
        for env in range(2):
            happened[successors[env].tobytes()] = (observations[env], step)
        observations, first = successors, np.zeros(2, np.bool_)
    batch = replay.sample(500, rng)
    for index in range(500):
        observation, step = happened[batch.next_observation[index].tobytes()]
        np.testing.assert_array_equal(batch.observation[index], observation)
        assert batch.action[index] == step


def test_how_many_frames_a_stack_has() -> None:
    assert frame_stack(Box(0, 255, (4, 84, 84), np.uint8), None) == 4
    assert frame_stack(Box(0, 255, (84, 84, 3), np.uint8), None) == 1
    assert frame_stack(Box(-1, 1, (8,)), None) == 1
    assert frame_stack(Box(0, 255, (3, 84, 84), np.uint8), 1) == 1
    with pytest.raises(ConfigError, match="no stack of 4"):
        frame_stack(Box(-1, 1, (8,)), 4)


def test_a_buffer_too_small_says_how_small_it_may_be() -> None:
    with pytest.raises(ConfigError, match="buffer_size 10 is too small for 8 environments: at least 72"):
        Replay(10, 8, Box(0, 255, (4, 84, 84), np.uint8), 4)
