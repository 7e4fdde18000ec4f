"""A multi-layer perceptron whose backward pass is written out.

For layers of a few hundred units on a CPU, autograd's bookkeeping costs more than the arithmetic: an update of
4-64-64-2 with a batch of 64 takes less than half the time this way (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    # in place; gradient before it from the gradient after it and its output, in place
    "relu": (torch.relu_, lambda gradient, output: gradient.mul_(output.sign())),
    "tanh": (torch.tanh_, lambda gradient, output: gradient.mul_(1 - output * output)),
    "elu": (nn.functional.elu_, lambda gradient, output: gradient.mul_(output.clamp(max=0) + 1)),
}


class Perceptron(nn.Module):
    """Linear layers with an activation between them, on what `encode` makes of observations.

    Args:
        encode: observations [B, ...] -> inputs [B, sizes[0]].
        sizes: units of every layer, the inputs and outputs included.
        activation: one of `ACTIVATIONS`.
    """

    def __init__(self, encode: nn.Module, sizes: Sequence[int], activation: str) -> None:
        super().__init__()
        self.encode = encode
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self._activate, self._gradient = ACTIVATIONS[activation]
        self._inputs: list[Tensor] = []  # of each layer, when they were last recorded

    def forward(self, observations: Tensor) -> Tensor:
        """Map observations [B, ...] to outputs [B, sizes[-1]]."""
        x: Tensor = self.encode(observations)
        *hidden, last = self._weights()
        for weight, bias in hidden:
            x = self._activate(linear(x.to(weight.dtype), weight, bias))
        return linear(x.to(last[0].dtype), *last)

    @torch.no_grad()
    def record(self, observations: Tensor) -> Tensor:
        """Map as `forward` does, without autograd, and remember what `backward` needs."""
        x: Tensor = self.encode(observations)
        self._inputs = [x]
        *hidden, last = self._weights()
        for weight, bias in hidden:
            x = self._activate(linear(x, weight, bias))
            self._inputs.append(x)
        return linear(x, *last)

    @torch.no_grad()
    def backward(self, gradient: Tensor, into: Sequence[Tensor]) -> None:
        """Write the gradient of every parameter, given that of the recorded outputs.

        Args:
            gradient: [B, outputs] of the loss.
            into: one tensor for each of `parameters()`, in their order.
        """
        weights = self._weights()
        for index in range(len(weights) - 1, -1, -1):
            inputs = self._inputs[index]  # [B, layer's inputs]
            torch.mm(gradient.t(), inputs, out=into[2 * index])
            torch.sum(gradient, 0, out=into[2 * index + 1])
            if index:
                gradient = self._gradient(torch.mm(gradient, weights[index][0]), inputs)

    def _weights(self) -> list[tuple[Tensor, Tensor]]:
        return [(layer.weight, layer.bias) for layer in self.layers]  # type: ignore[misc]
