"""A network of the user's own: as an object, as "module:attribute", in a recipe, and wrong ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from rlhub_deep.dqn import DQN, DQNConfig
from rlhub_deep.noisy import NoisyLinear
from rlhub_deep.pqn import PQN, PQNConfig
from torch import nn

import rlhub_core as rlhub
from rlhub_core import ConfigError, RunError, TrustError

SETTINGS = {"learning_starts": 20, "batch_size": 8}
MODULE = """
import torch

def linear(space, outputs):
    return torch.nn.Linear(space.shape[0], outputs, bias=False)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a module on the import path; it is imported by nobody yet."""
    (tmp_path / "my_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_networks"
    sys.modules.pop("my_networks", None)


def made(network: Any, space: Any = None, **config: Any) -> DQN:
    space = space or Box(-1, 1, (4,), np.float32)
    return DQN(space, Discrete(3), DQNConfig(network=network, **config), seed=0, total_steps=100)


def linear(space: Any, outputs: int) -> nn.Module:
    return nn.Linear(space.shape[0], outputs)


def test_it_takes_the_place_of_the_built_in_one() -> None:
    assert type(made(linear).network.module) is nn.Linear
    assert made(linear).network.weights.numel() == 4 * 3 + 3
    assert made(linear, dueling="mean").network.weights.numel() == 4 * 4 + 4  # the state's value, too
    pqn = PQN(Box(-1, 1, (4,), np.float32), Discrete(3), PQNConfig(network=linear), seed=0, total_steps=100)
    assert type(pqn.network.module) is nn.Linear


def test_its_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(made(linear).network.weights, made(linear).network.weights)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/c51", "deep/qrdqn", "deep/pqn"])
def test_every_algorithm_learns_with_it(algorithm: str) -> None:
    settings = {"network": linear} | (SETTINGS if algorithm != "deep/pqn" else {})
    run = rlhub.train(algorithm, "CartPole-v1", steps=64, config=settings)
    assert type(run.algorithm.network.module) is nn.Linear  # type: ignore[attr-defined]
    fresh = rlhub.train(algorithm, "CartPole-v1", steps=1, config=settings)
    assert not torch.equal(run.algorithm.network.weights, fresh.algorithm.network.weights)  # type: ignore[attr-defined]


def test_dropout_is_off_while_it_acts() -> None:
    algorithm = made(lambda space, outputs: nn.Sequential(nn.Linear(4, outputs), nn.Dropout(0.9)))
    assert algorithm.network(torch.ones(64, 4)).all()
    assert algorithm.target_network(torch.ones(64, 4)).all()


@pytest.mark.parametrize("layer", [nn.GRU(4, 4), nn.MultiheadAttention(4, 1), nn.PReLU()])
def test_a_layer_that_bf16_does_not_suit_is_refused_before_training(layer: nn.Module) -> None:
    class Own(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.layer, self.head = layer, nn.Linear(4, outputs)

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(x)

    with pytest.raises(ConfigError, match=f"bf16 takes Linear, .*; your network has {type(layer).__name__}. Use prec"):
        made(lambda space, outputs: Own(outputs), precision="bf16")


def test_layers_may_be_named_in_any_order() -> None:
    class HeadFirst(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.head, self.body, self.scale = nn.Linear(8, outputs), nn.Linear(4, 8), nn.Parameter(torch.ones(8))

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(torch.relu(self.body(x)) * self.scale)

    algorithm = made(lambda space, outputs: HeadFirst(outputs), precision="bf16")
    assert algorithm.network.of_arrays(np.ones((5, 4), np.float32)).dtype == np.float32


def test_a_noisy_network_has_noisy_layers() -> None:
    with pytest.raises(ConfigError, match=r"noisy: your network has no noisy layer. Build it of rlhub_deep\.noisy"):
        made(linear, noisy=True)
    assert made(lambda space, outputs: NoisyLinear(4, outputs), noisy=True).network.weights.numel() == 2 * (4 * 3 + 3)


def test_what_is_frozen_stays() -> None:
    def frozen(space: Any, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 5).requires_grad_(False), nn.ReLU(), nn.Linear(5, outputs))

    config = SETTINGS | {"network": frozen}
    first, last = (rlhub.train("deep/dqn", "CartPole-v1", steps=steps, config=config) for steps in (1, 64))
    loaded = rlhub.load(last.folder, config={"network": frozen})
    begun, learnt, restored = (run.algorithm.network for run in (first, last, loaded))  # type: ignore[attr-defined]
    assert learnt.weights.numel() == 5 * 2 + 2
    assert torch.equal(begun.module[0].weight, learnt.module[0].weight)
    assert not torch.equal(begun.module[2].weight, learnt.module[2].weight)
    for one, other in zip(learnt.module.parameters(), restored.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_name_is_imported_when_the_user_says_it(module: str) -> None:
    run = rlhub.train("deep/dqn", "CartPole-v1", steps=40, config=SETTINGS | {"network": f"{module}:linear"})
    algorithm: Any = run.algorithm
    assert algorithm.network.weights.numel() == 4 * 2
    assert f'network = "{module}:linear"' in (run.folder / "experiment.toml").read_text()


def test_a_name_in_a_recipe_is_never_imported(module: str) -> None:
    run = rlhub.train("deep/dqn", "CartPole-v1", steps=40, config=SETTINGS | {"network": f"{module}:linear"})
    weights = run.algorithm.network.weights  # type: ignore[attr-defined]
    del sys.modules[module]
    for again in (rlhub.load, lambda folder: rlhub.resume(folder, steps=60)):
        with pytest.raises(TrustError, match=f"network='{module}:linear': it is not imported"):
            again(run.folder)
        assert module not in sys.modules
    said: Any = rlhub.load(run.folder, config={"network": f"{module}:linear"}).algorithm
    passed: Any = rlhub.load(run.folder, config={"network": sys.modules[module].linear}).algorithm
    assert torch.equal(said.network.weights, weights)
    assert torch.equal(passed.network.weights, weights)
    resumed = rlhub.resume(run.folder, steps=60, config={"network": f"{module}:linear"})
    assert (resumed.steps, resumed.restored) == (60, "exact")


def test_an_object_without_a_name_is_passed_again() -> None:
    network = lambda space, outputs: nn.Linear(4, outputs)  # noqa: E731
    run = rlhub.train("deep/dqn", "CartPole-v1", steps=40, config=SETTINGS | {"network": network})
    with pytest.raises(RunError, match="only mentions these live objects; pass them again: config=<lambda>"):
        rlhub.load(run.folder)
    loaded: Any = rlhub.load(run.folder, config={"network": network}).algorithm
    assert torch.equal(loaded.network.weights, run.algorithm.network.weights)  # type: ignore[attr-defined]


def test_a_name_that_is_not_there_says_so(module: str) -> None:
    for name, reason in ((f"{module}:quadratic", "quadratic"), ("no_such_module:linear", "No module named")):
        with pytest.raises(ConfigError, match=f"network: '{name}' cannot be imported: .*{reason}.* PYTHONPATH"):
            rlhub.train("deep/dqn", "CartPole-v1", steps=40, config={"network": name})


def test_a_wrong_shape_is_refused_with_both() -> None:
    with pytest.raises(ConfigError, match=r"for one observation it must give shape \(1, 3\), not \(1, 7\)"):
        made(lambda space, outputs: nn.Linear(4, 7))
    with pytest.raises(ConfigError, match=r"must give shape \(1, 4\), not \(1, 3\)"):
        made(lambda space, outputs: nn.Linear(4, 3), dueling="max")


def test_a_network_that_cannot_read_the_observation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot read one observation of Box\(-1.0, 1.0, \(4,\), float32\): Runtime"):
        made(lambda space, outputs: nn.Linear(5, outputs))

    class Eyes(nn.Linear):
        def forward(self, observations: Any) -> torch.Tensor:
            return super().forward(observations["eyes"])

    with pytest.raises(ConfigError, match=r"cannot read one observation of .*ears.*: KeyError: 'eyes'"):
        made(lambda space, outputs: Eyes(1, outputs), Dict({"ears": Box(-1, 1, (1,), np.float32)}))


def test_something_that_is_no_module_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must give a torch.nn.Module, not 'perceptron'"):
        made(lambda space, outputs: "perceptron")
