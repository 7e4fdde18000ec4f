"""Covariance matrix adaptation of a normal distribution over a policy network's weights.

Hansen, "The CMA evolution strategy: a tutorial", 2016, by way of the library `cmaes` (Nomura and Shibata 2024);
`covariance=diagonal`: Ros and Hansen, "A simple modification in CMA-ES achieving linear time and space complexity",
PPSN 2008; `update=rank-mu`: the tutorial's rank-µ update alone (section 3.2), with momentum and weights of one's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray

from rlhub_core import ConfigError, NonFiniteError, Scheduled, option
from rlhub_core.memory import Held, check_run
from rlhub_core.schedules import is_open, value
from rlhub_deep.evolution import Evolution, EvolutionConfig
from rlhub_deep.modules import Initialization

Array = NDArray[np.float64]
RankFunction = Callable[[float], float]  # of an int it would be the type of a schedule
"""`function(rank)` returns the weight of a member, rank 1 being the worst."""

# Weights whose covariance matrix is kept whole. A diagonal is learnt sooner (Ros and Hansen 2008), and policies are
# given few generations: 30 of them balanced CartPole's pole with 86 weights 10 times of 10, 6 with all of the matrix.
LARGEST_FULL = 50
MATRICES = 8  # of a covariance's size while it is brought up to date; the library has two more for each member
RANK_MU = ("alpha_mu", "alpha_cm", "beta_mu", "beta_cm", "rank_weights")
SQUARE = 2.0  # exponent of the ranks where none is given


@dataclass(frozen=True)
class CMAESConfig(EvolutionConfig):
    """Hyper-parameters of `deep/cmaes`. Schedules are counted in generations."""

    update: Literal["cma-es", "rank-mu"] = option(
        "cma-es", "step size, evolution paths and covariance; or rank-µ updates of mean and covariance with momentum"
    )
    population_size: int | None = option(None, "members a generation; none: 4 + 3 ln(weights)", minimum=4)
    sigma: float = option(0.5, "first standard deviation of every weight", minimum=1e-12)
    covariance: Literal["full", "diagonal"] | None = option(
        None, f"a whole matrix or its diagonal alone; none: whole up to {LARGEST_FULL} weights"
    )
    initialization: Literal["zero"] | Initialization | None = option(
        "zero", "of the weights that the mean starts from; none: as the network has them (he on images, else pytorch)"
    )
    alpha_mu: Scheduled[float] | None = option(None, "rank-mu: step size of the mean; none: 1", minimum=0)
    alpha_cm: Scheduled[float] | None = option(None, "rank-mu: step size of the covariance; none: 0.5", minimum=0)
    beta_mu: Scheduled[float] | None = option(None, "rank-mu: momentum of the mean; none: 0", minimum=0)
    beta_cm: Scheduled[float] | None = option(None, "rank-mu: momentum of the covariance; none: 0", minimum=0)
    rank_weights: float | RankFunction | None = option(
        None, f"rank-mu: exponent of the ranks 1 (worst) to P, or a function of the rank; none: {SQUARE:g}"
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            given = getattr(self, each.name)
            if is_open(given):
                raise ConfigError(f"{each.name}: {given} needs its length, in generations.")
            if self.update == "cma-es" and each.name in RANK_MU and given is not None:
                raise ConfigError(f"{each.name}: update=cma-es has none; it is for update=rank-mu.")
        if self.population_size is not None:
            rank_function(self.rank_weights, self.population_size)


class CMAES(Evolution):
    """Draws weights from a normal distribution whose mean and covariance follow the better members."""

    Config: ClassVar[type[CMAESConfig]] = CMAESConfig

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        config: CMAESConfig,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        super().__init__(observation_space, action_space, config, seed=seed, total_steps=total_steps, device=device)
        mean = self.network.weights.cpu().numpy().astype(np.float64)
        diagonal = config.covariance == "diagonal" or (config.covariance is None and mean.size > LARGEST_FULL)
        population_size = config.population_size or 4 + int(3 * np.log(mean.size))  # equation 48
        if not diagonal:
            matrices = MATRICES + 2 * population_size * (config.update == "cma-es")
            held = Held("covariance", 8 * matrices * mean.size**2, "covariance=diagonal")
            check_run([held], f"deep/cmaes with the whole covariance matrix of {mean.size:,} weights")
        kind: Any = CovarianceAdaptation if config.update == "cma-es" else RankMu
        self.search: CovarianceAdaptation | RankMu = kind(mean, diagonal, population_size, config)

    @property
    def population(self) -> int:
        """How many members a generation has."""
        return self.search.population_size

    def ask(self) -> Array:
        """Draw a population [P, n]."""
        return self.search.ask(self.rng)

    def tell(self, members: Array, fitness: Array) -> None:
        """Move the distribution."""
        try:
            self.search.tell(members, fitness, self.clock)
        except NonFiniteError as error:
            error.batch = {"members": members, "fitness": fitness}
            raise
        self.network.weights.copy_(torch.from_numpy(self.search.mean))

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Learn once more from a population at which this search met a number that is not finite."""
        self.tell(batch["members"], batch["fitness"])

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw members [count, n], whole populations of which the last is cut."""
        populations = -(-count // self.search.population_size)
        return np.concatenate([self.search.ask(rng) for _ in range(populations)])[:count]

    @property
    def clock(self) -> int:
        """What schedules are read at: generations so far."""
        return self.generation

    def search_state(self) -> dict[str, Any]:
        """Return the distribution and how it moves."""
        return self.search.state()

    def restore_search(self, saved: dict[str, Any]) -> None:
        """Become the search whose state was taken."""
        self.search.restore(saved)


class CovarianceAdaptation:
    """CMA-ES as the library `cmaes` has it.

    Args:
        mean: [n] to start from.
        diagonal: keep variances alone.
        population_size: P.
        config: its first step size.
    """

    def __init__(self, mean: Array, diagonal: bool, population_size: int, config: CMAESConfig) -> None:
        from cmaes import CMA, SepCMA  # here, so that no other algorithm waits for it

        self.population_size = population_size
        kind: Any = SepCMA if diagonal and mean.size > 1 else CMA
        self._optimizer = kind(mean=mean, sigma=config.sigma, population_size=population_size)

    @property
    def mean(self) -> Array:
        """The distribution's mean [n]."""
        mean: Array = self._optimizer.mean
        return mean

    def ask(self, rng: np.random.Generator) -> Array:
        """Draw a population [P, n] and change nothing."""
        twin = copy.deepcopy(self._optimizer)  # the library rounds the covariance matrix anew when it is asked
        twin.reseed_rng(int(rng.integers(2**32)))  # so that ours is the only generator to save
        return np.stack([twin.ask() for _ in range(self.population_size)])

    def tell(self, members: Array, fitness: Array, generation: int) -> None:
        """Move mean, step size, paths and covariance; the library minimises."""
        twin = copy.deepcopy(self._optimizer)
        try:
            twin.tell(list(zip(members, -fitness, strict=True)))
        except AssertionError as error:  # its way to say that a weight is beyond 1e32
            raise NonFiniteError(f"the search has left all bounds: {str(error).rstrip('.')}") from None
        # it keeps half of the covariance matrix, which is symmetric but for the last bits
        attributes = twin.__getstate__()
        _check_moments({name.strip("_"): attributes[name] for name in ("_mean", "_sigma")})
        self._optimizer.__setstate__(attributes)

    def state(self) -> dict[str, Any]:
        """Return the optimiser's attributes but for its generator and for what only its unused stopping rule reads."""
        attributes = self._optimizer.__getstate__()
        attributes.pop("_funhist_values")  # memory that is not initialised
        return {name: each.item() if isinstance(each, np.generic) else each for name, each in attributes.items()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Become the optimiser whose `state` was taken."""
        self._optimizer.__setstate__(dict(saved))


class Rates(NamedTuple):
    """Step sizes and momentum of `rank_mu_update` in a generation."""

    alpha_mu: float
    alpha_cm: float
    beta_mu: float
    beta_cm: float


class Moments(NamedTuple):
    """A normal distribution and the last changes of its parameters."""

    mean: Array  # [n]
    covariance: Array  # [n, n], or [n] variances
    mean_change: Array
    covariance_change: Array


class RankMu:
    """A normal distribution that moves by weighted recombination and rank-µ updates alone: no paths, no step size.

    Args:
        mean: [n] to start from.
        diagonal: keep variances alone.
        population_size: P.
        config: its first standard deviation, schedules and rank weights.
    """

    def __init__(self, mean: Array, diagonal: bool, population_size: int, config: CMAESConfig) -> None:
        self.population_size, self._config = population_size, config
        self._weight = rank_function(config.rank_weights, population_size)
        covariance = config.sigma**2 * (np.ones(mean.size) if diagonal else np.eye(mean.size))
        self._moments = Moments(mean, covariance, np.zeros_like(mean), np.zeros_like(covariance))

    @property
    def mean(self) -> Array:
        """The distribution's mean [n]."""
        return self._moments.mean

    def ask(self, rng: np.random.Generator) -> Array:
        """Draw a population [P, n] and change nothing."""
        mean, covariance, *_ = self._moments
        normal = rng.standard_normal((self.population_size, mean.size))
        if covariance.ndim == 1:
            members: Array = mean + normal * np.sqrt(covariance.clip(0))
            return members
        variances, axes = np.linalg.eigh(covariance)
        members = mean + (normal * np.sqrt(variances.clip(0))) @ axes.T  # momentum may leave some below 0
        return members

    def tell(self, members: Array, fitness: Array, generation: int) -> None:
        """Move mean and covariance."""
        config = self._config
        given = zip((config.alpha_mu, config.alpha_cm, config.beta_mu, config.beta_cm), (1, 0.5, 0, 0), strict=True)
        rates = Rates(*(value(default if rate is None else rate, generation) for rate, default in given))
        moments = rank_mu_update(self._moments, members, recombination_weights(fitness, self._weight), rates)
        _check_moments(moments._asdict())
        self._moments = moments

    def state(self) -> dict[str, Any]:
        """Return the distribution and its last changes."""
        return self._moments._asdict()

    def restore(self, saved: dict[str, Any]) -> None:
        """Become the distribution whose `state` was taken."""
        self._moments = Moments(**saved)


def _check_moments(moments: dict[str, Any]) -> None:
    """Raise NonFiniteError where a distribution is none any more."""
    limit = np.finfo(np.float32).max  # of the weights that are made of it
    for name, numbers in moments.items():
        if not (np.abs(numbers) <= limit).all():
            raise NonFiniteError(f"the distribution's {name.replace('_', ' ')} is not finite", found=moments)


def rank_mu_update(before: Moments, members: Array, weights: Array, rates: Rates) -> Moments:
    """Return the distribution after weighted recombination and a rank-µ update, each with momentum.

    Hansen (2016), sections 2.2 and 3.2, with c_m = alpha_mu and c_µ = alpha_cm where there is no momentum (beta_mu =
    beta_cm = 0) and no step size. With y_i = x_i − m, Δm ← beta_mu Δm + Σ w_i y_i and
    ΔC ← beta_cm ΔC + Σ w_i y_i y_iᵀ − C; then m ← m + alpha_mu Δm and C ← C + alpha_cm ΔC.

    Args:
        before: with the changes of the last time.
        members: [P, n].
        weights: [P], which add up to 1.
        rates: of this generation.
    """
    offsets = members - before.mean  # [P, n] from the mean before it moves
    whole = before.covariance.ndim == 2
    spread = (offsets.T * weights) @ offsets if whole else weights @ offsets**2
    mean_change = rates.beta_mu * before.mean_change + weights @ offsets
    covariance_change = rates.beta_cm * before.covariance_change + spread - before.covariance
    return Moments(
        before.mean + rates.alpha_mu * mean_change,
        before.covariance + rates.alpha_cm * covariance_change,
        mean_change,
        covariance_change,
    )


def recombination_weights(fitness: Array, weight: RankFunction) -> Array:
    """Return weights [P] that add up to 1, in proportion to those of the dense ranks: 1 the worst, equals alike.

    Args:
        fitness: [P].
        weight: of a rank.
    """
    ranks = np.unique(fitness, return_inverse=True)[1] + 1
    weights = np.array([weight(int(rank)) for rank in ranks], float)
    if weights.sum() == 0:  # where all are the worst, and that counts nothing
        weights[:] = 1.0
    normalized: Array = weights / weights.sum()
    return normalized


def rank_function(given: float | RankFunction | None, population_size: int) -> RankFunction:
    """Return the weight of a rank, as `rank_weights` writes it.

    Raises:
        ConfigError: where a better rank may weigh less, all weigh the same, or a weight is negative or no number.
    """
    exponent = SQUARE if given is None else given
    weight: RankFunction = exponent if callable(exponent) else lambda rank: float(rank**exponent)
    try:
        weights = np.array([float(weight(rank)) for rank in range(1, population_size + 1)])
    except Exception as error:  # whatever a user's function raises
        raise ConfigError(f"rank_weights: it cannot weigh ranks: {type(error).__name__}: {error}") from error
    kept = np.isfinite(weights).all() and weights[0] >= 0 and (np.diff(weights) >= 0).all() and weights[-1] > weights[0]
    if not kept:
        shown = ", ".join(f"{each:g}" for each in weights[:5])
        raise ConfigError(
            "rank_weights: it must keep the order of the ranks: no weight below 0, a better rank never weighing less "
            f"than a worse one, the best more than the worst. Ranks 1 (the worst), 2, … weigh {shown}."
        )
    return weight
