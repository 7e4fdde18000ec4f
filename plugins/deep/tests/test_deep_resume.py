"""A run that was stopped half way and resumed is the run that was not, whatever is switched on."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from rlhub_deep.dqn import DQN
from torch import nn

import rlhub_core as rlhub
from rlhub_core.errors import CheckpointError
from rlhub_core.testing import check_exact_resume

# half way, at step 200, nothing is in step with anything
SMALL: dict[str, Any] = {
    "hidden_sizes": (8,),
    "learning_rate": "linear(1e-2, 0)",
    "epsilon": "linear(1.0, 0.1)",
    "batch_size": 8,
    "buffer_size": 300,
    "learning_starts": 50,
    "train_every": 3,
    "target_update_every": 70,
}
EVERYTHING: dict[str, Any] = {
    "double": True,
    "dueling": "mean",
    "noisy": True,
    "prioritized": True,
    "n_step": 3,
    "max_grad_norm": 0.5,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("dqn", {}),
    "double": ("dqn", {"double": True, "batch_size": "linear(8, 16)"}),
    "dueling": ("dqn", {"dueling": "max"}),
    "prioritized": ("dqn", {"prioritized": True, "priority_beta": "linear(0.2, 1.0)", "priority_alpha": 0.9}),
    "n_step": ("dqn", {"n_step": "linear(1, 5)"}),
    "noisy": ("dqn", {"noisy": True, "epsilon": 0.0}),
    "boltzmann": ("dqn", {"temperature": "linear(1.0, 0.1)", "epsilon": 0.0}),
    "tau": ("dqn", {"tau": 0.3, "target_update_every": 7}),
    "no target": ("dqn", {"target_update_every": None}),
    "nadam": ("dqn", {"optimizer": "nadam"}),
    "rmsprop": ("dqn", {"optimizer": "rmsprop:momentum=0.5,centered=true"}),
    "sgd": ("dqn", {"optimizer": "sgd:momentum=0.9"}),
    "bf16": ("dqn", {"precision": "bf16"}),
    "everything": ("dqn", EVERYTHING),
    "c51": ("c51", {"atoms": 11}),
    "rainbow": ("c51", EVERYTHING | {"atoms": 11}),
    "qrdqn": ("qrdqn", {"quantiles": 10}),
    "qrdqn with everything": ("qrdqn", EVERYTHING | {"quantiles": 10, "precision": "bf16"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_resume_is_exact(variant: str) -> None:
    name, options = VARIANTS[variant]
    check_exact_resume(f"deep/{name}", "CartPole-v1", steps=400, config=SMALL | options)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_resume_is_exact_with_any_number_of_environments(num_envs: int) -> None:
    check_exact_resume("deep/dqn", "CartPole-v1", steps=400, num_envs=num_envs, config=SMALL | {"prioritized": True})


def test_resume_is_exact_where_episodes_are_counted() -> None:
    config = {"count_in": "episodes", "learning_starts": 2, "train_every": 1, "target_update_every": 3}
    config |= {"epsilon": "linear(1.0, 0.0, 20)", "gradient_steps": 4, "learning_rate": "linear(0.01, 0, 50)"}
    check_exact_resume("deep/dqn", "CartPole-v1", steps=600, config=SMALL | config)


def test_resume_is_exact_while_a_random_action_lasts() -> None:
    config = SMALL | {"epsilon": 0.2, "exploration_length": "linear(20, 10, 400)"}
    check_exact_resume("deep/dqn", "CartPole-v1", steps=400, num_envs=2, config=config)


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/pqn", "deep/a2c"])
def test_resume_is_exact_with_dropout(algorithm: str) -> None:
    def dropping(space: Any, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, outputs))

    config = {"network": dropping} | (SMALL if algorithm == "deep/dqn" else {"rollout_length": 5})
    check_exact_resume(algorithm, "CartPole-v1", steps=400, config=config)
    runs = []
    for seed_of_torch in (1, 2):  # which neither run listens to
        torch.manual_seed(seed_of_torch)
        runs.append(rlhub.train(algorithm, "CartPole-v1", steps=200, config=config, seed=3))
    one, other = (run.algorithm.network for run in runs)  # type: ignore[attr-defined]
    assert torch.equal(one.weights, other.weights)
    observations = torch.ones(9, 4)
    assert not torch.equal(one.record(observations), one.record(observations))


def test_who_only_acts_reads_no_replay() -> None:
    run = rlhub.train("deep/dqn", "CartPole-v1", steps=100, config=SMALL)
    for file in sorted((run.folder / "checkpoints").glob("*100/algorithm/replay.*")):
        file.write_bytes(b"")
    folder = run.folder / "checkpoints" / f"{100:012d}" / "algorithm"
    algorithm: Any = run.algorithm
    again = DQN(run.observation_space, run.action_space, algorithm.config, seed=0, total_steps=100)  # type: ignore[arg-type]
    again.load(folder)
    assert torch.equal(again.network.weights, algorithm.network.weights)
    with pytest.raises(CheckpointError, match=r"replay\.json cannot be read"):
        again.save(folder)


def test_resume_is_exact_with_diagnostics() -> None:
    config = SMALL | {"diagnostics": True, "prioritized": True}
    check_exact_resume("deep/dqn", "CartPole-v1", steps=400, config=config, log_every=100)


@pytest.mark.parametrize("options", [{}, {"precision": "bf16", "optimizer": "adam"}])
def test_resume_is_exact_with_rollouts(options: dict[str, Any]) -> None:
    config = {"rollout_length": 7, "hidden_sizes": (8,), "epsilon": "linear(1.0, 0.1)", "trace": "linear(0.9, 0.5)"}
    check_exact_resume("deep/pqn", "CartPole-v1", steps=600, num_envs=3, config=config | options)


POLICIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a2c": ("a2c", "CartPole-v1", {}),
    "a2c, adam": ("a2c", "CartPole-v1", {"optimizer": "adam", "learning_rate": "linear(1e-2, 0)", "diagnostics": True}),
    "a2c, continuous": ("a2c", "Pendulum-v1", {"gae_lambda": "linear(1.0, 0.9)"}),
    "ppo": ("ppo", "CartPole-v1", {"rollout_length": 16, "minibatches": 3, "clip_range": "linear(0.2, 0)"}),
    "ppo, everything": (
        "ppo",
        "CartPole-v1",
        {
            "rollout_length": "linear(8, 24)", "epochs": "linear(1, 3)", "minibatches": 2, "value_clip_range": 0.3,
            "target_kl": 0.02, "entropy_coefficient": "linear(0.1, 0)", "precision": "bf16", "layer_norm": True,
        },
    ),
    "ppo, continuous": ("ppo", "Pendulum-v1", {"rollout_length": 20, "minibatches": 4, "deviation": None}),
    "reinforce": ("reinforce", "CartPole-v1", {"episodes_per_update": 3}),
    "reinforce, baseline": ("reinforce", "CartPole-v1", {"episodes_per_update": 2, "baseline": True}),
    "reinforce, continuous": ("reinforce", "Pendulum-v1", {"episodes_per_update": 2, "optimizer": "nadam"}),
    "imitation": ("imitation", "CartPole-v1", {"teacher": lambda observations, first: (observations[:, 2] > 0) * 1}),
    "imitation, mixed": (
        "imitation",
        "Pendulum-v1",
        {"teacher": lambda seen, first: -seen[:, 1:2], "teacher_acts": "linear(1, 0)", "rollout_length": 7},
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", POLICIES)
def test_resume_is_exact_with_policies(variant: str) -> None:
    name, env, options = POLICIES[variant]
    steps = 1_300 if env == "Pendulum-v1" else 700  # half way amid an episode of 200
    check_exact_resume(f"deep/{name}", env, steps=steps, num_envs=3, config={"hidden_sizes": (8,)} | options)


class Static(gymnasium.Env[Any, Any]):
    """Two stacked pictures of noise; the newest one's first pixel is the reward."""

    observation_space: Any = Box(0, 255, (2, 36, 36), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.stack = self.np_random.integers(0, 256, (2, 36, 36), np.uint8)
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        newest = self.np_random.integers(0, 256, (1, 36, 36), np.uint8)
        self.stack = np.concatenate([self.stack[1:], newest])
        over = bool(self.np_random.random() < 0.1)
        return self.seen(), float(newest[0, 0, 0]) / 255, over, False, {}

    def seen(self) -> Any:
        return self.stack.copy()


class StaticInDict(Static):
    """The pictures beside a number."""

    observation_space = Dict({"pictures": Static.observation_space, "number": Discrete(3)})

    def seen(self) -> Any:
        return {"pictures": self.stack.copy(), "number": int(self.stack[-1, 0, 0]) % 3}


@pytest.mark.parametrize("env", [Static, StaticInDict])
@pytest.mark.parametrize("name", ["dqn", "c51", "pqn", "ppo"])
def test_resume_is_exact_from_pictures(name: str, env: Any) -> None:
    options = {"diagnostics": True, "prioritized": True, "n_step": 3, "dueling": "mean"} | SMALL
    rolled = {"rollout_length": 8, "hidden_sizes": (8,), "minibatches": 2, "epochs": 2}
    config = rolled if name in ("pqn", "ppo") else options
    check_exact_resume(f"deep/{name}", env, steps=160, config=config, log_every=50)


def test_a_loaded_run_acts_and_values_as_the_one_that_was_trained() -> None:
    config = SMALL | EVERYTHING | {"precision": "bf16"}
    run = rlhub.train("deep/dqn", "CartPole-v1", steps=300, config=config)
    loaded = rlhub.load(run.folder)
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    one, other = (each.algorithm._action_values(observations) for each in (run, loaded))  # type: ignore[attr-defined]
    assert np.array_equal(one, other)
    first = np.zeros(50, np.bool_)
    assert np.array_equal(run.actor()(observations, first), loaded.actor()(observations, first))
    assert np.array_equal(run.actor(explore=True)(observations, first), loaded.actor(explore=True)(observations, first))
