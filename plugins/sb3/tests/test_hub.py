"""Through the hub: what is offered, what is refused and how, and that it learns."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlhub_core as rlhub


def test_plugin_loads_neither_torch_nor_sb3():
    code = (
        "import sys, rlhub_sb3.plugin as plugin; list(plugin.rlhub_algorithms());"
        "print([name for name in ('torch', 'stable_baselines3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_algorithms_are_offered():
    offered = [name for name in rlhub.algorithms() if name.startswith("sb3/")]
    assert offered == ["sb3/a2c", "sb3/dqn", "sb3/ppo"]


def test_misfit_names_what_fits(tmp_path):
    with pytest.raises(rlhub.SpaceError) as error:
        rlhub.train("sb3/dqn", "Pendulum-v1", steps=100, folder=tmp_path / "run")
    assert str(error.value).startswith("sb3/dqn needs a Discrete action space; Pendulum-v1 has Box(")
    assert "sb3/a2c" in str(error.value)
    assert "sb3/ppo" in str(error.value)


@pytest.mark.parametrize(
    ("algorithm", "config", "text"),
    [
        (
            "sb3/ppo",
            {"learning_rat": 1},
            "sb3/ppo has no hyper-parameter 'learning_rat'. Did you mean 'learning_rate'",
        ),
        ("sb3/ppo", {"n_epochs": "many"}, "sb3/ppo: n_epochs must be int or schedule, not 'many'."),
        ("sb3/ppo", {"gamma": 1.5}, "sb3/ppo: gamma must be in [0, 1], not 1.5."),
        ("sb3/ppo", {"n_steps": "linear(1, 2)"}, "sb3/ppo: n_steps cannot follow a schedule; it must be int."),
        ("sb3/ppo", {"policy": "FooPolicy"}, "sb3/ppo: Policy FooPolicy unknown"),
        ("sb3/ppo", {"use_sde": True}, "sb3/ppo: generalized State-Dependent Exploration"),
        ("sb3/dqn", {"train_freq": [4, "hours"]}, "sb3/dqn: The unit of the `train_freq` must be"),
        ("sb3/ppo", {"policy_kwargs": {"activation_fn": "os:system"}}, "'os:system' is not imported"),
        ("sb3/ppo", {"policy_kwargs": {"activation_fn": "torch.nn:functional"}}, "is no torch module"),
        ("sb3/ppo", {"policy_kwargs": {"activation_fn": "torch.nn:Nothing"}}, "'torch.nn:Nothing' cannot be imported"),
    ],
)
def test_wrong_hyper_parameters_are_refused_before_a_run_begins(algorithm, config, text, tmp_path):
    with pytest.raises(rlhub.ConfigError) as error:
        rlhub.train(algorithm, "CartPole-v1", steps=100, config=config, folder=tmp_path / "run")
    assert text in str(error.value)
    assert not (tmp_path / "run").exists()


def test_network_classes_may_be_written_as_text(tmp_path):
    config = {"n_steps": 32, "batch_size": 32, "policy_kwargs": {"activation_fn": "torch.nn:ReLU", "net_arch": [8]}}
    run = rlhub.train("sb3/ppo", "CartPole-v1", steps=64, config=config, folder=tmp_path / "run", progress=False)
    assert "ReLU" in str(run.algorithm.model.policy)
    observations = np.zeros((3, 4), np.float32)
    assert rlhub.load(tmp_path / "run").actor()(observations, np.zeros(3, np.bool_)).shape == (3,)


class Echo(gymnasium.Env):
    """Rewards the action that equals the observation; a hundred steps."""

    observation_space, action_space = spaces.Discrete(3), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.shown = 0, int(self.np_random.integers(3))
        return self.shown, {}

    def step(self, action):
        reward = float(action == self.shown)
        self.time, self.shown = self.time + 1, int(self.np_random.integers(3))
        return self.shown, reward, False, self.time == 100, {}


@pytest.mark.parametrize(
    ("algorithm", "steps", "config"),
    [
        ("sb3/a2c", 6000, {"gamma": 0.5, "learning_rate": 3e-3}),
        ("sb3/dqn", 3000, {"gamma": 0.5, "learning_rate": 1e-3, "learning_starts": 200, "target_update_interval": 100}),
        ("sb3/ppo", 4000, {"gamma": 0.5, "n_steps": 64, "learning_rate": 1e-3}),
    ],
)
def test_it_learns_to_echo(algorithm, steps, config, tmp_path):
    run = rlhub.train(algorithm, Echo, steps=steps, num_envs=4, config=config, folder=tmp_path, progress=False)
    assert rlhub.evaluate(run, Echo, episodes=5).mean >= 90


def test_readme_runs(tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(readme.split("```python")[1].split("```")[0], {})
    assert "episodes)" in capsys.readouterr().out


def test_documented_parameters_are_sb3s():
    from rlhub_sb3 import algorithms
    from rlhub_sb3.parameters import FIXED, MEANINGS

    kinds = (algorithms.A2C, algorithms.DQN, algorithms.PPO)
    fields = {field.name: field for kind in kinds for field in dataclasses.fields(kind.Config)}
    assert set(fields) == set(MEANINGS)
    assert set(fields) >= FIXED
    assert fields["n_epochs"].default == 10
    assert all(field.metadata["meaning"] for field in fields.values())
