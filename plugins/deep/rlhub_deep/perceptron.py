"""Multi-layer perceptrons, alone and side by side, whose backward pass is written out.

For layers of a few hundred units on a CPU, autograd's bookkeeping costs more than the arithmetic: an update of
4-64-64-2 with a batch of 64 takes less than half the time this way (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

# derivatives in one pass
threshold_backward = torch.ops.aten.threshold_backward
tanh_backward = torch.ops.aten.tanh_backward

ArrayFunction = Callable[[NDArray[Any]], NDArray[np.float32]]


class Activation(NamedTuple):
    """An activation, in place where torch can."""

    of_tensor: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]  # before it, from the gradient after it and its output
    of_array: Callable[[NDArray[np.float32]], NDArray[np.float32]]


ACTIVATIONS = {
    "relu": Activation(
        torch.relu_, lambda gradient, output: threshold_backward(gradient, output, 0), lambda x: np.maximum(x, 0, out=x)
    ),
    "tanh": Activation(torch.tanh_, lambda gradient, output: tanh_backward(gradient, output), np.tanh),
    "elu": Activation(
        nn.functional.elu_,
        lambda gradient, output: gradient.mul_(output.clamp(max=0) + 1),
        lambda x: np.where(x > 0, x, np.expm1(x)),
    ),
}


# torch multiplies with MKL, which takes twice as long as oneDNN on AMD's processors with AVX-512
ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
LARGE = 2**21  # multiplications from which oneDNN's longer call pays
FEW = 32  # columns


def affine(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return inputs [B, m] times the transpose of weight [n, m], and bias [n]."""
    if _suits_onednn(inputs, len(weight)):
        product: Tensor = ONEDNN(inputs, weight, bias, "none", [], "")
        return product
    return linear(inputs, weight, bias)


def write_product(gradient: Tensor, inputs: Tensor, out: Tensor) -> None:
    """Write the transpose of gradient [B, n] times inputs [B, m]: the gradient of a weight."""
    if inputs.shape[1] < FEW:  # of four inputs, this way takes a quarter of the time
        out.copy_(torch.mm(inputs.t(), gradient).t())
    elif inputs.dtype != out.dtype or _suits_onednn(inputs, len(out)):
        out.copy_(affine(gradient.t(), inputs.t()))
    else:
        torch.mm(gradient.t(), inputs, out=out)


def _suits_onednn(inputs: Tensor, columns: int) -> bool:
    large = ONEDNN is not None and inputs.numel() * columns >= LARGE
    return large and inputs.dtype == torch.float32 and inputs.device.type == "cpu" and not torch.is_grad_enabled()


def _like(weight: Tensor, x: Tensor) -> Tensor:
    """Return x in a weight's type; asking first takes a tenth of the time of a conversion that changes nothing."""
    return x if x.dtype == weight.dtype else x.to(weight.dtype)


class Perceptron(nn.Module):
    """Linear layers with an activation between them, on what `encode` makes of observations.

    Args:
        encode: observations [B, ...] -> inputs [B, sizes[0]].
        sizes: units of every layer, the inputs and outputs included.
        activation: one of `ACTIVATIONS`.
    """

    weights: list[tuple[Tensor, Tensor]]  # and biases; looking them up in the layers takes as long as a product

    def __init__(self, encode: nn.Module, sizes: Sequence[int], activation: str) -> None:
        super().__init__()
        self.encode = encode
        linear_layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(linear_layers)
        self.activation = ACTIVATIONS[activation]
        self.weights = [(layer.weight, layer.bias) for layer in linear_layers]
        self._inputs: list[Tensor] = []  # of each layer, when they were last recorded

    def forward(self, observations: Tensor) -> Tensor:
        """Map observations [B, ...] to outputs [B, sizes[-1]]."""
        return self._map(observations, [])

    @torch.no_grad()
    def record(self, observations: Tensor) -> Tensor:
        """Map as `forward` does, without autograd, and remember what `backward` needs."""
        self._inputs = []
        return self._map(observations, self._inputs)

    @torch.no_grad()
    def backward(self, gradient: Tensor, into: Sequence[Tensor]) -> None:
        """Write the gradient of every parameter, given that of the recorded outputs.

        Args:
            gradient: [B, outputs] of the loss.
            into: one tensor for each of `parameters()`, in their order.
        """
        weights = self.weights
        for index in range(len(weights) - 1, -1, -1):
            inputs, (weight, _) = self._inputs[index], weights[index]  # [B, layer's inputs]
            gradient = _like(weight, gradient)
            write_product(gradient, inputs, into[2 * index])
            torch.sum(gradient, 0, dtype=torch.float32, out=into[2 * index + 1])
            if index:
                gradient = self.activation.gradient(affine(gradient, weight.t()), inputs)

    @torch.no_grad()
    def backward_to_inputs(self, gradient: Tensor, count: int) -> Tensor:
        """Return the gradient of the first encoded inputs [B, count], given that of the recorded outputs."""
        for index in range(len(self.weights) - 1, 0, -1):
            weight = self.weights[index][0]
            gradient = self.activation.gradient(affine(_like(weight, gradient), weight.t()), self._inputs[index])
        weight = self.weights[0][0]
        return torch.mm(_like(weight, gradient), weight[:, :count]).float()

    def of_arrays(self) -> ArrayFunction | None:
        """Return what maps arrays to arrays, where observations are vectors of floats."""
        plain = isinstance(self.encode, nn.Identity) or getattr(self.encode, "plain", False)
        return ArrayPerceptron(self) if plain else None

    def _map(self, observations: Tensor, inputs: list[Tensor]) -> Tensor:
        """Return the outputs, and append the inputs of every layer."""
        x: Tensor = self.encode(observations)
        *hidden, last = self.weights
        for weight, bias in hidden:
            inputs.append(x := _like(weight, x))
            x = self.activation.of_tensor(affine(x, weight, bias))
        inputs.append(x := _like(last[0], x))
        return affine(x, *last)


class Constant(nn.Module):
    """Numbers that are learnt and depend on nothing, such as the logarithm of a policy's standard deviation."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(start.float())

    def forward(self, observations: Tensor) -> Tensor:
        """Map [B, ...] to [B, numbers]."""
        return self.numbers.expand(len(observations), -1)

    record = forward

    def backward(self, gradient: Tensor, into: Sequence[Tensor]) -> None:
        """Write the gradient of the numbers, given that of the recorded outputs."""
        torch.sum(gradient, 0, out=into[0])

    def backward_to_inputs(self, gradient: Tensor, count: int) -> Tensor:
        """Return 0, for any inputs."""
        return torch.zeros((), device=gradient.device)

    def of_arrays(self) -> ArrayFunction:
        """Return what maps arrays to arrays."""
        numbers = self.numbers.detach().numpy()
        return lambda observations: np.broadcast_to(numbers, (len(observations), len(numbers)))


class Separate(nn.Module):
    """Perceptrons that share nothing, side by side on what `encode` makes of observations.

    Args:
        encode: observations [B, ...] -> inputs [B, features].
        heads: each a `Perceptron` of those inputs, without encoder, or a `Constant`.
        widths: outputs of each.
    """

    def __init__(self, encode: nn.Module, heads: Sequence[Perceptron | Constant], widths: Sequence[int]) -> None:
        super().__init__()
        self.encode, self.widths = encode, list(widths)
        self.heads: Any = nn.ModuleList(heads)
        self._counts = [len(list(head.parameters())) for head in heads]

    def forward(self, observations: Any) -> Tensor:
        """Map observations [B, ...] to the outputs of all heads [B, sum(widths)]."""
        inputs = self.encode(observations)
        return torch.cat([head(inputs).float() for head in self.heads], 1)

    @torch.no_grad()
    def record(self, observations: Any, heads: int | None = None) -> Tensor:
        """Map as `forward` does, without autograd, and remember what `backward` needs; only the first `heads`."""
        inputs = self.encode(observations)
        return torch.cat([head.record(inputs).float() for head in islice(self.heads, heads)], 1)

    @torch.no_grad()
    def backward(self, gradient: Tensor, into: Sequence[Tensor]) -> None:
        """Write the gradient of every parameter, given that of the recorded outputs [B, sum(widths)]."""
        begin = 0
        for head, part, count in zip(self.heads, torch.split(gradient, self.widths, 1), self._counts, strict=True):
            head.backward(part, into[begin : begin + count])
            begin += count

    def backward_to_inputs(self, gradient: Tensor, count: int) -> Tensor:
        """Return the gradient of the first encoded inputs [B, count], given that of the recorded outputs."""
        found, begin = torch.zeros(len(gradient), count, device=gradient.device), 0
        for head, width in zip(self.heads, self.widths, strict=True):
            if begin < gradient.shape[1]:  # else it was not recorded
                found += head.backward_to_inputs(gradient[:, begin : begin + width], count)
            begin += width
        return found

    def of_arrays(self) -> ArrayFunction | None:
        """Return what maps arrays to arrays, where observations are vectors of floats."""
        if not getattr(self.encode, "plain", False):
            return None
        heads = [head.of_arrays() for head in self.heads]
        return lambda observations: np.concatenate([head(observations) for head in heads], 1)


class ArrayPerceptron:
    """A perceptron from arrays to arrays, on the same memory: for a few rows torch's calls cost more than the work.

    Args:
        perceptron: on the CPU and in fp32, its observations vectors of floats.
    """

    def __init__(self, perceptron: Perceptron) -> None:
        self._layers = [(w.detach().numpy().T, b.detach().numpy()) for w, b in perceptron.weights]
        self._activate = perceptron.activation.of_array

    def __call__(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Map observations [B, ...] to outputs [B, sizes[-1]]."""
        x: NDArray[np.float32] = observations.reshape(len(observations), -1).astype(np.float32, copy=False)
        *hidden, (last_weight, last_bias) = self._layers
        for weight, bias in hidden:
            x = self._activate(x @ weight + bias)
        outputs: NDArray[np.float32] = x @ last_weight + last_bias
        return outputs
