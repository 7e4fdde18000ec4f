"""Every algorithm of every plugin, environments of every kind, and which pairs of them are tested together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from killing import Recipe


class OldDrift:
    """An environment as OpenAI Gym had them before 0.26: what is seen drifts, and the action is its reward."""

    observation_space = Box(-9, 9, (3,), np.float32)
    action_space = Discrete(3)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed what is seen."""
        self.random = np.random.default_rng(seed)
        return [seed]

    def reset(self) -> Any:
        """Begin at zero."""
        self.state, self.left = np.zeros(3, np.float32), 20
        return self.state

    def step(self, action: int) -> Any:
        """Drift."""
        self.state = np.clip(self.state + self.random.normal(size=3), -9, 9).astype(np.float32)
        self.left -= 1
        return self.state, float(self.state[action]), self.left == 0, {}


class Masked(gymnasium.Env[Any, Any]):
    """One action of four is possible at a time."""

    observation_space: Any = Box(0, 1, (1,), np.float32)
    action_space: Any = Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode."""
        super().reset(seed=seed)
        return self.seen()

    def step(self, action: Any) -> Any:
        """End one step in ten."""
        over = bool(self.np_random.random() < 0.1)
        observation, info = self.seen()
        return observation, float(action), over, False, info

    def seen(self) -> Any:
        """Return a number, and what is possible."""
        mask = np.eye(4, dtype=np.int8)[self.np_random.integers(4)]
        return self.np_random.random(1, np.float32), {"action_mask": mask}


class Haphazard(gymnasium.Env[Any, Any]):
    """Listens to no seed: what is seen comes from the operating system."""

    observation_space: Any = Box(0, 1, (2,), np.float32)
    action_space: Any = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode."""
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        """End one step in ten."""
        return self.seen(), 1.0, random.SystemRandom().random() < 0.1, False, {}

    def seen(self) -> Any:
        """Return two numbers."""
        return np.array([random.SystemRandom().random() for _ in range(2)], np.float32)


def left_or_right(observations: Any, first: Any) -> Any:
    """Teach to go where the first number points."""
    return (observations[:, 0] > 0) * 1


GRID = "gridworld/FourRooms-v0"
ENVIRONMENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sync": ("CartPole-v1", {}),
    "sync, continuous": ("Pendulum-v1", {}),
    "sync, finite": ("FrozenLake-v1", {}),
    "async": ("CartPole-v1", {"vectorization_mode": "async"}),
    "async, continuous": ("Pendulum-v1", {"vectorization_mode": "async"}),
    "native grid": (GRID, {}),
    "grid, one by one": (GRID, {"vectorization_mode": "sync"}),
    "native Atari": ("atari/Breakout-v0:size=36", {"terminal_on_life_loss": True, "reward_clip": 1.0}),
    "native Atari, sticky": ("atari/Breakout-v0:size=36,sticky=0.25", {}),
    "Atari in workers": ("atari/Pong-v0:size=36,sticky=0.25", {"vectorization_mode": "async"}),
    "adapted": (OldDrift, {}),
    "normalised": ("CartPole-v1", {"normalize": "observations,rewards"}),
    "normalised, continuous": ("Pendulum-v1", {"normalize": "observations,rewards"}),
    "sync, bounded": ("MountainCar-v0", {"reward_clip": 0.5}),
    "sync, masked": (Masked, {}),
}
DISCRETE = ("sync", "async", "native grid", "grid, one by one", "adapted", "normalised")
PICTURES = ("native Atari", "native Atari, sticky", "Atari in workers")
CONTINUOUS = ("sync, continuous", "async, continuous", "normalised, continuous")
FINITE = ("sync, finite", "native grid", "grid, one by one")

REPLAY = {"hidden_sizes": (8,), "learning_starts": 60, "train_every": 8, "batch_size": 8, "buffer_size": 300}
Q = REPLAY | {"epsilon": "linear(1, 0.1)", "learning_rate": "linear(1e-2, 0)", "target_update_every": 70}
ACTOR = {"hidden_sizes": (8,), "learning_starts": 60, "train_every": 8, "batch_size": 8, "buffer_size": 300}
ROLLOUT = {"hidden_sizes": (8,), "rollout_length": 8, "learning_rate": "linear(1e-2, 0)"}
SB3_REPLAY = {"learning_starts": 60, "train_freq": 8, "batch_size": 8, "buffer_size": 300, "learning_rate": 1e-3}
SB3_ROLLOUT = {"n_steps": 16, "learning_rate": "linear(1e-2, 0)"}
SB3_BATCHES = SB3_ROLLOUT | {"batch_size": 16, "n_epochs": 2}

# name: (hyper-parameters, kinds of environment that it is tested with, further kinds that fit, for the soak)
ALGORITHMS: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "deep/a2c": (ROLLOUT, ("async",), DISCRETE + CONTINUOUS),
    "deep/a3c": ({"hidden_sizes": (8,)}, ("sync",), ()),
    "deep/c51": (Q | {"atoms": 11, "noisy": True}, ("native grid",), DISCRETE),
    "deep/cmaes": ({"hidden_sizes": (4,)}, ("normalised",), DISCRETE),
    "deep/ddpg": (ACTOR | {"prioritized": True}, ("async, continuous",), CONTINUOUS),
    "deep/dqn": (
        Q | {"prioritized": True, "n_step": 3, "double": True},
        ("native Atari", "adapted"),
        DISCRETE + PICTURES,
    ),
    "deep/imitation": ({"teacher": left_or_right, "hidden_sizes": (8,), "rollout_length": 8}, ("sync",), ("async",)),
    "deep/openai_es": ({"hidden_sizes": (4,)}, ("adapted",), DISCRETE + CONTINUOUS),
    "deep/ppo": (ROLLOUT | {"minibatches": 2, "epochs": 2}, ("native Atari, sticky", "normalised"), DISCRETE),
    "deep/pqn": (ROLLOUT | {"epsilon": "linear(1, 0.1)"}, ("Atari in workers",), DISCRETE),
    "deep/qrdqn": (Q | {"quantiles": 10}, ("grid, one by one",), DISCRETE),
    "deep/reinforce": ({"hidden_sizes": (8,), "episodes_per_update": 3}, ("async",), DISCRETE),
    "deep/sac": (ACTOR, ("normalised, continuous",), CONTINUOUS),
    "deep/td3": (ACTOR, ("sync, continuous",), CONTINUOUS),
    "sb3/a2c": (SB3_ROLLOUT, ("adapted",), DISCRETE + CONTINUOUS),
    "sb3/ars": ({"n_delta": 2}, ("sync",), DISCRETE + CONTINUOUS),
    "sb3/crossq": (SB3_REPLAY, ("sync, continuous",), CONTINUOUS),
    "sb3/ddpg": (SB3_REPLAY, ("normalised, continuous",), CONTINUOUS),
    "sb3/dqn": (SB3_REPLAY, ("native grid",), DISCRETE),
    "sb3/maskable_ppo": (SB3_BATCHES, ("sync, masked",), ()),
    "sb3/ppo": (SB3_BATCHES, ("native Atari, sticky", "async, continuous"), DISCRETE + CONTINUOUS),
    "sb3/qrdqn": (SB3_REPLAY, ("native Atari",), DISCRETE + PICTURES),
    "sb3/recurrent_ppo": (SB3_BATCHES | {"policy_kwargs": {"lstm_hidden_size": 8}}, ("sync",), DISCRETE),
    "sb3/sac": (SB3_REPLAY, ("sync, continuous",), CONTINUOUS),
    "sb3/td3": (SB3_REPLAY, ("async, continuous",), CONTINUOUS),
    "sb3/tqc": (SB3_REPLAY, ("normalised, continuous",), CONTINUOUS),
    "sb3/trpo": (SB3_ROLLOUT, ("Atari in workers",), DISCRETE + CONTINUOUS),
    "tabular/double_q_learning": ({}, ("sync, finite",), FINITE),
    "tabular/expected_sarsa": ({}, ("native grid",), FINITE),
    "tabular/linear_q": ({}, ("sync, bounded",), ()),
    "tabular/monte_carlo": ({}, ("sync, finite",), FINITE),
    "tabular/policy_iteration": ({"threshold": None}, ("sync, finite",), ()),
    "tabular/q_learning": ({"learning_rate": None}, ("grid, one by one",), FINITE),
    "tabular/q_value_iteration": ({"threshold": None}, ("sync, finite",), ()),
    "tabular/sarsa": ({}, ("native grid",), FINITE),
    "tabular/td_lambda": ({}, ("sync, finite",), FINITE),
    "tabular/value_iteration": ({"threshold": None}, ("sync, finite",), ()),
}
STEPS = {True: 160, False: 320}  # env steps, on Atari and elsewhere
BY_GENERATIONS, GENERATIONS = ("deep/cmaes", "deep/openai_es", "sb3/ars"), 2_000  # env steps
SWEEPS = 60


def recipe(algorithm: str, kind: str) -> Recipe:
    """Return the recipe of a pair: short, with eight checkpoints."""
    env, settings = ENVIRONMENTS[kind]
    config, _, _ = ALGORITHMS[algorithm]
    plans = "iteration" in algorithm
    steps = SWEEPS if plans else GENERATIONS if algorithm in BY_GENERATIONS else STEPS["Atari" in kind]
    if kind in PICTURES and "hidden_sizes" in config and "learning_starts" in config:
        config = {name: value for name, value in config.items() if name != "hidden_sizes"}
    settings = settings | {"steps": steps, "num_envs": 1 if plans else 2, "config": config, "log_every": steps // 8}
    callbacks = [f"core/checkpoint:every={steps // 8}"]
    if not plans and "Atari" not in kind:
        callbacks.append(f"core/evaluate:every={steps // 2},episodes=1,longest_episode=20")
    return Recipe(algorithm, env, settings | {"callbacks": callbacks})


def covering() -> Iterator[tuple[str, str]]:
    """Yield pairs of algorithm and kind: every algorithm at least once, every kind at least once."""
    for algorithm, (_, kinds, _) in ALGORITHMS.items():
        for kind in kinds:
            yield algorithm, kind


def product() -> Iterator[tuple[str, str]]:
    """Yield every pair that fits."""
    for algorithm, (_, kinds, more) in ALGORITHMS.items():
        for kind in dict.fromkeys((*kinds, *more)):
            yield algorithm, kind
