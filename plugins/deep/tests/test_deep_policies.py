"""Ready networks: what they give, and that every algorithm learns with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from rlhub_deep.cmaes import CMAES, CMAESConfig
from rlhub_deep.modules import make_module
from rlhub_deep.perceptron import Perceptron
from rlhub_deep.policies import ContinuousPolicy, DiscretePolicy, FullyConnected

import rlhub_core as rlhub
from rlhub_core import ConfigError, RunError
from rlhub_core.testing import check_exact_resume

SPACE = Box(-1, 1, (4,), np.float32)
SETTINGS: dict[str, dict[str, Any]] = {
    "deep/cmaes": {"population_size": 4, "episodes": 1},
    "deep/openai_es": {"population_size": 4, "episodes": 1},
    "deep/dqn": {"learning_starts": 20, "batch_size": 8},
    "deep/pqn": {},
    "deep/ppo": {"rollout_length": 16, "minibatches": 2, "epochs": 2},
    "deep/a2c": {},
}


def by_hand(network: Any, x: Any) -> Any:
    """Return what ReLU layers with the weights of a network give, as numpy works it out."""
    perceptron = next(part for part in network.modules() if isinstance(part, Perceptron))
    *hidden, last = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in perceptron.layers]
    for weight, bias in hidden:
        x = np.maximum(x @ weight.T + bias, 0)
    return x @ last[0].T + last[1]


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


@pytest.mark.parametrize("output", [None, "tanh", "sigmoid", "softplus", "relu"])
def test_fully_connected(x: Any, output: Any) -> None:
    network = make_module(SPACE, [3], factory=FullyConnected((6, 5), output=output), seed=0)
    expected: Any = torch.from_numpy(by_hand(network, x))
    if output is not None:
        expected = getattr(torch.nn.functional, output)(expected)
    torch.testing.assert_close(network(torch.from_numpy(x)), expected)
    assert [tuple(each.shape) for each in network.parameters()] == [(6, 4), (6,), (5, 6), (5,), (3, 5), (3,)]


def test_rlmodels_network_for_cartpole_has_86_weights() -> None:
    assert sum(each.numel() for each in FullyConnected((6, 6))(SPACE, 2).parameters()) == 86


def test_a_discrete_policy_gives_logits(x: Any) -> None:
    network = make_module(SPACE, [3], factory=DiscretePolicy((6,)), seed=0)
    np.testing.assert_allclose(network(torch.from_numpy(x)).detach(), by_hand(network, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("mean", [None, "tanh"])
def test_a_continuous_policy_gives_means_and_least_deviations(x: Any, mean: Any, value: int) -> None:
    policy = ContinuousPolicy((6,), mean=mean, min_deviation=0.8)
    network = make_module(SPACE, [4 + value], factory=policy, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5)
    expected = by_hand(network, x)
    outputs = network(torch.from_numpy(x)).detach().numpy()
    means = np.tanh(expected[:, :2]) if mean else expected[:, :2]
    np.testing.assert_allclose(outputs[:, :2], means, rtol=1e-4)
    np.testing.assert_allclose(outputs[:, 2:4], np.maximum(expected[:, 2:4], math.log(0.8)), rtol=1e-4)
    assert (outputs[:, 2:4] == np.float32(math.log(0.8))).any()
    assert (outputs[:, 2:4] > math.log(0.8)).any()
    np.testing.assert_allclose(outputs[:, 4:], expected[:, 4:], rtol=1e-4)


def learns(algorithm: str, env: str, network: Any) -> None:
    """Assert that weights of a network move, and that a recipe only mentions it."""
    config = SETTINGS[algorithm] | {"network": network}
    run = rlhub.train(algorithm, env, steps=200, config=config, num_envs=2)
    learner: Any = run.algorithm
    spaces = run.observation_space, run.action_space
    untaught = type(learner)(*spaces, learner.config, seed=learner.seed, total_steps=200, device="cpu")
    assert not torch.equal(learner.network.weights, untaught.network.weights)
    assert torch.isfinite(learner.network.weights).all()
    with pytest.raises(RunError, match=f"pass them again: config=.*{type(network).__name__}"):
        rlhub.load(run.folder)
    loaded: Any = rlhub.load(run.folder, config={"network": network}).algorithm
    assert torch.equal(loaded.network.weights, learner.network.weights)


@pytest.mark.parametrize("network", [FullyConnected((6, 6), output="tanh"), DiscretePolicy((6, 6))], ids=str)
@pytest.mark.parametrize("algorithm", SETTINGS)
def test_every_algorithm_learns_discrete_actions_with_it(algorithm: str, network: Any) -> None:
    learns(algorithm, "CartPole-v1", network)


@pytest.mark.parametrize("network", [FullyConnected((6,)), ContinuousPolicy((6,), mean="tanh")], ids=str)
@pytest.mark.parametrize("algorithm", ["deep/cmaes", "deep/openai_es", "deep/ppo", "deep/a2c"])
def test_every_algorithm_learns_continuous_actions_with_it(algorithm: str, network: Any) -> None:
    learns(algorithm, "MountainCarContinuous-v0:max_episode_steps=20", network)


def test_a_greedy_continuous_policy_acts_by_its_means(x: Any) -> None:
    config = CMAESConfig(network=ContinuousPolicy((5,), mean="tanh"), initialization=None)
    algorithm = CMAES(SPACE, Box(-0.5, 2, (2,), np.float32), config, seed=0, total_steps=1, device="cpu")
    expected = np.tanh(by_hand(algorithm.network.module, x)[:, :2]).clip(-0.5, 2)
    np.testing.assert_allclose(algorithm.actor()(x, np.zeros(9, np.bool_)), expected, rtol=1e-5, atol=1e-6)


def test_resume_is_exact_with_one() -> None:
    config = {"network": FullyConnected((4,), output="tanh"), "population_size": 4, "episodes": 2}
    check_exact_resume("deep/cmaes", "CartPole-v1", steps=600, config=config)


def test_a_wrong_number_of_actions_is_a_network_of_another_shape() -> None:
    config = CMAESConfig(network=lambda space, outputs: FullyConnected((3,))(space, outputs + 1))
    with pytest.raises(ConfigError, match=r"must give shape \(1, 3\), not \(1, 4\)"):
        CMAES(SPACE, Discrete(3), config, seed=0, total_steps=1, device="cpu")
