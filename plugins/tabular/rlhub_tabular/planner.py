"""What planners share: they sweep over all states of a model until nothing changes any more, and act greedily."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rlhub_core import Actor, Collector, ConfigError, EnvironmentContractError, Progress, option, state
from rlhub_core.actors import ACTION_VALUES, with_values
from rlhub_core.errors import squeezed
from rlhub_tabular.model import Floats, Model
from rlhub_tabular.states import States
from rlhub_tabular.table import check_size


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
    may_be_infinite: ClassVar[tuple[str, ...]] = ("planner/q_values",)  # -inf where an action is impossible
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
        self.actions, self.first_action = int(action_space.n), int(action_space.start)
        check_size(
            3 * self.numbers.count * self.actions,  # the values of actions, before and after a sweep, and their rewards
            f"{self.name}: the tables of {squeezed(observation_space)}",
            "Plan in a smaller world, or learn with an algorithm that has no table, such as deep/dqn.",
        )
        self.values: Floats = np.zeros(self.numbers.count)
        self.q_values: Floats = np.zeros((self.numbers.count, self.actions))
        self.residual = np.inf

    @property
    def policy(self) -> NDArray[np.int64]:
        """[S] the best action of each state, the first of several; counted as the environment does."""
        best: NDArray[np.int64] = self.q_values.argmax(1) + self.first_action
        return best

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Sweep until the largest change is within the threshold, or `steps` >= `until`."""
        model = self._model(collector)
        if not self.steps:
            self.q_values = np.where(model.possible, 0.0, -np.inf)
        while self.steps < until and not self.converged:
            metrics = self.sweep(model)
            self.steps += 1
            yield Progress(self.steps, (), {"residual": self.residual, "value_mean": self.values.mean()} | metrics)

    @property
    def converged(self) -> bool:
        """Whether the last sweep changed no more than the threshold."""
        return self.config.threshold is not None and self.residual <= self.tolerance

    @property
    def tolerance(self) -> float:
        """The change that ends planning."""
        return self.config.threshold or 0.0

    def sweep(self, model: Model) -> dict[str, float]:
        """Improve every value once, note the `residual`, and return further metrics."""
        raise NotImplementedError

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy as it is now; planners do not explore."""
        policy, values = self.policy, self.q_values.copy()  # as they are now
        return with_values(
            lambda observations, first: policy[self.numbers.index(observations)],
            lambda observations: {ACTION_VALUES: values[self.numbers.index(observations)]},
        )

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
