"""Every preset that is shipped binds, and trains on its environment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import rlhub_core as rlhub
from rlhub_core.config import bind
from rlhub_core.hub import default_hub
from rlhub_core.parts import presets
from rlhub_core.schedules import resolved

VALUES = ("deep/dqn", "deep/c51", "deep/qrdqn", "deep/pqn")
POLICIES = ("deep/reinforce", "deep/a2c", "deep/a3c", "deep/ppo", "deep/imitation")
CONTINUOUS = ("deep/ddpg", "deep/td3", "deep/sac")
EVOLUTION = ("deep/cmaes", "deep/openai_es")
NAMES = (*VALUES, *POLICIES, *CONTINUOUS, *EVOLUTION)
PRESETS = [
    pytest.param(name, preset, environment, settings, id=f"{name}-{preset}-{environment}")
    for name in NAMES
    for preset, environments in presets(rlhub.algorithms()[name]).items()
    for environment, settings in environments.items()
]
# of the settings, so that a run is short
FEW: dict[str, Any] = {"buffer_size": 1_000, "learning_starts": 40, "batch_size": 16}
FEW_EPISODES: dict[str, Any] = {"learning_starts": 2, "batch_size": 16}
FEW_ROLLOUTS: dict[str, Any] = {"rollout_length": 2, "minibatches": 2}
FEW_MEMBERS: dict[str, Any] = {"population_size": 4, "episodes": 1}
SHORTER: dict[str, dict[str, Any]] = {
    "deep/pqn": FEW_ROLLOUTS,
    "deep/ppo": FEW_ROLLOUTS,
    "deep/a2c": {"rollout_length": 2},
    "deep/a3c": {"rollout_length": 2, "rollouts_together": 5},
    "deep/reinforce": {"episodes_per_update": 2},
    "deep/imitation": {},
    "deep/cmaes": FEW_MEMBERS,
    "deep/openai_es": FEW_MEMBERS,
}
ALSO: dict[str, dict[str, Any]] = {  # what no preset can hold
    "deep/imitation": {"teacher": lambda observations, first: np.zeros(len(observations), int)}
}


def bound(name: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    """Return an algorithm's class and the Config of a preset."""
    kind = default_hub().load("algorithm", name)
    given = settings["hyper_parameters"] | ALSO.get(name, {})
    return kind, kind.Config(**bind(kind.Config, given, name, kind="hyper-parameter"))


@pytest.mark.parametrize(("name", "preset", "environment", "settings"), PRESETS)
def test_a_preset_binds(name: str, preset: str, environment: str, settings: dict[str, Any]) -> None:
    assert len(settings["source"]) > 20
    kind, config = bound(name, settings)
    space = Box(0, 255, (4, 84, 84), np.uint8) if "atari" in environment else Box(-1, 1, (4,), np.float32)
    actions = Box(-2, 2, (1,), np.float32) if environment.startswith("Pendulum") else Discrete(4)
    algorithm = kind(space, actions, config, seed=0, total_steps=settings["steps"], device="cpu")
    for option, given in settings["hyper_parameters"].items():
        value = getattr(algorithm.config, option)
        if isinstance(given, str) and "(" in given:
            assert callable(value)
        else:
            assert value == (None if given == "none" else tuple(given) if isinstance(given, list) else given)


@pytest.mark.parametrize(("name", "preset", "environment", "settings"), PRESETS)
def test_a_preset_trains(name: str, preset: str, environment: str, settings: dict[str, Any]) -> None:
    if environment.startswith("atari/"):
        pytest.importorskip("rlhub_atari", reason="the preset is for a game of rlhub-atari")
    if environment.startswith("LunarLander"):
        pytest.importorskip("Box2D", reason="LunarLander needs gymnasium[box2d]")
    hyper_parameters = settings["hyper_parameters"]
    shorter = FEW_EPISODES if hyper_parameters.get("count_in") == "episodes" else FEW
    shorter = SHORTER.get(name, shorter)
    steps = 64 if environment.startswith("atari/") else 300
    given = shorter | ALSO.get(name, {})
    run = rlhub.train(name, environment, preset=preset, steps=steps, num_envs=2, config=given, device="cpu")
    algorithm: Any = run.algorithm
    config = resolved(bound(name, settings)[1], steps)
    for option in hyper_parameters.keys() - shorter.keys():
        assert getattr(algorithm.config, option) == getattr(config, option)
    for option, value in settings.get("environment_options", {}).items():
        assert run.experiment.environment_options[option] == value
    before = type(algorithm)(
        run.observation_space, run.action_space, algorithm.config, seed=algorithm.seed, total_steps=steps, device="cpu"
    )
    assert not np.array_equal(before.network.weights, algorithm.network.weights)
    assert math.isfinite(float(algorithm.network.weights.sum()))
