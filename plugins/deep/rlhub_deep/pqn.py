"""Parallelised Q-network: Q-learning from many environments at once, without replay and without target network.

Gallici et al., "Simplifying deep temporal difference learning", ICLR 2025, algorithm 1: layer normalisation is what
keeps it stable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Actor, Collector, NonFiniteError, Progress, Scheduled, option, state
from rlhub_core.actors import ACTION_VALUES, with_values
from rlhub_core.memory import Held
from rlhub_core.schedules import Linear, resolved, value, whole
from rlhub_deep.finite import batch_of, finite, told
from rlhub_deep.modules import Activation, Factory, Initialization, choose_device, make_module
from rlhub_deep.network import Network, Optimizer, Precision
from rlhub_deep.rollouts import Steps, taken
from rlhub_deep.sizes import learning_from_rollouts
from rlhub_deep.values import lambda_returns


@dataclass(frozen=True)
class PQNConfig:
    """Hyper-parameters of `deep/pqn`."""

    learning_rate: Scheduled[float] = option(2.5e-4, "step size of the optimiser", minimum=0)
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    trace: Scheduled[float] = option(
        0.65, "λ of the returns; 0: one step, 1: to the rollout's end", minimum=0, maximum=1
    )
    rollout_length: Scheduled[int] = option(
        32, "of each environment between two times it learns", unit="steps", minimum=1
    )
    epochs: Scheduled[int] = option(2, "passes over each rollout", minimum=1)
    minibatches: Scheduled[int] = option(4, "updates a pass", minimum=1)
    epsilon: Scheduled[float] = option(
        Linear(1.0, 0.05, 10_000), "probability of a random action", minimum=0, maximum=1
    )
    optimizer: str = option("radam", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95")
    max_grad_norm: Scheduled[float] | None = option(10.0, "gradients are scaled down to this norm", minimum=0)
    precision: Precision = option("fp32", "of matrix products; bf16: faster, with weights kept in fp32")
    hidden_sizes: tuple[int, ...] | None = option(None, "hidden layers; none: 512 on images, else 64, 64", unit="units")
    activation: Activation = option("relu", "of hidden layers")
    layer_norm: bool = option(True, "normalise before every activation")
    initialization: Initialization | None = option(None, "of the weights; none: he on images, else pytorch")
    network: Factory | None = option(
        None, "(observation space, outputs) -> torch module, in place of the built-in ones"
    )


class Rollout(NamedTuple):
    """What T steps of B environments leave to learn from, flattened to N = T B."""

    observation: Any  # [N, ...]
    action: Tensor  # [N]
    returns: Tensor  # [N]


class PQN:
    """Learns action values from λ-returns of rollouts and acts ε-greedily on them."""

    Config: ClassVar[type[PQNConfig]] = PQNConfig

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Discrete,
        config: PQNConfig,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        config = resolved(config, total_steps)
        self.config, self.steps = config, 0
        self.observation_space = observation_space
        self.actions, self.first_action = int(action_space.n), int(action_space.start)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        module = make_module(
            observation_space,
            [self.actions],
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            layer_norm=config.layer_norm,
            initialization=config.initialization,
            factory=config.network,
            seed=seed,
        )
        self.network = Network(module.to(self.device), config.precision, given=config.network is not None, seed=seed)
        self.optimizer = Optimizer(self.network, config.optimizer)

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold."""
        return learning_from_rollouts(self.config, self.steps, num_envs, self.network, self.observation_space)

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act for a rollout, then learn from it."""
        while self.steps < until:
            rollout = self.collect(collector)
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes(), self.learn(rollout))

    @torch.no_grad()
    def collect(self, collector: Collector) -> Rollout:
        """Act ε-greedily and return what happened with its λ-returns."""
        config, steps, next_values = self.config, Steps(), []
        values = self._values(collector.observations)  # [B, actions]
        for _ in range(whole(config.rollout_length, self.steps)):
            action = self._choose(values, self.rng)
            transition = collector.step(action + self.first_action)
            steps.add(transition, action, value(config.discount, self.steps))
            values = self._values(collector.observations)
            following = values.max(1)  # [B] of the true successor, unless the episode ended
            cut = transition.truncated & ~transition.terminated
            if cut.any():
                following = np.where(cut, self._values(transition.next_observation).max(1), following)
            next_values.append(following)
        next_value = torch.as_tensor(np.stack(next_values))  # [T, B]
        trace = value(config.trace, self.steps)
        returns = lambda_returns(steps.reward, steps.discount, next_value, steps.ended, trace).flatten()
        return Rollout(steps.observation(self.device), steps.action.to(self.device), returns.to(self.device))

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Regress the values of the actions taken on their returns, in several passes over shuffled minibatches."""
        config, step = self.config, self.steps
        losses, norms = [], []
        for _ in range(whole(config.epochs, step)):
            shuffled = self.rng.permutation(len(rollout.action))
            for chosen in np.array_split(shuffled, min(whole(config.minibatches, step), len(shuffled))):
                observation = taken(rollout.observation, chosen)
                loss, norm = self.update(Rollout(observation, rollout.action[chosen], rollout.returns[chosen]))
                losses.append(loss)
                norms.append(norm)
        return {
            "loss": torch.stack(losses).mean().item(),
            "gradient_norm": float(np.mean(norms)),
            "return_mean": rollout.returns.mean().item(),
        }

    def update(self, batch: Rollout) -> tuple[Tensor, float]:
        """Take one step of the optimiser; return the loss and the norm of its gradient."""
        config, step, action = self.config, self.steps, batch.action[:, None]
        outputs = self.network.record(batch.observation)
        error = outputs.gather(1, action)[:, 0] - batch.returns  # [n]
        self.network.backward(torch.zeros_like(outputs).scatter_(1, action, error[:, None] / len(error)))
        loss = 0.5 * error.square().mean()
        try:
            finite("loss", loss.item())
            return loss, self.optimizer.step(value(config.learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as failure:
            self.network.unrecord()
            failure.batch = told(failure, self.network, batch, td_error=error.abs())
            raise

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update of a minibatch at which this learner met a number that is not finite."""
        self.update(batch_of(Rollout, batch, self.device))

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy, or an ε-greedy one that draws from a stream of its own."""
        if explore:
            rng = np.random.default_rng((self.seed, self.steps))
            return lambda observations, first: self._choose(self._values(observations), rng) + self.first_action
        return with_values(
            lambda observations, first: self._values(observations).argmax(1) + self.first_action,
            lambda observations: {ACTION_VALUES: self._values(observations)},
        )

    def save(self, folder: Path) -> None:
        """Write network, optimiser, random generator and step count."""
        saved = {"network": self.network.state(), "optimizer": self.optimizer.state()}
        state.save(folder, "pqn", saved | {"steps": self.steps, "rng": self.rng.bit_generator.state})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "pqn")
        self.steps, self.rng.bit_generator.state = saved["steps"], saved["rng"]
        self.network.restore(saved["network"])
        self.optimizer.restore(saved["optimizer"])

    def _choose(self, values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        wander = rng.random(len(values)) < value(self.config.epsilon, self.steps)  # [B]
        chosen: NDArray[np.int64] = np.where(wander, rng.integers(self.actions, size=len(values)), values.argmax(1))
        return chosen

    def _values(self, observations: Any) -> NDArray[np.float32]:
        return self.network.of_arrays(observations)
