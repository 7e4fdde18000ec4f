"""What a policy's network outputs mean: a distribution over the actions of a space.

Each draws with numpy, from a generator that is the algorithm's own, and is scored with torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import SpaceError
from rlhub_core.errors import squeezed
from rlhub_deep.modules import Head

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
SMALL = 0.01  # gain of a policy's last layer: at first all actions are as likely (Andrychowicz et al. 2021)


class Score(NamedTuple):
    """How likely actions were, with the way back from there to the network's outputs."""

    log_prob: Tensor  # [B] log π(a|s)
    entropy: Tensor  # [B] in nats
    backward: Callable[[Tensor, float], Tensor]
    """`backward(log_prob_gradient [B], entropy_gradient)` is the gradient of a loss with respect to the outputs."""


class Distribution(Protocol):
    """Of actions, given network outputs [B, outputs]. Actions are as the algorithm stores them; see `to_env`."""

    outputs: int  # that it needs for an observation

    def heads(self, deviation: float | None) -> list[Head]:
        """Return the heads that give its outputs; a deviation of its own where one is given (Gaussian only)."""
        ...

    def sample(self, outputs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions [B, ...] drawn from it."""
        ...

    def mode(self, outputs: NDArray[np.float32]) -> NDArray[Any]:
        """Return the likeliest actions [B, ...]."""
        ...

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return actions [B, ...] as the environment takes them."""
        ...

    def from_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return actions [B, ...] of the environment as the algorithm stores them."""
        ...

    def score(self, outputs: Tensor, actions: Tensor) -> Score:
        """Return how likely actions [B, ...] are."""
        ...


class Categorical:
    """Outputs are the logits of n actions."""

    def __init__(self, space: Discrete) -> None:
        self.outputs, self.start = int(space.n), int(space.start)

    def heads(self, deviation: float | None) -> list[Head]:
        """Return one head of n logits."""
        return [Head(self.outputs, SMALL)]

    def sample(self, outputs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return actions [B]: the largest logit with Gumbel noise is a draw from the softmax."""
        return self.mode(outputs + rng.gumbel(size=outputs.shape))

    def mode(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """Return the likeliest actions [B]."""
        actions: NDArray[np.int64] = outputs.argmax(1)
        return actions

    def to_env(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return actions counted from the space's start."""
        return actions + self.start

    def from_env(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Return actions counted from 0."""
        return np.asarray(actions, np.int64) - self.start

    def score(self, outputs: Tensor, actions: Tensor) -> Score:
        """Return how likely actions [B] are."""
        log, taken = outputs.log_softmax(1), actions[:, None]
        probability = log.exp()
        surprise = torch.special.entr(probability)  # -p log p, and 0 where an action is impossible
        entropy = surprise.sum(1)

        def backward(log_prob_gradient: Tensor, entropy_gradient: float) -> Tensor:
            slope = log_prob_gradient[:, None]
            gradient = probability * -slope
            gradient.scatter_add_(1, taken, slope)  # ∂ log π(a) / ∂ logits is 1 at a, less the probabilities
            if entropy_gradient:
                gradient += entropy_gradient * (surprise - probability * entropy[:, None])
            return gradient

        return Score(log.gather(1, taken)[:, 0], entropy, backward)


class MultiCategorical:
    """Outputs are the logits of several independent choices, one after the other."""

    def __init__(self, space: MultiDiscrete | MultiBinary) -> None:
        self.shape, self.dtype = space.shape, space.dtype
        if isinstance(space, MultiBinary):
            self.sizes, self.start = [2] * math.prod(self.shape), np.zeros(math.prod(self.shape), np.int64)
        else:
            self.sizes, self.start = space.nvec.flatten().tolist(), space.start.flatten()
        self.outputs = sum(self.sizes)

    def heads(self, deviation: float | None) -> list[Head]:
        """Return one head of all logits."""
        return [Head(self.outputs, SMALL)]

    def sample(self, outputs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return actions [B, choices]."""
        return self.mode(outputs + rng.gumbel(size=outputs.shape))

    def mode(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """Return the likeliest actions [B, choices]."""
        parts = np.split(outputs, np.cumsum(self.sizes)[:-1], axis=1)
        return np.stack([part.argmax(1) for part in parts], axis=1)

    def to_env(self, actions: NDArray[np.int64]) -> NDArray[Any]:
        """Return actions in the space's shape, counted from its start."""
        return (actions + self.start).reshape(-1, *self.shape).astype(self.dtype, copy=False)

    def from_env(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Return actions [B, choices] counted from 0."""
        return actions.reshape(len(actions), -1).astype(np.int64) - self.start

    def score(self, outputs: Tensor, actions: Tensor) -> Score:
        """Return how likely actions [B, choices] are, all of them together."""
        choices = zip(torch.split(outputs, self.sizes, 1), actions.unbind(1), strict=True)
        parts = [Categorical.score(self, *choice) for choice in choices]  # type: ignore[arg-type]
        return Score(
            torch.stack([part.log_prob for part in parts]).sum(0),
            torch.stack([part.entropy for part in parts]).sum(0),
            lambda *slopes: torch.cat([part.backward(*slopes) for part in parts], 1),
        )


class Gaussian:
    """Outputs are means and logarithms of standard deviations of independent normal distributions.

    An action outside the space is clipped for the environment alone; what is learnt from is the one drawn.

    Args:
        space: of floats.
        min_deviation: least standard deviation.
    """

    def __init__(self, space: Box, min_deviation: float = 1e-3) -> None:
        self.space, self.shape = space, space.shape
        self.size = math.prod(space.shape)
        self.outputs = 2 * self.size
        self.least = math.log(min_deviation)

    def heads(self, deviation: float | None) -> list[Head]:
        """Return a head of means and one of deviations, or, where none is given, one of both."""
        if deviation is None:
            return [Head(self.outputs, SMALL)]
        return [Head(self.size, SMALL), Head(self.size, constant=math.log(deviation))]

    def sample(self, outputs: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return actions [B, size]."""
        mean, log_deviation = np.split(outputs, 2, axis=1)
        noise = rng.standard_normal(mean.shape, dtype=np.float32)
        actions: NDArray[np.float32] = mean + np.exp(log_deviation.clip(self.least)) * noise
        return actions

    def mode(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the means [B, size]."""
        return outputs[:, : self.size]

    def to_env(self, actions: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions in the space's shape and type, clipped to its bounds."""
        shaped = actions.reshape(-1, *self.shape)
        return np.clip(shaped, self.space.low, self.space.high).astype(self.space.dtype, copy=False)

    def from_env(self, actions: NDArray[Any]) -> NDArray[np.float32]:
        """Return actions [B, size]."""
        return actions.reshape(len(actions), -1).astype(np.float32)

    def score(self, outputs: Tensor, actions: Tensor) -> Score:
        """Return the log density of actions [B, size] and the differential entropy, sums over the components."""
        mean, given = outputs[:, : self.size], outputs[:, self.size :]
        log_deviation = given.clamp(min=self.least)
        scale = (-log_deviation).exp()
        deviations = (actions - mean) * scale
        log_prob = (-0.5 * deviations.square() - log_deviation - LOG_ROOT_2PI).sum(1)

        def backward(log_prob_gradient: Tensor, entropy_gradient: float) -> Tensor:
            slope = log_prob_gradient[:, None]
            of_deviation = slope * (deviations.square() - 1) + entropy_gradient
            free = (given >= self.least) | (of_deviation < 0)  # what is too small already may only grow
            return torch.cat([slope * deviations * scale, of_deviation * free], 1)

        return Score(log_prob, (log_deviation + (0.5 + LOG_ROOT_2PI)).sum(1), backward)


def distribution_of(space: Space[Any], min_deviation: float = 1e-3) -> Distribution:
    """Return the distribution for an action space.

    Raises:
        SpaceError: for a space of other kinds, or a Box of integers.
    """
    if isinstance(space, Discrete):
        return Categorical(space)
    if isinstance(space, (MultiDiscrete, MultiBinary)):
        return MultiCategorical(space)
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        return Gaussian(space, min_deviation)
    raise SpaceError(
        f"A policy draws Discrete, MultiDiscrete and MultiBinary actions and those of a Box of floats, not of "
        f"{squeezed(space)}."
    )
