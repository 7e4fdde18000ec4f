"""Stable-Baselines3's models whose numbers leave all bounds: the run stops before a checkpoint holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import rlhub_core as rlhub
from rlhub_core import NonFiniteError, checkpoint, finite

NET = {"policy_kwargs": {"net_arch": [8]}}
OFTEN = NET | {"learning_starts": 50, "buffer_size": 500, "batch_size": 8}
HUGE = {"learning_rate": 1e30}


class Payday(gymnasium.Env[Any, Any]):
    """Episodes of six steps, of which some pay much."""

    def __init__(self, continuous: bool = False, pays: float = 1.0) -> None:
        self.observation_space = Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32) if continuous else Discrete(2)
        self.pays, self._time = pays, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._time += 1
        return self._seen(), self.pays if self.np_random.random() < 0.5 else -1.0, self._time == 6, False, {}

    def _seen(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


@pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "continuous", "pays", "config"),
    [
        ("ppo", False, 1.0, NET | HUGE | {"n_steps": 64, "batch_size": 16}),
        ("ppo", True, 1.0, NET | HUGE | {"n_steps": 64, "batch_size": 16}),
        ("a2c", False, 1e30, NET),
        ("dqn", False, 3e38, OFTEN),
        ("sac", True, 1e30, OFTEN),
        ("td3", True, 1e30, OFTEN),
    ],
)
def test_a_model_that_diverges(
    name: str, continuous: bool, pays: float, config: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(NonFiniteError) as caught:
        rlhub.train(
            f"sb3/{name}",
            lambda: Payday(continuous, pays),
            steps=3_000,
            config=config,
            callbacks=["core/checkpoint:every=1,keep=99"],
            folder=run,
        )
    assert str(caught.value).startswith(f"sb3/{name} at step ")
    kept = [run / "checkpoints" / f"{step:012d}" / "algorithm" for step in checkpoint.steps(run / "checkpoints")]
    assert kept
    assert all(np.isfinite(array).all() for folder in kept for _, array in finite.arrays(folder))
    found = rlhub.replay_update(run)
    assert found.reproduced is None
    assert "sb3/" + name + " does not say what its update was made of" in str(found)
    assert found.transitions
