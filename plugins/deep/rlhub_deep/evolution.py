"""What evolution strategies share: policies side by side, each with weights of its own, and a population's fitness.

A task is one episode of one member. Environments take tasks one after another, each at an episode's start, and every
task is played to its end (a lost life is none): short episodes are not favoured, and there may be fewer environments
than tasks, or more. Those that find no task left play on until the last one is over; these env steps are counted, as
all are, and their episodes are not. The next generation begins new episodes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import Space
from numpy.typing import NDArray
from torch import Tensor, nn

from rlhub_core import Actor, Collector, Episode, NonFiniteError, Progress, Scheduled, option, state
from rlhub_core.memory import Held
from rlhub_core.schedules import resolved, whole
from rlhub_deep.distributions import Distribution, Gaussian, distribution_of
from rlhub_deep.modules import Activation, Factory, choose_device, example, make_module, to_tensors
from rlhub_deep.network import Network
from rlhub_deep.perceptron import Perceptron
from rlhub_deep.policies import ContinuousPolicy
from rlhub_deep.rollouts import taken

NO_TASK = -1


@dataclass(frozen=True)
class EvolutionConfig:
    """Hyper-parameters that every evolution strategy has."""

    episodes: Scheduled[int] = option(5, "of each member; their mean return is its fitness", unit="episodes", minimum=1)
    act_with: Literal["mean", "best"] = option(
        "mean", "weights of the greedy policy: the distribution's mean, or the member of the highest fitness so far"
    )
    hidden_sizes: tuple[int, ...] | None = option(None, "hidden layers; none: 512 on images, else 64, 64", unit="units")
    activation: Activation = option("tanh", "of hidden layers; on images relu")
    layer_norm: bool = option(False, "normalise before every activation")
    network: Factory | None = option(
        None, "(observation space, outputs) -> torch module, in place of the built-in ones"
    )


class Generation(NamedTuple):
    """What P members came to."""

    fitness: NDArray[np.float64]  # [P] mean return, as the learning view has rewards
    episodes: list[Episode]  # of tasks, in the order in which they ended
    idle: float  # share of the env steps that belonged to no task


class Evolution:
    """Learns a distribution over policies' weights from the returns of its draws.

    An algorithm adds how candidates are drawn (`sample`) and what is learnt from their fitness (`tell`). Of a Box the
    outputs are the actions, clipped to it; of every other space the largest logits are chosen. Unless told otherwise
    the mean acts: the highest of many fitnesses is also the luckiest, and the best member seldom as good as it seems.
    """

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
        self.config, self.steps, self.generation = config, 0, 0
        self.observation_space, self.policy = observation_space, distribution_of(action_space)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        from_zero = config.initialization == "zero"
        module = make_module(
            observation_space,
            [_outputs(self.policy, config.network)],
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            layer_norm=config.layer_norm,
            initialization=None if from_zero else config.initialization,
            factory=config.network,
            seed=seed,
        )
        self.network = Network(module.to(self.device), given=config.network is not None)  # the distribution's mean
        if from_zero:
            self.network.weights.zero_()
        self.best, self.best_fitness = self.network.copy(), -np.inf

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Draw a population, let all of it play, learn from its fitness."""
        policies = SideBySide(self.network, collector.num_envs, self.observation_space)
        while self.steps < until:
            members = self.ask()  # [P, n]
            played = play(collector, policies, self.policy, members, whole(self.config.episodes, self.clock))
            metrics = self._statistics(members, played)
            self.tell(members, played.fitness)  # with the schedules that the population was drawn with
            self.steps, self.generation = collector.steps, self.generation + 1
            yield Progress(self.steps, played.episodes, metrics | {"generation": float(self.generation)})

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold: members as arrays, twice, and those that play as tensors."""
        numbers = (16 * self.population + 8 * num_envs) * self.network.weights.numel()
        yield Held("population", numbers, "population_size")

    # what each strategy does in its own way

    @property
    def population(self) -> int:
        """How many members the next generation has."""
        raise NotImplementedError

    def ask(self) -> NDArray[Any]:
        """Return the weights [P, n] of a new population."""
        raise NotImplementedError

    def tell(self, members: NDArray[Any], fitness: NDArray[np.float64]) -> None:
        """Learn from the population that was asked for.

        Args:
            members: [P, n] their weights.
            fitness: [P].
        """
        raise NotImplementedError

    def sample(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return weights [count, n] drawn from the distribution as it is, and change nothing."""
        raise NotImplementedError

    def search_state(self) -> dict[str, Any]:
        """Return what a later step needs of the strategy's own, as `restore_search` takes it."""
        raise NotImplementedError

    def restore_search(self, saved: dict[str, Any]) -> None:
        """Become the strategy whose `search_state` was taken."""
        raise NotImplementedError

    # acting, state

    @property
    def clock(self) -> int:
        """What schedules are read at."""
        return self.steps

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the policy of the mean or of the best member so far, or a member drawn anew for every episode."""
        if explore:
            return self._members(np.random.default_rng((self.seed, self.steps)))
        network, policy = self.network if self.config.act_with == "mean" else self.best, self.policy
        return lambda observations, first: policy.to_env(policy.mode(network.of_arrays(observations)))

    def _members(self, rng: np.random.Generator) -> Actor:
        policies: SideBySide | None = None

        def act(observations: Any, first: NDArray[np.bool_]) -> Any:
            nonlocal policies
            if policies is None:
                policies, first = SideBySide(self.network, len(first), self.observation_space), np.ones_like(first)
            begins = np.flatnonzero(first)
            if begins.size:
                policies.become(begins, self.sample(begins.size, rng))
            return policies.act(self.policy, observations)

        return act

    def save(self, folder: Path) -> None:
        """Write the distribution, the best member, random generator and counters."""
        saved = {"network": self.network.state(), "best": self.best.state(), "best_fitness": self.best_fitness}
        counters = {"steps": self.steps, "generation": self.generation, "rng": self.rng.bit_generator.state}
        state.save(folder, "evolution", saved | counters | {"search": self.search_state()})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "evolution")
        self.steps, self.generation, self.best_fitness = saved["steps"], saved["generation"], saved["best_fitness"]
        self.rng.bit_generator.state = saved["rng"]
        self.network.restore(saved["network"])
        self.best.restore(saved["best"])
        self.restore_search(saved["search"])

    def _statistics(self, members: NDArray[Any], played: Generation) -> dict[str, float]:
        """Return what a population came to, and remember its best member unless there was a better one."""
        fitness, mean = played.fitness, self.network.weights.cpu().numpy()
        if fitness.max() >= self.best_fitness:
            self.best_fitness = float(fitness.max())
            self.best.weights.copy_(torch.as_tensor(members[fitness.argmax()]))
        return {
            "fitness_mean": float(fitness.mean()),
            "fitness_max": float(fitness.max()),
            "fitness_min": float(fitness.min()),
            "fitness_std": float(fitness.std()),
            "fitness_best": self.best_fitness,
            "sigma": float(np.sqrt(np.square(members - mean).mean())),  # of the members about the mean, per weight
            "idle": played.idle,
        }


class SideBySide:
    """B copies of a policy network, each with weights of its own, that map observations in one call.

    Linear layers are batched products, whatever has no weights maps the whole batch, and any other layer goes through
    `torch.vmap`. Networks that this does not suit (their course depends on data, their weights are read from elsewhere
    than their parameters) are asked one environment after another.

    Args:
        network: whose architecture it is.
        count: B.
        space: of one observation.
    """

    def __init__(self, network: Network, count: int, space: Space[Any]) -> None:
        self.weights = network.weights.repeat(count, 1)  # [B, n]
        twin = network.copy()  # whose parameters `vmap` may leave in any state
        pieces = torch.split(self.weights, [parameter.numel() for parameter in twin.parameters], 1)
        own = {id(p): piece.view(count, *p.shape) for p, piece in zip(twin.parameters, pieces, strict=True)}
        self._layers = [_beside(part, own) for part in _parts(twin.module)]
        self._one: Network | None = None if self._agrees(network.copy(), space) else network.copy()

    def become(self, which: NDArray[np.int64], weights: Any) -> None:
        """Write the weights [len(which), n] of some of the copies."""
        self.weights[torch.from_numpy(which)] = torch.as_tensor(weights, dtype=torch.float32).to(self.weights.device)

    def act(self, policy: Distribution, observations: Any) -> Any:
        """Return the likeliest actions [B, ...], as the environment takes them."""
        outputs = self(to_tensors(observations, self.weights.device)).cpu().numpy()
        return policy.to_env(policy.mode(outputs))

    def __call__(self, observations: Any) -> Tensor:
        """Map observations [B, ...] to outputs [B, outputs]."""
        return self._together(observations) if self._one is None else self._in_turn(self._one, observations)

    def _together(self, observations: Any) -> Tensor:
        for layer in self._layers:
            observations = layer(observations)
        outputs: Tensor = observations
        return outputs

    def _in_turn(self, network: Network, observations: Any) -> Tensor:
        """Map one observation after another by a network that takes on one row of weights after another."""
        outputs = []
        for index, weights in enumerate(self.weights):
            network.weights.copy_(weights)
            outputs.append(network(taken(observations, slice(index, index + 1))))
        return torch.cat(outputs)

    @torch.no_grad()
    def _agrees(self, network: Network, space: Space[Any]) -> bool:
        """Return whether both ways give the same, for weights that differ from copy to copy."""
        count, device = len(self.weights), self.weights.device
        observations = to_tensors(taken(example(space), np.zeros(count, np.int64)), device)
        self.weights += 0.1 * torch.arange(1, count + 1, device=device)[:, None]
        reference = self._in_turn(network, observations)
        try:
            outputs = self._together(observations)
        except Exception:  # whatever a layer says that cannot be batched
            return False
        return torch.allclose(outputs, reference, rtol=1e-2, atol=1e-2 * float(reference.abs().max()), equal_nan=True)


@torch.no_grad()
def play(
    collector: Collector, policies: SideBySide, policy: Distribution, members: NDArray[Any], episodes: int
) -> Generation:
    """Have every member play so many episodes, all environments side by side, and return what they came to.

    Args:
        collector: of B environments; what is under way in them is left.
        policies: B copies of the network.
        policy: what its outputs mean.
        members: [P, n] weights.
        episodes: of each member.

    Raises:
        NonFiniteError: for a return that is no finite number, naming the member: it cannot be ranked.
    """
    population, num_envs = len(members), collector.num_envs
    weights = torch.as_tensor(members, dtype=torch.float32).to(policies.weights.device)
    tasks, begun, over, before = population * episodes, 0, 0, collector.steps
    returns, finished = np.zeros(tasks), []  # task t is an episode of member t % P
    task = np.full(num_envs, NO_TASK)  # [B] of each environment
    running = np.zeros(num_envs)  # [B] return so far
    if not collector.first.all():
        collector.restart(~collector.first)
    collector.episodes()  # those that ended before are nobody's
    while over < tasks:
        if collector.first.any():
            free = np.flatnonzero(collector.first)
            following = np.arange(begun, begun + free.size)
            task[free] = np.where(following < tasks, following, NO_TASK)
            running[free] = 0.0
            policies.become(free, weights[torch.from_numpy(following % population)])
            begun += free.size
        running += collector.step(policies.act(policy, collector.observations)).reward
        if collector.first.any():
            ended = np.flatnonzero(collector.first & (task != NO_TASK))
            returns[task[ended]] = running[ended]
            over += ended.size
            finished += [episode for episode in collector.episodes() if task[episode.env] != NO_TASK]
    each = returns.reshape(episodes, population)
    with np.errstate(over="ignore"):
        mean = each.mean(0)
    if not np.isfinite(mean).all():
        worst = int(np.argmin(np.isfinite(mean)))
        raise NonFiniteError(
            f"the return of member {worst} of {population} is {mean[worst]:g}, no finite number, so that members "
            "cannot be ranked",
            found={"returns": each, "weights": members[worst]},
        )
    idle = 1 - sum(episode.length for episode in finished) / (collector.steps - before)
    return Generation(mean, finished, idle)


def linear_beside(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return what maps inputs [B, ..., inputs] to outputs [B, ..., outputs] by B linear layers side by side.

    Args:
        weight: [B, outputs, inputs].
        bias: [B, outputs].
    """
    (count, outputs, inputs), across = weight.shape, weight.transpose(1, 2)
    offset = None if bias is None else bias[:, None]

    def map_batch(x: Tensor) -> Tensor:
        rows = x.reshape(count, -1, inputs)  # products of rows are quicker than those of columns
        y = torch.bmm(rows, across) if offset is None else torch.baddbmm(offset, rows, across)
        return y.view(*x.shape[:-1], outputs)

    return map_batch


def _beside(part: Any, own: dict[int, Tensor]) -> Callable[[Any], Any]:
    """Return what maps a batch [B, ...], each row with weights of its own.

    Args:
        part: a module, or a function without weights.
        own: id of a parameter -> [B, ...] its values.
    """
    if not isinstance(part, nn.Module):
        return part  # type: ignore[no-any-return]
    weights = {name: own[id(parameter)] for name, parameter in part.named_parameters() if id(parameter) in own}
    if not weights:
        return part
    if type(part) is nn.Linear and len(weights) == len(list(part.parameters())):
        return linear_beside(weights["weight"], weights.get("bias"))

    def single(row: dict[str, Tensor], observation: Any) -> Tensor:
        outputs: Tensor = torch.func.functional_call(part, row, (taken(observation, None),))
        return outputs[0]

    return lambda observations: torch.vmap(single)(weights, observations)


def _parts(module: nn.Module) -> list[Any]:
    """Return modules, or functions without weights, which one after the other are the module."""
    if isinstance(module, Perceptron):
        *hidden, last = module.layers
        return [module.encode, *(part for layer in hidden for part in (layer, module.activation.of_tensor)), last]
    if type(module) is nn.Sequential:
        return [part for child in module for part in _parts(child)]
    return [module]


def _outputs(policy: Distribution, network: Factory | None) -> int:
    """Return how many outputs a greedy policy needs: of a Gaussian the means alone."""
    if isinstance(policy, Gaussian) and not isinstance(network, ContinuousPolicy):
        return policy.size
    return policy.outputs
