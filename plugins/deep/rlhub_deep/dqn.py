"""Deep Q-network and its extensions, each a switch.

Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015), algorithm 1.
`double`: van Hasselt et al., "Deep reinforcement learning with double Q-learning", AAAI 2016.
`dueling`: Wang et al., "Dueling network architectures for deep reinforcement learning", ICML 2016.
`prioritized`: Schaul et al., "Prioritized experience replay", ICLR 2016.
`n_step`: Sutton, "Learning to predict by the methods of temporal differences", Machine Learning 3 (1988).
`noisy`: Fortunato et al., "Noisy networks for exploration", ICLR 2018.
`exploration_length`: Dabney et al., "Temporally-extended ε-greedy exploration", ICLR 2021.
All of them together, on `deep/c51`: Hessel et al., "Rainbow", AAAI 2018.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Dict, Discrete
from numpy.typing import NDArray
from torch import Tensor

from rlhub_core import Actor, Collector, ConfigError, NonFiniteError, Progress, Scheduled, option, state
from rlhub_core.actors import ACTION_VALUES, with_values
from rlhub_core.memory import Held
from rlhub_core.replay import Replay, bytes_needed
from rlhub_core.schedules import Linear, is_open, resolved, value, whole
from rlhub_deep.exploration import Wandering
from rlhub_deep.finite import batch_of, finite, told
from rlhub_deep.modules import Activation, Factory, Initialization, choose_device, has_images, make_module, to_tensors
from rlhub_deep.network import Network, Optimizer, Precision
from rlhub_deep.sizes import learning
from rlhub_deep.values import Dueling, dueling, dueling_backward, huber

MOST_TOGETHER = 1_024  # transitions drawn at once: what passes through a small network still fits the cache
LEAST_PRIORITY = 1e-6  # added to errors, so that no transition is lost to the replay


@dataclass(frozen=True)
class DQNConfig:
    """Hyper-parameters of `deep/dqn`. What is counted in env steps is counted in episodes where `count_in` says so."""

    learning_rate: Scheduled[float] = option(1e-4, "step size of the optimiser", minimum=0)
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    n_step: Scheduled[int] = option(1, "rewards summed before a value takes over", unit="steps", minimum=1)
    double: bool = option(False, "the online network chooses the action that the target network values")
    dueling: Dueling | None = option(None, "state value plus advantages, less their mean or maximum")
    noisy: bool = option(False, "noisy linear layers explore; alone where epsilon = 0")
    loss: Literal["huber", "mse"] = option("huber", "of the temporal-difference error")
    batch_size: Scheduled[int] = option(32, "transitions an update learns from", unit="transitions", minimum=1)
    buffer_size: int = option(100_000, "capacity of the replay", unit="frames", minimum=1)
    prioritized: bool = option(False, "replay transitions in proportion to their last error")
    priority_alpha: Scheduled[float] = option(0.6, "exponent of priorities; 0: uniform", minimum=0)
    priority_beta: Scheduled[float] = option(
        Linear(0.4, 1.0), "exponent of importance weights; 1: no bias left", minimum=0, maximum=1
    )
    learning_starts: int = option(1_000, "first update", unit="env steps", minimum=0)
    train_every: Scheduled[int] = option(4, "between two times it learns", unit="env steps", minimum=1)
    gradient_steps: Scheduled[int] = option(1, "updates each time it learns", minimum=1)
    target_update_every: Scheduled[int] | None = option(
        1_000, "between two updates of the target network; none: no target network", unit="env steps", minimum=1
    )
    tau: Scheduled[float] = option(1.0, "share of the online weights taken over; 1: a copy", minimum=0, maximum=1)
    epsilon: Scheduled[float] = option(
        Linear(1.0, 0.05, 10_000), "probability of a random action", minimum=0, maximum=1
    )
    exploration_length: Scheduled[int] = option(
        1, "steps that a random action lasts at most; 1: a new one each step", unit="steps", minimum=1
    )
    temperature: Scheduled[float] | None = option(
        None, "other actions are drawn from softmax(Q / temperature); none: greedy", minimum=1e-9
    )
    optimizer: str = option("adam", "adam, nadam, radam, rmsprop or sgd, with torch's options: rmsprop:alpha=0.95")
    max_grad_norm: Scheduled[float] | None = option(10.0, "gradients are scaled down to this norm", minimum=0)
    precision: Precision = option("fp32", "of matrix products; bf16: faster, with weights kept in fp32")
    hidden_sizes: tuple[int, ...] | None = option(None, "hidden layers; none: 512 on images, else 64, 64", unit="units")
    activation: Activation = option("relu", "of hidden layers")
    layer_norm: bool = option(False, "normalise before every activation")
    initialization: Initialization | None = option(None, "of the weights; none: he on images, else pytorch")
    network: Factory | None = option(
        None, "(observation space, outputs) -> torch module, in place of the built-in ones"
    )
    frame_stack: int | None = option(
        None, "frames that an observation stacks along its first axis; none: by its shape", minimum=1
    )
    count_in: Literal["steps", "episodes"] = option("steps", "what schedules and the periods above count")
    diagnostics: bool = option(False, "also measure errors after each update, a held-out batch's values, updates/s")

    def __post_init__(self) -> None:
        for each in fields(self):
            schedule, unused = getattr(self, each.name), each.name == "priority_beta" and not self.prioritized
            if self.count_in == "episodes" and is_open(schedule) and not unused:
                raise ConfigError(f"{each.name}: with count_in=episodes {schedule} needs its length, in episodes.")


class Sample(NamedTuple):
    """A batch of N transitions with what their values should be."""

    observation: Any  # [N, ...]
    action: Tensor  # [N]
    target: Tensor  # [N, ...]
    weight: Tensor  # [N] importance
    places: NDArray[np.int64]  # [N] in the replay


class Loss(NamedTuple):
    """What an update needs to know about a batch of N transitions."""

    gradient: Tensor  # [N, outputs] of the weighted mean loss with respect to the network's outputs
    each: Callable[[], Tensor]  # [N] loss, worked out where it is asked for
    error: Callable[[], Tensor]  # [N] what makes a transition worth replaying, likewise


class DQN:
    """Learns action values from replayed transitions and acts ε-greedily on them."""

    Config: ClassVar[type[DQNConfig]] = DQNConfig

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Discrete,
        config: Any,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        config = resolved(config, total_steps)
        self.config, self.steps, self.ended, self.updates = config, 0, 0, 0
        self.observation_space = observation_space
        self.actions, self.first_action = int(action_space.n), int(action_space.start)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        width = self.outputs_per_action()
        module = make_module(
            observation_space,
            [width, width * self.actions] if config.dueling else [width * self.actions],
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            layer_norm=config.layer_norm,
            noisy=config.noisy,
            initialization=config.initialization,
            factory=config.network,
            seed=seed,
        )
        self.network = Network(module.to(self.device), config.precision, given=config.network is not None, seed=seed)
        self.target_network = self.network if config.target_update_every is None else self.network.copy()
        self.optimizer = Optimizer(self.network, config.optimizer)
        self.wandering = Wandering(self.actions)
        self.replay: Replay | None = None  # made when the number of environments is known
        self._unread: tuple[Path, int] | None = (
            None  # a saved replay, which who only acts never needs, and its num_envs
        )
        self.held_out: Any = None  # observations whose values are followed
        self._together = self._batches_together()
        self._measured = time.perf_counter(), 0  # when updates were last counted, and how many there were

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act, remember, and learn from what is remembered."""
        config = self.config
        self._read_replay()
        replay = self.replay = self._make_replay(collector.num_envs) if self.replay is None else self.replay
        act = self._explore(self.rng, self.wandering)
        while self.steps < until:
            due = 0
            while not due and self.steps < until:
                first, before = collector.first, self.clock
                transition = collector.step(act(collector.observations, first))
                replay.add(transition, transition.action - self.first_action, first)
                self.steps = collector.steps
                self.ended += int(np.count_nonzero(collector.first))
                due = self._passed(config.train_every, before)
                self._update_target(before)
            learns = due and self.clock >= config.learning_starts
            metrics = self.learn(due * whole(config.gradient_steps, self.clock)) if learns else {}
            yield Progress(self.steps, collector.episodes(), metrics)

    def learn(self, updates: int = 1) -> dict[str, float]:
        """Take steps of the optimiser, each on a batch of its own; return what the last one measured."""
        while updates > 0:
            together = min(updates, self._together)
            updates -= together
            last = 0 if updates else together
            for number, sample in enumerate(self.sample(together), 1):
                loss, measured = self.update(sample, measures=number == last)
        metrics = measured | {"updates": float(self.updates)}
        return metrics | (self._diagnose(sample, loss) if self.config.diagnostics else {})

    def sample(self, batches: int = 1) -> Iterable[Sample]:
        """Draw batches with their targets."""
        config, clock = self.config, self.clock
        size = whole(config.batch_size, clock)
        assert self.replay is not None
        drawn = self.replay.sample(
            size * batches,
            self.rng,
            n_step=whole(config.n_step, clock),
            discount=value(config.discount, clock),
            beta=value(config.priority_beta, clock),
        )
        observation, next_observation = self._tensors(drawn.observation), self._tensors(drawn.next_observation)
        action, reward, discount, weight = map(
            self._tensors, (drawn.action, drawn.reward, drawn.discount, drawn.weight)
        )
        with torch.no_grad():
            target = self.target(reward, discount, next_observation)
        if batches == 1:
            return [Sample(observation, action, target, weight, drawn.index)]
        split = (tensor.split(size) for tensor in (observation, action, target, weight))
        return map(Sample, *split, np.split(drawn.index, batches))

    def update(self, sample: Sample, *, measures: bool = False) -> tuple[Loss, dict[str, float]]:
        """Take one step of the optimiser; return the loss, and its mean and the norm of its gradient.

        Args:
            sample: to learn from.
            measures: also the mean, which takes time.
        """
        config, clock = self.config, self.clock
        observation, action, target, weight, places = sample
        drawn = self.rng.bit_generator.state if config.noisy else None
        loss = self.loss(self.network.record(observation, self._noise()), action, target, weight)
        self.network.backward(loss.gradient)
        try:
            metrics = {"loss": finite("loss", _mean(loss, sample))} if measures else {}
            norm = self.optimizer.step(value(config.learning_rate, clock), value(config.max_grad_norm, clock))
        except NonFiniteError as error:
            self.network.unrecord()
            if drawn is not None:
                self.rng.bit_generator.state = drawn
            batch = told(error, self.network, sample, td_error=loss.error(), losses=loss.each())
            error.batch = batch | {"measures": measures} | self._rewards(places)
            raise
        self.updates += 1
        if config.prioritized and self.replay is not None:
            priority = (loss.error().cpu().numpy() + LEAST_PRIORITY) ** value(config.priority_alpha, clock)
            self.replay.prioritize(places, priority)
        return loss, metrics | {"gradient_norm": norm}

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update of a batch at which this learner met a number that is not finite."""
        self.update(batch_of(Sample, batch, self.device), measures=batch["measures"])

    # what its distributional relatives do otherwise

    def outputs_per_action(self) -> int:
        """Return how many numbers the network gives for an action."""
        return 1

    def values(self, outputs: Tensor) -> Tensor:
        """Return action values [N, actions] of the network's outputs [N, ...]."""
        return dueling(outputs, self.config.dueling) if self.config.dueling else outputs

    def target(self, reward: Tensor, discount: Tensor, next_observation: Any) -> Tensor:
        """Return r + γ max Q' [N], where with `double` the online network chooses the action."""
        values = self.values(self.target_network(next_observation, self._noise()))
        if not self.config.double:
            return reward + discount * values.amax(1)
        return reward + discount * values.gather(1, self.best(next_observation)[:, None])[:, 0]

    def loss(self, outputs: Tensor, action: Tensor, target: Tensor, weight: Tensor) -> Loss:
        """Return the loss of the errors of the actions' values, weighted as they were sampled."""
        values, chosen = self.values(outputs), action[:, None]  # [N, actions], [N, 1]
        value_of_chosen, target = values.gather(1, chosen), target[:, None]  # [N, 1]
        error = value_of_chosen - target
        is_huber = self.config.loss == "huber"
        slope = error.clamp(-1, 1) if is_huber else 2 * error
        gradient = torch.zeros_like(values).scatter_(1, chosen, slope.mul_(weight[:, None]).div_(len(error)))
        if self.config.dueling:
            gradient = dueling_backward(gradient, outputs, self.config.dueling)
        return Loss(gradient, lambda: huber(error[:, 0]) if is_huber else error[:, 0] ** 2, lambda: error[:, 0].abs())

    # acting

    def best(self, observations: Any) -> Tensor:
        """Return the greedy actions [N] of the online network, for the target of double Q-learning."""
        return self.values(self.network(observations, self._noise())).argmax(1)

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy without noise, or one that explores and draws from a stream of its own."""
        if explore:
            return self._explore(np.random.default_rng((self.seed, self.steps)), Wandering(self.actions))
        return with_values(
            lambda observations, first: self._action_values(observations).argmax(1) + self.first_action,
            lambda observations: {ACTION_VALUES: self._action_values(observations)},
        )

    def _explore(self, rng: np.random.Generator, wandering: Wandering) -> Actor:
        config = self.config

        def act(observations: Any, first: NDArray[np.bool_]) -> NDArray[np.int64]:
            epsilon, longest = value(config.epsilon, self.clock), whole(config.exploration_length, self.clock)
            wander, random = wandering.step(rng, first, epsilon, longest)  # [B], [B]
            if wander.all():
                return random + self.first_action
            values = self._action_values(observations, rng if config.noisy else None)
            if config.temperature is not None:  # the largest with Gumbel noise is a draw from the softmax
                values = values / value(config.temperature, self.clock) + rng.gumbel(size=values.shape)
            chosen: NDArray[np.int64] = np.where(wander, random, values.argmax(1)) + self.first_action
            return chosen

        return act

    def _action_values(self, observations: Any, noise: np.random.Generator | None = None) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self.values(torch.from_numpy(self.network.of_arrays(observations, noise))).numpy()
        return values

    # time, memory, state

    @property
    def clock(self) -> int:
        """What schedules are read at: env steps or episodes so far."""
        return self.ended if self.config.count_in == "episodes" else self.steps

    def save(self, folder: Path) -> None:
        """Write networks, optimiser, replay, random generator and counters."""
        self._read_replay()
        self.save_without_replay(folder)
        if self.replay is not None:
            self.replay.save(folder)

    def save_without_replay(self, folder: Path) -> None:
        """Write everything but the replay."""
        own_target = self.target_network is not self.network
        state.save(
            folder,
            "dqn",
            {
                "steps": self.steps,
                "ended": self.ended,
                "updates": self.updates,
                "network": self.network.state(),
                "target_network": self.target_network.state() if own_target else None,
                "optimizer": self.optimizer.state(),
                "rng": self.rng.bit_generator.state,
                "wandering": self.wandering.state(),
                "held_out": self.held_out,
                "num_envs": None if self.replay is None else self.replay.num_envs,
            },
        )

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "dqn")
        self.steps, self.ended, self.updates = saved["steps"], saved["ended"], saved["updates"]
        self._measured = time.perf_counter(), self.updates
        self.network.restore(saved["network"])
        if self.target_network is not self.network:
            self.target_network.restore(saved["target_network"])
        self.optimizer.restore(saved["optimizer"])
        self.rng.bit_generator.state = saved["rng"]
        self.wandering.restore(saved["wandering"])
        self.held_out = saved["held_out"]
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
            prioritized=config.prioritized,
        )
        yield Held("replay", size, "buffer_size")
        networks = {id(network): network for network in (self.network, self.target_network)}
        yield from learning(networks.values(), self.observation_space, 2 * whole(config.batch_size, 0))

    def _make_replay(self, num_envs: int) -> Replay:
        config = self.config
        return Replay(
            config.buffer_size,
            num_envs,
            self.observation_space,
            stack=config.frame_stack,
            prioritized=config.prioritized,
        )

    def _batches_together(self) -> int:
        """Return how many batches may be drawn at once: more than one where no update changes what the next one needs.

        That is so where all their targets come from the target network alone, and nothing is prioritised.
        """
        config = self.config
        if config.double or config.prioritized or config.noisy or config.target_update_every is None:
            return 1
        if has_images(self.observation_space) or isinstance(self.observation_space, Dict):
            return 1
        return max(1, MOST_TOGETHER // whole(config.batch_size, 0))

    def _rewards(self, places: NDArray[np.int64]) -> dict[str, Any]:
        """Return the first rewards of transitions, for whoever looks at a batch."""
        return {} if self.replay is None else {"reward": self.replay.rewards[places]}

    def _update_target(self, before: int) -> None:
        every = self.config.target_update_every
        times = 0 if every is None else self._passed(every, before)
        if times:
            self.target_network.follow(self.network, 1 - (1 - value(self.config.tau, self.clock)) ** times)

    def _passed(self, every: Any, before: int) -> int:
        """Return how many multiples of a period lie between a reading of the clock and now."""
        period = whole(every, before)
        return self.clock // period - before // period

    def _noise(self) -> np.random.Generator | None:
        return self.rng if self.config.noisy else None

    def _tensors(self, arrays: Any) -> Any:
        return to_tensors(arrays, self.device)

    def _diagnose(self, sample: Sample, before: Loss) -> dict[str, float]:
        """Return errors on the same batch before and after its update, and values of a batch that stays the same."""
        after = self.loss(self.network.again(sample.observation), *sample[1:4])
        if self.held_out is None:
            assert self.replay is not None
            apart = np.random.default_rng((self.seed, 1))
            self.held_out = self.replay.sample(len(sample.weight), apart).observation
        (then, updates), self._measured = self._measured, (time.perf_counter(), self.updates)
        return {
            "error_before": before.error().mean().item(),
            "error_after": after.error().mean().item(),
            "loss_after": _mean(after, sample),
            "held_out_q": float(self._action_values(self.held_out).max(1).mean()),
            "time/updates_per_second": (self.updates - updates) / (self._measured[0] - then),
        }


def _mean(loss: Loss, sample: Sample) -> float:
    return (sample.weight * loss.each()).mean().item()
