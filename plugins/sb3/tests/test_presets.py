"""Every preset binds, is what it says, and trains."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

import rlhub_core as rlhub
from rlhub_core.parts import presets

PRESETS = [
    pytest.param(name, preset, environment, settings, id=f"{name}-{preset}-{environment}")
    for name, spec in rlhub.algorithms().items()
    if name.startswith("sb3/")
    for preset, environments in presets(spec).items()
    for environment, settings in environments.items()
]
SHORTER: dict[str, Any] = {  # of the hyper-parameters, where an algorithm has them
    "buffer_size": 500, "learning_starts": 40, "batch_size": 16, "n_steps": 20, "n_epochs": 1, "train_freq": 20,
    "gradient_steps": 2, "n_critic_updates": 1, "n_delta": 2, "n_top": 1,
}  # fmt: skip
OFF_POLICY = ("dqn", "qrdqn", "ddpg", "td3", "sac", "tqc", "crossq")


def test_all_but_one_have_a_preset() -> None:
    names = {parameter.values[0] for parameter in PRESETS}
    assert len(names) == 12
    assert "sb3/maskable_ppo" not in names


@pytest.mark.parametrize(("name", "preset", "environment", "settings"), PRESETS)
def test_a_preset_trains(name: str, preset: str, environment: str, settings: dict[str, Any], tmp_path: Any) -> None:
    if environment.startswith("atari/"):
        pytest.importorskip("rlhub_atari", reason="the preset is for a game of rlhub-atari")
    if environment.startswith("LunarLander"):
        pytest.importorskip("Box2D", reason="LunarLander needs gymnasium[box2d]")
    assert re.match(r"RL Baselines3 Zoo, hyperparams/\w+\.yml (at [0-9a-f]{7}|on its master)", settings["source"])
    given = settings["hyper_parameters"]
    known = {field.name for field in rlhub_fields(name)}
    off_policy = name.removeprefix("sb3/") in OFF_POLICY
    shorter = {key: value for key, value in SHORTER.items() if key in known and not (key == "n_steps" and off_policy)}
    episodes = given.get("train_freq") == [1, "episode"]
    if episodes:
        del shorter["train_freq"]
    steps = 250 if episodes else 120
    run = rlhub.train(
        name, environment, preset=preset, steps=steps, num_envs=1 if off_policy else 2, config=shorter, device="cpu",
        folder=tmp_path / "run", progress=False,
    )  # fmt: skip
    used = run.experiment.hyper_parameters
    for option in given.keys() - shorter.keys():
        expected = tuple(given[option]) if isinstance(given[option], list) else given[option]
        if not (isinstance(expected, str) and "linear(" in expected):
            assert used[option] == expected
    for option in ("reward_clip", "terminal_on_life_loss"):
        assert getattr(run.experiment, option) == settings.get(option, False if "life" in option else None)
    assert run.algorithm.model._n_updates > 0  # type: ignore[attr-defined]
    weights = run.algorithm.model.policy.parameters()  # type: ignore[attr-defined]
    assert all(math.isfinite(float(weight.sum())) for weight in weights)


def rlhub_fields(name: str) -> tuple[Any, ...]:
    """Return the fields of an algorithm's hyper-parameters."""
    import dataclasses

    return dataclasses.fields(rlhub.default_hub().load("algorithm", name).Config)


@pytest.mark.parametrize(
    ("name", "environment", "expected"),
    [  # as benchmarks/learning.py has them, written down on their own
        (
            "sb3/ppo",
            "CartPole-v1",
            {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gae_lambda": 0.8, "gamma": 0.98},
        ),
        ("sb3/dqn", "CartPole-v1", {"learning_rate": 2.3e-3, "train_freq": 256, "gradient_steps": 128}),
        ("sb3/ppo", "atari/Breakout-v0", {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01}),
    ],
)
def test_a_preset_is_what_the_zoo_says(name: str, environment: str, expected: dict[str, Any]) -> None:
    found = presets(rlhub.algorithms()[name])["tuned"][environment]["hyper_parameters"]
    assert expected.items() <= found.items()
