"""What the tests share: small configurations, and an algorithm with its collector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch as th
from gymnasium import spaces
from rlhub_sb3 import algorithms, contrib
from rlhub_sb3.vec_env import CollectorVecEnv

import rlhub_core as rlhub

NET = {"policy_kwargs": {"net_arch": [8]}}
REPLAY = {**NET, "learning_starts": 32, "batch_size": 8, "buffer_size": 120, "train_freq": 4}
SETTINGS: dict[str, dict[str, Any]] = {
    "a2c": {},
    "ddpg": REPLAY,
    "dqn": {"learning_starts": 64, "train_freq": 4, "target_update_interval": 100, "buffer_size": 700},
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": REPLAY,
    "td3": REPLAY,
    "ars": {"n_delta": 3, "n_top": 2},
    "crossq": {**REPLAY, "policy_kwargs": {"net_arch": {"pi": [8], "qf": [8]}}},
    "maskable_ppo": {**NET, "n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "qrdqn": {**REPLAY, "policy_kwargs": {"net_arch": [8], "n_quantiles": 5}, "target_update_interval": 40},
    "recurrent_ppo": {
        "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 8},
        "n_steps": 16,
        "batch_size": 32,
        "n_epochs": 2,
    },
    "tqc": {**REPLAY, "policy_kwargs": {"net_arch": [8], "n_quantiles": 5}},
    "trpo": {**NET, "n_steps": 16, "batch_size": 32, "n_critic_updates": 2, "cg_max_steps": 5},
}
MODELS = {"maskable_ppo": "MaskablePPO", "crossq": "CrossQ", "recurrent_ppo": "RecurrentPPO"}  # else in capitals
BOX = ("ddpg", "sac", "td3", "crossq", "tqc")  # take Box actions only


class Drift(gymnasium.Env[Any, Any]):
    """Actions move a point; it terminates far off and is cut off after `length` steps. Odd steps allow one way only.

    Args:
        box: Box actions, else Discrete(3).
        goals: observe a goal, too, as hindsight wants it; reaching it is all the reward.
        random: begin anywhere, else always at the same place.
        tells: say in `info` what is possible, not by the method alone.
    """

    def __init__(
        self, box: bool = False, goals: bool = False, random: bool = True, tells: bool = False, length: int = 9
    ) -> None:
        place = spaces.Box(-9, 9, (2,), np.float32)
        goal = {name: spaces.Box(-9, 9, (1,), np.float32) for name in ("achieved_goal", "desired_goal")}
        self.observation_space = spaces.Dict({"observation": place, **goal}) if goals else place
        self.action_space = spaces.Box(-2, 2, (1,), np.float32) if box else spaces.Discrete(3)
        self.box, self.goals, self.random, self.tells, self.length = box, goals, random, tells, length

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.time = float(self.np_random.uniform(-0.5, 0.5)) if self.random else 0.25, 0
        self.goal = float(self.np_random.uniform(-1, 1)) if self.random else 0.75
        return self.seen(), self.info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.box or self.action_masks()[int(action)] or not self.tells
        self.x += 0.25 * float(action[0] if self.box else int(action) - 1)
        self.time += 1
        reward = 1 - abs(self.x)
        if self.goals:
            reward = float(self.compute_reward(np.array([[self.x]]), np.array([[self.goal]]), [self.info()])[0])
        return self.seen(), reward, abs(self.x) > 0.9, self.time == self.length, self.info()

    def action_masks(self) -> Any:
        return np.array([1, 1, self.time % 2], np.int8)

    def info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks(), "late": self.time > 4} if self.tells else {"late": self.time > 4}

    def seen(self) -> Any:
        place = np.array([self.x, self.time / 10], np.float32)
        if not self.goals:
            return place
        reached, wanted = np.array([self.x], np.float32), np.array([self.goal], np.float32)
        return {"observation": place, "achieved_goal": reached, "desired_goal": wanted}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        late = np.array([one.get("late", False) for one in info])
        return -(np.abs(achieved - desired)[..., 0] > 0.25).astype(np.float32) - 0.5 * late


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = th.get_num_threads()
    th.set_num_threads(1)
    yield
    th.set_num_threads(before)


@pytest.fixture
def settings() -> dict[str, dict[str, Any]]:
    """Return the arguments of each algorithm here."""
    return SETTINGS


@pytest.fixture
def drift() -> Callable[..., Any]:
    """Return what makes, for an algorithm's name, a maker of environments that it can learn in."""

    def fitting(name: str, **settings: Any) -> Callable[[], Drift]:
        settings = {"box": name in BOX, "tells": name == "maskable_ppo"} | settings
        return lambda: Drift(**settings)

    return fitting


@pytest.fixture
def collector() -> Callable[..., rlhub.Collector]:
    """Return a maker of collectors over an environment."""

    def make(env: Any = "CartPole-v1", num_envs: int = 4, **view: Any) -> rlhub.Collector:
        return rlhub.Collector(rlhub.make_vec(env, num_envs), seed=3, **view)

    return make


@pytest.fixture
def algorithm() -> Callable[..., Any]:
    """Return a maker of algorithms that fit a collector."""

    def make(name: str, collector: rlhub.Collector, total_steps: int, **changed: Any) -> Any:
        kind = _class(name, algorithms, contrib)
        config = kind.Config(**(SETTINGS[name] | changed))
        spaces = collector.single_observation_space, collector.single_action_space
        return kind(*spaces, config, seed=5, total_steps=total_steps, device="cpu")

    return make


@pytest.fixture
def plain() -> Callable[..., Any]:
    """Return a maker of plain Stable-Baselines3 models over a collector."""

    def make(name: str, collector: rlhub.Collector, policy: str = "MlpPolicy", **changed: Any) -> Any:
        space = copy.deepcopy(collector.single_action_space)
        env = CollectorVecEnv(collector.num_envs, collector.single_observation_space, space)
        env.collector = collector
        env.resets = name == "ars"
        return plain_model(name, env, policy, **changed)

    return make


@pytest.fixture
def plain_on() -> Callable[..., Any]:
    """Return a maker of plain Stable-Baselines3 models over any of its environments."""
    return plain_model


def plain_model(name: str, env: Any, policy: str = "MlpPolicy", **changed: Any) -> Any:
    policy = {"ars": "LinearPolicy", "recurrent_ppo": "MlpLstmPolicy"}.get(name, policy)
    kind = _class(name, stable_baselines3, sb3_contrib)
    return kind(policy, env, seed=5, device="cpu", **copy.deepcopy(SETTINGS[name] | changed))


def _class(name: str, *modules: Any) -> Any:
    called = MODELS.get(name, name.upper())
    return next(getattr(module, called) for module in modules if hasattr(module, called))


@pytest.fixture
def assert_same_weights() -> Callable[[Any, Any], None]:
    """Return a check that two models have bit for bit the same networks and optimiser states."""

    def check(one: Any, other: Any) -> None:
        for name, tensors in one.get_parameters().items():
            _assert_equal(tensors, other.get_parameters()[name])

    return check


def _assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _assert_equal(one[key], other[key])
    elif isinstance(one, th.Tensor):
        assert th.equal(one, other)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, (list, tuple)):
        for left, right in zip(one, other, strict=True):
            _assert_equal(left, right)
    else:
        assert one == other
