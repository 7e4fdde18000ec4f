"""What planners share: they sweep over all states of a model until nothing changes any more, and act greedily."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rlhub_core import Actor, Collector, ConfigError, EnvironmentContractError, Progress, option, state
from rlhub_tabular.model import Floats, Model
from rlhub_tabular.states import States


@dataclass(frozen=True)
class PlannerConfig:
    """Hyper-parameters of planners."""

    discount: float = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    threshold: float | None = option(
        1e-10, "largest change of a sweep that ends planning; none: only steps end it", minimum=0
    )


class Planner:
    """Computes values from a model, sweep by sweep. Its `steps` are sweeps; no env step is taken.

    Attributes:
        values: [S] of the states.
        q_values: [S, A] of the actions, −∞ where one is impossible.
        residual: largest change of the last sweep.
    """

    Config: ClassVar[type[PlannerConfig]] = PlannerConfig
    name: ClassVar[str]  # of the algorithm

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        config: PlannerConfig,
        *,
        seed: int = 0,
        total_steps: int = 1,
        device: str = "cpu",
    ) -> None:
        self.config, self.steps = config, 0
        self.numbers = States(observation_space)
        self.first_action = int(action_space.start)
        self.values: Floats = np.zeros(self.numbers.count)
        self.q_values: Floats = np.zeros((self.numbers.count, int(action_space.n)))
        self.residual = np.inf

    @property
    def policy(self) -> NDArray[np.int64]:
        """[S] the best action of each state, counted from 0; the first of several."""
        best: NDArray[np.int64] = self.q_values.argmax(1)
        return best

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Sweep until the largest change is within the threshold, or `steps` >= `until`."""
        model = self._model(collector)
        if not self.steps:
            self.q_values = np.where(model.possible, 0.0, -np.inf)
        endless = self.config.threshold is None
        while self.steps < until and (endless or self.residual > self.tolerance):
            metrics = self.sweep(model)
            self.steps += 1
            yield Progress(self.steps, (), {"residual": self.residual, "value_mean": self.values.mean()} | metrics)

    @property
    def tolerance(self) -> float:
        """The change that ends planning."""
        return self.config.threshold or 0.0

    def sweep(self, model: Model) -> dict[str, float]:
        """Improve every value once, note the `residual`, and return further metrics."""
        raise NotImplementedError

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy as it is now; planners do not explore."""
        policy = self.policy + self.first_action
        return lambda observations, first: policy[self.numbers.index(observations)]

    def save(self, folder: Path) -> None:
        """Write values and counters."""
        state.save(folder, "planner", self.state())

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        self.restore(state.load(folder, "planner"))

    def state(self) -> dict[str, Any]:
        """Return everything that a later sweep needs, and an actor."""
        residual = None if np.isinf(self.residual) else float(self.residual)  # JSON has no infinity
        return {"steps": self.steps, "residual": residual, "values": self.values, "q_values": self.q_values}

    def restore(self, saved: dict[str, Any]) -> None:
        """Become what `state` returned."""
        self.steps, self.values, self.q_values = saved["steps"], saved["values"], saved["q_values"]
        self.residual = np.inf if saved["residual"] is None else saved["residual"]

    def _model(self, collector: Collector) -> Model:
        if collector.reward_clip is not None:
            raise ConfigError(f"{self.name} plans with the model's own rewards: leave out reward_clip.")
        if collector.normalization is not None:
            raise ConfigError(f"{self.name} plans with the model's own rewards: leave out normalize.")
        model = Model.of(collector.env, self.name)
        if (model.states, model.actions) != self.q_values.shape:
            raise EnvironmentContractError(
                f"{self.name} needs observations that are the numbers of the model's states: the model has "
                f"{model.states} states and {model.actions} actions, the spaces have "
                f"{self.q_values.shape[0]} and {self.q_values.shape[1]}."
            )
        return model
