"""Every variant of the family finds the values of the five probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import rlhub_core as rlhub
from rlhub_core.testing import (
    PROBES,
    ActionAndObservationMatter,
    ActionMatters,
    ConstantValue,
    DiscountedValue,
    ObservationValue,
)

# probe -> what is seen -> value of each action, γ = 0.5
VALUES: dict[Any, dict[float, list[float]]] = {
    ConstantValue: {0: [1]},
    ObservationValue: {-1: [-1], 1: [1]},
    DiscountedValue: {0: [0.5], 1: [1]},
    ActionMatters: {0: [-1, 1]},
    ActionAndObservationMatter: {-1: [1, -1], 1: [-1, 1]},
}
QUICK: dict[str, Any] = {"learning_rate": 5e-3, "epsilon": 0.5, "hidden_sizes": (16,), "discount": 0.5}
REPLAYED: dict[str, Any] = {"learning_starts": 50, "train_every": 1, "target_update_every": 20, "buffer_size": 2_000}
RAINBOW: dict[str, Any] = {
    "double": True,
    "dueling": "mean",
    "noisy": True,
    "epsilon": 0.0,
    "prioritized": True,
    "n_step": 3,
}
C51: dict[str, Any] = {"v_min": -2.0, "v_max": 2.0, "atoms": 21}
QRDQN: dict[str, Any] = {"quantiles": 20}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("dqn", {}),
    "double": ("dqn", {"double": True}),
    "dueling mean": ("dqn", {"dueling": "mean"}),
    "dueling max": ("dqn", {"dueling": "max"}),
    "prioritized": ("dqn", {"prioritized": True}),
    "n_step": ("dqn", {"n_step": 3}),
    "noisy": ("dqn", {"noisy": True, "epsilon": 0.0}),
    "boltzmann": ("dqn", {"temperature": 1.0, "epsilon": 0.0}),
    "tau": ("dqn", {"target_update_every": 1, "tau": 0.1}),
    "no target": ("dqn", {"target_update_every": None}),
    "mse": ("dqn", {"loss": "mse"}),
    "rmsprop": ("dqn", {"optimizer": "rmsprop"}),
    "nadam": ("dqn", {"optimizer": "nadam"}),
    "radam": ("dqn", {"optimizer": "radam"}),
    "sgd": ("dqn", {"optimizer": "sgd:momentum=0.9", "learning_rate": 2e-2}),
    "bf16": ("dqn", {"precision": "bf16"}),
    "layer_norm": ("dqn", {"layer_norm": True}),
    "c51": ("c51", C51),
    "rainbow": ("c51", C51 | RAINBOW),
    "qrdqn": ("qrdqn", QRDQN),
    "qrdqn with everything": ("qrdqn", QRDQN | RAINBOW | {"epsilon": 0.3}),
    "pqn": ("pqn", {"rollout_length": 8}),
}


# the last two hold what is in the others; those that differ in one switch are not asked for more
BOTH = (DiscountedValue, ActionAndObservationMatter)
ASKED = [
    pytest.param(variant, probe, id=f"{variant}-{probe.__name__}")
    for variant in VARIANTS
    for probe in (PROBES if variant in ("dqn", "c51", "qrdqn", "pqn") else BOTH)
]


@pytest.mark.parametrize(("variant", "probe"), ASKED)
def test_the_probe_is_solved(variant: str, probe: Any) -> None:
    name, options = VARIANTS[variant]
    replayed, noisy = name != "pqn", "noisy" in options
    config = QUICK | (REPLAYED if replayed else {}) | options
    steps, num_envs = (800 if noisy else 500, 2) if replayed else (3_000, 8)
    run = rlhub.train(f"deep/{name}", probe, steps=steps, num_envs=num_envs, config=config)
    algorithm: Any = run.algorithm
    for seen, expected in VALUES[probe].items():
        outputs = algorithm.network(torch.tensor([[seen]]))
        values = algorithm.values(outputs) if replayed else outputs
        np.testing.assert_allclose(values[0].numpy(), expected, atol=0.2 if noisy else 0.1)
    if probe in (ActionMatters, ActionAndObservationMatter):
        assert rlhub.evaluate(run, episodes=20).mean == 1
