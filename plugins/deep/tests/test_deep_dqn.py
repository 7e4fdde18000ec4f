"""deep/dqn as it learns: from what happened, by priority, with diagnostics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from rlhub_deep.c51 import C51
from rlhub_deep.dqn import DQN, DQNConfig
from rlhub_deep.qrdqn import QRDQN

import rlhub_core as rlhub
from rlhub_core import ConfigError
from rlhub_core.schedules import Linear

VECTOR = Box(-1, 1, (2,), np.float32)
ONLINE = [[0.5, 1.5], [3.0, 2.0], [-1.0, 0.0], [2.0, 1.0]]  # [states, actions]
TARGET = [[0.0, 0.0], [1.0, -3.0], [5.0, 6.0], [-8.0, 4.0]]
REWARDS = [1.0, 2.0, 4.0]
NEVER = 10**6

Maker = Callable[..., Any]


def huber(error: float) -> float:
    return 0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5


def by_hand(state: int, n: int, ending: str, double: bool) -> float:
    """Return the target of what happens from a state on, γ = 0.5."""
    total, discount = 0.0, 1.0
    for _ in range(n):
        total += discount * REWARDS[state]
        discount, state = discount / 2, state + 1
        if state == 3:
            break
    if state == 3 and ending == "terminated":
        return total
    return total + discount * (TARGET[state][int(np.argmax(ONLINE[state]))] if double else max(TARGET[state]))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("n_step", [1, 2, 3, 5])
@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_it_learns_from_what_happened(
    tabular: Maker, fill: Maker, spy: Maker, ending: str, n_step: int, double: bool
) -> None:
    config = {"discount": 0.5, "n_step": n_step, "double": double, "learning_rate": 0.0, "learning_starts": NEVER}
    algorithm = fill(tabular(DQN, ONLINE, TARGET, batch_size=64, **config), ending)
    drawn = spy(algorithm.replay, "sample")
    metrics = algorithm.learn()
    batch = drawn[0][2]
    assert set(batch.observation.tolist()) == {0, 1, 2}
    errors, gradient = [], np.zeros((2, 4))  # [actions, states], as the layer's weight
    for state, action in zip(batch.observation.tolist(), batch.action.tolist(), strict=True):
        errors.append(ONLINE[state][action] - by_hand(state, n_step, ending, double))
        gradient[action, state] += np.clip(errors[-1], -1, 1) / 64
    assert metrics["loss"] == pytest.approx(np.mean([huber(error) for error in errors]), rel=1e-5)
    assert algorithm.network.gradient[:8].tolist() == pytest.approx(gradient.flatten().tolist(), abs=1e-6)
    assert metrics["gradient_norm"] == pytest.approx(float(algorithm.network.gradient.norm()), rel=1e-5)


def test_several_updates_have_batches_of_their_own(tabular: Maker, fill: Maker, spy: Maker) -> None:
    algorithm = fill(tabular(DQN, ONLINE, TARGET, learning_starts=NEVER, batch_size=5, learning_rate=1e-3))
    recorded, losses = spy(algorithm.network, "record"), spy(algorithm, "loss")
    before = [algorithm.network.weights.clone()]
    metrics = algorithm.learn(4)
    assert metrics["updates"] == algorithm.updates == len(recorded) == 4
    seen = [tuple(call[0][0].tolist()) for call in recorded]
    assert all(len(states) == 5 for states in seen)
    assert len(set(seen)) == 4
    for (_, action, target, _), _, _ in losses:
        assert len(action) == len(target) == 5
    assert not torch.equal(before[0], algorithm.network.weights)
    for states, ((_, _, target, _), _, _) in zip(seen, losses, strict=True):
        expected = [REWARDS[s] + (0.99 * max(TARGET[s + 1]) if s < 2 else 0) for s in states]
        assert target.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "config", [{"double": True}, {"prioritized": True}, {"noisy": True}, {"target_update_every": None}]
)
def test_what_an_update_changes_counts_in_the_next(fill: Maker, config: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"learning_starts": NEVER, "learning_rate": 0.1, "batch_size": 4} | config
    one, other = (fill(DQN(Discrete(4), Discrete(2), DQNConfig(**settings), seed=0, total_steps=100)) for _ in range(2))
    one.learn(4)
    for _ in range(4):
        other.learn()
    assert torch.equal(one.network.weights, other.network.weights)


def test_a_gradient_is_scaled_down_to_its_largest_norm(tabular: Maker, fill: Maker) -> None:
    for limit, length in ((None, 1.0), (0.25, 0.25), (1e3, 1.0), (Linear(0.5, 0.0, 6), 0.25)):
        algorithm = fill(
            tabular(DQN, ONLINE, TARGET, learning_starts=NEVER, learning_rate=1.0, loss="mse", max_grad_norm=limit)
        )
        before = algorithm.network.weights.clone()
        norm = algorithm.learn()["gradient_norm"]
        moved = float((algorithm.network.weights - before).norm())
        assert norm > 1
        assert moved == pytest.approx(norm if length == 1.0 else length, rel=1e-4)


def test_a_learning_rate_of_zero_changes_nothing(tabular: Maker, play: Maker) -> None:
    algorithm = tabular(DQN, ONLINE, learning_rate=0.0, learning_starts=0)
    before = algorithm.network.weights.clone()
    for progress in play(algorithm, 40):
        assert progress.metrics["gradient_norm"] > 0
    assert algorithm.updates == 10
    assert torch.equal(before, algorithm.network.weights)


# prioritized


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.4), (1.0, 1.0), (0.5, 0.0), (0.0, 1.0)])
def test_priorities_are_errors_and_weights_correct_for_them(
    tabular: Maker, fill: Maker, spy: Maker, write_table: Maker, alpha: float, beta: float
) -> None:
    config = {"priority_alpha": alpha, "priority_beta": beta, "learning_starts": NEVER, "discount": 0.0}
    rows = [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]  # rewards 1, 2 and 4, so errors 0.5, 1 and 4
    algorithm = fill(tabular(DQN, rows, prioritized=True, batch_size=100, learning_rate=0.3, **config))
    drawn = spy(algorithm.replay, "sample")
    algorithm.learn()  # new transitions are drawn alike
    assert (drawn[0][2].weight == 1).all()
    errors = {0: 0.5, 1: 1.0, 2: 4.0}
    place = dict(zip(drawn[0][2].observation.tolist(), drawn[0][2].index.tolist(), strict=True))
    for state, error in errors.items():  # as they were before the update
        assert algorithm.replay.tree[place[state]] == pytest.approx((error + 1e-6) ** alpha, rel=1e-5)

    write_table(algorithm.network, rows)
    metrics = algorithm.learn()
    batch = drawn[1][2]
    shares = {state: error**alpha / sum(e**alpha for e in errors.values()) for state, error in errors.items()}
    states = batch.observation.tolist()
    for state, share in shares.items():
        assert states.count(state) == pytest.approx(100 * share, abs=3)
    weights = {state: (3 * share) ** -beta for state, share in shares.items()}
    weights = {state: weight / max(weights.values()) for state, weight in weights.items()}
    assert batch.weight.tolist() == pytest.approx([weights[state] for state in states], rel=1e-4)
    assert metrics["loss"] == pytest.approx(np.mean([weights[s] * huber(errors[s]) for s in states]), rel=1e-4)
    gradient = np.zeros((2, 4))
    for state, action in zip(states, batch.action.tolist(), strict=True):
        gradient[action, state] -= weights[state] * min(1, errors[state]) / 100
    assert algorithm.network.gradient[:8].tolist() == pytest.approx(gradient.flatten().tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", [C51, QRDQN])
def test_distributions_are_replayed_by_their_losses(tabular: Maker, fill: Maker, spy: Maker, kind: Any) -> None:
    torch.manual_seed(0)
    config = {"prioritized": True, "priority_alpha": 0.7, "learning_starts": NEVER, "batch_size": 64}
    config |= {"atoms": 5, "v_max": 5.0, "v_min": 0.0} if kind is C51 else {"quantiles": 5}
    algorithm = fill(tabular(kind, torch.randn(4, 10), torch.randn(4, 10), **config))
    losses, drawn = spy(algorithm, "loss"), spy(algorithm.replay, "sample")
    algorithm.learn()
    for place, error in zip(drawn[0][2].index.tolist(), losses[0][2].error().tolist(), strict=True):
        assert algorithm.replay.tree[place] == pytest.approx((error + 1e-6) ** 0.7, rel=1e-5)


def test_what_is_learnt_already_stays_in_the_replay(tabular: Maker, fill: Maker) -> None:
    exact = [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [0.0, 0.0]]
    algorithm = fill(tabular(DQN, exact, prioritized=True, discount=0.0, learning_starts=NEVER))
    for _ in range(3):
        assert algorithm.learn()["loss"] == 0


# diagnostics


def test_diagnostics_measure_before_and_after(tabular: Maker, fill: Maker, play: Maker, spy: Maker) -> None:
    config = {"discount": 0.0, "learning_starts": NEVER, "learning_rate": 2.0, "batch_size": 32}
    algorithm = fill(tabular(DQN, ONLINE, diagnostics=True, **config))
    drawn, held_out = spy(algorithm.replay, "sample"), None
    for _ in range(2):
        before = algorithm.network(torch.arange(4))
        drawn.clear()
        metrics = algorithm.learn()
        after, batch = algorithm.network(torch.arange(4)), drawn[0][2]

        def errors(values: torch.Tensor, batch: Any = batch) -> list[float]:
            pairs = zip(batch.observation.tolist(), batch.action.tolist(), strict=True)
            return [values[state, action].item() - REWARDS[state] for state, action in pairs]

        assert metrics["error_before"] == pytest.approx(np.mean(np.abs(errors(before))), rel=1e-5)
        assert metrics["error_after"] == pytest.approx(np.mean(np.abs(errors(after))), rel=1e-5)
        assert metrics["error_before"] != pytest.approx(metrics["error_after"], rel=1e-2)
        assert metrics["loss"] == pytest.approx(np.mean([huber(error) for error in errors(before)]), rel=1e-5)
        assert metrics["loss_after"] == pytest.approx(np.mean([huber(error) for error in errors(after)]), rel=1e-5)
        held_out = algorithm.held_out.copy() if held_out is None else held_out
        assert len(held_out) == 32
        assert np.array_equal(algorithm.held_out, held_out)
        assert metrics["held_out_q"] == pytest.approx(after[held_out].amax(1).mean().item(), rel=1e-5)
        for _ in play(algorithm, 7):  # what is held out stays
            pass


def test_diagnostics_count_updates_by_the_second(tabular: Maker, fill: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("rlhub_deep.dqn.time.perf_counter", lambda: now)
    algorithm = fill(tabular(DQN, ONLINE, learning_starts=NEVER, diagnostics=True))
    for seconds, updates in ((2.0, 3), (0.5, 1), (4.0, 10)):
        now += seconds
        assert algorithm.learn(updates)["time/updates_per_second"] == pytest.approx(updates / seconds)


def test_diagnostics_change_nothing(fill: Maker) -> None:
    settings: dict[str, Any] = {"learning_starts": NEVER, "prioritized": True, "noisy": True, "hidden_sizes": (8,)}

    def made(diagnostics: bool) -> DQN:
        config = DQNConfig(diagnostics=diagnostics, **settings)
        algorithm: DQN = fill(DQN(Discrete(4), Discrete(2), config, seed=0, total_steps=100))
        return algorithm

    quiet, loud = made(False), made(True)
    for _ in range(5):
        assert quiet.learn().items() <= loud.learn().items()
    assert torch.equal(quiet.network.weights, loud.network.weights)


# around it


def test_memory_that_is_not_there_is_refused_before_the_first_step() -> None:
    steps = []

    class Counting(gymnasium.Env[Any, Any]):
        observation_space, action_space = VECTOR, Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros(2, np.float32), {}

        def step(self, action: Any) -> Any:
            steps.append(action)
            return np.zeros(2, np.float32), 0.0, False, False, {}

    with pytest.raises(
        ConfigError, match=r"needs .* GB more memory; .* free. It would hold\n  replay .* smaller by buffer_size"
    ):
        rlhub.train("deep/dqn", Counting, steps=100, config={"buffer_size": 10**12})
    assert not steps


class Pictures(gymnasium.Env[Any, Any]):
    observation_space, action_space = Box(0, 255, (2, 36, 36), np.uint8), Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros((2, 36, 36), np.uint8), {}

    def step(self, action: Any) -> Any:
        return np.zeros((2, 36, 36), np.uint8), 0.0, False, False, {}


def test_frame_stack_says_how_many_frames_are_one_observation() -> None:
    for given, stack in ((None, 2), (2, 2), (1, 1)):
        run = rlhub.train("deep/dqn", Pictures, steps=3, config={"frame_stack": given, "buffer_size": 10})
        assert run.algorithm.replay.stack == stack  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"frame_stack: observations have shape \(2, 36, 36\).* no stack of 3"):
        rlhub.train("deep/dqn", Pictures, steps=3, config={"frame_stack": 3})


def test_the_plugin_module_is_light() -> None:
    code = "import rlhub_deep.plugin, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
