"""What a run will hold is told before it begins, and it is what is allocated then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core import memory


@pytest.mark.parametrize(
    ("algorithm", "env", "config", "largest"),
    [
        ("deep/dqn", "CartPole-v1", {"buffer_size": 5_000, "prioritized": True}, "buffer_size"),
        ("deep/sac", "Pendulum-v1", {"buffer_size": 5_000}, "buffer_size"),
        ("deep/ppo", "CartPole-v1", {"rollout_length": 8}, "rollout_length"),
    ],
)
def test_an_estimate_is_kept_and_refuses_what_does_not_fit(
    algorithm: str, env: str, config: dict[str, Any], largest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rlhub.train(algorithm, env, steps=32, config=config, folder=tmp_path / "run", progress=False)
    replay = getattr(run.algorithm, "replay", None)
    assert replay is None or run.memory["replay"] == replay.nbytes
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
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
