"""Modules for every kind of observation, noisy layers, how weights begin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from rlhub_deep.modules import Head, choose_device, is_image, make_heads, make_module
from rlhub_deep.network import Network
from rlhub_deep.noisy import NoisyLinear, draw_noise
from torch import Tensor, nn

from rlhub_core import ConfigError

VECTOR = Box(-1, 1, (4,), np.float32)
ATARI = Box(0, 255, (4, 84, 84), np.uint8)
COLOUR = Box(0, 255, (40, 48, 3), np.uint8)


def sampled(space: Any, count: int) -> Any:
    if isinstance(space, Dict):
        return {name: sampled(part, count) for name, part in space.items()}
    return torch.as_tensor(np.stack([space.sample() for _ in range(count)]))


def linear(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def count(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in module.modules())


def inputs_of(space: Any, observations: Any) -> Tensor:
    """Return what the first linear layer is given."""
    module = make_module(space, [1], hidden_sizes=(), seed=0)
    weights = linear(module)[0].weight
    columns = []
    for index in range(weights.shape[1]):
        with torch.no_grad():
            weights.zero_()
            weights[0, index] = 1.0
            columns.append(module(observations) - linear(module)[0].bias)
    return torch.cat(columns, 1)


def test_what_perceptrons_are_given() -> None:
    assert inputs_of(Discrete(3, start=5), torch.tensor([5, 7])).tolist() == [[1, 0, 0], [0, 0, 1]]
    space = MultiDiscrete([2, 3], start=[1, 0])
    assert inputs_of(space, torch.tensor([[1, 2], [2, 0]])).tolist() == [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
    grid = MultiDiscrete(np.array([[2, 2], [2, 2]]))
    assert inputs_of(grid, torch.tensor([[[0, 1], [1, 0]]])).tolist() == [[1, 0, 0, 1, 0, 1, 1, 0]]
    assert inputs_of(MultiBinary(3), torch.tensor([[1, 0, 1]], dtype=torch.int8)).tolist() == [[1, 0, 1]]
    bytes_ = inputs_of(Box(0, 255, (2,), np.uint8), torch.tensor([[0, 255]], dtype=torch.uint8))
    assert bytes_[0].tolist() == pytest.approx([0, 1], abs=1e-6)
    matrix = torch.tensor([[[1.0, 2.0], [3.0, 400.0]]], dtype=torch.float64)
    assert inputs_of(Box(-1e9, 1e9, (2, 2), np.float64), matrix)[0].tolist() == pytest.approx([1, 2, 3, 400])
    inner = Dict({"keys": Discrete(2), "x.y": Box(-9, 9, (), np.float32)})
    both = Dict({"b": Box(-9, 9, (1,), np.float32), "a": inner})
    given = {"a": {"keys": torch.tensor([1]), "x.y": torch.tensor([7.0])}, "b": torch.tensor([[5.0]])}
    assert inputs_of(both, given)[0].tolist() == pytest.approx([0, 1, 7, 5])


@pytest.mark.parametrize(
    ("space", "images"),
    [
        (ATARI, True),
        (COLOUR, True),
        (Box(0, 255, (4, 40, 48, 3), np.uint8), True),
        (Box(0, 1, (1, 36, 36), np.float32), True),
        (Box(0, 255, (4, 35, 84), np.uint8), False),
        (Box(0, 255, (84, 84), np.uint8), False),
        (VECTOR, False),
        (Discrete(3), False),
    ],
)
def test_images_are_told_by_their_space(space: Any, images: bool) -> None:
    module = make_module(space, [3], hidden_sizes=(8,), seed=0)
    assert is_image(space) is images
    assert count(module, nn.Conv2d) == 3 * images
    assert module(sampled(space, 5)).shape == (5, 3)


def test_channels_may_come_first_or_last() -> None:
    pixels = sampled(COLOUR, 4)  # [4, 40, 48, 3]
    last = make_module(COLOUR, [3], hidden_sizes=(8,), seed=0)
    first = make_module(Box(0, 255, (3, 40, 48), np.uint8), [3], hidden_sizes=(8,), seed=0)
    torch.testing.assert_close(last(pixels), first(pixels.permute(0, 3, 1, 2)))
    stack = sampled(Box(0, 255, (2, 40, 48, 3), np.uint8), 4)
    stacked = make_module(Box(0, 255, (2, 40, 48, 3), np.uint8), [3], hidden_sizes=(8,), seed=0)
    channels = make_module(Box(0, 255, (6, 40, 48), np.uint8), [3], hidden_sizes=(8,), seed=0)
    torch.testing.assert_close(stacked(stack), channels(torch.cat([*stack.permute(1, 0, 4, 2, 3)], 1)))


def test_bytes_are_read_as_numbers_from_0_to_1() -> None:
    pixels = sampled(ATARI, 4)
    bytes_, floats = (make_module(Box(0, 255, (4, 84, 84), kind), [3], seed=0) for kind in (np.uint8, np.float32))
    torch.testing.assert_close(bytes_(pixels), floats(pixels / 255))


def test_the_nature_network_has_the_published_size() -> None:
    def size(heads: list[int]) -> int:
        return sum(weight.numel() for weight in make_module(ATARI, heads, seed=0).parameters())

    assert size([4]) == 1_686_180
    hidden = 3136 * 512 + 512
    assert size([1, 4]) == 1_686_180 + hidden + 512 + 1  # each stream has a hidden layer for itself


def test_different_pictures_have_different_values_from_the_first() -> None:
    pictures = np.zeros((8, 4, 84, 84), np.uint8)
    for index, picture in enumerate(pictures):  # a dark field with a paddle of 4 × 12 pixels somewhere, as in Breakout
        picture[:, 78:82, 8 * index : 8 * index + 12] = 142
    assert Network(make_module(ATARI, [4], seed=0))(torch.as_tensor(pictures)).std(dim=0).min() > 0.003


def test_a_dict_reads_every_part_of_it() -> None:
    inner = Dict({"camera": COLOUR, "speed": VECTOR})
    space = Dict({"body": inner, "gear": Discrete(3)})
    module = make_module(space, [1, 3], hidden_sizes=(8,), layer_norm=True, seed=0)
    assert count(module, nn.Conv2d) == 3
    assert count(module, nn.LayerNorm) == 3 + 2
    seen = sampled(space, 2)
    before = Network(module)(seen)
    assert before.shape == (2, 4)
    for path in (("body", "camera"), ("body", "speed"), ("gear",)):
        changed = {"body": dict(seen["body"]), "gear": seen["gear"]}
        part = changed["body"] if len(path) == 2 else changed
        part[path[-1]] = (seen["gear"] + 1) % 3 if path == ("gear",) else part[path[-1]].flip(0) + 1
        assert not torch.equal(Network(module)(changed), before)


@pytest.mark.parametrize("space", [VECTOR, COLOUR])
def test_layer_norm_stands_before_every_activation(space: Any) -> None:
    module = make_module(space, [3], hidden_sizes=(8, 9), layer_norm=True, activation="tanh", seed=0)
    layers = [layer for layer in module.modules() if not list(layer.children())]
    for layer, before in zip(layers[1:], layers, strict=False):
        if isinstance(layer, (nn.ReLU, nn.Tanh)):
            assert isinstance(before, nn.LayerNorm)
    assert count(module, nn.LayerNorm) == 2 + 3 * is_image(space)
    assert count(make_module(space, [3], seed=0), nn.LayerNorm) == 0


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh", "elu"])
def test_activations_are_those_asked_for(activation: Any, noisy: bool) -> None:
    module = make_module(VECTOR, [3], hidden_sizes=(8, 9), activation=activation, noisy=noisy, seed=0)
    inputs = hidden = sampled(VECTOR, 5)
    *before, last = linear(module)
    for layer in before:
        hidden = {"relu": torch.relu, "tanh": torch.tanh, "elu": nn.functional.elu}[activation](layer(hidden))
    torch.testing.assert_close(Network(module)(inputs), last(hidden))


@pytest.mark.parametrize("layer_norm", [False, True])
def test_hidden_sizes_are_those_asked_for(layer_norm: bool) -> None:
    for asked, sizes in ((None, [64, 64, 3]), ((), [3]), ((5,), [5, 3]), ((9, 8, 7), [9, 8, 7, 3])):
        module = make_module(VECTOR, [3], hidden_sizes=asked, layer_norm=layer_norm, seed=0)
        assert [layer.out_features for layer in linear(module)] == sizes
    assert [layer.out_features for layer in linear(make_module(COLOUR, [3], seed=0))] == [512, 3]


# how weights begin


def test_one_seed_gives_one_network_and_leaves_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    one, two, three = (Network(make_module(VECTOR, [3], noisy=True, seed=seed)).weights for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@pytest.mark.parametrize("space", [Box(-1, 1, (200,), np.float32), Box(0, 255, (1, 64, 64), np.uint8)])
def test_initializations(space: Any) -> None:
    def made(how: Any) -> tuple[list[Any], Any]:
        module = make_module(space, [300], hidden_sizes=(300,), initialization=how, seed=0)
        *hidden, last = (layer for layer in module.modules() if isinstance(layer, (nn.Linear, nn.Conv2d)))
        return hidden, last

    def fans(layer: Any) -> tuple[int, int]:
        area = layer.weight[0, 0].numel()
        return layer.weight.shape[1] * area, layer.weight.shape[0] * area

    hidden, last = made("he")
    for layer in hidden:
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fans(layer)[0]), rel=0.1)
        assert not layer.bias.any()
    assert last.weight.abs().max() <= 1 / math.sqrt(300)
    assert last.bias.any()  # no ReLU follows: as PyTorch makes it

    hidden, last = made("xavier")
    for layer in (*hidden, last):
        bound = math.sqrt(6 / sum(fans(layer)))
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()

    hidden, last = made("orthogonal")
    for layer in (*hidden, last):
        rows = layer.weight.flatten(1)
        product = rows @ rows.t() if rows.shape[0] <= rows.shape[1] else rows.t() @ rows
        torch.testing.assert_close(product, 2 * torch.eye(len(product)), atol=1e-4, rtol=0)
        assert not layer.bias.any()

    hidden, last = made("pytorch")
    for layer in (*hidden, last):
        bound = 1 / math.sqrt(fans(layer)[0])
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert layer.bias.any()


def test_images_begin_with_he_and_vectors_as_pytorch_makes_them() -> None:
    for space, default in ((COLOUR, "he"), (VECTOR, "pytorch")):
        chosen = {
            how: Network(make_module(space, [3], initialization=how, seed=0)).weights
            for how in (None, "he", "pytorch", "xavier", "orthogonal")
        }
        assert [how for how in chosen if torch.equal(chosen[how], chosen[None])] == [None, default]


# noise


def noisy(inputs: int = 50, outputs: int = 60) -> NoisyLinear:
    torch.manual_seed(0)
    return NoisyLinear(inputs, outputs)


def test_noisy_layers_are_linear_layers_of_noisy_weights() -> None:
    layer, inputs = noisy(5, 7), torch.randn(3, 5)
    layer.weight_sigma.data.normal_()
    layer.bias_sigma.data.normal_()
    layer.draw(np.random.default_rng(0))
    assert layer.noise is not None
    noise_in, noise_out = layer.noise
    weight = layer.weight + layer.weight_sigma * torch.outer(noise_out, noise_in)
    bias = layer.bias + layer.bias_sigma * noise_out
    torch.testing.assert_close(layer(inputs), inputs @ weight.t() + bias)
    draw_noise(layer, None)
    assert torch.equal(layer(inputs), nn.functional.linear(inputs, layer.weight, layer.bias))


def test_noise_is_the_signed_root_of_a_gaussian() -> None:
    layer = noisy(2_000, 3_000)
    layer.draw(np.random.default_rng(0))
    assert layer.noise is not None
    for noise in layer.noise:
        gaussian = noise.sign() * noise * noise
        assert gaussian.mean().item() == pytest.approx(0, abs=0.06)
        assert gaussian.std().item() == pytest.approx(1, abs=0.05)
        assert (gaussian.abs() < 1).float().mean().item() == pytest.approx(0.683, abs=0.03)
    one, other = (noise[:2_000] for noise in layer.noise)
    assert nn.functional.cosine_similarity(one, other, dim=0).item() == pytest.approx(0, abs=0.08)


def test_noise_comes_from_the_generator_alone_and_is_drawn_anew() -> None:
    network = Network(make_module(VECTOR, [3], noisy=True, seed=0))
    inputs, rng = sampled(VECTOR, 4), np.random.default_rng(7)
    one, two = network(inputs, rng), network(inputs, rng)
    assert not torch.equal(one, two)
    assert torch.equal(network(inputs, np.random.default_rng(7)), one)
    assert torch.equal(network.record(inputs, np.random.default_rng(7)), one)
    assert not torch.equal(network(inputs), one)
    assert torch.equal(network(inputs), network(inputs))  # silent
    network(inputs, rng)
    layers = [layer for layer in network.module.modules() if isinstance(layer, NoisyLinear)]
    noises = [layer.noise[1].tolist() for layer in layers if layer.noise is not None]
    assert len({tuple(noise[:3]) for noise in noises}) == 3  # every layer has its own


def test_noisy_layers_begin_as_published() -> None:
    layer, bound = noisy(), 1 / math.sqrt(50)
    assert 0.99 * bound < layer.weight.abs().max() <= bound
    assert 0.9 * bound < layer.bias.abs().max() <= bound
    for sigma in (layer.weight_sigma, layer.bias_sigma):
        torch.testing.assert_close(sigma, torch.full_like(sigma, 0.5 * bound))
    for space in (VECTOR, COLOUR):
        module = make_module(space, [1, 3], noisy=True, initialization="xavier", seed=0)
        assert count(module, NoisyLinear) == len(linear(module)) > 2
        assert all(layer.bias.any() for layer in linear(module))  # no initialisation but its own


def test_noise_is_learnt() -> None:
    network = Network(make_module(VECTOR, [3], hidden_sizes=(), noisy=True, seed=0))
    outputs = network.record(torch.ones(2, 4), np.random.default_rng(0))
    network.backward(torch.ones_like(outputs))
    assert network.gradient.all()


def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="device 'warp' cannot be used here"):
        choose_device("warp")


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_nature_network_computes_what_is_written_here(layer_norm: bool) -> None:
    module = make_module(Box(0, 255, (4, 84, 84), np.uint8), [3], layer_norm=layer_norm, seed=0)
    images = torch.randint(0, 256, (5, 4, 84, 84), generator=torch.Generator().manual_seed(0))
    norms = [layer for layer in module.modules() if isinstance(layer, nn.LayerNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
        x = images / 255
        for layer in (layer for layer in module.modules() if isinstance(layer, nn.Conv2d)):
            x = nn.functional.conv2d(x, layer.weight, layer.bias, layer.stride)
            if layer_norm:
                mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
                norm = norms.pop(0)
                x = (x - mean) / (variance + 1e-5).sqrt() * norm.weight.permute(2, 0, 1)  # which is [H, W, C]
            x = x.relu()
        x = torch.stack([image[:, y, z] for image in x for y in range(7) for z in range(7)]).reshape(5, 7 * 7 * 64)
        hidden, last = (layer for layer in module.modules() if isinstance(layer, nn.Linear))
        x = nn.functional.linear(x, hidden.weight, hidden.bias)
        if layer_norm:
            x = nn.functional.layer_norm(x, (512,), norms.pop(0).weight)
        expected = nn.functional.linear(x.relu(), last.weight, last.bias)
        torch.testing.assert_close(module(images.to(torch.uint8)), expected, rtol=1e-4, atol=1e-5)
    assert not norms


# heads of policies and critics

HEADS = [Head(3, 0.01), Head(2, constant=-0.5), Head(1)]


def test_heads_share_nothing_but_on_images() -> None:
    vector = make_heads(VECTOR, HEADS, seed=0)
    assert [(layer.in_features, layer.out_features) for layer in linear(vector)] == [
        *[(4, 64), (64, 64), (64, 3)],
        *[(4, 64), (64, 64), (64, 1)],
    ]
    image = make_heads(ATARI, HEADS, hidden_sizes=(32, 16), seed=0)
    assert [(layer.in_features, layer.out_features) for layer in linear(image)] == [
        (3136, 32), (32, 16), (16, 3), (16, 1)
    ]  # fmt: skip
    assert (count(image, nn.Conv2d), count(image, nn.Tanh)) == (3, 0)
    assert count(make_heads(VECTOR, HEADS, layer_norm=True, seed=0), nn.LayerNorm) == 4


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("space", [VECTOR, ATARI, Dict({"seen": COLOUR, "speed": VECTOR})])
def test_a_constant_head_is_what_it_begins_as_whatever_is_seen(space: Any, layer_norm: bool) -> None:
    module = make_heads(space, HEADS, layer_norm=layer_norm, hidden_sizes=(8,), seed=0)
    outputs = module(sampled(space, 5))
    assert outputs.shape == (5, 6)
    assert outputs[:, 3:5].tolist() == [[-0.5, -0.5]] * 5
    assert outputs[:, :3].abs().max() < outputs[:, 5].abs().max()  # 0.01 beside 1


def test_heads_begin_orthogonal_with_their_gains() -> None:
    for module in (make_heads(VECTOR, HEADS, seed=0), make_heads(ATARI, HEADS, hidden_sizes=(64, 64), seed=0)):
        *_, policy, value = layers = [layer for layer in linear(module) if layer.out_features in (3, 1)]
        assert len(layers) == 2
        torch.testing.assert_close(policy.weight @ policy.weight.t(), 1e-4 * torch.eye(3), atol=1e-9, rtol=1e-4)
        torch.testing.assert_close(value.weight @ value.weight.t(), torch.eye(1))
        hidden = next(layer for layer in linear(module) if layer.out_features == layer.in_features == 64)
        torch.testing.assert_close(hidden.weight @ hidden.weight.t(), 2 * torch.eye(64), atol=1e-5, rtol=1e-4)
        assert not any(layer.bias.any() for layer in linear(module))
    plain = make_heads(VECTOR, HEADS, initialization="pytorch", seed=0)
    assert any(layer.bias.any() for layer in linear(plain))


def test_heads_are_drawn_from_their_seed_alone() -> None:
    one, other, third = (make_heads(VECTOR, HEADS, seed=seed) for seed in (1, 1, 2))
    observations = sampled(VECTOR, 4)
    assert torch.equal(one(observations), other(observations))
    assert not torch.equal(one(observations), third(observations))


def test_a_users_heads_are_one_module() -> None:
    asked: list[Any] = []

    def factory(space: Any, outputs: int) -> nn.Module:
        asked.append((space, outputs))
        return nn.Linear(4, outputs)

    assert make_heads(VECTOR, HEADS, factory=factory, seed=0)(torch.zeros(2, 4)).shape == (2, 6)
    assert asked == [(VECTOR, 6)]
    with pytest.raises(ConfigError, match=r"for one observation it must give shape \(1, 6\), not \(1, 5\)"):
        make_heads(VECTOR, HEADS, factory=lambda space, outputs: nn.Linear(4, 5), seed=0)


def test_heads_may_share_the_convolutions_alone() -> None:
    critics = make_heads(ATARI, [Head(1)] * 2, hidden_sizes=(16,), share_hidden=False, seed=0)
    assert [(layer.in_features, layer.out_features) for layer in linear(critics)] == [(3136, 16), (16, 1)] * 2
    assert (count(critics, nn.Conv2d), count(critics, nn.Tanh)) == (3, 0)
