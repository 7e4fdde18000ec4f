"""OpenAI's evolution strategy: the gradient of a smoothed return, estimated from mirrored perturbations of the weights.

Salimans et al., "Evolution strategies as a scalable alternative to reinforcement learning", 2017, algorithm 1 with what
section 2.1 adds: mirrored sampling (Brockhoff et al., PPSN 2010), fitness shaping by ranks, weight decay, Adam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray

from rlhub_core import NonFiniteError, Scheduled, option
from rlhub_core.schedules import value, whole
from rlhub_deep.evolution import Evolution, EvolutionConfig
from rlhub_deep.modules import Initialization
from rlhub_deep.network import Optimizer


@dataclass(frozen=True)
class OpenAIESConfig(EvolutionConfig):
    """Hyper-parameters of `deep/openai_es`."""

    population_size: Scheduled[int] = option(64, "members a generation, in mirrored pairs", minimum=2)
    sigma: Scheduled[float] = option(0.1, "standard deviation of every weight's perturbation", minimum=1e-12)
    learning_rate: Scheduled[float] = option(0.05, "step size of the optimiser", minimum=0)
    weight_decay: Scheduled[float] = option(0.005, "share of the weights in the gradient that shrinks them", minimum=0)
    optimizer: str = option("adam", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95")
    max_grad_norm: Scheduled[float] | None = option(None, "gradients are scaled down to this norm", minimum=0)
    initialization: Initialization | None = option(None, "of the weights; none: he on images, else pytorch")


class OpenAIES(Evolution):
    """Moves weights along the estimated gradient of the population's shaped fitness."""

    Config: ClassVar[type[OpenAIESConfig]] = OpenAIESConfig

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        config: OpenAIESConfig,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        super().__init__(observation_space, action_space, config, seed=seed, total_steps=total_steps, device=device)
        self.optimizer = Optimizer(self.network, config.optimizer)

    @property
    def population(self) -> int:
        """How many members the next generation has."""
        return whole(self.config.population_size, self.clock)

    def ask(self) -> NDArray[np.float32]:
        """Draw members [P, n] in pairs mirrored at the mean."""
        pairs = -(-whole(self.config.population_size, self.clock) // 2)
        offsets = self._offsets(pairs, self.rng)
        mean = self.network.weights.cpu().numpy()
        return np.concatenate([mean + offsets, mean - offsets])

    def tell(self, members: NDArray[np.float32], fitness: NDArray[np.float64]) -> None:
        """Take one step of the optimiser, up the estimated gradient of the fitness and towards smaller weights."""
        config, step, weights = self.config, self.clock, self.network.weights
        gradient = search_gradient(members - weights.cpu().numpy(), centred_ranks(fitness), value(config.sigma, step))
        decay = value(config.weight_decay, step) * weights
        self.network.gradient.copy_(decay - torch.from_numpy(gradient).to(self.device))  # the optimiser descends
        try:
            self.optimizer.step(value(config.learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as error:
            error.batch = {"members": members, "fitness": fitness}
            raise

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Learn once more from a population at which this search met a number that is not finite."""
        self.tell(batch["members"], batch["fitness"])

    def sample(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw members [count, n] that are no pairs."""
        return self.network.weights.cpu().numpy() + self._offsets(count, rng)

    def search_state(self) -> dict[str, Any]:
        """Return the optimiser's moments."""
        return self.optimizer.state()

    def restore_search(self, saved: dict[str, Any]) -> None:
        """Become the optimiser whose moments were taken."""
        self.optimizer.restore(saved)

    def _offsets(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        normal = rng.standard_normal((count, self.network.weights.numel()), np.float32)
        return normal * np.float32(value(self.config.sigma, self.clock))


def search_gradient(offsets: NDArray[np.float32], shaped: NDArray[np.float64], sigma: float) -> NDArray[np.float32]:
    """Return the estimate of ∇ E[F(θ + σ ε)] = E[F ε] / σ, with offsets σ ε.

    Salimans et al. (2017), equation 1 and algorithm 1.

    Args:
        offsets: [P, n] of the members from the mean.
        shaped: [P] fitness.
        sigma: σ.
    """
    gradient: NDArray[np.float32] = shaped.astype(np.float32) @ offsets / np.float32(len(offsets) * sigma**2)
    return gradient


def centred_ranks(fitness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from -1/2 (the worst) to 1/2 (the best) [P], equals sharing the mean of theirs.

    Salimans et al. (2017), section 2.1, after Wierstra et al., "Natural evolution strategies", JMLR 15 (2014).

    Args:
        fitness: [P].
    """
    _, place, count = np.unique(fitness, return_inverse=True, return_counts=True)
    last = np.cumsum(count)  # of each distinct fitness, counted from 1
    ranks = (last - (count + 1) / 2)[place]  # from 0
    centred: NDArray[np.float64] = ranks / (len(fitness) - 1) - 0.5
    return centred
