"""What the family learns: losses and targets by hand where the online and the target network disagree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from rlhub_deep.c51 import C51, C51Config
from rlhub_deep.dqn import DQN
from rlhub_deep.qrdqn import QRDQN
from rlhub_deep.values import dueling
from torch import Tensor

from rlhub_core import ConfigError

REWARD, DISCOUNT = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.0, 1.0])
NEXT = torch.tensor([1, 1, 2])  # states: [N]


def target(algorithm: Any) -> Any:
    with torch.no_grad():
        return algorithm.target(REWARD, DISCOUNT, NEXT)


# targets of action values


def test_the_target_of_q_learning(tabular: Callable[..., DQN]) -> None:
    online = [[0, 0, 0], [9, 1, 0], [0, 7, 5], [0, 0, 0]]
    other = [[0, 0, 0], [2, 3, 4], [6, -8, 5], [0, 0, 0]]
    plain = tabular(DQN, online, other, actions=3)
    assert target(plain).tolist() == [1 + 4 / 2, 2, 3 + 6]  # the largest of the target network
    double = tabular(DQN, online, other, actions=3, double=True)
    assert target(double).tolist() == [1 + 2 / 2, 2, 3 - 8]  # which the online network holds for the largest
    alone = tabular(DQN, online, actions=3, target_update_every=None)
    assert target(alone).tolist() == [1 + 9 / 2, 2, 3 + 7]
    assert alone.target_network is alone.network


@pytest.mark.parametrize(("form", "best", "chosen"), [("mean", [8, 12], [4, 11]), ("max", [5, 10], [1, 9])])
def test_the_target_of_a_dueling_network(
    tabular: Callable[..., DQN], form: str, best: list[float], chosen: list[float]
) -> None:
    online = [[0] * 4, [0, 5, 1, 0], [0, 0, 9, 1], [0] * 4]  # the state's value, three advantages
    other = [[0] * 4, [5, -1, -2, 3], [10, -4, 0, 1], [0] * 4]  # advantages with means 0 and -1, maxima 3 and 1
    plain = tabular(DQN, online, other, actions=3, dueling=form)
    assert target(plain).tolist() == [1 + best[0] / 2, 2, 3 + best[1]]
    double = tabular(DQN, online, other, actions=3, dueling=form, double=True)
    assert target(double).tolist() == [1 + chosen[0] / 2, 2, 3 + chosen[1]]


# of distributions


def logits(*rows: list[float]) -> list[float]:
    """Return the logits of distributions of several actions, in one row."""
    return (torch.tensor(rows) + 1e-9).log().flatten().tolist()


FLAT = [1 / 3, 1 / 3, 1 / 3]


@pytest.mark.parametrize("double", [False, True])
def test_the_target_of_c51(tabular: Callable[..., C51], double: bool) -> None:
    # atoms 0, 2, 4; the target network holds action 0 for the better one in both states, the online network action 1
    online = [logits(FLAT, FLAT), logits([1, 0, 0], [0, 1, 0]), logits([1, 0, 0], [0, 0, 1]), logits(FLAT, FLAT)]
    other = [logits(FLAT, FLAT), logits([0, 0.5, 0.5], [0.5, 0.5, 0]), logits([0, 0, 1], [1, 0, 0]), logits(FLAT, FLAT)]
    found = target(tabular(C51, online, other, atoms=3, v_min=0.0, v_max=4.0, double=double))
    # state 1: action 0 moves atoms 2 and 4 to 1 + 1 and 1 + 2; action 1 atoms 0 and 2 to 1 + 0 and 1 + 1
    first, last = ([0.25, 0.75, 0], [0, 0.5, 0.5]) if double else ([0, 0.75, 0.25], [0, 0, 1])
    torch.testing.assert_close(found, torch.tensor([first, [0, 1, 0], last]))


def test_the_values_of_c51_are_means(tabular: Callable[..., C51]) -> None:
    table = [logits(FLAT, [0.5, 0.5, 0]), logits([0, 0, 1], [0.1, 0.2, 0.7]), logits(FLAT, FLAT), logits(FLAT, FLAT)]
    algorithm = tabular(C51, table, atoms=3, v_min=-1.0, v_max=3.0)
    found = algorithm.values(algorithm.network(torch.tensor([0, 1])))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [3.0, 2.2]]))


@pytest.mark.parametrize("double", [False, True])
def test_the_target_of_qrdqn(tabular: Callable[..., QRDQN], double: bool) -> None:
    # two actions with three quantiles each; means decide
    online = [[0] * 6, [0, 0, 1, 0, 0, 9], [0, 0, 0, 5, 5, 5], [0] * 6]
    other = [[0] * 6, [4, 6, 8, -9, 1, 9], [1, 2, 3, -1, 0, 4], [0] * 6]
    algorithm = tabular(QRDQN, online, other, quantiles=3, double=double)
    chosen = [[-9, 1, 9], [-1, 0, 4]] if double else [[4, 6, 8], [1, 2, 3]]
    expected = [[1 + q / 2 for q in chosen[0]], [2, 2, 2], [3 + q for q in chosen[1]]]
    assert target(algorithm).tolist() == expected
    assert algorithm.values(algorithm.network(NEXT)).tolist()[1:] == [[pytest.approx(1 / 3), 3], [0, 5]]


@pytest.mark.parametrize("form", ["mean", "max"])
@pytest.mark.parametrize("kind", [C51, QRDQN])
def test_distributions_duel_atom_by_atom(tabular: Callable[..., DQN], kind: Any, form: Any) -> None:
    torch.manual_seed(0)
    online, other = torch.randn(2, 4, 4 * 5)  # the state's value and three advantages, five atoms each
    sizes = {"actions": 3, "double": True, ("atoms" if kind is C51 else "quantiles"): 5}
    duelling = tabular(kind, online, other, dueling=form, **sizes)
    plain = tabular(kind, *(dueling(table.view(4, 4, 5), form).flatten(1) for table in (online, other)), **sizes)
    torch.testing.assert_close(target(duelling), target(plain))
    rows, weight = torch.arange(3), torch.ones(3)
    found, expected = (each.loss(each.network(rows), rows, target(plain), weight) for each in (duelling, plain))
    torch.testing.assert_close(found.each(), expected.each())
    torch.testing.assert_close(found.error(), expected.error())


# losses


FAMILY: list[tuple[Any, dict[str, Any]]] = [
    (kind, options | dueling)
    for kind, options in (
        (DQN, {"loss": "huber"}),
        (DQN, {"loss": "mse"}),
        (C51, {"atoms": 5, "v_min": -1.0, "v_max": 1.0}),
        (QRDQN, {"quantiles": 3}),
    )
    for dueling in ({}, {"dueling": "mean"}, {"dueling": "max"})
]


@pytest.mark.parametrize(("kind", "options"), FAMILY, ids=[f"{kind.__name__}{config}" for kind, config in FAMILY])
def test_the_gradient_is_that_of_the_weighted_mean(
    tabular: Callable[..., DQN], kind: Any, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    width = options.get("atoms", options.get("quantiles", 1))
    columns = width * (3 + ("dueling" in options))
    algorithm = tabular(kind, torch.zeros(4, columns), actions=3, **options)
    outputs = 2 * torch.randn(6, columns, dtype=torch.float64)
    action, weight = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 0.5, 0, 0.2, 1, 0.7], dtype=torch.float64)
    aim = torch.randn(6, dtype=torch.float64) if kind is DQN else torch.rand(6, width, dtype=torch.float64).softmax(1)

    def mean(outputs: Tensor) -> Tensor:
        return (weight * algorithm.loss(outputs, action, aim, weight).each()).mean()

    found = algorithm.loss(outputs.clone(), action, aim, weight).gradient
    for row in range(6):
        for column in range(columns):
            step = torch.zeros_like(outputs)
            step[row, column] = 1e-6
            slope = (mean(outputs + step) - mean(outputs - step)) / 2e-6
            assert found[row, column].item() == pytest.approx(slope.item(), abs=1e-6)


@pytest.mark.parametrize(("name", "losses"), [("huber", [0.125, 0.5, 2.5, 2.5]), ("mse", [0.25, 1, 9, 9])])
def test_the_losses_of_dqn(tabular: Callable[..., DQN], name: str, losses: list[float]) -> None:
    algorithm = tabular(DQN, [[0, 0]] * 4, loss=name)
    outputs = torch.tensor([[0.5, 9], [9, 1], [3, 9], [9, -3]])
    loss = algorithm.loss(outputs, torch.tensor([0, 1, 0, 1]), torch.zeros(4), torch.ones(4))
    assert loss.each().tolist() == losses
    assert loss.error().tolist() == [0.5, 1, 3, 3]


def test_the_loss_of_c51_is_the_cross_entropy(tabular: Callable[..., C51]) -> None:
    algorithm = tabular(C51, [[0] * 6] * 4, atoms=3)
    outputs = torch.tensor([logits([0.2, 0.3, 0.5], FLAT), logits(FLAT, [0.1, 0.1, 0.8])])
    aim = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    loss = algorithm.loss(outputs, torch.tensor([0, 1]), aim, torch.ones(2))
    expected = -torch.tensor([0.3, 0.08**0.5]).log()
    torch.testing.assert_close(loss.each(), expected)
    torch.testing.assert_close(loss.error(), expected)


def test_the_loss_of_qrdqn_and_its_priority(tabular: Callable[..., QRDQN]) -> None:
    algorithm = tabular(QRDQN, [[0] * 4] * 4, quantiles=2)
    outputs = torch.tensor([[0.0, 1.0, 9, 9], [9, 9, -1.0, 1.0]])
    loss = algorithm.loss(outputs, torch.tensor([0, 1]), torch.tensor([[3.0, 3.0], [0.0, -4.0]]), torch.ones(2))
    # quantiles at 1/4 and 3/4; errors 3, 3 | 2, 2 and 1, -3 | -1, -5
    expected = [2.5 / 4 + 1.5 * 3 / 4, (0.5 / 4 + 2.5 * 3 / 4) / 2 + (0.5 / 4 + 4.5 / 4) / 2]
    torch.testing.assert_close(loss.each(), torch.tensor(expected))
    assert loss.error().tolist() == [2.5, 2]


def test_atoms_span_something() -> None:
    with pytest.raises(ConfigError, match=r"v_min must be below v_max, not 1.0 and 1.0"):
        C51Config(v_min=1.0, v_max=1.0)
