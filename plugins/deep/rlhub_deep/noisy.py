"""Noisy linear layers: exploration that is learnt.

Fortunato et al., "Noisy networks for exploration", ICLR 2018.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

INITIAL_SIGMA = 0.5  # σ₀ of section 3.2


class NoisyLinear(nn.Linear):
    """A linear layer whose weights are w + σ ε, with factorised Gaussian noise ε = f(ε_out) f(ε_in)ᵀ.

    With f(x) = sign(x) √|x| (equations 10 and 11). Since (σ ∘ ε) x = f(ε_out) ∘ σ (f(ε_in) ∘ x), the noisy weights are
    never written down. Without noise, as a policy is evaluated, it is the linear layer of w.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.uniform_(self.weight, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
        nn.init.uniform_(self.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), INITIAL_SIGMA / math.sqrt(inputs)))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), INITIAL_SIGMA / math.sqrt(inputs)))
        self.noise: tuple[Tensor, Tensor] | None = None  # f(ε_in) [inputs], f(ε_out) [outputs]

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [B, inputs] to [B, outputs], all rows with the same noise."""
        outputs = super().forward(inputs)
        if self.noise is None:
            return outputs
        noise_in, noise_out = self.noise
        return outputs + noise_out * nn.functional.linear(inputs * noise_in, self.weight_sigma, self.bias_sigma)

    def draw(self, rng: np.random.Generator) -> None:
        """Draw new noise."""
        drawn = rng.standard_normal(self.in_features + self.out_features, np.float32)
        noise = torch.from_numpy(np.sign(drawn) * np.sqrt(np.abs(drawn))).to(self.weight)
        self.noise = noise[: self.in_features], noise[self.in_features :]


def draw_noise(module: nn.Module, rng: np.random.Generator | None) -> None:
    """Draw new noise for every noisy layer of a module, or silence them all where there is no `rng`."""
    for layer in module.modules():
        if isinstance(layer, NoisyLinear):
            if rng is None:
                layer.noise = None
            else:
                layer.draw(rng)
