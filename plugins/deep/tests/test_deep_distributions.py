"""What a policy's outputs mean: against torch's distributions, and by counting what is drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text
from rlhub_deep.distributions import Gaussian, distribution_of
from torch.distributions import Categorical, Normal

from rlhub_core import SpaceError

SPACES: dict[str, Any] = {
    "discrete": Discrete(3, start=5),
    "multi": MultiDiscrete([2, 3], start=[1, -1]),
    "grid": MultiDiscrete(np.array([[2, 2], [4, 2]])),
    "binary": MultiBinary(4),
    "box": Box(np.array([[-1.0, -2.0]]), np.array([[1.0, 5.0]]), dtype=np.float64),
    "number": Box(-1, 1, (), np.float32),
}


def outputs(distribution: Any, count: int = 7) -> Any:
    return np.random.default_rng(0).normal(size=(count, distribution.outputs)).astype(np.float32)


@pytest.mark.parametrize("name", SPACES)
def test_what_is_drawn_is_an_action_of_the_space(name: str) -> None:
    space, distribution = SPACES[name], distribution_of(SPACES[name])
    drawn = distribution.sample(outputs(distribution, 200), np.random.default_rng(1))
    for actions in (drawn, distribution.mode(outputs(distribution))):
        for action in distribution.to_env(actions):
            assert space.contains(action if space.shape else space.dtype.type(action))
    inside = np.abs(drawn) < 0.9 if isinstance(space, Box) else drawn == drawn
    assert np.array_equal(distribution.from_env(distribution.to_env(drawn))[inside], drawn[inside])
    assert np.array_equal(drawn, distribution.sample(outputs(distribution, 200), np.random.default_rng(1)))


def test_log_probabilities_and_entropies_are_torchs() -> None:
    discrete = distribution_of(Discrete(4))
    logits, chosen = torch.randn(9, 4), torch.randint(4, (9,))
    log_prob, entropy, _ = discrete.score(logits, chosen)
    torch.testing.assert_close(log_prob, Categorical(logits=logits).log_prob(chosen))
    torch.testing.assert_close(entropy, Categorical(logits=logits).entropy())

    multi = distribution_of(MultiDiscrete([2, 3]))
    logits, choices = torch.randn(9, 5), torch.stack([torch.randint(2, (9,)), torch.randint(3, (9,))], 1)
    log_prob, entropy, _ = multi.score(logits, choices)
    parts = Categorical(logits=logits[:, :2]), Categorical(logits=logits[:, 2:])
    torch.testing.assert_close(log_prob, parts[0].log_prob(choices[:, 0]) + parts[1].log_prob(choices[:, 1]))
    torch.testing.assert_close(entropy, parts[0].entropy() + parts[1].entropy())

    gaussian = distribution_of(Box(-1, 1, (3,)))
    given, actions = torch.randn(9, 6), torch.randn(9, 3)
    log_prob, entropy, _ = gaussian.score(given, actions)
    normal = Normal(given[:, :3], given[:, 3:].exp())
    torch.testing.assert_close(log_prob, normal.log_prob(actions).sum(1))
    torch.testing.assert_close(entropy, normal.entropy().sum(1))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("entropy_gradient", [0.0, 0.3])
def test_the_way_back_is_autograds(name: str, entropy_gradient: float) -> None:
    distribution = distribution_of(SPACES[name])
    given = torch.from_numpy(outputs(distribution, 40)).requires_grad_()
    actions = torch.from_numpy(distribution.sample(outputs(distribution, 40), np.random.default_rng(1)))
    slope = torch.randn(40)
    score = distribution.score(given, actions)
    (expected,) = torch.autograd.grad((slope * score.log_prob + entropy_gradient * score.entropy).sum(), given)
    with torch.no_grad():
        found = distribution.score(given, actions).backward(slope, entropy_gradient)
    torch.testing.assert_close(found, expected)
    assert found.abs().sum() > 0


def test_a_deviation_at_its_least_may_only_grow() -> None:
    gaussian = Gaussian(Box(-1, 1, (1,)), min_deviation=1.0)
    given, actions = torch.tensor([[0.0, -2.0], [0.0, -2.0], [0.0, 0.5]]), torch.tensor([[3.0], [0.0], [0.0]])
    slope = torch.full((3,), -1.0)  # of a loss that falls where the actions get likelier
    down = gaussian.score(given, actions).backward(slope, 0.0)[:, 1]
    assert down.tolist()[:2] == [-8.0, 0.0]  # a wider one would make 3 likelier; a narrower one 0, but it is at its end
    assert down[2] > 0
    assert gaussian.score(given, actions).backward(0 * slope, -0.1)[:, 1].tolist() == pytest.approx([-0.1] * 3)


def test_impossible_actions_do_no_harm() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf]])
    score = distribution_of(Discrete(3)).score(logits, torch.tensor([1]))
    expected = Categorical(logits=logits[:, :2])
    torch.testing.assert_close(score.entropy, expected.entropy())
    gradient = score.backward(torch.ones(1), 0.3)
    assert gradient.isfinite().all()
    assert gradient[0, 2] == 0


def test_actions_are_drawn_as_often_as_they_are_likely() -> None:
    count, rng = 20_000, np.random.default_rng(0)
    wanted = np.array([0.7, 0.2, 0.1], np.float32)
    drawn = distribution_of(Discrete(3)).sample(np.tile(np.log(wanted), (count, 1)), rng)
    np.testing.assert_allclose(np.bincount(drawn) / count, wanted, atol=0.015)

    logits = np.log(np.array([0.1, 0.9, *wanted], np.float32))
    choices = distribution_of(MultiDiscrete([2, 3])).sample(np.tile(logits, (count, 1)), rng)
    np.testing.assert_allclose(np.bincount(choices[:, 0]) / count, [0.1, 0.9], atol=0.015)
    np.testing.assert_allclose(np.bincount(choices[:, 1]) / count, wanted, atol=0.015)
    assert abs(np.corrcoef(choices.T)[0, 1]) < 0.03  # one choice knows nothing of the other

    given = np.tile(np.array([2.0, -1.0, math.log(0.5), math.log(3.0)], np.float32), (count, 1))
    actions = distribution_of(Box(-9, 9, (2,))).sample(given, rng)
    np.testing.assert_allclose(actions.mean(0), [2, -1], atol=0.08)
    np.testing.assert_allclose(actions.std(0), [0.5, 3], rtol=0.03)


def test_a_deviation_has_its_least() -> None:
    gaussian, given = Gaussian(Box(-1, 1, (1,)), min_deviation=0.1), np.array([[0.0, -50.0]] * 5_000, np.float32)
    assert gaussian.sample(given, np.random.default_rng(0)).std() == pytest.approx(0.1, rel=0.05)
    log_prob, entropy, _ = gaussian.score(torch.from_numpy(given[:1]), torch.zeros(1, 1))
    assert log_prob.item() == pytest.approx(Normal(0.0, 0.1).log_prob(torch.tensor(0.0)).item(), rel=1e-5)
    assert entropy.item() == pytest.approx(Normal(0.0, 0.1).entropy().item(), rel=1e-5)


def test_only_the_environment_sees_an_action_clipped() -> None:
    gaussian = distribution_of(SPACES["box"])
    actions = np.array([[-3.0, 4.0]], np.float32)
    assert gaussian.to_env(actions).tolist() == [[[-1.0, 4.0]]]
    assert gaussian.to_env(actions).dtype == np.float64
    assert actions.tolist() == [[-3.0, 4.0]]


@pytest.mark.parametrize("space", [Box(0, 9, (2,), np.int64), Text(3), Dict({"a": Discrete(2)})])
def test_other_spaces_are_refused(space: Any) -> None:
    with pytest.raises(SpaceError, match="A policy draws Discrete, MultiDiscrete and MultiBinary actions and those of"):
        distribution_of(space)
