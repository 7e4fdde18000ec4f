"""Normalisation with the algorithms of every plugin: what is not learnt without it is learnt with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import rlhub_core as rlhub
from rlhub_core import ConfigError
from rlhub_core.testing import check_exact_resume


class Scales(gymnasium.Env[Any, Any]):
    """The sign of a tiny number says what to do; beside it stands a huge one that says nothing. Rewards are of 10⁴."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = Box(-np.inf, np.inf, (2,), np.float32), Discrete(2)
        self.sign, self.time = 1.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = 1e4 if (action == 1) == (self.sign > 0) else -1e4
        self.time += 1
        return self.see(), reward, self.time == 4, False, {}

    def see(self) -> Any:
        self.sign = float(self.np_random.choice([-1.0, 1.0]))
        return np.array([1e-3 * self.sign, 1e3 * self.np_random.normal()], np.float32)


def dear_cart_pole() -> Any:
    """Return a CartPole whose rewards are 10⁴."""
    return gymnasium.wrappers.TransformReward(gymnasium.make("CartPole-v1"), lambda reward: 1e4 * float(reward))


PPO = {"deep": {"rollout_length": 32, "minibatches": 1}, "sb3": {"n_steps": 32, "batch_size": 256}}
EPOCHS = {"deep": "epochs", "sb3": "n_epochs"}


def mean_return(folder: Path, algorithm: str, env: Any, **settings: Any) -> float:
    """Train, load, evaluate."""
    settings = {"num_envs": 8, "seed": 1, "progress": False, "device": "cpu", **settings}
    rlhub.train(algorithm, env, folder=folder, **settings)
    return rlhub.evaluate(rlhub.load(folder, env=env), episodes=20).mean


@pytest.mark.parametrize("algorithm", ["deep/a2c", "deep/dqn", "deep/ppo", "sb3/ppo"])
def test_wildly_different_scales_are_learnt_from_with_it_alone(algorithm: str, tmp_path: Path) -> None:
    plugin, _, name = algorithm.partition("/")
    config: dict[str, Any] = {"learning_rate": 3e-3}
    if name == "ppo":
        config |= PPO[plugin] | {EPOCHS[plugin]: 4}
    elif name == "dqn":
        config = {"learning_starts": 200}
    settings: dict[str, Any] = {"steps": 5_000, "config": config}
    assert mean_return(tmp_path / "without", algorithm, Scales, **settings) < 15_000
    assert mean_return(tmp_path / "with", algorithm, Scales, normalize=True, **settings) > 35_000


@pytest.mark.parametrize("plugin", PPO)
def test_rewards_of_ten_thousand_are_learnt_from_with_it_alone(plugin: str, tmp_path: Path) -> None:
    config = {"learning_rate": 1e-3, EPOCHS[plugin]: 20, **PPO[plugin]}
    settings: dict[str, Any] = {"steps": 12_000, "config": config}
    without = mean_return(tmp_path / "without", f"{plugin}/ppo", dear_cart_pole, **settings)
    assert (
        mean_return(tmp_path / "with", f"{plugin}/ppo", dear_cart_pole, normalize="rewards", **settings) > 2 * without
    )


RESUMED: dict[str, tuple[str, dict[str, Any]]] = {
    "deep/ppo": ("CartPole-v1", {"rollout_length": 32, "minibatches": 4}),
    "deep/dqn": ("CartPole-v1", {"learning_starts": 100, "buffer_size": 500}),
    "deep/sac": ("Pendulum-v1", {"learning_starts": 100, "batch_size": 32, "hidden_sizes": [8]}),
    "deep/reinforce": ("CartPole-v1", {}),
    "sb3/ppo": ("CartPole-v1", {"n_steps": 32, "batch_size": 64}),
    "sb3/dqn": ("CartPole-v1", {"learning_starts": 100, "buffer_size": 500}),
    "tabular/linear_q": ("CartPole-v1", {}),
}


@pytest.mark.parametrize("algorithm", RESUMED)
def test_resume_is_exact(algorithm: str) -> None:
    env, config = RESUMED[algorithm]
    check_exact_resume(algorithm, env, steps=600, num_envs=4, config=config, normalize=True)


def test_tables_learn_from_normalised_rewards() -> None:
    check_exact_resume("tabular/q_learning", "FrozenLake-v1", steps=300, normalize="rewards")


def test_workers_in_other_processes_share_the_statistics(tmp_path: Path) -> None:
    config = {"rollouts_together": 4, "rollout_length": 5}
    run = rlhub.train(
        "deep/a3c", "CartPole-v1", steps=400, num_envs=2, config=config, normalize=True, folder=tmp_path, progress=False
    )
    assert run.normalization is not None
    assert run.normalization.return_moments is not None
    assert 0.5 * run.steps < run.normalization.return_moments.count <= run.steps + 1
    loaded = rlhub.load(tmp_path).normalization
    assert loaded is not None
    moments = run.normalization.observation_moments[""]
    np.testing.assert_array_equal(loaded.observation_moments[""].mean, moments.mean)


def test_a_teacher_sees_what_the_environment_gives(tmp_path: Path) -> None:
    def teacher(observations: Any, first: Any) -> Any:
        assert np.abs(observations[:, 0]).max() < 0.01  # nothing was scaled
        return (observations[:, 0] > 0).astype(np.int64)

    run = rlhub.train(
        "deep/imitation",
        Scales,
        steps=2_000,
        num_envs=8,
        config={"teacher": teacher, "learning_rate": 3e-3},
        normalize="observations",
        folder=tmp_path / "run",
        progress=False,
    )
    assert rlhub.evaluate(run, episodes=20).mean > 35_000


def test_a_run_that_normalises_teaches_one_that_does_not(tmp_path: Path) -> None:
    def folder(name: str) -> dict[str, Any]:
        return {"folder": tmp_path / name, "progress": False}

    config = {"learning_rate": 1e-3, "epochs": 20, **PPO["deep"]}
    teacher = rlhub.train(
        "deep/ppo", "CartPole-v1", steps=8_000, num_envs=8, config=config, normalize=True, **folder("teacher")
    )
    good = rlhub.evaluate(teacher, episodes=10).mean
    settings = {"teacher_run": str(teacher.folder), "learning_rate": 3e-3, "rollout_length": 5, "epochs": 4}
    learner = rlhub.train(
        "deep/imitation", "CartPole-v1", steps=6_000, num_envs=20, config=settings, **folder("learner")
    )
    assert rlhub.evaluate(learner, episodes=10).mean > 0.7 * good > 100


def test_a_behaviour_sees_what_the_environment_gives(tmp_path: Path) -> None:
    def behaviour(observations: Any, first: Any) -> Any:
        assert np.abs(observations).max() == 1e9  # nothing was clipped
        return np.zeros(len(first), np.int64)

    class Far(Scales):
        def see(self) -> Any:
            return np.array([1e9, 0.0], np.float32)

    config = {"behaviour": behaviour}
    rlhub.train("tabular/linear_q", Far, steps=20, config=config, normalize=True, folder=tmp_path / "run")


def test_who_plans_has_nothing_to_normalise(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plans with the model's own rewards: leave out normalize"):
        rlhub.train("tabular/value_iteration", "FrozenLake-v1", normalize="rewards", folder=tmp_path / "run")
