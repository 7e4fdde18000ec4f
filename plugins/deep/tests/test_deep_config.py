"""Hyper-parameters as a user writes them: typed, documented, refused where they make no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from rlhub_deep.c51 import C51
from rlhub_deep.dqn import DQN
from rlhub_deep.modules import make_module
from rlhub_deep.network import Network, Optimizer
from rlhub_deep.pqn import PQN
from rlhub_deep.qrdqn import QRDQN
from torch import nn

import rlhub_core as rlhub
from rlhub_core import ConfigError, hub
from rlhub_core.config import bind, parameters
from rlhub_core.schedules import Linear, Piecewise


def config_of(name: str) -> Any:
    return hub.default_hub().load("algorithm", name).Config


NAMES = (
    "deep/dqn",
    "deep/c51",
    "deep/qrdqn",
    "deep/pqn",
)


def bound(name: str, **given: Any) -> dict[str, Any]:
    return bind(config_of(name), given, name, kind="hyper-parameter")


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_its_type_and_meaning(name: str) -> None:
    for option in parameters(config_of(name)).values():
        assert option.meaning, option.name
        assert option.type_name != "Any", option.name
        option.check_range(option.default, name)


@pytest.mark.parametrize("name", NAMES)
def test_options_may_be_text(name: str) -> None:
    found = bound(
        name,
        learning_rate="1e-3",
        epsilon="linear(1.0, 0.1, 500)",
        max_grad_norm="none",
        hidden_sizes="32,16",
        initialization="none",
        layer_norm="true",
    )
    assert found["learning_rate"] == 1e-3
    assert found["epsilon"] == Linear(1.0, 0.1, 500)
    assert (found["max_grad_norm"], found["initialization"]) == (None, None)
    assert found["hidden_sizes"] == (32, 16)
    assert found["layer_norm"] is True


@pytest.mark.parametrize("name", NAMES[:3])
def test_options_of_those_with_a_replay_may_be_text(name: str) -> None:
    found = bound(
        name,
        target_update_every="none",
        temperature="none",
        n_step="piecewise((100,), (1, 3))",
        dueling="none",
        frame_stack="4",
    )
    assert {found[option] for option in ("target_update_every", "temperature", "dueling")} == {None}
    assert found["n_step"] == Piecewise((100,), (1, 3))
    assert found["frame_stack"] == 4


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"learning_rate": -1.0}, "learning_rate must be at least 0, not -1.0"),
    ({"discount": 1.5}, r"discount must be in \[0, 1\], not 1.5"),
    ({"epsilon": "sometimes"}, "epsilon must be float or schedule, not 'sometimes'"),
    ({"activation": "gelu"}, "activation must be 'relu' or 'tanh' or 'elu', not 'gelu'"),
    ({"precision": "fp16"}, "precision must be 'fp32' or 'bf16', not 'fp16'"),
    ({"initialization": "zero"}, "initialization must be .*'orthogonal'.*, not 'zero'"),
    ({"layer_norm": "perhaps"}, "layer_norm must be bool, not 'perhaps'"),
    ({"hidden_sizes": "linear(1, 2, 3)"}, "hidden_sizes cannot follow a schedule"),
    ({"learn_rate": 1e-3}, "has no hyper-parameter 'learn_rate'. Did you mean 'learning_rate'"),
]
REPLAYED: list[tuple[dict[str, Any], str]] = [
    ({"n_step": 0}, "n_step must be at least 1, not 0"),
    ({"train_every": True}, "train_every must be int or schedule, not True"),
    ({"dueling": "both"}, "dueling must be 'mean' or 'max' or None, not 'both'"),
    ({"temperature": 0.0}, "temperature must be at least 1e-09"),
    ({"count_in": "days"}, "count_in must be 'steps' or 'episodes', not 'days'"),
    ({"double": "twice"}, "double must be bool, not 'twice'"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("given", "message"), WRONG, ids=[next(iter(given)) for given, _ in WRONG])
def test_what_makes_no_sense_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}:? ?{message}"):
        bound(name, **given)


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize(("given", "message"), REPLAYED, ids=[next(iter(given)) for given, _ in REPLAYED])
def test_what_makes_no_sense_with_a_replay_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: {message}"):
        bound(name, **given)


@pytest.mark.parametrize("name", NAMES[:3])
def test_the_loss_is_one_of_the_algorithms_own(name: str) -> None:
    losses = {"deep/dqn": "cross_entropy", "deep/c51": "huber", "deep/qrdqn": "mse"}
    with pytest.raises(ConfigError, match=f"loss must be .*, not '{losses[name]}'"):
        bound(name, loss=losses[name])


def outputs(network: Network) -> torch.Tensor:
    torch.manual_seed(0)
    network.weights.add_(0.1 * torch.randn(network.weights.shape))  # where layer_norm has biases of 0
    network.round()
    return network(torch.randn(7, 4))


SAID: list[tuple[str, Any]] = [
    ("hidden_sizes", (8,)),
    ("activation", "elu"),
    ("layer_norm", False),
    ("layer_norm", True),
    ("initialization", "orthogonal"),
    ("precision", "bf16"),
    ("network", lambda space, outputs: nn.Linear(4, outputs, bias=False)),
    ("noisy", True),
]


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [(kind, *said) for kind in (DQN, C51, QRDQN, PQN) for said in (SAID[:-1] if kind is PQN else SAID)],
)
def test_the_network_is_as_the_options_say(kind: Any, option: str, value: Any) -> None:
    space, given = Box(-1, 1, (4,), np.float32), {option: value}
    algorithm = kind(space, Discrete(3), kind.Config(**given), seed=5, total_steps=9, device="cpu")
    precision = given.pop("precision", "fp32")
    if option == "network":
        given["factory"] = given.pop("network")
    count = 3 * {C51: 51, QRDQN: 200}.get(kind, 1)
    module = make_module(space, [count], seed=5, **({"layer_norm": kind is PQN} | given))
    assert torch.equal(outputs(algorithm.network), outputs(Network(module, precision)))
    assert algorithm.network.given is (option == "network")  # which may have dropout


@pytest.mark.parametrize("kind", [DQN, PQN])
def test_the_optimiser_is_as_the_option_says(kind: Any) -> None:
    space = Box(-1, 1, (4,), np.float32)
    for written in ("rmsprop:alpha=0.7", "sgd", "adam:eps=0.1"):
        algorithm = kind(space, Discrete(3), kind.Config(optimizer=written), seed=5, total_steps=9, device="cpu")
        twin = algorithm.network.copy()
        optimizer = Optimizer(twin, written)
        for network, each in ((algorithm.network, algorithm.optimizer), (twin, optimizer)):
            for size in (1.0, 0.3):
                network.gradient.fill_(size)
                each.step(0.01, None)
        assert torch.equal(algorithm.network.weights, twin.weights)


def test_actions_that_are_not_discrete_are_refused() -> None:
    for name in ("deep/dqn", "deep/c51", "deep/qrdqn", "deep/pqn"):
        with pytest.raises(rlhub.SpaceError, match=f"{name} needs a Discrete action space; Pendulum-v1 has Box"):
            rlhub.train(name, "Pendulum-v1", steps=10)
