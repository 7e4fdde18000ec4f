"""What actor-critics share: a policy and a value, rollouts of many environments, returns and advantages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Actor, Collector, Progress, Scheduled, Transition, option, state
from rlhub_core.schedules import resolved, value, whole
from rlhub_deep.distributions import distribution_of
from rlhub_deep.modules import Activation, Factory, Head, Initialization, choose_device, make_heads, to_tensors
from rlhub_deep.network import Network, Optimizer, Precision
from rlhub_deep.rollouts import joined, taken
from rlhub_deep.values import lambda_returns


@dataclass(frozen=True)
class ActorCriticConfig:
    """Hyper-parameters that every actor-critic has."""

    learning_rate: Scheduled[float] = option(7e-4, "step size of the optimiser", minimum=0)
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    rollout_length: Scheduled[int] = option(
        5, "of each environment between two times it learns", unit="steps", minimum=1
    )
    gae_lambda: Scheduled[float] = option(
        1.0, "λ of advantages; 0: one step, 1: to the rollout's end", minimum=0, maximum=1
    )
    entropy_coefficient: Scheduled[float] = option(0.0, "weight of the entropy bonus in the loss", minimum=0)
    value_coefficient: Scheduled[float] = option(0.5, "weight of the value's squared error in the loss", minimum=0)
    normalize_advantages: bool = option(False, "to mean 0 and standard deviation 1, a batch at a time")
    optimizer: str = option(
        "rmsprop:alpha=0.99,eps=1e-5", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95"
    )
    max_grad_norm: Scheduled[float] | None = option(0.5, "gradients are scaled down to this norm", minimum=0)
    precision: Precision = option("fp32", "of matrix products; bf16: faster, with weights kept in fp32")
    hidden_sizes: tuple[int, ...] | None = option(None, "hidden layers; none: 512 on images, else 64, 64", unit="units")
    activation: Activation = option("tanh", "of hidden layers; on images relu")
    layer_norm: bool = option(False, "normalise before every activation")
    initialization: Initialization | None = option(None, "of the weights; none: orthogonal, small for the policy")
    deviation: float | None = option(
        1.0, "first standard deviation of continuous actions; none: the network gives it for every observation",
        minimum=1e-6,
    )  # fmt: skip
    min_deviation: float = option(1e-3, "least standard deviation of continuous actions", minimum=1e-6)
    network: Factory | None = option(
        None, "(observation space, outputs) -> torch module; its last output is the value, the others the policy's"
    )
    diagnostics: bool = option(False, "also measure what an update improved on its own batch")


class Rollout(NamedTuple):
    """What T steps of B environments leave to learn from, flattened to N = T B."""

    observation: Any  # [N, ...]
    action: Tensor  # [N, ...]
    log_prob: Tensor  # [N] of the action, when it was drawn
    value: Tensor  # [N] as it was estimated then
    advantage: Tensor  # [N]
    returns: Tensor  # [N] what the value should have been

    def rows(self, chosen: Tensor) -> Rollout:
        """Return some of its rows."""
        return Rollout(taken(self.observation, chosen), *(part[chosen] for part in self[1:]))


class ActorCritic:
    """Draws actions from a policy and learns policy and value from rollouts; what it learns, a subclass says."""

    Config: ClassVar[type[Any]]

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
        self.policy = distribution_of(action_space, config.min_deviation)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        module = make_heads(
            observation_space,
            [*self.policy.heads(config.deviation), Head(1)],
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            layer_norm=config.layer_norm,
            initialization=config.initialization,
            factory=config.network,
            seed=seed,
        )
        self.network = Network(module.to(self.device), config.precision, given=config.network is not None, seed=seed)
        self.optimizer = Optimizer(self.network, config.optimizer)

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act for a rollout, then learn from it."""
        while self.steps < until:
            rollout = self.collect(collector)
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes(), self.learn(rollout))

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Improve policy and value; return what was measured."""
        raise NotImplementedError

    @torch.no_grad()
    def collect(self, collector: Collector) -> Rollout:
        """Act for a rollout and return what happened with its advantages (Schulman et al. 2016) and λ-returns."""
        config, length = self.config, whole(self.config.rollout_length, self.steps)
        observations, outputs, actions, rewards, discounts, ends, cuts = [], [], [], [], [], [], []
        for time in range(length):
            observations.append(collector.observations)
            outputs.append(self.network.of_arrays(collector.observations))  # [B, policy's + 1]
            actions.append(self.policy.sample(outputs[-1][:, :-1], self.rng))
            transition = collector.step(self.policy.to_env(actions[-1]))
            rewards.append(transition.reward)
            discounts.append(value(config.discount, self.steps) * ~transition.terminated)
            ends.append(transition.terminated | transition.truncated)
            cuts += self._values_at_cuts(transition, time)
        last = self.network.of_arrays(collector.observations)[:, -1]
        all_outputs = np.stack(outputs)  # [T, B, policy's + 1]
        next_values = np.concatenate([all_outputs[1:, :, -1], last[None]])  # [T, B] of the true successor …
        for time, env, cut_off in cuts:
            next_values[time, env] = cut_off  # … also where an episode was cut off and another began
        reward, discount, next_value, values = (
            torch.as_tensor(np.asarray(each), dtype=torch.float32)
            for each in (np.stack(rewards), np.stack(discounts), next_values, all_outputs[:, :, -1])
        )  # [T, B] each
        returns = lambda_returns(
            reward, discount, next_value, torch.as_tensor(np.stack(ends)), value(config.gae_lambda, self.steps)
        )
        action = torch.as_tensor(np.concatenate(actions))
        flat_outputs = torch.as_tensor(all_outputs[:, :, :-1]).flatten(0, 1)
        log_prob, _ = self.policy.log_prob_and_entropy(flat_outputs, action)
        learnt = action, log_prob, values.flatten(), (returns - values).flatten(), returns.flatten()
        return Rollout(to_tensors(joined(observations), self.device), *(part.to(self.device) for part in learnt))

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the policy's likeliest actions, or draws from it, from a stream of their own."""
        rng = np.random.default_rng((self.seed, self.steps)) if explore else None

        def act(observations: Any, first: NDArray[np.bool_]) -> Any:
            outputs = self.network.of_arrays(observations)[:, :-1]
            return self.policy.to_env(self.policy.mode(outputs) if rng is None else self.policy.sample(outputs, rng))

        return act

    def save(self, folder: Path) -> None:
        """Write network, optimiser, random generator and step count."""
        saved = {"network": self.network.state(), "optimizer": self.optimizer.state()}
        state.save(folder, "actor_critic", saved | {"steps": self.steps, "rng": self.rng.bit_generator.state})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "actor_critic")
        self.steps, self.rng.bit_generator.state = saved["steps"], saved["rng"]
        self.network.restore(saved["network"])
        self.optimizer.restore(saved["optimizer"])

    def _values_at_cuts(self, transition: Transition, time: int) -> list[tuple[int, int, float]]:
        """Return (time, environment, value of the last observation) of the episodes that were cut off in this step."""
        cut = np.flatnonzero(transition.truncated & ~transition.terminated)
        if not cut.size:
            return []
        values = self.network.of_arrays(taken(transition.next_observation, cut))[:, -1]
        return [(time, env, float(last)) for env, last in zip(cut.tolist(), values, strict=True)]


def normalized(advantage: Tensor) -> Tensor:
    """Return advantages [N] of mean 0 and standard deviation 1; of a single one, or equal ones, no infinities."""
    if len(advantage) < 2:
        return advantage
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def explained_variance(estimate: Tensor, target: Tensor) -> float:
    """Return the share of the targets' variance that estimates explain: 1 is all of it, 0 what a constant does."""
    variance = target.var(correction=0)
    return float(1 - (target - estimate).var(correction=0) / variance) if variance > 0 else 0.0
