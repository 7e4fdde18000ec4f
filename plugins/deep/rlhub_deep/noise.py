"""Exploration noise that is added to continuous actions: white, or remembering.

Uhlenbeck & Ornstein, "On the theory of the Brownian motion", Physical Review 36 (1930); for exploration Lillicrap et
al., "Continuous control with deep reinforcement learning", ICLR 2016, section 3.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

NoiseKind = Literal["gaussian", "ornstein-uhlenbeck"]


def ornstein_uhlenbeck(
    x: NDArray[np.float64], normal: NDArray[np.float64], *, sigma: float, theta: float, dt: float, mean: float = 0.0
) -> NDArray[np.float64]:
    """Return x + θ (μ - x) dt + σ √dt n, a step of the process after Euler and Maruyama, elementwise.

    Args:
        x: where it is.
        normal: n, as many numbers drawn from the standard normal distribution.
        sigma: σ, how strongly it is pushed.
        theta: θ, how strongly it is pulled back.
        dt: what time passes.
        mean: μ, where it is pulled to.
    """
    moved: NDArray[np.float64] = x + theta * (mean - x) * dt + sigma * dt**0.5 * normal
    return moved


class Noise:
    """Noise for the actions of B environments, each with a memory of its own that an episode's first step clears.

    White noise is the process that has forgotten everything after a step: θ = dt = 1.

    Args:
        kind: "gaussian", which is white, or "ornstein-uhlenbeck".
        size: numbers in an action.
    """

    def __init__(self, kind: NoiseKind, size: int) -> None:
        self.white, self.size = kind == "gaussian", size
        self.x = np.zeros((0, size))  # [B, size]

    def step(
        self, rng: np.random.Generator, first: NDArray[np.bool_], sigma: float, theta: float, dt: float
    ) -> NDArray[np.float64]:
        """Return noise [B, size].

        Args:
            rng: drawn from.
            first: [B] whose episode begins.
            sigma: σ; the standard deviation of white noise.
            theta: θ, of no use to white noise.
            dt: likewise.
        """
        if len(self.x) != len(first):
            self.x = np.zeros((len(first), self.size))
        theta, dt = (1.0, 1.0) if self.white else (theta, dt)
        x = np.where(first[:, None], 0.0, self.x)
        self.x = ornstein_uhlenbeck(x, rng.standard_normal(x.shape), sigma=sigma, theta=theta, dt=dt)
        return self.x

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"x": self.x}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on as the one whose `state` was taken."""
        self.x = saved["x"]
