"""Every policy learner solves the probes: the five of the core, and one for each other kind of action."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

import rlhub_core as rlhub
from rlhub_core.testing import (
    PROBES,
    ActionAndObservationMatter,
    ActionMatters,
    ConstantValue,
    DiscountedValue,
    ObservationValue,
)

# probe -> what is seen -> its value under the best policy, γ = 0.5
VALUES: dict[Any, dict[float, float]] = {
    ConstantValue: {0: 1},
    ObservationValue: {-1: -1, 1: 1},
    DiscountedValue: {0: 0.5, 1: 1},
    ActionMatters: {0: 1},
    ActionAndObservationMatter: {-1: 1, 1: 1},
}
QUICK: dict[str, Any] = {"learning_rate": 1e-2, "hidden_sizes": (16,), "optimizer": "adam", "discount": 0.5}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a2c": ("a2c", {}),
    "a2c, gae": ("a2c", {"gae_lambda": 0.9, "normalize_advantages": True, "entropy_coefficient": 0.01}),
    "ppo": ("ppo", {"rollout_length": 16, "epochs": 4, "minibatches": 2}),
    "ppo, everything": (
        "ppo",
        {
            "rollout_length": 16, "epochs": 4, "minibatches": 4, "value_clip_range": 0.5, "target_kl": 0.05,
            "entropy_coefficient": 0.01,
        },
    ),
    "ppo, bf16": ("ppo", {"rollout_length": 16, "epochs": 4, "minibatches": 2, "precision": "bf16"}),
    "ppo, layer_norm": ("ppo", {"rollout_length": 16, "epochs": 4, "minibatches": 2, "layer_norm": True}),
    "reinforce": ("reinforce", {"episodes_per_update": 32}),
    "reinforce, baseline": ("reinforce", {"episodes_per_update": 32, "baseline": True}),
    "a3c": ("a3c", {"learning_rate": 5e-3, "rollouts_together": 10}),
}  # fmt: skip
MAIN = ("a2c", "ppo", "reinforce, baseline", "a3c")
ASKED = [
    pytest.param(variant, probe, id=f"{variant}-{probe.__name__}")
    for variant in VARIANTS
    for probe in (PROBES if variant in MAIN else (DiscountedValue, ActionAndObservationMatter))
]


@pytest.mark.parametrize(("variant", "probe"), ASKED)
def test_the_probe_is_solved(variant: str, probe: Any) -> None:
    name, options = VARIANTS[variant]
    num_envs = 2 if name == "a3c" else 8
    run = rlhub.train(f"deep/{name}", probe, steps=6_000, num_envs=num_envs, config=QUICK | options)
    algorithm: Any = run.algorithm
    if algorithm.values:
        for seen, expected in VALUES[probe].items():
            assert algorithm.network(torch.tensor([[seen]]))[0, -1].item() == pytest.approx(expected, abs=0.15)
    if probe in (ActionMatters, ActionAndObservationMatter):
        assert rlhub.evaluate(run, episodes=20).mean == 1


class Aim(gymnasium.Env[Any, Any]):
    """One step; the nearer the action is to what the observation tells, the better."""

    observation_space = Box(-1, 1, (1,), np.float32)

    def __init__(self, action_space: Any) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seen = float(self.np_random.choice([-1.0, 1.0]))
        return np.array([self.seen], np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return np.array([self.seen], np.float32), self.reward(action), True, False, {}

    def reward(self, action: Any) -> float:
        space = self.action_space
        if isinstance(space, Box):  # a quarter and three quarters of the way
            target = space.low + (0.25 if self.seen < 0 else 0.75) * (space.high - space.low)
            return -float(np.abs(action - target).mean())
        if isinstance(space, MultiBinary):
            return float(np.mean(action == (self.seen > 0)))
        ends = space.start + (space.nvec - 1 if isinstance(space, MultiDiscrete) else space.n - 1)
        return float(np.mean(action == (space.start if self.seen < 0 else ends)))


ACTIONS = {
    "discrete from 3": (Discrete(3, start=3), 1.0),
    "multi-discrete": (MultiDiscrete([2, 3], start=[1, -1]), 1.0),
    "grid": (MultiDiscrete(np.array([[2, 2], [2, 3]])), 1.0),
    "multi-binary": (MultiBinary(3), 1.0),
    "box": (Box(-1.0, 1.0, (2,), np.float32), -0.12),
    "number": (Box(-2.0, 2.0, (), np.float64), -0.24),
}
LEARNERS: dict[str, dict[str, Any]] = {
    "a2c": {"normalize_advantages": True},
    "ppo": {"rollout_length": 16, "epochs": 4, "minibatches": 2, "learning_rate": 5e-3, "min_deviation": 0.05},
    "reinforce": {"episodes_per_update": 32, "min_deviation": 0.05},
}


@pytest.mark.parametrize("deviation", [1.0, None])
@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("kind", ACTIONS)
def test_every_kind_of_action_is_learnt(name: str, kind: str, deviation: float | None) -> None:
    space, enough = ACTIONS[kind]
    if deviation is None and not isinstance(space, Box):
        return  # there is no deviation to give
    config = QUICK | LEARNERS[name] | {"deviation": deviation}
    run = rlhub.train(f"deep/{name}", lambda: Aim(space), steps=8_000, num_envs=8, config=config)
    assert rlhub.evaluate(run, lambda: Aim(space), episodes=20).mean >= enough


def test_it_learns_from_pictures() -> None:
    class Picture(Aim):
        observation_space = Box(0, 255, (1, 36, 36), np.uint8)

        def look(self) -> Any:
            return np.full((1, 36, 36), 255 if self.seen > 0 else 0, np.uint8)

        def reset(self, **options: Any) -> Any:
            super().reset(**options)
            return self.look(), {}

        def step(self, action: Any) -> Any:
            _, *rest = super().step(action)
            return self.look(), *rest

    config = {"rollout_length": 8, "epochs": 2, "minibatches": 2, "learning_rate": 1e-3, "hidden_sizes": (16,)}
    for precision in ("fp32", "bf16"):
        run = rlhub.train(
            "deep/ppo", lambda: Picture(Discrete(2)), steps=1_200, num_envs=8, config=config | {"precision": precision}
        )
        assert rlhub.evaluate(run, lambda: Picture(Discrete(2)), episodes=20).mean == 1
