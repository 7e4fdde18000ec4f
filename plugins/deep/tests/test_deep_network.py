"""Weights in one flat tensor: gradients against autograd's, copies, bf16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from rlhub_deep.modules import Activation, Head, make_heads, make_module
from rlhub_deep.network import Network, Optimizer
from torch import Tensor, nn

from rlhub_core import state

VECTOR = Box(-1, 1, (4,), np.float32)
IMAGE = Box(0, 255, (2, 36, 36), np.uint8)
HIDDEN = (32, 32)
HEADS = [Head(2, 0.01), Head(1, constant=0.5), Head(1)]


def networks(precision: Any = "fp32") -> dict[str, Network]:
    """Return one of every kind of module."""
    made = {
        "perceptron": make_module(VECTOR, [1, 3], hidden_sizes=HIDDEN, seed=0),
        "layer_norm": make_module(VECTOR, [3], hidden_sizes=HIDDEN, layer_norm=True, seed=0),
        "image": make_module(IMAGE, [3], hidden_sizes=HIDDEN, seed=0),
        "dueling image": make_module(IMAGE, [1, 3], hidden_sizes=HIDDEN, layer_norm=True, noisy=True, seed=0),
        "heads": make_heads(VECTOR, HEADS, hidden_sizes=HIDDEN, seed=0),
        "heads layer_norm": make_heads(VECTOR, HEADS, hidden_sizes=HIDDEN, layer_norm=True, seed=0),
        "heads image": make_heads(IMAGE, HEADS, hidden_sizes=HIDDEN, seed=0),
    }
    return {name: Network(module, precision) for name, module in made.items()}


BOTH = Dict({"action": Box(-1, 1, (2,), np.float32), "observation": VECTOR})
SEEN = Dict({"action": Box(-1, 1, (2,), np.float32), "observation": IMAGE})


def critics(precision: Any = "fp32") -> dict[str, Network]:
    """Return twin critics of every kind of module."""
    heads = [Head(1), Head(1)]
    made: dict[str, nn.Module] = {
        "perceptrons": make_heads(BOTH, heads, hidden_sizes=HIDDEN, activation="relu", seed=0),
        "tanh": make_heads(BOTH, heads, hidden_sizes=(5, 6, 7), activation="tanh", seed=0),
        "linear": make_heads(BOTH, heads, hidden_sizes=(), seed=0),
        "layer_norm": make_heads(BOTH, heads, hidden_sizes=HIDDEN, layer_norm=True, seed=0),
        "image": make_heads(SEEN, heads, hidden_sizes=HIDDEN, seed=0),
    }
    return {name: Network(module, precision) for name, module in made.items()}


def seen(name: str, count: int = 16) -> dict[str, Tensor]:
    """Return actions and observations for critics."""
    return {"action": torch.rand(count, 2) * 2 - 1, "observation": observations(name, count)}


def observations(name: str, count: int = 16) -> Tensor:
    space = IMAGE if "image" in name else VECTOR
    space.seed(0)
    return torch.as_tensor(np.stack([space.sample() for _ in range(count)]))


def autograd(network: Network, inputs: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of every parameter, flat, as torch has it."""
    parameters = list(network.module.parameters())
    given = torch.autograd.grad(network.module(inputs), parameters, gradient, allow_unused=True)
    pairs = zip(given, parameters, strict=True)
    return torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for g, p in pairs])


def gradient_of(network: Network, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs and the gradient of the mean of their squares' halves."""
    outputs = network.record(inputs)
    network.backward(outputs / len(inputs))
    return outputs, network.gradient.clone()


@pytest.mark.parametrize("activation", ["relu", "tanh", "elu"])
@pytest.mark.parametrize("hidden", [(), (5,), (64, 64), (7, 6, 5)])
def test_the_gradient_of_a_perceptron_is_autograds(activation: Activation, hidden: tuple[int, ...]) -> None:
    network = Network(make_module(VECTOR, [3], hidden_sizes=hidden, activation=activation, seed=1))
    for count in (1, 32, 8):  # the last one recorded counts, whatever its size
        inputs, gradient = 3 * torch.randn(count, 4), torch.randn(count, 3)
        kept = inputs.clone()
        outputs = network.record(inputs)
        network.backward(gradient)
        torch.testing.assert_close(outputs, network.module(inputs))
        torch.testing.assert_close(outputs, network(inputs))
        torch.testing.assert_close(outputs, torch.from_numpy(network.of_arrays(inputs.numpy())))
        torch.testing.assert_close(network.gradient, autograd(network, inputs, gradient))
        assert torch.equal(inputs, kept)
        assert not outputs.requires_grad


@pytest.mark.parametrize("name", networks())
def test_the_gradient_of_any_module_is_autograds(name: str) -> None:
    network, inputs, gradient = networks()[name], observations(name), torch.randn(16, 4)
    outputs = network.record(inputs)
    network.backward(gradient[:, : outputs.shape[1]])
    torch.testing.assert_close(network.gradient, autograd(network, inputs, gradient[:, : outputs.shape[1]]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", networks())
def test_arrays_are_mapped_as_tensors_are(name: str, precision: Any) -> None:
    network, other = networks(precision)[name], networks(precision)[name]
    other.weights.mul_(0.5)
    for weights in (network.weights, other.weights):
        network.restore(network.state() | {"weights": weights.numpy()})
        for count in (1, 16, 17, 40):
            inputs = observations(name, count)
            found = network.of_arrays(inputs.numpy())
            assert found.dtype == np.float32
            torch.testing.assert_close(torch.from_numpy(found), network(inputs))
    noisy = network.of_arrays(inputs.numpy(), np.random.default_rng(0))
    assert np.array_equal(noisy, network(inputs, np.random.default_rng(0)).numpy())
    assert np.array_equal(noisy, found) is (name != "dueling image")


@pytest.mark.parametrize("name", networks())
def test_the_flat_weights_are_the_modules(name: str) -> None:
    network = networks()[name]
    assert torch.equal(network.weights, torch.cat([weight.flatten() for weight in network.module.parameters()]))
    network.weights.zero_()
    assert not network(observations(name)).any()
    assert all(not weight.any() for weight in network.module.parameters())


def test_what_the_loss_does_not_reach_has_no_gradient() -> None:
    class Half(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)
            self.unused = nn.Parameter(torch.ones(5))

    network = Network(Half())
    network.gradient.fill_(7.0)
    network.backward(torch.ones_like(network.record(torch.ones(2, 4))))
    expected = {"unused": torch.zeros(5), "weight": torch.full((12,), 2.0), "bias": torch.full((3,), 2.0)}
    assert torch.equal(network.gradient, torch.cat([expected[name] for name, _ in network.module.named_parameters()]))


def test_it_follows_another_network() -> None:
    class Norm(nn.Sequential):
        def __init__(self, mean: float) -> None:
            super().__init__(nn.Linear(4, 3), nn.BatchNorm1d(3))
            self[1].running_mean.fill_(mean)  # type: ignore[operator]

    one, other = Network(Norm(0.0)), Network(Norm(5.0))
    before, theirs = one.weights.clone(), other.weights.clone()
    one.follow(other, 0.25)
    torch.testing.assert_close(one.weights, 0.75 * before + 0.25 * theirs)
    assert one.module[1].running_mean.tolist() == [5, 5, 5]  # type: ignore[index]
    one.follow(other)
    assert torch.equal(one.weights, theirs)
    assert torch.equal(other.weights, theirs)
    assert torch.equal(one(torch.ones(1, 4)), other(torch.ones(1, 4)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", networks())
def test_a_copy_is_the_same_and_independent(name: str, precision: Any) -> None:
    network, inputs = networks(precision)[name], observations(name)
    twin = network.copy()
    before = network(inputs)
    assert torch.equal(twin.weights, network.weights)
    assert torch.equal(twin(inputs), before)
    twin.weights.mul_(1.5)
    twin.round()
    twin.gradient.fill_(1.0)
    assert torch.equal(network(inputs), before)
    assert not torch.equal(twin(inputs), before)
    assert not network.gradient.any()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", networks())
def test_it_is_restored_from_a_file(name: str, precision: Any, tmp_path: Path) -> None:
    network, other, inputs = networks(precision)[name], networks(precision)[name], observations(name)
    network.weights.mul_(1.7)
    network.round()
    state.save(tmp_path, "network", network.state())
    expected, weights = network(inputs), network.weights.clone()
    network.weights.zero_()
    for each in (network, other):
        each.restore(state.load(tmp_path, "network"))
        assert torch.equal(each.weights, weights)
        assert torch.equal(each(inputs), expected)


def test_a_users_module_is_in_train_mode_only_while_it_learns() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.9))
    network, inputs = Network(module, given=True), torch.ones(64, 4)
    assert network(inputs).all()
    assert not network.record(inputs).all()
    assert network(inputs).all()


# critics


@pytest.mark.parametrize("heads", [None, 1, 2])
@pytest.mark.parametrize("name", critics())
def test_the_gradient_of_actions_is_autograds(name: str, heads: int | None) -> None:
    network, given = critics()[name], seen(name)
    gradient = torch.randn(16, heads or 2)
    network.gradient.fill_(7.0)
    action = given["action"].clone().requires_grad_()
    outputs = network.module(given | {"action": action})[:, :heads]
    (expected,) = torch.autograd.grad(outputs, action, gradient)
    recorded = network.record_actions(given, heads)
    found = network.action_gradient(gradient)
    torch.testing.assert_close(recorded, outputs.detach())
    torch.testing.assert_close(found, expected)
    assert not any(tensor.requires_grad for tensor in (recorded, found, given["action"]))
    assert (network.gradient == 7).all()  # the weights' is left alone


@pytest.mark.parametrize("name", critics())
def test_the_gradient_of_critics_is_autograds_whatever_was_recorded_before(name: str) -> None:
    network, given, gradient = critics()[name], seen(name), torch.randn(16, 2)
    network.record_actions(seen(name, 5), 1)
    network.record(given)
    network.backward(gradient)
    torch.testing.assert_close(network.gradient, autograd(network, given, gradient))


@pytest.mark.parametrize("name", ["perceptrons", "image"])
def test_bf16_gives_nearly_the_gradient_of_actions_that_fp32_does(name: str) -> None:
    given, found = seen(name, 64), []
    for network in (critics()[name], critics("bf16")[name]):
        network.record_actions(given)
        found.append(network.action_gradient(torch.ones(64, 2)).flatten())
    exact, rounded = found
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert nn.functional.cosine_similarity(exact, rounded, dim=0) > 0.99


def test_a_users_critic_is_asked_for_the_gradient_of_actions() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.dropout = nn.Linear(2, 2), nn.Dropout(0.5)

        def forward(self, both: Any) -> Tensor:
            return self.dropout(self.layer(both["action"]) * both["observation"][:, :1])  # type: ignore[no-any-return]

    network, given = Network(Own(), given=True), seen("own", 400)
    outputs, weight = network.record_actions(given), next(network.module.parameters())
    kept = (outputs != 0).float() * 2
    assert 0.4 < (outputs != 0).float().mean() < 0.6  # in training mode
    expected = (kept * given["observation"][:, :1]) @ weight
    torch.testing.assert_close(network.action_gradient(torch.ones(400, 2)), expected.detach())


def test_observations_with_a_part_called_action_are_no_critics() -> None:
    for kind in (Discrete(3), Dict({"way": Box(-1, 1, (2,), np.float32)})):
        space = Dict({"action": kind, "place": VECTOR})
        space.seed(0)
        sample = space.sample()
        inner = sample["action"]
        action = {"way": torch.as_tensor(inner["way"])[None]} if isinstance(inner, dict) else torch.tensor([inner])
        given = {"action": action, "place": torch.as_tensor(sample["place"])[None]}
        network = Network(make_module(space, [3], layer_norm=True, seed=0))
        network.backward(torch.ones_like(network.record(given)))
        assert network.gradient.any()


# products so large that another library takes them


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_gradients_of_large_layers_are_autograds(activation: Activation) -> None:
    space, wide = Box(-1, 1, (40,), np.float32), (300, 260)
    network = Network(make_module(space, [3], hidden_sizes=wide, activation=activation, seed=1))
    inputs, gradient = torch.randn(270, 40), torch.randn(270, 3)
    outputs = network.record(inputs)
    network.backward(gradient)
    torch.testing.assert_close(outputs, network.module(inputs).detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.gradient, autograd(network, inputs, gradient), rtol=1e-4, atol=1e-4)
    critic = Network(make_heads(BOTH, [Head(1), Head(1)], hidden_sizes=wide, activation=activation, seed=1))
    given = seen("large", 270)
    critic.record_actions(given)
    action = given["action"].clone().requires_grad_()
    (expected,) = torch.autograd.grad(critic.module(given | {"action": action}), action, gradient[:, :2])
    torch.testing.assert_close(critic.action_gradient(gradient[:, :2]), expected, rtol=1e-4, atol=1e-5)


def test_a_large_network_is_differentiable_by_torch() -> None:
    network = Network(make_module(VECTOR, [3], hidden_sizes=(300, 260), seed=1))
    loss = network.module(torch.randn(270, 4)).square().sum()
    assert all(gradient.any() for gradient in torch.autograd.grad(loss, list(network.module.parameters())))


# bf16


@pytest.mark.parametrize("name", networks())
def test_bf16_rounds_the_matrices_but_the_last(name: str) -> None:
    network = networks("bf16")[name]
    linear = [layer for layer in network.module.modules() if isinstance(layer, nn.Linear)]
    exact = [layer for layer in linear if {weight.dtype for weight in layer.parameters()} == {torch.float32}]
    rounded = [layer for layer in linear if {weight.dtype for weight in layer.parameters()} == {torch.bfloat16}]
    by_name = {"perceptron": [4], "dueling image": [1, 3]}  # of the module, or of each of its streams
    ends = [2, 1] if name.startswith("heads") else by_name.get(name, [3])
    assert [layer.out_features for layer in exact] == ends
    assert [layer.out_features for layer in rounded] == [32, 32] * (1 if name == "heads image" else len(ends))
    for layer in network.module.modules():
        if isinstance(layer, (nn.Conv2d, nn.LayerNorm)):
            assert layer.weight.dtype == torch.bfloat16
    assert network.weights.dtype == network.gradient.dtype == torch.float32
    outputs = network(observations(name))
    assert outputs.dtype == torch.float32
    assert not torch.equal(outputs, outputs.bfloat16().float())


@pytest.mark.parametrize("name", networks())
def test_bf16_computes_nearly_what_fp32_does(name: str) -> None:
    inputs = observations(name)
    exact, exact_gradient = gradient_of(networks()[name], inputs)
    rounded, rounded_gradient = gradient_of(networks("bf16")[name], inputs)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.02 * exact.abs().max().item())
    assert nn.functional.cosine_similarity(rounded_gradient, exact_gradient, dim=0) > 0.99
    assert rounded_gradient.norm() / exact_gradient.norm() == pytest.approx(1, abs=0.05)


def test_bf16_steps_below_its_resolution_add_up() -> None:
    network = Network(make_module(VECTOR, [3], hidden_sizes=(8,), seed=0), "bf16")
    network.weights.fill_(0.5)  # beside it bf16 knows nothing nearer than 2⁻⁹ below
    network.round()
    optimizer = Optimizer(network, "sgd")
    network.gradient.fill_(1.0)
    hidden = next(network.module.parameters())
    for step in range(1, 201):
        optimizer.step(1e-5, None)
        assert network.weights[0].item() == pytest.approx(0.5 - 1e-5 * step, abs=3e-6)
        if step < 90:
            assert hidden[0, 0].item() == 0.5
    assert hidden.dtype == torch.bfloat16
    assert hidden[0, 0].item() == 0.5 - 2**-9


def test_bf16_follows_and_is_restored_with_its_rounded_copy() -> None:
    one, other = networks("bf16")["perceptron"], networks("bf16")["perceptron"]
    inputs = observations("perceptron")
    other.restore(one.state() | {"weights": 2 * one.weights.numpy()})
    assert not torch.equal(one(inputs), other(inputs))
    one.follow(other, 1.0)
    assert torch.equal(one(inputs), other(inputs))


def test_bf16_reads_numbers_of_any_type() -> None:
    for space in (Discrete(3), Box(0, 255, (5,), np.uint8), Box(-1, 1, (2, 2), np.float64)):
        network = Network(make_module(space, [2], seed=0), "bf16")
        assert network(torch.as_tensor(space.sample())[None]).shape == (1, 2)
