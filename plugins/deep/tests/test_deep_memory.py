"""What a run will hold is told before it begins, and it is what is allocated then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core import memory

DIAGONAL = {"covariance": "diagonal"}


def _teach(observations: Any, first: Any) -> Any:
    return np.zeros(len(observations), np.int64)


@pytest.mark.parametrize(
    ("algorithm", "env", "config", "largest"),
    [
        ("deep/dqn", "CartPole-v1", {"buffer_size": 5_000, "prioritized": True}, "buffer_size"),
        ("deep/sac", "Pendulum-v1", {"buffer_size": 5_000}, "buffer_size"),
        ("deep/ppo", "CartPole-v1", {"rollout_length": 8}, "rollout_length"),
        ("deep/pqn", "CartPole-v1", {"rollout_length": 8}, "rollout_length"),
        ("deep/a3c", "CartPole-v1", {"rollout_length": 8}, "num_envs"),
        ("deep/reinforce", "CartPole-v1", {"episodes_per_update": 1}, "hidden_sizes"),
        ("deep/imitation", "CartPole-v1", {"teacher": _teach, "rollout_length": 8}, "rollout_length"),
        ("deep/openai_es", "CartPole-v1", {"population_size": 2, "episodes": 1}, "population_size"),
        (
            "deep/cmaes",
            "CartPole-v1",
            {"population_size": 4, "episodes": 1} | DIAGONAL,
            "population_size",
        ),
    ],
)
def test_an_estimate_is_kept_and_refuses_what_does_not_fit(
    algorithm: str, env: str, config: dict[str, Any], largest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rlhub.train(algorithm, env, steps=32, config=config, folder=tmp_path / "run", progress=False)
    replay = getattr(run.algorithm, "replay", None)
    assert replay is None or run.memory["replay"] == replay.nbytes
    config |= {"hidden_sizes": (4,)}
    monkeypatch.setattr(memory, "available_memory", lambda: 600)
    with pytest.raises(rlhub.ConfigError, match=rf"{algorithm} on {env} needs [^$]*smaller by {largest}"):
        rlhub.train(algorithm, env, steps=32, config=config, folder=tmp_path / "no", progress=False)
    assert not (tmp_path / "no").exists()


def test_a_rollout_of_pictures_counts_every_environment(tmp_path: Path) -> None:
    class Pictures(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(0, 255, (4, 40, 40), np.uint8)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action: Any) -> Any:
            return self.observation_space.sample(), 0.0, False, False, {}

    config = {"rollout_length": 4, "minibatches": 1, "epochs": 1}
    run = rlhub.train("deep/ppo", Pictures, steps=12, num_envs=3, config=config, folder=tmp_path / "r", progress=False)
    assert run.memory["rollout"] == 2 * 4 * 3 * 4 * 40 * 40


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/ppo", "deep/cmaes"])
def test_layers_that_do_not_fit_are_never_made(algorithm: str, tmp_path: Path) -> None:
    config = {"hidden_sizes": (3_000_000, 3_000_000)}
    with pytest.raises(rlhub.ConfigError, match=r"hidden_sizes=\[3000000, 3000000\] needs [\d,]+ GB more memory"):
        rlhub.train(algorithm, "CartPole-v1", steps=9, config=config, folder=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("update", ["cma-es", "rank-mu"])
def test_a_covariance_that_does_not_fit_is_never_made(
    update: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1_000_000)
    config = {"hidden_sizes": (100,), "covariance": "full", "update": update}
    with pytest.raises(rlhub.ConfigError, match=r"matrix of 702 weights needs [^$]*smaller by covariance=diagonal"):
        rlhub.train("deep/cmaes", "CartPole-v1", steps=9, config=config, folder=tmp_path / "run", progress=False)
