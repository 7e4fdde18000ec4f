"""Only possible actions are taken: however they are told, in every kind of action space, and after a resume."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from rlhub_sb3.spaces import choices

import rlhub_core as rlhub
from rlhub_core.testing import check_exact_resume

CONFIG = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "policy_kwargs": {"net_arch": [8]}}
KINDS = {
    "Discrete": spaces.Discrete(4),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
}


class Narrow(gymnasium.Env):
    """Allows one choice of each dimension, another at each step; fails where another is taken."""

    def __init__(self, kind="Discrete", by="method"):
        self.observation_space, self.action_space, self.by = spaces.Box(0, 1, (1,)), KINDS[kind], by

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length, self.time = int(self.np_random.integers(2, 8)), 0
        return self.next()

    def step(self, action):
        taken = spaces.flatten(self.action_space, action).reshape(-1)
        if isinstance(self.action_space, spaces.MultiBinary):
            taken = np.stack([1 - taken, taken], axis=1).reshape(-1)
        np.testing.assert_array_equal(taken, self.mask)
        self.time += 1
        observation, info = self.next()
        return observation, 1.0, self.time == self.length, False, info

    def next(self):
        sizes = {"Discrete": [4], "MultiDiscrete": [2, 3], "MultiBinary": [2, 2]}[type(self.action_space).__name__]
        self.mask = np.concatenate([np.eye(n, dtype=np.int8)[self.np_random.integers(n)] for n in sizes])
        assert len(self.mask) == choices(self.action_space)
        return np.zeros(1, np.float32), {"action_mask": self.mask} if self.by == "info" else {}

    def action_masks(self):
        assert self.by == "method"
        return self.mask


@pytest.mark.parametrize("by", ["method", "info"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_possible_actions_are_taken(kind, by, tmp_path):
    def env():
        return Narrow(kind, by)

    run = rlhub.train("sb3/maskable_ppo", env, steps=96, num_envs=3, config=CONFIG, folder=tmp_path / "run")
    assert rlhub.evaluate(run, env, episodes=3).mean >= 2


@pytest.mark.parametrize("by", ["method", "info"])
def test_resume_knows_what_is_possible(by):
    check_exact_resume("sb3/maskable_ppo", lambda: Narrow(by=by), steps=512, num_envs=2, config=CONFIG, device="cpu")


def test_masks_are_known_in_other_processes(tmp_path):
    options = {"steps": 64, "num_envs": 2, "config": CONFIG, "vectorization_mode": "async"}
    run = rlhub.train("sb3/maskable_ppo", Narrow, folder=tmp_path / "run", **options)
    assert run.steps == 64
