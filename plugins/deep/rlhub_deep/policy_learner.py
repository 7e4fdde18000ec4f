"""What every algorithm has that learns a policy's network: its hyper-parameters, its parts, acting, saving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from rlhub_core import Actor, ConfigError, Scheduled, option, state
from rlhub_core.actors import STATE_VALUE, with_values
from rlhub_core.schedules import resolved
from rlhub_deep.distributions import distribution_of
from rlhub_deep.modules import Activation, Factory, Head, Initialization, choose_device, make_heads
from rlhub_deep.network import Network, Optimizer, Precision


@dataclass(frozen=True)
class PolicyConfig:
    """Hyper-parameters of a policy and how its weights change."""

    learning_rate: Scheduled[float] = option(7e-4, "step size of the optimiser", minimum=0)
    optimizer: str = option(
        "adam:eps=1e-5", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95"
    )
    max_grad_norm: Scheduled[float] | None = option(0.5, "gradients are scaled down to this norm", minimum=0)
    precision: Precision = option("fp32", "of matrix products; bf16: faster, with weights kept in fp32")
    hidden_sizes: tuple[int, ...] | None = option(None, "hidden layers; none: 512 on images, else 64, 64", unit="units")
    activation: Activation = option("tanh", "of hidden layers; on images relu")
    layer_norm: bool = option(False, "normalise before every activation")
    initialization: Initialization | None = option(None, "of the weights; none: orthogonal, small for the policy")
    deviation: float | None = option(
        1.0, "first standard deviation of continuous actions; none: of every observation its own", minimum=1e-6
    )
    min_deviation: float = option(1e-3, "least standard deviation of continuous actions", minimum=1e-6)
    network: Factory | None = option(
        None, "(observation space, outputs) -> torch module: the policy's outputs, then the value where there is one"
    )

    def __post_init__(self) -> None:
        if self.deviation is not None and self.deviation < self.min_deviation:
            raise ConfigError(
                f"deviation: it begins at {self.deviation:g}, below min_deviation={self.min_deviation:g}. Raise it."
            )


class PolicyLearner:
    """Has a network whose outputs are a policy's, and a value's where `values` is 1."""

    Config: ClassVar[type[Any]]
    values: int = 1
    shared: ClassVar[bool] = False  # between processes

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        config: Any,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        config = resolved(config, total_steps)
        self.config, self.steps = config, 0
        self.observation_space = observation_space
        self.policy = distribution_of(action_space, config.min_deviation)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        module = make_heads(
            observation_space,
            [*self.policy.heads(config.deviation), *[Head(1)] * self.values],
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            layer_norm=config.layer_norm,
            initialization=config.initialization,
            factory=config.network,
            seed=seed,
        )
        given = config.network is not None
        self.network = Network(module.to(self.device), config.precision, given=given, seed=seed, shared=self.shared)
        self.optimizer = Optimizer(self.network, config.optimizer)

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the policy's likeliest actions, or draws from it, from a stream of their own."""
        rng = np.random.default_rng((self.seed, self.steps)) if explore else None

        def act(observations: Any, first: NDArray[np.bool_]) -> Any:
            outputs = self.network.of_arrays(observations)[:, : self.policy.outputs]
            return self.policy.to_env(self.policy.mode(outputs) if rng is None else self.policy.sample(outputs, rng))

        if not self.values:
            return act
        return with_values(act, lambda observations: {STATE_VALUE: self.network.of_arrays(observations)[:, -1]})

    def save(self, folder: Path) -> None:
        """Write network, optimiser, random generator and step count."""
        saved = {"network": self.network.state(), "optimizer": self.optimizer.state()}
        state.save(folder, "policy", saved | {"steps": self.steps, "rng": self.rng.bit_generator.state})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "policy")
        self.steps, self.rng.bit_generator.state = saved["steps"], saved["rng"]
        self.network.restore(saved["network"])
        self.optimizer.restore(saved["optimizer"])
