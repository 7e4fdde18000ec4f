"""It learns from every kind of observation, and with actions that begin anywhere."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from rlhub_deep.dqn import DQN, DQNConfig
from rlhub_deep.ppo import PPO, PPOConfig
from rlhub_deep.pqn import PQN, PQNConfig

import rlhub_core as rlhub
from rlhub_core import SpaceError
from rlhub_core.replay import frame_stack

QUICK: dict[str, Any] = {"learning_rate": 5e-3, "epsilon": 0.5, "discount": 0.0, "hidden_sizes": (16,)}
REPLAYED: dict[str, Any] = QUICK | {
    "learning_starts": 50,
    "train_every": 1,
    "target_update_every": 20,
    "buffer_size": 2_000,
}
ROLLED: dict[str, Any] = {
    "learning_rate": 5e-3,
    "rollout_length": 8,
    "minibatches": 2,
    "epochs": 4,
    "discount": 0.0,
    "activation": "relu",
    "entropy_coefficient": 0.02,
    "normalize_advantages": False,
}
SIDE = 36


class Guess(gymnasium.Env[Any, Any]):
    """Of two actions the one that the observation tells is rewarded; four guesses make an episode."""

    start = 0
    observation_space: Any
    wanted = 0

    def __init__(self) -> None:
        self.action_space = Discrete(2, start=self.start)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        reward = float(action - self.start == self.wanted)
        self.time += 1
        return self.look(), reward, self.time == 4, False, {}

    def look(self) -> Any:
        self.wanted = int(self.np_random.integers(2))
        return self.shown(self.wanted)

    def shown(self, wanted: int) -> Any:
        raise NotImplementedError


class Classes(Guess):
    """Two classes, and actions, that begin at no 0."""

    start, observation_space = 3, Discrete(2, start=7)

    def shown(self, wanted: int) -> Any:
        return 7 + wanted


class Columns(Guess):
    """Two columns of classes that are equal or not."""

    start, observation_space = -1, MultiDiscrete([2, 2], start=[1, 0])

    def shown(self, wanted: int) -> Any:
        other = int(self.np_random.integers(2))
        return np.array([1 + (other ^ wanted), other])


class Bits(Guess):
    """One of three bits counts."""

    observation_space = MultiBinary(3)

    def shown(self, wanted: int) -> Any:
        bits = self.np_random.integers(2, size=3).astype(np.int8)
        bits[1] = wanted
        return bits


class Matrix(Guess):
    """A small field of bytes, too small to be an image."""

    observation_space = Box(0, 255, (2, 2), np.uint8)

    def shown(self, wanted: int) -> Any:
        return np.array([[255 * wanted, 99], [0, 255 - 255 * wanted]], np.uint8)


class Nested(Guess):
    """A field within a Dict within a Dict tells; a number beside it does not."""

    observation_space = Dict({"body": Dict({"field": Box(-1, 1, (2,), np.float32)}), "number": Discrete(3)})

    def shown(self, wanted: int) -> Any:
        field = np.array([1 - 2 * wanted, 0.5], np.float32)
        return {"body": {"field": field}, "number": int(self.np_random.integers(3))}


class Camera(Guess):
    """Pictures in colour, bright above or below; a number beside them tells nothing."""

    observation_space = Dict({"camera": Box(0, 255, (SIDE, SIDE, 3), np.uint8), "number": Discrete(3)})

    def shown(self, wanted: int) -> Any:
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[18 * wanted : 18 * (wanted + 1)] = 200
        return {"camera": picture, "number": int(self.np_random.integers(3))}


class Stack(Guess):
    """Two stacked pictures, bright above or below, of which the newer one counts."""

    observation_space = Box(0, 255, (2, SIDE, SIDE), np.uint8)
    pictures = np.zeros((2, SIDE, SIDE), np.uint8)

    def shown(self, wanted: int) -> Any:
        newest = np.zeros((SIDE, SIDE), np.uint8)
        newest[18 * wanted : 18 * (wanted + 1)] = 200
        self.pictures = np.stack([self.pictures[1], newest])
        return self.pictures


@pytest.mark.parametrize("env", [Classes, Columns, Bits, Matrix, Nested])
def test_dqn_learns_from(env: Any) -> None:
    run = rlhub.train("deep/dqn", env, steps=700, num_envs=2, config=REPLAYED)
    assert rlhub.evaluate(run, episodes=20).mean == 4
    taken = run.actor(explore=True)(run.collector.observations, np.zeros(2, np.bool_))  # type: ignore[union-attr]
    assert set(taken.tolist()) <= {env.start, env.start + 1}


@pytest.mark.parametrize("env", [Classes, Columns, Nested])
def test_pqn_learns_from(env: Any) -> None:
    config = QUICK | {"rollout_length": 4}
    run = rlhub.train("deep/pqn", env, steps=2_000, num_envs=8, config=config)
    assert rlhub.evaluate(run, episodes=20).mean == 4


@pytest.mark.parametrize("env", [Classes, Columns, Bits, Matrix, Nested])
def test_ppo_learns_from(env: Any) -> None:
    run = rlhub.train("deep/ppo", env, steps=2_000, num_envs=8, config=ROLLED)
    assert rlhub.evaluate(run, episodes=20).mean == 4


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_stack_in_colour_is_stored_once_and_read_by_convolutions(channels_last: bool) -> None:
    space = Box(0, 255, (4, SIDE, SIDE, 3) if channels_last else (4, 3, SIDE, SIDE), np.uint8)
    assert frame_stack(space, None) == 4
    algorithm = DQN(space, Discrete(2), DQNConfig(), seed=0, total_steps=10)
    first = next(layer for layer in algorithm.network.module.modules() if isinstance(layer, torch.nn.Conv2d))
    assert first.in_channels == 12
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 3, SIDE, SIDE), np.uint8)
    shown = np.moveaxis(image, 2, -1) if channels_last else image
    other = DQN(Box(0, 255, (12, SIDE, SIDE), np.uint8), Discrete(2), DQNConfig(), seed=0, total_steps=10)
    flat = other.network.of_arrays(image.reshape(1, 12, SIDE, SIDE))
    np.testing.assert_allclose(algorithm.network.of_arrays(shown), flat, rtol=1e-4)


@pytest.mark.parametrize("part", [Text(5), Sequence(Discrete(3)), Tuple([Discrete(2)])])
def test_an_unreadable_part_is_refused_before_training(part: Any) -> None:
    space = Dict({"good": Discrete(2), "bad": part})
    for kind, config in ((DQN, DQNConfig()), (PQN, PQNConfig()), (PPO, PPOConfig())):
        with pytest.raises(
            SpaceError, match=r"A network cannot read .*: only Box, Discrete, MultiDiscrete, MultiBinary"
        ):
            kind(space, Discrete(2), config, seed=0, total_steps=10)


@pytest.mark.parametrize("env", [Stack, Camera])
def test_dqn_learns_from_pictures(env: Any) -> None:
    config = REPLAYED | {"learning_rate": 5e-4, "batch_size": 16, "train_every": 2}
    run = rlhub.train("deep/dqn", env, steps=500, num_envs=2, config=config)
    assert run.algorithm.replay.stack == (2 if env is Stack else 1)  # type: ignore[attr-defined]
    assert rlhub.evaluate(run, episodes=10).mean >= 3.9


@pytest.mark.parametrize("env", [Stack, Camera])
def test_pqn_learns_from_pictures(env: Any) -> None:
    config = QUICK | {"learning_rate": 5e-4, "rollout_length": 4, "minibatches": 2}
    run = rlhub.train("deep/pqn", env, steps=600, num_envs=4, config=config)
    assert rlhub.evaluate(run, episodes=10).mean >= 3.9


@pytest.mark.parametrize("env", [Stack, Camera])
def test_ppo_learns_from_pictures(env: Any) -> None:
    config = ROLLED | {"learning_rate": 1e-3, "epochs": 2}
    run = rlhub.train("deep/ppo", env, steps=1_200, num_envs=8, config=config)
    assert rlhub.evaluate(run, episodes=10).mean >= 3.9
