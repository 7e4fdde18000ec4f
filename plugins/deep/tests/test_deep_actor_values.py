"""What greedy actors tell of values, for pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core.actors import values_of

SEEN = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
FIRST = np.zeros(5, np.bool_)


@pytest.mark.parametrize("normalize", [None, "observations"])
@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/c51", "deep/qrdqn", "deep/pqn"])
def test_action_values_are_those_that_it_acts_on(algorithm: str, normalize: str | None, tmp_path: Path) -> None:
    run = rlhub.train(algorithm, "CartPole-v1", steps=64, normalize=normalize, folder=tmp_path / "run", progress=False)
    actor = run.actor()
    values = values_of(actor, SEEN)["action_values"]
    assert values.shape == (5, 2)
    assert values.argmax(1).tolist() == actor(SEEN, FIRST).tolist()


@pytest.mark.parametrize(
    ("algorithm", "environment", "size"),
    [("deep/ppo", "CartPole-v1", 4), ("deep/a2c", "CartPole-v1", 4), ("deep/ppo", "Pendulum-v1", 3)],
)
def test_actor_critics_tell_the_value_of_the_state(algorithm: str, environment: str, size: int, tmp_path: Path) -> None:
    settings = {"rollout_length": 8} if algorithm == "deep/ppo" else {}
    run = rlhub.train(algorithm, environment, steps=8, config=settings, folder=tmp_path / "run", progress=False)
    values = values_of(run.actor(), SEEN[:, :size])
    assert list(values) == ["state_value"]
    assert values["state_value"].shape == (5,)
    assert len(set(values["state_value"].tolist())) == 5


def test_a_policy_without_a_value_tells_none(tmp_path: Path) -> None:
    run = rlhub.train("deep/reinforce", "CartPole-v1", steps=8, folder=tmp_path / "run", progress=False)
    assert values_of(run.actor(), SEEN) == {}
