"""The formulas on numbers worked by hand, and against the slow loops of their papers."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from rlhub_deep.actor_critic import explained_variance, normalized
from rlhub_deep.values import dueling, dueling_backward, lambda_returns, project, quantile_huber
from torch import Tensor

FORMS: tuple[Literal["mean", "max"], ...] = ("mean", "max")


def test_dueling_by_hand() -> None:
    outputs = torch.tensor([[2.0, 1.0, 3.0, -1.0]])  # V, then advantages: mean 1, maximum 3
    assert dueling(outputs, "mean").tolist() == [[2, 4, 0]]
    assert dueling(outputs, "max").tolist() == [[0, 2, -2]]


def test_dueling_takes_every_atom_for_itself() -> None:
    outputs = torch.randn(5, 4, 7)
    for form in FORMS:
        by_atom = torch.stack([dueling(outputs[:, :, atom], form) for atom in range(7)], 2)
        assert torch.equal(dueling(outputs, form), by_atom)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("actions", [1, 2, 5])
def test_the_gradient_of_dueling_is_autograds(form: Literal["mean", "max"], actions: int) -> None:
    outputs = torch.randn(6, 1 + actions, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(6, actions, dtype=torch.float64)
    (expected,) = torch.autograd.grad(dueling(outputs, form), outputs, gradient)
    torch.testing.assert_close(dueling_backward(gradient, outputs.detach(), form), expected)


def projected(probabilities: list[float], reward: float, discount: float, low: float, high: float) -> Any:
    given, r, gamma = torch.tensor([probabilities]), torch.tensor([reward]), torch.tensor([discount])
    return pytest.approx(project(given, r, gamma, low, high)[0].tolist(), abs=1e-6)


def test_projection_by_hand() -> None:
    masses = [0.2, 0.3, 0.5]  # of atoms -1, 0, 1
    assert projected(masses, 0.0, 1.0, -1, 1) == masses
    assert projected(masses, 1.0, 1.0, -1, 1) == [0.0, 0.2, 0.8]  # every atom moves onto an atom; the last cannot move
    assert projected(masses, 0.5, 1.0, -1, 1) == [0.1, 0.1 + 0.15, 0.15 + 0.5]  # half way between two
    assert projected(masses, 0.0, 0.5, -1, 1) == [0.1, 0.1 + 0.3 + 0.25, 0.25]
    assert projected(masses, 0.25, 0.0, -1, 1) == [0.0, 0.75, 0.25]  # nothing follows: the reward alone
    assert projected(masses, -1.0, 0.0, -1, 1) == [1.0, 0.0, 0.0]
    assert projected(masses, 9.0, 1.0, -1, 1) == [0.0, 0.0, 1.0]  # clipped at either end
    assert projected(masses, -9.0, 1.0, -1, 1) == [1.0, 0.0, 0.0]
    assert projected([0, 0, 1.0, 0, 0], 1.0, 0.5, -2, 10) == [0, 1 / 3, 2 / 3, 0, 0]  # 1 + 4/2 = 3, between 1 and 4


def test_projection_is_algorithm_1_and_loses_no_mass() -> None:
    torch.manual_seed(0)
    low, high, atoms = -3.0, 7.0, 51
    probabilities = torch.randn(64, atoms).softmax(1)
    reward, discount = 3 * torch.randn(64), torch.rand(64).round(decimals=1)
    found = project(probabilities, reward, discount, low, high)
    step = (high - low) / (atoms - 1)
    for row in range(64):
        expected = [0.0] * atoms
        for atom in range(atoms):
            moved = min(max(reward[row].item() + discount[row].item() * (low + atom * step), low), high)
            position = (moved - low) / step
            below, above = math.floor(position), math.ceil(position)
            share = position - below
            expected[below] += probabilities[row, atom].item() * (1 - share)
            if above > below:
                expected[above] += probabilities[row, atom].item() * share
        assert found[row].tolist() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(64))


def test_quantile_huber_is_the_double_sum_of_equation_10() -> None:
    torch.manual_seed(0)
    quantiles, targets = 2 * torch.randn(3, 4), 2 * torch.randn(3, 5)
    for row, found in enumerate(quantile_huber(quantiles, targets).tolist()):
        total = 0.0
        for i, quantile in enumerate(quantiles[row].tolist()):
            midpoint = (2 * i + 1) / 8
            for sample in targets[row].tolist():
                error = sample - quantile
                huber = 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5
                total += abs(midpoint - (error < 0)) * huber / 5
        assert found == pytest.approx(total, rel=1e-5)


def test_the_lowest_quantile_is_pulled_up_least() -> None:
    quantiles = torch.zeros(1, 2, requires_grad=True)  # at 1/4 and 3/4
    (up,) = torch.autograd.grad(quantile_huber(quantiles, torch.tensor([[10.0]])).sum(), quantiles)
    (down,) = torch.autograd.grad(quantile_huber(quantiles, torch.tensor([[-10.0]])).sum(), quantiles)
    assert up.tolist() == [[-0.25, -0.75]]
    assert down.tolist() == [[0.75, 0.25]]


def returns(trace: float, *, discount_1: float = 0.5, ended_1: bool = False) -> list[float]:
    def column(*numbers: float) -> Tensor:
        return torch.tensor([[number] for number in numbers])

    reward, discount, value = column(1.0, 2.0, 3.0), column(0.5, discount_1, 0.5), column(10.0, 20.0, 30.0)
    found = lambda_returns(reward, discount, value, column(False, ended_1, False), trace)
    result: list[float] = found[:, 0].tolist()
    return result


def test_lambda_returns_by_hand() -> None:
    # the rollout's end: G₂ = 3 + 0.5·30; G₁ = 2 + 0.5 (0.5·20 + 0.5·18); G₀ = 1 + 0.5 (0.5·10 + 0.5·11.5)
    assert returns(0.5) == [6.375, 11.5, 18]
    assert returns(0.5, discount_1=0.0, ended_1=True) == [4, 2, 18]  # terminated: nothing follows
    assert returns(0.5, ended_1=True) == [6.5, 12, 18]  # truncated: G₁ = 2 + 0.5·20
    assert returns(0.0) == [6, 12, 18]  # one step
    assert returns(0.0, ended_1=True) == [6, 12, 18]
    assert returns(1.0) == [6.5, 11, 18]  # to the end
    assert returns(1.0, ended_1=True) == [7, 12, 18]
    assert returns(1.0, discount_1=0.0, ended_1=True) == [2, 2, 18]


def test_every_environment_has_lambda_returns_of_its_own() -> None:
    torch.manual_seed(0)
    reward, discount, value = torch.randn(3, 6, 4)
    ended = torch.rand(6, 4) < 0.3
    together = lambda_returns(reward, discount, value, ended, 0.7)
    for env in range(4):
        alone = lambda_returns(reward[:, [env]], discount[:, [env]], value[:, [env]], ended[:, [env]], 0.7)
        torch.testing.assert_close(alone, together[:, [env]])


def discounted(rewards: list[float], discount: float) -> list[float]:
    """Return an episode's discounted returns, as REINFORCE works them out."""
    column = torch.tensor(rewards)[:, None]
    discounts = torch.full_like(column, discount)
    discounts[-1] = 0.0
    ended = torch.zeros_like(column, dtype=torch.bool)
    ended[-1] = True
    found: list[float] = lambda_returns(column, discounts, torch.zeros_like(column), ended, 1.0)[:, 0].tolist()
    return found


def test_discounted_returns_as_printed_by_geron() -> None:
    assert discounted([10.0, 0.0, -50.0], 0.8) == pytest.approx([-22, -40, -50])
    assert discounted([1.0, 1.0, 1.0], 0.95) == pytest.approx([2.8525, 1.95, 1])  # and not 1, 1, 1 as for integers


def test_normalized_returns_as_printed_by_geron() -> None:
    found = normalized(torch.tensor(discounted([10.0, 0.0, -50.0], 0.8) + discounted([10.0, 20.0], 0.8)))
    expected = [-0.28435071, -0.86597718, -1.18910299, 1.26665318, 1.0727777]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_equal_returns_are_no_advantage() -> None:
    assert normalized(torch.full((5,), 3.0)).tolist() == [0.0] * 5
    assert normalized(torch.tensor([7.0])).tolist() == [0.0]


def test_advantages_are_the_sum_of_discounted_errors() -> None:
    """Schulman et al. (2016), equation 16: A_t = Σ (γλ)^l δ_{t+l}, to the end of the episode or rollout."""
    rng, discount, trace = np.random.default_rng(0), 0.9, 0.8
    reward, value = rng.normal(size=12), rng.normal(size=13)
    terminated, truncated = np.zeros(12, bool), np.zeros(12, bool)
    terminated[3] = truncated[8] = True
    next_value = np.where(truncated, 7.0, value[1:])  # what was cut off would have been worth 7
    delta = reward + discount * next_value * ~terminated - value[:-1]
    expected = []
    for start in range(12):
        advantage, weight = 0.0, 1.0
        for time in range(start, 12):
            advantage += weight * delta[time]
            weight *= discount * trace
            if terminated[time] or truncated[time]:
                break
        expected.append(advantage)
    columns = (
        torch.as_tensor(each, dtype=torch.float64)[:, None] for each in (reward, discount * ~terminated, next_value)
    )
    returns = lambda_returns(*columns, torch.as_tensor(terminated | truncated)[:, None], trace)[:, 0]
    np.testing.assert_allclose((returns.numpy() - value[:-1]), expected, rtol=1e-12)


def test_explained_variance() -> None:
    target = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(target, target) == 1
    assert explained_variance(target + 5, target) == pytest.approx(1)  # a constant error is no variance
    assert explained_variance(torch.zeros(4), target) == 0
    assert explained_variance(-target, target) == pytest.approx(-3)
    assert explained_variance(target, torch.ones(4)) == 0
