"""Every optimiser is torch's own on the weights as the layers have them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from rlhub_deep.modules import make_module
from rlhub_deep.network import Network, Optimizer
from torch import nn

from rlhub_core import ConfigError, state

WRITTEN: list[tuple[str, Any, dict[str, Any]]] = [
    ("adam", torch.optim.Adam, {}),
    ("adam:eps=1.5e-4,betas=(0.8,0.95)", torch.optim.Adam, {"eps": 1.5e-4, "betas": (0.8, 0.95)}),
    ("nadam", torch.optim.NAdam, {}),
    ("radam", torch.optim.RAdam, {}),
    ("rmsprop", torch.optim.RMSprop, {}),
    ("rmsprop:alpha=0.95,eps=0.01,centered=true", torch.optim.RMSprop, {"alpha": 0.95, "eps": 0.01, "centered": True}),
    ("sgd", torch.optim.SGD, {}),
    ("sgd:momentum=0.9,nesterov=true", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
]


def network(precision: Any = "fp32") -> Network:
    return Network(make_module(Box(-1, 1, (4,), np.float32), [3], hidden_sizes=(8,), seed=0), precision)


@pytest.mark.parametrize("limit", [None, 0.5])
@pytest.mark.parametrize(("written", "kind", "options"), WRITTEN, ids=[written for written, _, _ in WRITTEN])
def test_it_is_torchs_own(written: str, kind: Any, options: dict[str, Any], limit: float | None) -> None:
    torch.manual_seed(0)
    ours = network()
    optimizer = Optimizer(ours, written)
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours.module.parameters()]
    reference = kind(theirs, **options)
    for step, size in enumerate((1.0, 3.0, 0.01, 1.0, 1.0, 1.0, 2.0)):
        gradients = [size * torch.randn_like(weight) for weight in theirs]
        ours.gradient.copy_(torch.cat([gradient.flatten() for gradient in gradients]))
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient
        expected = nn.utils.clip_grad_norm_(theirs, math.inf if limit is None else limit)
        reference.param_groups[0]["lr"] = learning_rate = 0.1 / (1 + step)
        reference.step()
        assert float(optimizer.step(learning_rate, limit)) == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(ours.weights, torch.cat([weight.flatten() for weight in theirs]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("written", [written for written, _, _ in WRITTEN])
def test_it_is_restored_from_a_file_and_goes_on(written: str, precision: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    gradients = torch.randn(6, network().weights.numel())
    one, other = network(precision), network(precision)
    first, second = Optimizer(one, written), Optimizer(other, written)

    def step(optimizer: Optimizer, gradient: torch.Tensor) -> None:
        optimizer.network.gradient.copy_(gradient)
        optimizer.step(0.01, None)

    for gradient in gradients[:3]:
        step(first, gradient)
    state.save(tmp_path, "optimizer", first.state())
    other.restore(one.state())
    second.restore(state.load(tmp_path, "optimizer"))
    for gradient in gradients[3:]:
        step(first, gradient)
        step(second, gradient)
        assert torch.equal(one.weights, other.weights)


def test_a_state_is_a_copy() -> None:
    ours = network()
    optimizer = Optimizer(ours, "adam")
    ours.gradient.fill_(1.0)
    optimizer.step(0.1, None)
    saved = optimizer.state()
    before = saved["state"]["0"]["exp_avg"].copy()
    optimizer.step(0.1, None)
    assert np.array_equal(saved["state"]["0"]["exp_avg"], before)


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"'adma' is unknown\. Did you mean 'adam'\? There are: adam, nadam, radam, rmsp"
    ):
        Optimizer(network(), "adma")
    with pytest.raises(ConfigError, match=r"optimizer: rmsprop has no option 'aplha'\. It has: alpha, .*centered"):
        Optimizer(network(), "rmsprop:aplha=0.95")
    with pytest.raises(ConfigError, match=r"optimizer: sgd has no option 'lr'"):
        Optimizer(network(), "sgd:lr=0.1")
    with pytest.raises(ConfigError, match=r"'momentum' is not key=value\. Write sgd:key=value"):
        Optimizer(network(), "sgd:nesterov=true,momentum")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("adam:eps=-1", "Invalid epsilon value: -1"),
        ("sgd:nesterov=true", "Nesterov momentum requires"),
        ("sgd:momentum=fast", "not supported between"),
        ("sgd:foreach=true", "fused. and .foreach. cannot"),
    ],
)
def test_options_that_torch_refuses_are_refused(written: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"optimizer: '{written}' cannot be made: .*{reason}"):
        Optimizer(network(), written)
