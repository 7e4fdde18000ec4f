"""What the tests share: small configurations, and an algorithm with its collector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from rlhub_sb3 import algorithms
from rlhub_sb3.vec_env import CollectorVecEnv

import rlhub_core as rlhub

SETTINGS: dict[str, dict[str, Any]] = {
    "a2c": {},
    "dqn": {"learning_starts": 64, "train_freq": 4, "target_update_interval": 100, "buffer_size": 700},
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
}


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
def collector() -> Callable[..., rlhub.Collector]:
    """Return a maker of collectors over an environment."""

    def make(env: Any = "CartPole-v1", num_envs: int = 4, **view: Any) -> rlhub.Collector:
        return rlhub.Collector(rlhub.make_vec(env, num_envs), seed=3, **view)

    return make


@pytest.fixture
def algorithm() -> Callable[..., Any]:
    """Return a maker of algorithms that fit a collector."""

    def make(name: str, collector: rlhub.Collector, total_steps: int, **changed: Any) -> Any:
        kind = getattr(algorithms, name.upper())
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
        arguments = SETTINGS[name] | changed
        return getattr(stable_baselines3, name.upper())(policy, env, seed=5, device="cpu", **arguments)

    return make


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
