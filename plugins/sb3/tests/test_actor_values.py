"""What actors tell of values, for pictures: what Stable-Baselines3's own networks say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core.actors import values_of

SEEN = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
SHORT: dict[str, dict[str, Any]] = {"sb3/ppo": {"n_steps": 16, "batch_size": 16}}


@pytest.mark.parametrize("algorithm", ["sb3/dqn", "sb3/qrdqn"])
def test_action_values_are_those_that_it_acts_on(algorithm: str, tmp_path: Path) -> None:
    run = rlhub.train(algorithm, "CartPole-v1", steps=20, folder=tmp_path / "run", progress=False)
    actor = run.actor()
    values = values_of(actor, SEEN)["action_values"]
    assert values.shape == (5, 2)
    assert values.argmax(1).tolist() == actor(SEEN, np.zeros(5, np.bool_)).tolist()


@pytest.mark.parametrize("algorithm", ["sb3/ppo", "sb3/a2c"])
def test_actor_critics_tell_the_value_of_the_state(algorithm: str, tmp_path: Path) -> None:
    settings = SHORT.get(algorithm, {})
    run = rlhub.train(algorithm, "CartPole-v1", steps=20, config=settings, folder=tmp_path / "run", progress=False)
    values = values_of(run.actor(), SEEN)["state_value"]
    assert values.shape == (5,)


def test_what_has_no_such_network_tells_nothing(tmp_path: Path) -> None:
    run = rlhub.train("sb3/sac", "Pendulum-v1", steps=20, folder=tmp_path / "run", progress=False)
    assert values_of(run.actor(), SEEN[:, :3]) == {}
