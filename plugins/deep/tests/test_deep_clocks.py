"""When deep/dqn does what: periods, target networks, episodes as the clock, schedules of everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from rlhub_deep.dqn import DQN

import rlhub_core as rlhub
from rlhub_core import ConfigError, schedules
from rlhub_core.schedules import Linear, Piecewise

Maker = Callable[..., Any]
ZERO, ONE = np.zeros((4, 2)), np.ones((4, 2))
NEVER = 10**6


def weights(network: Any) -> Any:
    return network.weights.clone()


# updates


@pytest.mark.parametrize("num_envs", [1, 8])
@pytest.mark.parametrize(
    ("config", "updates"),
    [
        ({"train_every": 4}, 100),
        ({"train_every": 4, "gradient_steps": 3}, 300),
        ({"train_every": 16}, 25),
        ({"train_every": 1}, 400),
        ({"train_every": Piecewise((200,), (10, 20))}, 20 + 10),
        ({"train_every": 40, "gradient_steps": Piecewise((240,), (1, 5))}, 5 + 5 * 5),
    ],
)
def test_updates_follow_the_number_of_env_steps(
    tabular: Maker, play: Maker, config: dict[str, Any], updates: int, num_envs: int
) -> None:
    algorithm = tabular(DQN, ZERO, learning_starts=0, batch_size=4, **config)
    progress = [*play(algorithm, 400, num_envs=num_envs)][-1]
    assert algorithm.updates == updates
    assert (progress.steps, progress.metrics["updates"]) == (400, updates)


def test_learning_starts_when_it_should(tabular: Maker, play: Maker) -> None:
    algorithm = tabular(DQN, ZERO, learning_starts=100, train_every=4)
    metrics = {progress.steps: progress.metrics for progress in play(algorithm, 200)}
    assert not metrics[96]
    assert metrics[100]["updates"] == 1
    assert metrics[200]["updates"] == 26


# target networks


def test_the_target_network_is_a_copy_at_every_period(tabular: Maker, play: Maker) -> None:
    algorithm = tabular(DQN, ZERO, learning_starts=0, train_every=1, target_update_every=5, learning_rate=0.1)
    online, target = {0: weights(algorithm.network)}, {}
    for progress in play(algorithm, 18):
        online[progress.steps], target[progress.steps] = weights(algorithm.network), weights(algorithm.target_network)
    for step, found in target.items():
        copied = max(0, 5 * (step // 5) - 1)  # before the update of that step
        assert torch.equal(found, online[copied])
    assert not torch.equal(online[4], online[9])


@pytest.mark.parametrize("tau", [0.25, Piecewise((9,), (0.25, 0.5))])
def test_the_target_network_moves_a_share_of_the_way(tabular: Maker, play: Maker, tau: Any) -> None:
    algorithm = tabular(DQN, ZERO, ONE, learning_starts=NEVER, train_every=1, target_update_every=3, tau=tau)
    left = 1.0
    for progress in play(algorithm, 20):
        if progress.steps % 3 == 0:
            left *= 1 - schedules.value(tau, progress.steps)
        assert algorithm.target_network(torch.arange(4)).flatten().tolist() == pytest.approx([left] * 8, rel=1e-5)


@pytest.mark.parametrize("num_envs", [1, 2, 8])
def test_the_target_network_is_as_far_with_many_environments(tabular: Maker, play: Maker, num_envs: int) -> None:
    algorithm = tabular(DQN, ZERO, ONE, learning_starts=NEVER, target_update_every=2, tau=0.1)
    for _ in play(algorithm, 16, num_envs=num_envs):
        pass
    assert algorithm.target_network(torch.arange(4)).mean().item() == pytest.approx(0.9**8, rel=1e-5)


def test_without_a_target_network_the_online_one_says_the_targets(tabular: Maker, play: Maker) -> None:
    algorithm = tabular(DQN, ZERO, learning_starts=0, train_every=1, target_update_every=None, learning_rate=0.1)
    for _ in play(algorithm, 30):
        assert torch.equal(algorithm.target_network.weights, algorithm.network.weights)
    assert algorithm.network.weights.any()


def test_a_period_of_target_updates_may_be_scheduled(tabular: Maker, play: Maker) -> None:
    every = Piecewise((10,), (2, 5))
    algorithm = tabular(DQN, ZERO, ONE, learning_starts=NEVER, train_every=1, target_update_every=every, tau=0.5)
    seen = [algorithm.target_network(torch.tensor([0])).mean().item() for _ in play(algorithm, 20)]
    assert [step + 1 for step in range(1, 20) if seen[step] != seen[step - 1]] == [2, 4, 6, 8, 10, 15, 20]


# episodes as the clock


def test_episodes_may_be_what_is_counted(chain: Any) -> None:
    config = {
        "count_in": "episodes",
        "learning_starts": 3,
        "train_every": 1,
        "target_update_every": 4,
        "tau": "linear(0.5, 1.0, 10)",
        "epsilon": "linear(1.0, 0.0, 10)",
        "batch_size": 4,
    }
    seen = {}

    class Look(rlhub.Callback):
        def on_progress(self, run: Any, progress: Any) -> None:
            seen[progress.steps] = run.algorithm.updates, weights(run.algorithm.target_network)

    run = rlhub.train("deep/dqn", chain, steps=36, config=config, callbacks=[Look()], log_every=3)
    assert {step: updates for step, (updates, _) in seen.items()} == {
        3 * episode: max(0, episode - 2)
        for episode in range(1, 13)  # of three steps each
    }
    moved = [step // 3 for step in sorted(seen)[1:] if not torch.equal(seen[step][1], seen[step - 3][1])]
    assert moved == [4, 8, 12]
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        episodes = line["step"] // 3
        assert line["hyper_parameters/epsilon"] == pytest.approx(max(0, 1 - episodes / 10))
        assert line["hyper_parameters/tau"] == pytest.approx(min(1, 0.5 + episodes / 20))
    assert len(lines) == 12


def test_a_lost_life_is_no_episode(chain: Any) -> None:
    class Lives(gymnasium.Wrapper[Any, Any, Any, Any]):
        lives = 3

        def reset(self, **options: Any) -> Any:
            self.lives = 3
            return self.env.reset(**options)[0], {"lives": 3}

        def step(self, action: Any) -> Any:
            self.lives -= 1
            return *self.env.step(action)[:4], {"lives": self.lives}

    config = {"count_in": "episodes", "epsilon": 1.0, "learning_starts": 99}
    run = rlhub.train("deep/dqn", lambda: Lives(chain()), steps=30, config=config, terminal_on_life_loss=True)
    assert len(run.episodes) == 10
    assert run.algorithm.clock == 10  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "config", [{"learning_rate": "linear(0.1, 0)"}, {"prioritized": True}, {"epsilon": "cosine(1, 0)"}]
)
def test_a_schedule_of_episodes_needs_its_length(config: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"with count_in=episodes (linear|cosine)\(.*\) needs its length, in episodes"
    ):
        rlhub.train("deep/dqn", "CartPole-v1", steps=30, config={"count_in": "episodes"} | config)


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_one_update_an_episode_with_several_environments(chain: Any, ending: str) -> None:
    config = {"count_in": "episodes", "learning_starts": 0, "train_every": 1}
    run = rlhub.train("deep/dqn", lambda: chain(ending), steps=4 * 3 * 5, num_envs=4, config=config)
    assert run.algorithm.updates == 4 * 5  # type: ignore[attr-defined]


# schedules

TO_ZERO = Linear(1.0, 0.0, 100)


def at(tabular: Maker, fill: Maker, step: int, **config: Any) -> Any:
    """Return an algorithm with an episode in its replay, at some step."""
    rows = [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    algorithm = fill(tabular(DQN, rows, **{"learning_starts": NEVER, "discount": 0.0} | config))
    algorithm.steps = step
    return algorithm


@pytest.mark.parametrize("step", [0, 50, 75])
def test_what_an_update_uses_follows_its_schedules(tabular: Maker, fill: Maker, spy: Maker, step: int) -> None:
    left = 1 - step / 100

    algorithm = at(tabular, fill, step, learning_rate=TO_ZERO)
    before = weights(algorithm.network)
    algorithm.learn()
    torch.testing.assert_close(before - algorithm.network.weights, left * algorithm.network.gradient)

    algorithm = at(tabular, fill, step, loss="mse", learning_rate=1.0, max_grad_norm=TO_ZERO)
    before = weights(algorithm.network)
    algorithm.learn()
    assert (before - algorithm.network.weights).norm().item() == pytest.approx(left, rel=1e-4)

    algorithm = at(tabular, fill, step, prioritized=True, priority_alpha=TO_ZERO, batch_size=64)
    drawn = spy(algorithm.replay, "sample")
    algorithm.learn()
    batch = drawn[0][2]
    errors = np.array([0.5, 1.0, 4.0])[batch.observation]
    assert algorithm.replay.tree[batch.index].tolist() == pytest.approx((errors**left).tolist(), rel=1e-4)

    scheduled = {"n_step": Linear(1, 9, 100), "batch_size": Linear(32, 64, 100), "discount": Linear(0.5, 0.9, 100)}
    algorithm = at(tabular, fill, step, priority_beta=Linear(0.4, 1.0), **scheduled)
    drawn = spy(algorithm.replay, "sample")
    algorithm.learn()
    (size, _), asked, batch = drawn[0]
    assert size == len(batch.index) == 32 + round(32 * step / 100)
    assert asked["n_step"] == 1 + round(8 * step / 100)
    assert asked["discount"] == pytest.approx(0.5 + 0.4 * step / 100)
    assert asked["beta"] == pytest.approx(0.4 + 0.6 * step / 100)  # over the 100 steps of the run
