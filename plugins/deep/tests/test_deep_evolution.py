"""deep/cmaes and deep/openai_es: how a population plays, what is learnt from it, and the networks that suit."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cmaes
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector.utils import batch_space
from rlhub_deep import evolution
from rlhub_deep.cmaes import CMAES, Moments, Rates, rank_mu_update, recombination_weights
from rlhub_deep.evolution import SideBySide, linear_beside
from rlhub_deep.modules import make_module, to_tensors
from rlhub_deep.network import Network
from rlhub_deep.openai_es import OpenAIES, centred_ranks, search_gradient
from rlhub_deep.perceptron import Perceptron
from torch import nn

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentFault, SpaceError
from rlhub_core.schedules import Linear, Piecewise
from rlhub_core.testing import PROBES, ActionAndObservationMatter, ActionMatters, check_exact_resume

VECTOR, TWO = Box(-1, 1, (4,), np.float32), Discrete(2)
ONE = Box(-math.inf, math.inf, (1,), np.float32)
RANK_MU: dict[str, Any] = {"update": "rank-mu"}


def made(kind: Any = CMAES, observations: Any = VECTOR, actions: Any = TWO, seed: int = 0, **config: Any) -> Any:
    return kind(observations, actions, kind.Config(**config), seed=seed, total_steps=1_000, device="cpu")


def constant(space: Any, outputs: int) -> nn.Module:
    """Return a network whose output is its one weight wherever all is 0."""
    return nn.Linear(1, outputs, bias=False) if space.shape == (1,) else nn.Linear(space.shape[0], outputs)


class AsLongAsSaid(gymnasium.Env[Any, Any]):
    """An action says how many steps the episode lasts and what each is worth; it must stay the same all the while."""

    observation_space = Box(-1, 1, (1,), np.float32)
    action_space: Any = ONE
    ending = "terminated"

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.said, self.time = 0.0, 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Any:
        said = float(action[0])
        assert self.time == 0 or said == self.said, "another member took over in the middle of an episode"
        self.said, self.time = said, self.time + 1
        over = self.time >= said
        return (
            np.ones(1, np.float32),
            said,
            over and self.ending == "terminated",
            over and self.ending != "terminated",
            {},
        )


class CutOff(AsLongAsSaid):
    """The same with time limits for ends."""

    ending = "truncated"


# ---- a population plays


def lengths(members: list[float], episodes: int, num_envs: int, env: Any = AsLongAsSaid, **view: Any) -> Any:
    """Have members play that say how long, and return what they came to with the collector."""
    algorithm = made(observations=env.observation_space, actions=env.action_space, network=constant)
    collector = rlhub.Collector(rlhub.make_vec(env, num_envs), 0, **view)
    policies = SideBySide(algorithm.network, num_envs, env.observation_space)
    weights = np.array(members)[:, None]
    return evolution.play(collector, policies, algorithm.policy, weights, episodes), collector, policies, algorithm


@pytest.mark.parametrize("num_envs", [1, 2, 5, 6, 9, 20])
@pytest.mark.parametrize("env", [AsLongAsSaid, CutOff])
def test_every_member_plays_its_episodes_to_their_ends_in_any_number_of_environments(env: Any, num_envs: int) -> None:
    played, collector, policies, algorithm = lengths([1.0, 4.0, 9.0], 3, num_envs, env)
    assert played.fitness.tolist() == [1.0, 16.0, 81.0]
    assert sorted(episode.length for episode in played.episodes) == [1, 1, 1, 4, 4, 4, 9, 9, 9]
    assert played.idle == pytest.approx(1 - 42 / collector.steps)
    again = evolution.play(collector, policies, algorithm.policy, np.array([[3.0], [2.0]]), 2)  # with idle ones midway
    assert again.fitness.tolist() == [9.0, 4.0]
    assert sorted(episode.length for episode in again.episodes) == [2, 2, 3, 3]


def test_what_is_idle_by_hand() -> None:
    # tasks of 1, 4, 1, 4 steps: the first environment plays 1, 1 and 4, the second 4 and then 2 of nobody's
    played, collector, policies, algorithm = lengths([1.0, 4.0], 2, 2)
    assert collector.steps == 12
    assert played.idle == pytest.approx(1 - 10 / 12)
    assert [(episode.env, episode.length) for episode in played.episodes] == [(0, 1), (0, 1), (1, 4), (0, 4)]
    again = evolution.play(collector, policies, algorithm.policy, np.array([[1.0], [4.0]]), 2)  # all begin at once
    assert (collector.steps, again.idle) == (24, played.idle)


def test_fitness_is_the_learning_view_and_episodes_are_real() -> None:
    played, *_ = lengths([2.0, 5.0], 2, 3, reward_clip=1.0)
    assert played.fitness.tolist() == [2.0, 5.0]
    assert {episode.return_ for episode in played.episodes} == {4.0, 25.0}


def test_a_return_that_is_no_number_is_refused() -> None:
    class Nan(AsLongAsSaid):
        def step(self, action: Any) -> Any:
            return np.ones(1, np.float32), math.nan, True, False, {}

    with pytest.raises(EnvironmentFault, match="The reward is nan, no finite number"):
        lengths([1.0, 2.0], 1, 2, Nan)


class Shown(nn.Module):
    """Weights in every place a module can have them; its course depends on what it sees where `asks`."""

    def __init__(self, outputs: int, asks: bool = False, hides: bool = False) -> None:
        super().__init__()
        self.asks, self.body, self.head = asks, nn.Linear(4, 4), nn.Linear(4, outputs)
        self.again, self.scale = self.body, nn.Parameter(torch.ones(4))
        self.kept = [self.head.weight] if hides else None

    def forward(self, x: Any) -> Any:
        x = self.again(torch.tanh(self.body(x))) * self.scale
        if self.asks and x.sum() > 0:
            return self.head(-x)
        return x @ self.kept[0].t() if self.kept else self.head(x)


def sequence(outputs: int) -> nn.Module:
    frozen = nn.Linear(4, 5).requires_grad_(False)
    head = nn.Linear(6, outputs, bias=False)
    return nn.Sequential(frozen, nn.Linear(5, 6), nn.BatchNorm1d(6), nn.PReLU(), nn.Dropout(0.5), nn.Sequential(head))


def recurrent(outputs: int) -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.GRU(1, 5, batch_first=True), nn.Linear(5, outputs)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(x[..., None])[0][:, -1])

    return Last()


IMAGE = Box(0, 255, (2, 36, 36), np.uint8)
MIXED = Dict({"eyes": IMAGE, "ears": VECTOR, "nose": Discrete(3, start=4), "tongue": MultiDiscrete([2, 3])})
DEAF = Dict({"ears": VECTOR, "nose": Discrete(3, start=4), "tongue": MultiBinary(3)})
NETWORKS: dict[str, tuple[Any, dict[str, Any], bool]] = {  # space, options, whether all are asked at once
    "perceptron": (VECTOR, {}, True),
    "elu": (VECTOR, {"activation": "elu", "hidden_sizes": (3,)}, True),
    "layer_norm": (VECTOR, {"layer_norm": True}, True),
    "classes": (MultiDiscrete([3, 2], start=[1, 5]), {}, True),
    "image": (IMAGE, {"hidden_sizes": (8,)}, True),
    "image, layer_norm": (Box(0, 1, (36, 40, 3), np.float32), {"hidden_sizes": (8,), "layer_norm": True}, True),
    "dict": (DEAF, {}, True),
    "dict with an image": (MIXED, {"hidden_sizes": (8,)}, True),
    "own": (VECTOR, {"factory": lambda space, outputs: Shown(outputs)}, True),
    "sequence": (VECTOR, {"factory": lambda space, outputs: sequence(outputs)}, True),
    "its course depends on data": (VECTOR, {"factory": lambda space, outputs: Shown(outputs, asks=True)}, False),
    "its weights are held elsewhere": (VECTOR, {"factory": lambda space, outputs: Shown(outputs, hides=True)}, False),
    "recurrent": (VECTOR, {"factory": lambda space, outputs: recurrent(outputs)}, False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_side_by_side_every_environment_has_weights_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space, options, together = NETWORKS[name]
    network = Network(make_module(space, [3], seed=0, **options), given="factory" in options)
    before = network.weights.clone()
    policies, count = SideBySide(network, 4, space), network.weights.numel()
    rng = np.random.default_rng(0)
    weights = network.weights.numpy() * (1 + 0.5 * rng.standard_normal((4, count))).astype(np.float32)
    policies.become(np.arange(4), rng.standard_normal((4, count)))
    policies.become(np.array([3, 0, 2, 1]), weights[[3, 0, 2, 1]])
    batch = batch_space(space, 4)
    batch.seed(0)
    observations = to_tensors(batch.sample(), torch.device("cpu"))
    turns: list[Any] = []
    original = Network.__call__
    monkeypatch.setattr(Network, "__call__", lambda self, *args: (turns.append(self), original(self, *args))[1])
    outputs = policies(observations)
    assert (not turns) == together
    assert torch.equal(network.weights, before)
    for env in range(4):
        network.weights.copy_(torch.from_numpy(weights[env]))
        alone = network(evolution.taken(observations, slice(env, env + 1)))
        torch.testing.assert_close(outputs[env : env + 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 3), (5, 7, 3), (5, 2, 4, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_side_by_side(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layers, inputs = [nn.Linear(3, 2, bias=bias) for _ in range(5)], torch.randn(shape)
    weight = torch.stack([layer.weight for layer in layers])
    offset = torch.stack([layer.bias for layer in layers]) if bias else None
    expected = torch.stack([layer(row) for layer, row in zip(layers, inputs, strict=True)])
    torch.testing.assert_close(linear_beside(weight, offset)(inputs), expected)


# ---- what is learnt from it


def test_a_rank_mu_update_by_hand() -> None:
    before = Moments(np.array([1.0, 0.0]), np.eye(2), np.array([10.0, 0.0]), np.array([[0.0, 4.0], [4.0, 0.0]]))
    members, weights = np.array([[2.0, 0.0], [1.0, 2.0]]), np.array([0.25, 0.75])
    after = rank_mu_update(before, members, weights, Rates(alpha_mu=0.5, alpha_cm=0.1, beta_mu=0.2, beta_cm=0.5))
    # offsets (1, 0) and (0, 2): their weighted sum (0.25, 1.5), their weighted squares diag(0.25, 3)
    np.testing.assert_allclose(after.mean_change, [2 + 0.25, 1.5])
    np.testing.assert_allclose(after.covariance_change, [[0.25 - 1, 2], [2, 3 - 1]])
    np.testing.assert_allclose(after.mean, [1 + 1.125, 0.75])
    np.testing.assert_allclose(after.covariance, [[1 - 0.075, 0.2], [0.2, 1 + 0.2]])
    diagonal = before._replace(covariance=np.ones(2), covariance_change=np.zeros(2))
    after = rank_mu_update(diagonal, members, weights, Rates(0.5, 0.1, 0.2, 0.5))
    np.testing.assert_allclose(after.mean, [1 + 1.125, 0.75])
    np.testing.assert_allclose(after.covariance, [1 - 0.075, 1 + 0.2])


def test_weights_are_those_of_dense_ranks() -> None:
    fitness = np.array([5.0, -1.0, 5.0, 2.0])  # ranks 3, 1, 3, 2
    assert recombination_weights(fitness, lambda rank: rank**2).tolist() == [9 / 23, 1 / 23, 9 / 23, 4 / 23]
    assert recombination_weights(np.ones(4), lambda rank: rank**2).tolist() == [0.25] * 4
    assert recombination_weights(np.ones(4), lambda rank: rank - 1.0).tolist() == [0.25] * 4


def test_centred_ranks_share_what_is_equal() -> None:
    assert centred_ranks(np.array([3.0, -2.0, 10.0])).tolist() == [0, -0.5, 0.5]
    assert centred_ranks(np.array([1.0, 0.0, 1.0, 1.0, 7.0])).tolist() == [0, -0.5, 0, 0, 0.5]
    assert centred_ranks(np.full(6, 200.0)).tolist() == [0] * 6


def test_the_search_gradient_by_hand_and_on_a_slope() -> None:
    offsets = np.array([[0.2, 0.0], [0.0, 0.4], [-0.2, 0.0], [0.0, -0.4]], np.float32)
    gradient = search_gradient(offsets, np.array([0.5, 0.1, -0.5, -0.1]), 0.2)
    np.testing.assert_allclose(gradient, [0.2 / (4 * 0.04), 0.08 / (4 * 0.04)], rtol=1e-6)
    slope = np.array([3.0, -1.0, 0.5])
    offsets = 0.1 * np.random.default_rng(0).standard_normal((20_000, 3)).astype(np.float32)
    np.testing.assert_allclose(search_gradient(offsets, offsets @ slope, 0.1), slope, atol=0.1)


def asked_and_told(algorithm: Any, fitness: Callable[[Any], Any], generations: int) -> Any:
    """Give a population a fitness without letting it play; return the last one."""
    for _ in range(generations):
        members = algorithm.ask()
        algorithm.tell(members, fitness(members))
        algorithm.generation += 1
    return members


@pytest.mark.parametrize(("covariance", "kind"), [("full", cmaes.CMA), ("diagonal", cmaes.SepCMA)])
def test_cma_es_is_the_librarys(covariance: Any, kind: Any) -> None:
    algorithm = made(hidden_sizes=(3,), covariance=covariance, sigma=0.3, population_size=10, initialization=None)
    start = algorithm.network.weights.numpy().astype(float)
    library = kind(mean=start.copy(), sigma=0.3, population_size=10)
    library.reseed_rng(int(np.random.default_rng(0).integers(2**32)))  # as the algorithm's own generator has it
    drawn = np.stack([library.ask() for _ in range(10)])
    for generation in range(30):
        members = algorithm.ask()
        assert generation or np.array_equal(members, drawn)
        fitness = -np.square(members - 1).sum(1)
        algorithm.tell(members, fitness)
        library.tell([(x, -f) for x, f in zip(members, fitness, strict=True)])
        ours, theirs = algorithm.search_state(), library.__getstate__()
        for name in [name for name, each in ours.items() if each is not None]:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(algorithm.network.weights, library.mean, rtol=1e-6)
    assert np.square(library.mean - 1).sum() < 0.5 * np.square(start - 1).sum()


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_rank_mu_draws_from_its_distribution_and_moves_it(covariance: Any) -> None:
    algorithm = made(**RANK_MU, hidden_sizes=(), covariance=covariance, sigma=0.7, population_size=4_000)
    members = algorithm.ask()
    assert abs(members.mean()) < 0.02
    assert members.std() == pytest.approx(0.7, abs=0.02)
    algorithm.tell(members, members[:, 0])  # the more of the first weight the better
    again = algorithm.ask()
    weights = recombination_weights(members[:, 0], lambda rank: rank**2)
    spread = np.cov(members.T, aweights=weights, bias=True)
    moved = weights @ members
    expected = 0.5 * 0.49 * np.eye(10) + 0.5 * (spread + np.outer(moved, moved))
    np.testing.assert_allclose(algorithm.network.weights, moved, rtol=1e-5)
    found = np.cov(again.T)
    np.testing.assert_allclose(found if covariance == "full" else found.diagonal(), expected if covariance == "full"
                               else expected.diagonal(), atol=0.06)  # fmt: skip


def test_a_covariance_that_momentum_made_indefinite_is_drawn_from_all_the_same() -> None:
    for covariance in ("full", "diagonal"):
        algorithm = made(
            **RANK_MU, hidden_sizes=(), covariance=covariance, alpha_cm=1.0, beta_cm=1.0, population_size=4
        )
        members = asked_and_told(algorithm, lambda each: each[:, 0], 10)
        variances = algorithm.search_state()["covariance"]
        assert (np.linalg.eigvalsh(variances) if covariance == "full" else variances).min() < 0
        assert np.isfinite(members).all()


def test_schedules_are_counted_in_generations() -> None:
    rates = {"alpha_mu": Piecewise((2,), (0.0, 1.0)), "alpha_cm": Linear(0.0, 1.0, 4), "beta_mu": 0.0}
    algorithm = made(**RANK_MU, hidden_sizes=(), population_size=6, **rates)
    assert algorithm.clock == 0
    moved = []
    for _ in range(4):
        before = algorithm.network.weights.clone(), algorithm.search_state()["covariance"]
        asked_and_told(algorithm, lambda each: each[:, 0], 1)
        after = algorithm.network.weights, algorithm.search_state()["covariance"]
        moved.append((not torch.equal(before[0], after[0]), not np.array_equal(before[1], after[1])))
    assert moved == [(False, False), (False, True), (True, True), (True, True)]
    assert algorithm.clock == 4
    config = RANK_MU | {"alpha_mu": "linear(1.0, 0.0, 10)", "episodes": "piecewise((3,), (1, 2))"}
    run = rlhub.train("deep/cmaes", ActionMatters, steps=200, log_every=1, config=config | {"population_size": 4})
    first = (run.folder / "metrics.jsonl").read_text().splitlines()[0]
    assert '"hyper_parameters/alpha_mu": 0.9' in first
    assert (run.episodes[11].step, run.episodes[12].step) == (12, 13)
    assert len([episode for episode in run.episodes if episode.step <= 20]) == 20


def test_the_openai_strategy_obeys_its_schedules() -> None:
    schedules = {"population_size": Piecewise((100,), (6, 9)), "sigma": Piecewise((100,), (0.5, 0.0001)),
                 "learning_rate": Piecewise((100,), (0.25, 0.0)), "optimizer": "sgd", "weight_decay": 0.0}  # fmt: skip
    algorithm = made(OpenAIES, **schedules)
    before = algorithm.network.weights.numpy().copy()
    members = algorithm.ask()
    assert members.shape == (6, before.size)
    np.testing.assert_allclose(members[:3] + members[3:], np.tile(2 * before, (3, 1)), atol=1e-6)
    assert (members - before).std() == pytest.approx(0.5, abs=0.02)
    fitness = np.array([3.0, 1.0, 9.0, 2.0, 0.0, 5.0])
    algorithm.tell(members, fitness)
    expected = 0.25 * search_gradient(members - before, centred_ranks(fitness), 0.5)
    np.testing.assert_allclose(algorithm.network.weights.numpy() - before, expected, rtol=1e-4, atol=1e-6)
    algorithm.steps, after = 100, algorithm.network.weights.clone()
    members = algorithm.ask()
    assert members.shape == (10, before.size)  # whole pairs
    assert (members - after.numpy()).std() == pytest.approx(1e-4, rel=0.05)
    algorithm.tell(members, np.arange(10.0))
    assert torch.equal(algorithm.network.weights, after)


def test_weights_decay() -> None:
    algorithm = made(OpenAIES, optimizer="sgd", learning_rate=0.5, weight_decay=0.1)
    before = algorithm.network.weights.clone()
    algorithm.tell(algorithm.ask(), np.ones(64))  # which says nothing of any direction
    torch.testing.assert_close(algorithm.network.weights, before * 0.95)
    limited = made(OpenAIES, optimizer="sgd", learning_rate=1.0, weight_decay=0.1, max_grad_norm=0.01)
    limited.tell(limited.ask(), np.ones(64))
    assert float((limited.network.weights - before).norm()) == pytest.approx(0.01, rel=1e-3)


# ---- learning

STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "cmaes": ("deep/cmaes", {}),
    "cmaes, diagonal": ("deep/cmaes", {"covariance": "diagonal", "initialization": None, "activation": "elu"}),
    "rank-mu": ("deep/cmaes", RANK_MU | {"sigma": 1.0}),
    "rank-mu, diagonal, momentum": ("deep/cmaes", RANK_MU | {"covariance": "diagonal", "beta_mu": 0.2, "beta_cm": 0.1}),
    "rank-mu, own weights": ("deep/cmaes", RANK_MU | {"rank_weights": lambda rank: max(0, rank - 4)}),
    "best": ("deep/cmaes", {"act_with": "best"}),
    "openai_es": ("deep/openai_es", {"sigma": 0.3}),
}
SMALL: dict[str, Any] = {"hidden_sizes": (4,), "population_size": 16, "episodes": 8}


@pytest.mark.parametrize("probe", [ActionMatters, ActionAndObservationMatter])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_probe_is_solved(strategy: str, probe: Any) -> None:
    name, options = STRATEGIES[strategy]
    run = rlhub.train(name, probe, steps=4_000, num_envs=16, config=SMALL | options)
    assert rlhub.evaluate(run, episodes=20).mean == 1


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", ["deep/cmaes", "deep/openai_es"])
def test_every_probe_is_played(name: str, probe: Any) -> None:
    run = rlhub.train(name, probe, steps=40, num_envs=3, config={"population_size": 4, "episodes": 2})
    assert run.steps >= 40


class Target(gymnasium.Env[Any, Any]):
    """What is rewarded is to be near a place that the observation tells; actions are checked."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space: Any = Box(np.array([[-2.0], [0.0]], np.float32), np.array([[2.0], [1.0]], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen, {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return self.seen, self.reward(action), True, False, {}

    def reward(self, action: Any) -> float:
        return -float(abs(action[0, 0] - 1.5 * self.seen[0]) + abs(action[1, 0] - 0.5))


class Several(Target):
    """Two of three choices that matter: the first is to be the third, the second to tell what is seen."""

    action_space = MultiDiscrete([3, 2, 2], start=[5, -1, 0])

    def reward(self, action: Any) -> float:
        return float(action[0] == 7) + float(action[1] == (0 if self.seen[0] > 0 else -1)) - 2


class Switches(Target):
    """The first switch is to be on, the second to be on where something is seen."""

    action_space = MultiBinary((2, 1))

    def reward(self, action: Any) -> float:
        return float(action[0, 0] == 1) + float(action[1, 0] == (self.seen[1] > 0)) - 2


class From5(Target):
    """Actions from 5."""

    action_space = Discrete(2, start=5)

    def reward(self, action: Any) -> float:
        return float(action - 5 == (self.seen[1] > 0)) - 1


@pytest.mark.parametrize("env", [Target, Several, Switches, From5])
@pytest.mark.parametrize("name", ["deep/cmaes", "deep/openai_es"])
def test_every_action_space_is_learnt(name: str, env: Any) -> None:
    config = {"hidden_sizes": (), "population_size": 24, "episodes": 10}
    options = {"sigma": 0.3, "learning_rate": 0.1} if name == "deep/openai_es" else {}
    run = rlhub.train(name, env, steps=12_000, num_envs=20, config=config | options)
    assert rlhub.evaluate(run, env, episodes=40).mean > -0.3


@pytest.mark.parametrize("space", [Box(0, 5, (2,), np.int32), Dict({"a": TWO})])
def test_other_actions_are_refused(space: Any) -> None:
    with pytest.raises(SpaceError, match="A policy draws Discrete, MultiDiscrete and MultiBinary actions and those"):
        made(actions=space)


def test_a_population_learns_from_images() -> None:
    class Sides(Target):
        observation_space = Box(0, 255, (1, 36, 36), np.uint8)
        action_space = TWO

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            gymnasium.Env.reset(self, seed=seed)
            self.right = int(self.np_random.integers(2))
            self.seen = np.zeros((1, 36, 36), np.uint8)
            self.seen[:, :, 18 * self.right : 18 * self.right + 18] = 200
            return self.seen, {}

        def reward(self, action: Any) -> float:
            return float(action == self.right)

    for name in ("deep/cmaes", "deep/openai_es"):
        config = {"hidden_sizes": (4,), "population_size": 10, "episodes": 6}
        run = rlhub.train(name, Sides, steps=600, num_envs=10, config=config)
        assert rlhub.evaluate(run, episodes=10).mean == 1


@pytest.mark.parametrize("name", ["deep/cmaes", "deep/openai_es"])
def test_a_pole_is_balanced_within_seconds(name: str) -> None:
    run = rlhub.train(name, "CartPole-v1", steps=40_000, num_envs=16, config={"episodes": 2})
    assert rlhub.evaluate(run, episodes=20).mean > 50  # 10 at first


# ---- acting, statistics


def test_statistics_are_those_of_the_population() -> None:
    algorithm = made(observations=ONE, actions=ONE, network=constant, population_size=6, episodes=2, sigma=2.0)
    members = np.array([[2.0], [1.0], [5.0], [3.0], [4.0], [1.0]])
    algorithm.ask = lambda: members
    collector = rlhub.Collector(rlhub.make_vec(AsLongAsSaid, 4), 0)
    progress = next(algorithm.train(collector, 1))
    fitness = np.array([4.0, 1, 25, 9, 16, 1])
    metrics = dict(progress.metrics)
    assert metrics.pop("sigma") == pytest.approx(math.sqrt((members**2).mean()))
    assert metrics.pop("idle") == pytest.approx(1 - 32 / progress.steps)
    assert metrics == {"fitness_mean": fitness.mean(), "fitness_max": 25, "fitness_min": 1,
                       "fitness_std": fitness.std(), "fitness_best": 25, "generation": 1}  # fmt: skip
    assert len(progress.episodes) == 12
    assert algorithm.steps == progress.steps == collector.steps


def test_the_mean_acts_or_the_best_so_far() -> None:
    config = {"network": constant, "population_size": 4, "episodes": 1}
    mean, best = (made(observations=ONE, actions=ONE, act_with=who, **config) for who in ("mean", "best"))
    populations = [[[1.0], [3.0], [2.0], [1.0]], [[2.0], [1.0], [1.0], [1.0]], [[1.0], [1.0], [3.0], [2.0]]]
    seen, first = np.ones((2, 1), np.float32), np.zeros(2, np.bool_)
    for algorithm in (mean, best):
        populations_left = iter(populations)
        algorithm.ask = lambda rest=populations_left: np.array(next(rest))
        collector = rlhub.Collector(rlhub.make_vec(AsLongAsSaid, 2), 0)
        for progress in algorithm.train(collector, 10**9):
            assert progress.metrics["fitness_best"] == 9
            found = algorithm.actor()(seen, first)
            expected = 3.0 if algorithm is best else algorithm.network.weights.item()
            assert found.tolist() == [[expected]] * 2
            if progress.metrics["generation"] == 3:
                break


def test_exploring_draws_a_member_for_every_episode_and_changes_nothing() -> None:
    for kind, options in ((CMAES, {}), (CMAES, {"covariance": "diagonal"}), (CMAES, RANK_MU), (OpenAIES, {})):
        algorithm = made(kind, actions=ONE, population_size=4, hidden_sizes=(), **options)
        asked_and_told(algorithm, lambda each: each[:, 0], 5)
        state = str(algorithm.search_state())
        act, same = algorithm.actor(explore=True), algorithm.actor(explore=True)
        seen, over = np.ones((7, 4), np.float32), np.array([False, True] + 5 * [False])
        one = act(seen, np.zeros(7, np.bool_))
        assert len(np.unique(one)) == 7  # members of their own, although no episode is said to begin
        two = act(seen, over)
        assert (one == two).ravel().tolist() == (~over).tolist()
        assert np.array_equal(same(seen, ~over & over), one)
        assert str(algorithm.search_state()) == state
        before = [made(kind, population_size=4, **options).ask() for _ in range(2)]
        assert np.array_equal(*before)


def test_a_loaded_run_acts_as_the_one_that_was_trained() -> None:
    seen, first = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32), np.zeros(50, np.bool_)
    for name, options in STRATEGIES.values():
        options = {key: each for key, each in options.items() if not callable(each)}
        run = rlhub.train(name, "CartPole-v1", steps=300, config={"population_size": 4, "episodes": 1} | options)
        loaded = rlhub.load(run.folder)
        for explore in (False, True):
            one, other = (each.actor(explore=explore)(seen, first) for each in (run, loaded))
            assert np.array_equal(one, other)


# ---- configuration, resume


@pytest.mark.parametrize("option", ["alpha_mu", "alpha_cm", "beta_mu", "beta_cm", "rank_weights"])
def test_what_would_do_nothing_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}: update=cma-es has none; it is for update=rank-mu"):
        made(**{option: 1.0})


def test_a_schedule_needs_its_length_in_generations() -> None:
    with pytest.raises(ConfigError, match=r"alpha_mu: linear\(1.0, 0.5\) needs its length, in generations"):
        made(**RANK_MU, alpha_mu=Linear(1.0, 0.5))
    assert made(OpenAIES, sigma=Linear(1.0, 0.5)).config.sigma == Linear(1.0, 0.5, 1_000)


@pytest.mark.parametrize(
    ("weights", "shown"),
    [
        (-1.0, "1, 0.5, 0.333333"),
        (0.0, "1, 1, 1"),
        (lambda rank: 7, "7, 7, 7, 7"),
        (lambda rank: rank - 2, "-1, 0, 1"),
        (lambda rank: -abs(rank - 3) + 9, "7, 8, 9, 8"),
        (lambda rank: (rank - 2) ** 2, "1, 0, 1, 4, 9"),
        (lambda rank: math.nan, "nan, nan"),
    ],
)
@pytest.mark.parametrize("size", [8, None])
def test_rank_weights_keep_the_order(weights: Any, shown: str, size: int | None) -> None:
    with pytest.raises(
        ConfigError, match=rf"rank_weights: it must keep the order .* \(the worst\), 2, … weigh {shown}"
    ):
        made(**RANK_MU, rank_weights=weights, population_size=size)


def test_rank_weights_that_raise_are_refused() -> None:
    with pytest.raises(ConfigError, match="rank_weights: it cannot weigh ranks: ZeroDivisionError: "):
        made(**RANK_MU, rank_weights=lambda rank: 1 / (rank - 3), population_size=8)
    made(**RANK_MU, rank_weights=lambda rank: rank > 4, population_size=8)  # the better half alike


def test_rank_weights_are_an_exponent_or_a_function() -> None:
    fitness = np.arange(4.0)
    for given, expected in ((None, [1, 4, 9, 16]), (4, [1, 16, 81, 256]), (lambda rank: math.exp(rank), None)):
        algorithm = made(**RANK_MU, hidden_sizes=(), population_size=4, alpha_mu=1.0, rank_weights=given)
        members = algorithm.ask()
        algorithm.tell(members, fitness)
        weights = np.array(expected or [math.exp(rank) for rank in range(1, 5)], float)
        np.testing.assert_allclose(algorithm.network.weights, weights / weights.sum() @ members, rtol=1e-5)


def test_a_rank_function_is_a_live_object_and_no_schedule() -> None:
    def fourth(rank: float) -> float:
        assert rank >= 1
        return rank**4

    config = RANK_MU | {"population_size": 4, "episodes": 1, "rank_weights": fourth}
    run = rlhub.train("deep/cmaes", "CartPole-v1", steps=200, config=config)
    assert 'rank_weights = "object:' in (run.folder / "experiment.toml").read_text()
    assert "hyper_parameters/" not in (run.folder / "metrics.jsonl").read_text()
    check_exact_resume("deep/cmaes", "CartPole-v1", steps=400, config=config)
    named: Any = rlhub.train("deep/cmaes", "CartPole-v1", steps=50, config=config | {"rank_weights": "math:log"})
    assert named.algorithm.config.rank_weights is math.log
    with pytest.raises(
        ConfigError, match="rank_weights cannot follow a schedule; it must be float or callable or None"
    ):
        rlhub.train("deep/cmaes", "CartPole-v1", steps=50, config=config | {"rank_weights": "linear(1, 2, 30)"})


def test_sizes_by_default() -> None:
    small, large = made(hidden_sizes=(6,)), made(hidden_sizes=(6, 6))
    assert (small.network.weights.numel(), small.ask().shape) == (44, (15, 44))  # 4 + 3 ln 44
    assert (large.network.weights.numel(), large.ask().shape) == (86, (17, 86))
    assert [type(each.search._optimizer).__name__ for each in (small, large)] == ["CMA", "SepCMA"]
    assert made(**RANK_MU, hidden_sizes=(6,)).search_state()["covariance"].shape == (44, 44)
    assert made(**RANK_MU, hidden_sizes=(6, 6)).search_state()["covariance"].shape == (86,)


def test_where_the_mean_starts() -> None:
    assert not made().network.weights.any()
    own = made(initialization=None, network=lambda space, outputs: nn.Linear(4, outputs)).network.weights
    plain = make_module(VECTOR, [2], factory=lambda space, outputs: nn.Linear(4, outputs), seed=0)
    assert torch.equal(own, torch.cat([each.flatten() for each in plain.parameters()]))
    zero = made(network=lambda space, outputs: nn.Linear(4, outputs))
    assert not zero.network.weights.any()
    orthogonal = made(initialization="orthogonal", hidden_sizes=(8,)).network.module
    assert isinstance(orthogonal, Perceptron)
    torch.testing.assert_close(orthogonal.layers[0].weight.t() @ orthogonal.layers[0].weight, 2 * torch.eye(4))


RESUMED: dict[str, tuple[str, dict[str, Any]]] = STRATEGIES | {
    "cmaes, network": ("deep/cmaes", {"network": lambda space, outputs: sequence(outputs)}),
    "cmaes, schedule": ("deep/cmaes", {"episodes": "linear(1, 3, 6)"}),
    "cmaes, recurrent": ("deep/cmaes", {"network": lambda space, outputs: recurrent(outputs)}),
    "rank-mu, schedules": ("deep/cmaes", RANK_MU | {"alpha_cm": "linear(0.9, 0.1, 9)", "beta_mu": "cosine(0.3, 0, 5)"}),
    "openai_es, sgd": ("deep/openai_es", {"optimizer": "sgd:momentum=0.9", "sigma": "linear(0.5, 0.1)",
                                          "learning_rate": "linear(0.5, 0)", "population_size": "linear(4, 8)"}),
}  # fmt: skip


@pytest.mark.parametrize("variant", RESUMED)
def test_resume_is_exact(variant: str) -> None:
    name, options = RESUMED[variant]
    config = {"population_size": 5, "episodes": 2, "hidden_sizes": (4,)} | options
    check_exact_resume(name, "CartPole-v1", steps=1_200, num_envs=3, config=config, log_every=100)


@pytest.mark.parametrize("num_envs", [1, 24])
def test_resume_is_exact_with_any_number_of_environments(num_envs: int) -> None:
    config = {"population_size": 5, "episodes": 2, "hidden_sizes": (4,)}
    check_exact_resume("deep/cmaes", "CartPole-v1", steps=3_000, num_envs=num_envs, config=config)


def test_other_algorithms_do_not_wait_for_the_library() -> None:
    asked = "import sys, rlhub_deep.cmaes, rlhub_deep.openai_es; print('cmaes' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_population_is_learnt_from_with_the_sigma_it_was_drawn_with(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[tuple[float, float]] = []

    def noted(offsets: Any, shaped: Any, sigma: float) -> Any:
        pairs.append((float(offsets.std()), sigma))
        return search_gradient(offsets, shaped, sigma)

    monkeypatch.setattr("rlhub_deep.openai_es.search_gradient", noted)
    config = {"sigma": "linear(0.5, 0.01)", "population_size": 40, "episodes": 1, "hidden_sizes": (16,)}
    rlhub.train("deep/openai_es", "CartPole-v1", steps=4_000, num_envs=8, config=config)
    assert len(pairs) > 2
    for drawn, divided in pairs:
        assert drawn == pytest.approx(divided, rel=0.1)
