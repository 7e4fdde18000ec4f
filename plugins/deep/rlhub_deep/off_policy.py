"""What actor-critics with a replay share: bounded actions, critics of state and action, targets, memory, state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Actor, Collector, NonFiniteError, Progress, Scheduled, SpaceError, option, state
from rlhub_core.errors import squeezed
from rlhub_core.memory import Held
from rlhub_core.replay import Replay, bytes_needed
from rlhub_core.schedules import Linear, resolved, value, whole
from rlhub_deep.finite import batch_of, finite, told
from rlhub_deep.modules import (
    Activation,
    Factory,
    Head,
    Initialization,
    choose_device,
    has_images,
    make_heads,
    make_module,
    to_tensors,
)
from rlhub_deep.network import Network, Optimizer, Precision
from rlhub_deep.noise import Noise
from rlhub_deep.sizes import learning

LEAST_PRIORITY = 1e-6  # added to errors, so that no transition is lost to the replay


@dataclass(frozen=True)
class OffPolicyConfig:
    """Hyper-parameters that every actor-critic with a replay has."""

    learning_rate: Scheduled[float] = option(1e-3, "step size of the actor's optimiser", minimum=0)
    critic_learning_rate: Scheduled[float] | None = option(None, "of the critic's; none: the actor's", minimum=0)
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    n_step: Scheduled[int] = option(1, "rewards summed before a value takes over", unit="steps", minimum=1)
    batch_size: Scheduled[int] = option(256, "transitions an update learns from", unit="transitions", minimum=1)
    buffer_size: int = option(1_000_000, "capacity of the replay", unit="frames", minimum=1)
    prioritized: bool = option(False, "replay transitions in proportion to their last error")
    priority_alpha: Scheduled[float] = option(0.6, "exponent of priorities; 0: uniform", minimum=0)
    priority_beta: Scheduled[float] = option(
        Linear(0.4, 1.0), "exponent of importance weights; 1: no bias left", minimum=0, maximum=1
    )
    learning_starts: int = option(100, "first update; until then actions are random", unit="env steps", minimum=0)
    train_every: Scheduled[int] = option(1, "between two times it learns", unit="env steps", minimum=1)
    gradient_steps: Scheduled[int] = option(1, "updates each time it learns", minimum=1)
    tau: Scheduled[float] = option(
        0.005, "share of the online weights that target networks take over at an update", minimum=0, maximum=1
    )
    optimizer: str = option("adam", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95")
    critic_optimizer: str | None = option(None, "of the critic; none: as the actor's")
    max_grad_norm: Scheduled[float] | None = option(None, "gradients are scaled down to this norm", minimum=0)
    precision: Precision = option("fp32", "of matrix products; bf16: faster, with weights kept in fp32")
    hidden_sizes: tuple[int, ...] = option((256, 256), "hidden layers, after the convolutions of images", unit="units")
    activation: Activation = option("relu", "of hidden layers")
    layer_norm: bool = option(False, "normalise before every activation")
    initialization: Initialization | None = option(None, "of the weights; none: he on images, else pytorch")
    network: Factory | None = option(
        None, "(observation space, outputs) -> torch module, the actor in place of the built-in one"
    )
    critic_network: Factory | None = option(
        None, "likewise the critic; its observations are {action: in -1..1, observation: …}, an output is a value"
    )
    frame_stack: int | None = option(
        None, "frames that an observation stacks along its first axis; none: by its shape", minimum=1
    )
    diagnostics: bool = option(False, "also measure what an update improved on its own batch")


class Bounds:
    """The actions of a Box as networks know them: rows of numbers from -1 to 1.

    Args:
        space: of floats, bounded on every side.

    Raises:
        SpaceError: for any other.
    """

    def __init__(self, space: Space[Any]) -> None:
        if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating) or not space.is_bounded("both"):
            raise SpaceError(
                f"Actions are scaled to their bounds: they must be a Box of floats that has all of them, not "
                f"{squeezed(space)}. Wrap the environment in gymnasium.wrappers.TransformAction."
            )
        self.space, self.size = space, math.prod(space.shape)
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        self.centre, self.half = (low + high) / 2, (high - low) / 2

    def to_env(self, actions: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions [B, size] in the space's shape, bounds and type."""
        scaled = (self.centre + self.half * actions.reshape(-1, *self.space.shape)).astype(self.space.dtype)
        within: NDArray[Any] = np.minimum(np.maximum(scaled, self.space.low), self.space.high)
        return within


class Sample(NamedTuple):
    """A batch of N transitions with what their values should be."""

    observation: Any  # [N, ...]
    action: Tensor  # [N, size]
    target: Tensor  # [N]
    weight: Tensor  # [N] importance
    places: NDArray[np.int64]  # [N] in the replay


class Seen(NamedTuple):
    """What the actor learns from."""

    observation: Any  # [N, ...]


class OffPolicy:
    """Learns an actor and its critics from replayed transitions; how, a subclass says."""

    Config: ClassVar[type[Any]]
    critics: ClassVar[int] = 1
    outputs_per_action: ClassVar[int] = 1  # of the actor, for each number in an action

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
        self.config, self.steps, self.updates = config, 0, 0
        self.observation_space, self.bounds = observation_space, Bounds(action_space)
        self.stored_action = Box(-1, 1, (self.bounds.size,), np.float32)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        made: dict[str, Any] = {
            "hidden_sizes": config.hidden_sizes,
            "activation": config.activation,
            "layer_norm": config.layer_norm,
            "initialization": config.initialization or ("he" if has_images(observation_space) else "pytorch"),
        }
        outputs = self.outputs_per_action * self.bounds.size
        actor = make_module(observation_space, [outputs], factory=config.network, seed=seed, **made)
        both = Dict({"action": self.stored_action, "observation": observation_space})
        critic = make_heads(
            both,
            [Head(1)] * self.critics,
            factory=config.critic_network,
            option="critic_network",
            share_hidden=False,
            seed=seed ^ 1,
            **made,
        )
        self.network = Network(actor.to(self.device), config.precision, given=config.network is not None, seed=seed)
        self.critic = Network(
            critic.to(self.device), config.precision, given=config.critic_network is not None, seed=seed ^ 1
        )
        self.target_critic = self.critic.copy()
        self.optimizer = Optimizer(self.network, config.optimizer)
        self.critic_optimizer = Optimizer(self.critic, config.critic_optimizer or config.optimizer)
        self.noise = self.make_noise()
        self.parts: dict[str, Any] = {  # that are saved
            "network": self.network,
            "critic": self.critic,
            "target_critic": self.target_critic,
            "optimizer": self.optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
        self.replay: Replay | None = None  # made when the number of environments is known
        self._unread: tuple[Path, int] | None = None  # a saved replay that nobody needed yet, and its num_envs

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act, remember, and learn from what is remembered."""
        config = self.config
        self._read_replay()
        replay = self.replay = self._make_replay(collector.num_envs) if self.replay is None else self.replay
        while self.steps < until:
            due = 0
            while not due and self.steps < until:
                first, before = collector.first, self.steps
                action = self._explore(collector.observations, first, self.rng, self.noise)
                replay.add(collector.step(self.bounds.to_env(action)), action, first)
                self.steps = collector.steps
                period = whole(config.train_every, before)
                due = self.steps // period - before // period
            learns = due and self.steps >= config.learning_starts
            metrics = self.learn(due * whole(config.gradient_steps, self.steps)) if learns else {}
            yield Progress(self.steps, collector.episodes(), metrics)

    def learn(self, updates: int = 1) -> dict[str, float]:
        """Make updates, each on a batch of its own; return what was measured last."""
        metrics: dict[str, float] = {}
        for _ in range(updates):
            self.updates += 1
            sample, drawn = self.sample(), self.rng.bit_generator.state
            try:
                metrics |= self.update(sample)
            except NonFiniteError:
                self.rng.bit_generator.state = drawn
                raise
        return metrics | {"updates": float(self.updates)}

    def sample(self) -> Sample:
        """Draw a batch with its targets."""
        config, step = self.config, self.steps
        assert self.replay is not None
        drawn = self.replay.sample(
            whole(config.batch_size, step),
            self.rng,
            n_step=whole(config.n_step, step),
            discount=value(config.discount, step),
            beta=value(config.priority_beta, step),
        )
        observation, next_observation = self._tensors(drawn.observation), self._tensors(drawn.next_observation)
        action, reward, discount, weight = map(
            self._tensors, (drawn.action, drawn.reward, drawn.discount, drawn.weight)
        )
        with torch.no_grad():
            target = reward + discount * self.next_value(next_observation)
        return Sample(observation, action, target, weight, drawn.index)

    def improve_critic(self, sample: Sample) -> dict[str, float]:
        """Take a step down the squared errors of the critics' values of the actions that were taken."""
        config, step = self.config, self.steps
        seen = {"action": sample.action, "observation": sample.observation}
        weight = sample.weight[:, None] / len(sample.weight)  # [N, 1]
        values = self.critic.record(seen)  # [N, critics]
        error = values - sample.target[:, None]
        self.critic.backward(2 * weight * error)
        learning_rate = config.learning_rate if config.critic_learning_rate is None else config.critic_learning_rate
        try:
            loss = finite("critic_loss", (weight * error.square()).sum().item())
            norm = self.critic_optimizer.step(value(learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as failure:
            self.critic.unrecord()
            batch = told(failure, self.critic, sample, td_error=error.abs().amax(1), values=values)
            rewards = {} if self.replay is None else {"reward": self.replay.rewards[sample.places]}
            failure.batch = {"part": "critic"} | batch | rewards
            raise
        if config.prioritized and self.replay is not None:
            priority = error.abs().mean(1).cpu().numpy() + LEAST_PRIORITY
            self.replay.prioritize(sample.places, priority ** value(config.priority_alpha, step))
        metrics = {"critic_loss": loss, "critic_gradient_norm": norm, "value_mean": values.mean().item()}
        if config.diagnostics:
            after = self.critic.again(seen) - sample.target[:, None]
            metrics["critic_improvement"] = loss - (weight * after.square()).sum().item()
        return metrics

    def step_actor(self, gradient: Tensor, observation: Any, loss: float, values: Tensor) -> float:
        """Take a step of the actor's optimiser, given the gradient of its recorded outputs; return the norm it had.

        Args:
            gradient: [N, outputs].
            observation: [N, ...] that the outputs are of.
            loss: the mean, which must be a number.
            values: [N, critics] of the actions, for whoever looks at the batch where it is none.
        """
        self.network.backward(gradient)
        config, step = self.config, self.steps
        try:
            finite("actor_loss", loss)
            return self.optimizer.step(value(config.learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as failure:
            self.network.unrecord()
            self.critic.unrecord()
            failure.batch = {"part": "actor"} | told(
                failure, self.network, Seen(observation), actor_loss=loss, values=values
            )
            raise

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the part of an update once more in which this learner met a number that is not finite."""
        if batch["part"] == "critic":
            self.improve_critic(batch_of(Sample, batch, self.device))
        else:
            self.improve_actor(batch_of(Seen, batch, self.device).observation)

    # what a subclass says

    def improve_actor(self, observation: Any) -> dict[str, float]:
        """Improve the actor on observations [N, ...]; return what was measured."""
        raise NotImplementedError

    def update(self, sample: Sample) -> dict[str, float]:
        """Improve critics, actor and targets; return what was measured."""
        raise NotImplementedError

    def next_value(self, observation: Any) -> Tensor:
        """Return what the last observations of transitions are worth [N]."""
        raise NotImplementedError

    def explore(
        self, outputs: NDArray[np.float32], first: NDArray[np.bool_], rng: np.random.Generator, noise: Noise | None
    ) -> NDArray[np.float32]:
        """Return actions [B, size] in -1..1 that explore, given the actor's outputs."""
        raise NotImplementedError

    def make_noise(self) -> Noise | None:
        """Return what exploration remembers from step to step."""
        return None

    # acting

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy, or one that explores and draws from a stream of its own."""
        if explore:
            rng, noise = np.random.default_rng((self.seed, self.steps)), self.make_noise()
            return lambda observations, first: self.bounds.to_env(self._explore(observations, first, rng, noise))
        size = self.bounds.size
        return lambda observations, first: self.bounds.to_env(np.tanh(self.network.of_arrays(observations)[:, :size]))

    def _explore(
        self, observations: Any, first: NDArray[np.bool_], rng: np.random.Generator, noise: Noise | None
    ) -> NDArray[np.float32]:
        if self.steps < self.config.learning_starts:
            return rng.uniform(-1, 1, (len(first), self.bounds.size)).astype(np.float32)
        return self.explore(self.network.of_arrays(observations), first, rng, noise)

    # memory, state

    def save(self, folder: Path) -> None:
        """Write every part, random generator, counters and replay."""
        self._read_replay()
        self.save_without_replay(folder)
        if self.replay is not None:
            self.replay.save(folder)

    def save_without_replay(self, folder: Path) -> None:
        """Write everything but the replay."""
        saved: dict[str, Any] = {name: part.state() for name, part in self.parts.items()}
        saved |= {"steps": self.steps, "updates": self.updates, "rng": self.rng.bit_generator.state}
        saved["num_envs"] = None if self.replay is None else self.replay.num_envs
        state.save(folder, "off_policy", saved)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "off_policy")
        self.steps, self.updates, self.rng.bit_generator.state = saved["steps"], saved["updates"], saved["rng"]
        for name, part in self.parts.items():
            part.restore(saved[name])
        self.replay, self._unread = None, (folder, saved["num_envs"]) if saved["num_envs"] else None

    def _read_replay(self) -> None:
        """Read the replay of the checkpoint that was loaded, where that is still to be done."""
        if self._unread is not None:
            folder, num_envs = self._unread
            replay = self._make_replay(num_envs)
            replay.load(folder)
            self.replay, self._unread = replay, None

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold."""
        config = self.config
        size = bytes_needed(
            config.buffer_size,
            num_envs,
            self.observation_space,
            stack=config.frame_stack,
            action_space=self.stored_action,
            prioritized=config.prioritized,
        )
        yield Held("replay", size, "buffer_size")
        networks = (self.network, self.critic, self.target_critic)
        yield from learning(networks, self.observation_space, 3 * whole(config.batch_size, 0))

    def _make_replay(self, num_envs: int) -> Replay:
        config = self.config
        return Replay(
            config.buffer_size,
            num_envs,
            self.observation_space,
            stack=config.frame_stack,
            action_space=self.stored_action,
            prioritized=config.prioritized,
        )

    def _tensors(self, arrays: Any) -> Any:
        return to_tensors(arrays, self.device)
