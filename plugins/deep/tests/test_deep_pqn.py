"""deep/pqn: returns of a rollout by hand, passes over it, exploration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from rlhub_deep.pqn import PQN, Rollout

import rlhub_core as rlhub
from rlhub_core.schedules import Linear

Maker = Callable[..., Any]
TABLE = [[1.0, -5.0], [-5.0, 2.0], [3.0, 3.0], [10.0, 0.0]]  # best: 1, 2, 3, 10


@pytest.fixture
def pqn(tabular: Maker) -> Maker:
    def make(rows: Any = TABLE, **config: Any) -> Any:
        return tabular(PQN, rows, **{"layer_norm": False, "discount": 0.5, "trace": 0.5, "rollout_length": 5} | config)

    return make


def collected(chain: Any, algorithm: PQN, ending: str = "terminated", num_envs: int = 1) -> Rollout:
    return algorithm.collect(rlhub.Collector(rlhub.make_vec(lambda: chain(ending), num_envs), 0))


@pytest.mark.parametrize(
    ("trace", "ending", "returns"),
    [
        # from the end: 2 + 3/2; 1 + (2/2 + 3.5/2)/2; then the end of an episode of rewards 1, 2, 4
        (0.5, "terminated", [2.4375, 3.75, 4, 2.375, 3.5]),
        (0.5, "truncated", [2.75, 5, 9, 2.375, 3.5]),  # 4 + 10/2
        (0.0, "terminated", [2, 3.5, 4, 2, 3.5]),
        (1.0, "truncated", [4.25, 6.5, 9, 2.75, 3.5]),
        (Linear(0.5, 1.0, 10), "terminated", [2.4375, 3.75, 4, 2.375, 3.5]),
    ],
)
@pytest.mark.parametrize("num_envs", [1, 3])
def test_the_returns_of_a_rollout(
    chain: Any, pqn: Maker, trace: Any, ending: str, returns: list[float], num_envs: int
) -> None:
    rollout = collected(chain, pqn(trace=trace, epsilon=0.0), ending, num_envs)
    states = np.repeat([0, 1, 2, 0, 1], num_envs)
    assert rollout.observation.tolist() == states.tolist()
    assert rollout.returns.tolist() == np.repeat(returns, num_envs).tolist()
    greedy = np.argmax(TABLE, 1)[states]
    assert rollout.action[states != 2].tolist() == greedy[states != 2].tolist()


def test_a_rollout_goes_on_where_the_last_one_ended(chain: Any, pqn: Maker) -> None:
    algorithm = pqn(rollout_length=Linear(2, 4, 4))
    collector = rlhub.Collector(rlhub.make_vec(chain, 1), 0)
    lengths = []
    for progress in algorithm.train(collector, 9):
        lengths.append(progress.steps)
    assert lengths == [2, 5, 9]
    assert algorithm.collect(collector).observation.tolist() == [0, 1, 2, 0]


def test_it_learns_from_the_network_as_it_is(chain: Any, pqn: Maker, write_table: Maker) -> None:
    algorithm = pqn()
    first = collected(chain, algorithm, "truncated").returns
    write_table(algorithm.network, 2 * np.array(TABLE))
    assert not torch.equal(collected(chain, algorithm, "truncated").returns, first)


def test_one_update_by_hand(pqn: Maker) -> None:
    algorithm = pqn(learning_rate=0.1, epochs=1, minibatches=1)
    rollout = Rollout(torch.tensor([0, 0, 2, 3]), torch.tensor([0, 1, 1, 0]), torch.tensor([2.0, -4.0, 3.0, 30.0]))
    metrics = algorithm.learn(rollout)
    # errors -1, -1, 0, -20 of four transitions
    expected = np.array(TABLE) + 0.1 / 4 * np.array([[1, 1], [0, 0], [0, 0], [20, 0]])
    found = algorithm.network(torch.arange(4)) - algorithm.network.weights[8:]  # without the bias
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert metrics["loss"] == pytest.approx(0.5 * (1 + 1 + 400) / 4)
    assert metrics["return_mean"] == pytest.approx(31 / 4)
    bias = np.array([1 + 20, 1])
    assert metrics["gradient_norm"] == pytest.approx(np.sqrt(1 + 1 + 400 + (bias**2).sum()) / 4)


@pytest.mark.parametrize("limit", [None, 0.5, Linear(0.0, 1.0, 100)])
def test_a_gradient_is_scaled_down_to_its_largest_norm(pqn: Maker, limit: Any) -> None:
    algorithm = pqn(learning_rate=Linear(0.0, 2.0, 100), epochs=1, minibatches=1, max_grad_norm=limit)
    algorithm.steps, before = 50, algorithm.network.weights.clone()
    norm = algorithm.learn(Rollout(torch.tensor([3]), torch.tensor([0]), torch.tensor([90.0])))["gradient_norm"]
    moved = (algorithm.network.weights - before).norm().item()
    assert moved == pytest.approx(norm if limit is None else 0.5, rel=1e-4)


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (3, 2), (2, 4), (1, 50)])
def test_every_transition_is_learnt_from_once_an_epoch(pqn: Maker, spy: Maker, epochs: int, minibatches: int) -> None:
    algorithm = pqn(epochs=epochs, minibatches=minibatches, learning_rate=1e-6)
    states = np.arange(12) % 4
    returns = torch.arange(12.0)
    recorded, stepped = spy(algorithm.network, "record"), spy(algorithm.optimizer, "step")
    metrics = algorithm.learn(Rollout(torch.from_numpy(states), torch.zeros(12, dtype=torch.long), returns))
    updates = min(minibatches, 12)  # no minibatch is empty
    assert len(recorded) == len(stepped) == epochs * updates
    seen = [call[0][0].tolist() for call in recorded]
    for epoch in range(epochs):
        passed = seen[epoch * updates : (epoch + 1) * updates]
        assert sorted(state for each in passed for state in each) == sorted(states.tolist())
        assert {len(each) for each in passed} <= {12 // updates, -(-12 // updates)}
    assert [state for each in seen for state in each] != np.tile(states, epochs).tolist()  # shuffled
    assert np.isfinite(list(metrics.values())).all()


def test_exploration_follows_its_schedule_and_acting_does_not_explore(pqn: Maker) -> None:
    algorithm = pqn([[0.0, 1.0, 0.5]] * 4, actions=3, epsilon=Linear(1.0, 0.0, 100))
    observations, first = np.zeros(3_000, np.int64), np.zeros(3_000, np.bool_)
    assert set(algorithm.actor()(observations, first).tolist()) == {1}
    for step, share in ((0, 1.0), (50, 0.5), (100, 0.0)):
        algorithm.steps = step
        actions = algorithm.actor(explore=True)(observations, first)
        counts = np.bincount(actions, minlength=3) / 3_000
        np.testing.assert_allclose(counts, [share / 3, share / 3 + 1 - share, share / 3], atol=0.04)
