"""Each algorithm learns to give back what it is shown, in every kind of action space that it takes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from rlhub_sb3.plugin import ALGORITHMS
from rlhub_sb3.spaces import choices

import rlhub_core as rlhub

SPACES = {
    "Box": lambda: spaces.Box(-1, 1, (1,), np.float32),
    "Discrete": lambda: spaces.Discrete(3),
    "MultiDiscrete": lambda: spaces.MultiDiscrete([2, 3]),
    "MultiBinary": lambda: spaces.MultiBinary(2),
}


class Echo(gymnasium.Env):
    """Shows an action and rewards the one that is taken by how near it comes; a hundred steps, 1 each at most."""

    def __init__(self, kind):
        self.kind, self.action_space = kind, SPACES[kind]()
        self.observation_space = SPACES["Box"]() if kind == "Box" else spaces.flatten_space(self.action_space)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.action_space.seed(seed)
        self.time = 0
        return self.show(), {}

    def step(self, action):
        reward = 1 - np.abs(action - self.wanted).mean() if self.kind == "Box" else np.mean(action == self.wanted)
        self.time += 1
        return self.show(), float(reward), False, self.time == 100, {}

    def show(self):
        self.wanted = self.action_space.sample()
        return self.wanted if self.kind == "Box" else spaces.flatten(self.action_space, self.wanted)

    def action_masks(self):
        return np.ones(choices(self.action_space), np.bool_)


BANDIT = {"gamma": 0.0, "learning_rate": 5e-3, "policy_kwargs": {"net_arch": [16]}}
PPO = BANDIT | {"n_steps": 32, "batch_size": 64, "n_epochs": 8, "learning_rate": 1e-2}
REPLAY = BANDIT | {"batch_size": 64, "buffer_size": 2000}
VALUES = REPLAY | {"train_freq": 2, "target_update_interval": 100}
SOFT = REPLAY | {"ent_coef": 0.003}
NOISE = {"action_noise": "normal(0.2)", "learning_rate": 3e-3}
SETTINGS = {  # env steps, hyper-parameters
    "a2c": (3000, BANDIT | {"learning_rate": 1e-2}),
    "ddpg": (1200, REPLAY | NOISE),
    "dqn": (1200, VALUES),
    "ppo": (1280, PPO),
    "sac": (1200, SOFT),
    "td3": (1200, REPLAY | NOISE),
    "ars": (7_000, {"learning_rate": 0.1, "delta_std": 0.1, "n_delta": 4, "n_top": 2}),
    "crossq": (
        1800,
        SOFT | {"learning_rate": 1e-2, "policy_delay": 1, "policy_kwargs": {"net_arch": {"pi": [16], "qf": [32]}}},
    ),
    "maskable_ppo": (1280, PPO),
    "qrdqn": (1200, VALUES | {"policy_kwargs": {"net_arch": [16], "n_quantiles": 5}}),
    "recurrent_ppo": (2304, PPO | {"n_epochs": 5, "policy_kwargs": {"net_arch": [16], "lstm_hidden_size": 16}}),
    "tqc": (1200, SOFT | {"policy_kwargs": {"net_arch": [16], "n_quantiles": 5}}),
    "trpo": (2048, {"gamma": 0.0, "n_steps": 32, "target_kl": 0.1, "n_critic_updates": 2}),
}


@pytest.mark.parametrize(("name", "kind"), [(row[0], kind) for row in ALGORITHMS for kind in row[2]])
def test_it_learns_to_echo(name, kind, tmp_path):
    steps, config = SETTINGS[name]
    run = rlhub.train(
        f"sb3/{name}",
        lambda: Echo(kind),
        steps=steps,
        num_envs=1 if name == "ars" else 4,
        config=config,
        folder=tmp_path / "run",
        progress=False,
        device="cpu",
    )
    assert rlhub.evaluate(run, episodes=4).mean >= 90
