"""What SB3's buffers will take is told before they are filled, whatever the number of environments."""

from __future__ import annotations

import pytest

import rlhub_core as rlhub


@pytest.mark.parametrize(("algorithm", "config"), [("sb3/dqn", {"buffer_size": 999}), ("sb3/ppo", {"n_steps": 16})])
def test_the_estimate_is_what_sb3_allocates(algorithm, config, tmp_path):
    run = rlhub.train(
        algorithm, "CartPole-v1", steps=96, num_envs=3, config=config, folder=tmp_path / "run", progress=False
    )
    model = run.algorithm.model
    buffer = getattr(model, "replay_buffer", None) or model.rollout_buffer
    held = run.memory["replay" if "dqn" in algorithm else "rollout"]
    allocated = sum(part.nbytes for part in vars(buffer).values() if hasattr(part, "nbytes"))
    assert held == pytest.approx(allocated, rel=0.01)
