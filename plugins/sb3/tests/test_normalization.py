"""rlhub's normalisation beside Stable-Baselines3's `VecNormalize`, on the same steps."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium.spaces import Box, Dict, Discrete
from rlhub_sb3 import algorithms
from rlhub_sb3.vec_env import CollectorVecEnv
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import VecNormalize

import rlhub_core as rlhub
from rlhub_core import Collector, Normalize
from rlhub_core.normalization import Normalization


class Wild(gymnasium.Env[Any, Any]):
    """Sees numbers of other sizes in each part, and ends or is cut off now and then; rewards are whole numbers."""

    action_space = Discrete(3)

    def __init__(self, of_parts: bool = False) -> None:
        self.of_parts = of_parts
        self.observation_space: Any = Box(-np.inf, np.inf, (3,), np.float64)
        if of_parts:
            parts = {"place": self.observation_space, "speed": Box(-9, 9, (2,), np.float32), "kind": Discrete(4)}
            self.observation_space = Dict(parts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        ended, cut = self.np_random.random(2) < (0.1, 0.05)
        return self.see(), float(self.np_random.integers(-500, 2000) * action), bool(ended), bool(cut), {}

    def see(self) -> Any:
        place = self.np_random.normal([0.0, 1e4, -3.0], [1e-3, 1e3, 5.0])
        if not self.of_parts:
            return place
        return {"place": place, "speed": self.np_random.random(2, np.float32), "kind": self.np_random.integers(4)}


SETTINGS: list[dict[str, Any]] = [
    {},
    {"norm_reward": False, "clip_obs": 0.7},
    {"norm_obs": False, "clip_reward": 0.3, "gamma": 0.5},
    {"epsilon": 0.1, "gamma": 1.0},
]
OURS = {"norm_obs": "observations", "norm_reward": "rewards", "clip_obs": "clip_observations", "gamma": "discount"}
OURS |= {"clip_reward": "clip_rewards", "epsilon": "epsilon", "norm_obs_keys": "keys"}


def both(env: Any, num_envs: int, settings: dict[str, Any]) -> tuple[Collector, VecNormalize]:
    """Return a collector that normalises, and VecNormalize over one of the same seed that does not."""
    normalize = Normalize.of({OURS[name]: number for name, number in settings.items()})
    raw = Collector(rlhub.make_vec(env, num_envs), 3)
    beneath = CollectorVecEnv(num_envs, raw.single_observation_space, copy.deepcopy(raw.single_action_space))
    beneath.collector = raw
    assert normalize is not None
    ours = Normalization(normalize, raw.single_observation_space, num_envs)
    return Collector(rlhub.make_vec(env, num_envs), 3, normalization=ours), VecNormalize(beneath, **settings)


def assert_close(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_close(ours[key], theirs[key])
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=3e-6, atol=3e-6)  # it computes means in float32


@pytest.mark.parametrize("num_envs", [1, 5])
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_numbers_are_those_of_vec_normalize(settings: dict[str, Any], num_envs: int) -> None:
    ours, theirs = both(Wild, num_envs, settings)
    assert_close(ours.observations, theirs.reset())
    rng, terminal = np.random.default_rng(0), 0
    for _ in range(300):
        actions = rng.integers(3, size=num_envs)
        transition = ours.step(actions)
        observations, rewards, dones, infos = theirs.step(actions)
        assert_close(ours.observations, observations)
        np.testing.assert_allclose(transition.reward, rewards, rtol=1e-6)
        np.testing.assert_array_equal(transition.terminated | transition.truncated, dones)
        for env in np.flatnonzero(dones):
            assert_close(transition.next_observation[env], infos[env]["terminal_observation"])
            terminal += 1
    assert terminal > 20
    assert ours.normalization is not None
    if settings.get("norm_obs", True):
        moments = ours.normalization.observation_moments[""]
        np.testing.assert_allclose(moments.mean, theirs.obs_rms.mean, rtol=1e-10)  # type: ignore[union-attr]
        np.testing.assert_allclose(moments.variance, theirs.obs_rms.var, rtol=1e-10)  # type: ignore[union-attr]
        assert moments.count == pytest.approx(theirs.obs_rms.count)  # type: ignore[union-attr]
    if settings.get("norm_reward", True):
        returns: Any = ours.normalization.return_moments
        assert returns.variance == pytest.approx(theirs.ret_rms.var, rel=1e-10)


def test_of_dicts_as_well() -> None:
    ours, theirs = both(lambda: Wild(of_parts=True), 4, {"norm_obs_keys": ["place", "speed"]})
    assert_close(ours.observations, theirs.reset())
    for _ in range(100):
        transition = ours.step(np.ones(4, np.int64))
        observations, rewards, _, _ = theirs.step(np.ones(4, np.int64))
        assert_close(ours.observations, observations)
        np.testing.assert_allclose(transition.reward, rewards, rtol=1e-6)


def test_ppo_learns_what_it_learns_over_vec_normalize() -> None:
    arguments: dict[str, Any] = {"n_steps": 16, "batch_size": 32, "n_epochs": 2}
    ours, theirs = both("CartPole-v1", 4, {})
    config = algorithms.PPO.Config(**arguments)
    spaces = ours.single_observation_space, ours.single_action_space
    mine = algorithms.PPO(*spaces, config, seed=5, total_steps=512, device="cpu")
    for _ in mine.train(ours, 512):
        pass
    plain = stable_baselines3.PPO("MlpPolicy", theirs, seed=5, device="cpu", **arguments).learn(512)
    for name, weights in plain.policy.state_dict().items():
        th.testing.assert_close(mine.model.policy.state_dict()[name], weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalize", ["rewards", "observations"])
def test_hindsight_is_refused_beside_normalised_rewards_or_goals(normalize, drift, tmp_path):
    settings = {"her": True, "learning_starts": 50, "buffer_size": 200}
    world = drift("sac", goals=True)
    with pytest.raises(rlhub.ConfigError, match=r"Normalise neither rewards nor goals: normalize=observations,keys="):
        rlhub.train("sb3/sac", world, steps=60, config=settings, normalize=normalize, folder=tmp_path / "run")


def test_a_callback_that_evaluates_on_raw_observations_is_refused(tmp_path):
    look = EvalCallback(gymnasium.make("CartPole-v1"))
    with pytest.raises(rlhub.ConfigError, match=r"EvalCallback shows the model raw observations.*Use core/evaluate"):
        rlhub.train(
            "sb3/ppo", "CartPole-v1", steps=64, normalize="observations", callbacks=[look], folder=tmp_path / "a"
        )
    config = {"n_steps": 32, "batch_size": 32}
    look = EvalCallback(gymnasium.make("CartPole-v1"))
    rlhub.train(
        "sb3/ppo", "CartPole-v1", steps=64, config=config, normalize="rewards", callbacks=[look], folder=tmp_path / "b"
    )
