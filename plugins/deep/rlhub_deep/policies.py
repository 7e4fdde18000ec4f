"""Ready networks for the `network` of any algorithm: rlmodels' policy classes, with ReLU hidden layers.

config={"network": FullyConnected((6, 6), output="tanh")}

Each is a callable `(observation space, outputs) -> torch module`. An actor-critic asks for one output more than its
policy has, the state's value, which then shares the hidden layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import Space
from torch import Tensor, nn

from rlhub_deep.modules import example, features
from rlhub_deep.perceptron import Perceptron

Output = Literal["tanh", "sigmoid", "softplus", "relu"]
OUTPUTS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "relu": nn.ReLU,
}


@dataclass(frozen=True)
class FullyConnected:
    """Linear layers with ReLU between them, and an activation of all outputs, a value among them, where one is named.

    Args:
        layer_sizes: units of the hidden layers.
        output: "tanh", "sigmoid", "softplus", "relu", or None for linear outputs.
    """

    layer_sizes: tuple[int, ...]
    output: Output | None = None

    def __call__(self, observation_space: Space[Any], outputs: int) -> nn.Module:
        """Return a module from observations [B, ...] to outputs [B, outputs]."""
        layers = _perceptron(observation_space, self.layer_sizes, outputs)
        return layers if self.output is None else nn.Sequential(layers, OUTPUTS[self.output]())


@dataclass(frozen=True)
class DiscretePolicy:
    """The logits of a categorical distribution over actions.

    Args:
        layer_sizes: units of the hidden layers.
    """

    layer_sizes: tuple[int, ...]

    def __call__(self, observation_space: Space[Any], outputs: int) -> nn.Module:
        """Return a module from observations [B, ...] to logits [B, outputs]."""
        return _perceptron(observation_space, self.layer_sizes, outputs)


@dataclass(frozen=True)
class ContinuousPolicy:
    """The means and then the logarithms of the standard deviations of independent normal distributions.

    Args:
        layer_sizes: units of the hidden layers.
        mean: "tanh", or None for linear means.
        min_deviation: least standard deviation.
    """

    layer_sizes: tuple[int, ...]
    mean: Literal["tanh"] | None = None
    min_deviation: float = 0.1

    def __call__(self, observation_space: Space[Any], outputs: int) -> nn.Module:
        """Return a module from observations [B, ...] to means, log deviations and, of an odd number, a value."""
        layers = _perceptron(observation_space, self.layer_sizes, outputs)
        return nn.Sequential(layers, MeanAndDeviation(outputs // 2, self.mean, self.min_deviation))


class MeanAndDeviation(nn.Module):
    """Bounds means and deviations, and leaves what follows them as it is.

    Args:
        size: means, and deviations.
        mean: "tanh" or None.
        min_deviation: least standard deviation.
    """

    def __init__(self, size: int, mean: str | None, min_deviation: float) -> None:
        super().__init__()
        self.size, self.mean, self.least = size, mean, math.log(min_deviation)

    def forward(self, outputs: Tensor) -> Tensor:
        """Map [B, 2 size or 2 size + 1] to as many."""
        mean, log_deviation, value = outputs.tensor_split((self.size, 2 * self.size), 1)
        mean = mean.tanh() if self.mean == "tanh" else mean
        return torch.cat([mean, log_deviation.clamp(min=self.least), value], 1)


def _perceptron(space: Space[Any], layer_sizes: tuple[int, ...], outputs: int) -> Perceptron:
    encode = features(space)
    width = int(encode(example(space)).shape[1])
    return Perceptron(encode, [width, *layer_sizes, outputs], "relu")
