"""deep/dqn: the target by hand, the probes, exploration, networks, exact resume."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from rlhub_deep.dqn import DQN, DQNConfig
from torch import nn

import rlhub_core as rlhub
from rlhub_core import ConfigError, Transition
from rlhub_core.schedules import Linear
from rlhub_core.testing import PROBES, ActionAndObservationMatter, DiscountedValue, ObservationValue, check_exact_resume

VECTOR = Box(-1, 1, (2,), np.float32)
QUICK = {
    "learning_rate": 5e-3,
    "learning_starts": 50,
    "train_every": 1,
    "target_update_every": 20,
    "epsilon": 0.5,
    "hidden_sizes": (16,),
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(action_space: Any = None, **config: Any) -> DQN:
    return DQN(VECTOR, action_space or Discrete(3), DQNConfig(**config), seed=0, total_steps=100, device="cpu")


@pytest.mark.parametrize(("terminated", "truncated"), [(False, False), (True, False), (False, True)])
def test_the_loss_is_that_of_the_target_by_hand(terminated: bool, truncated: bool) -> None:
    algorithm = made(discount=0.9, batch_size=4, max_grad_norm=1e9)
    with torch.no_grad():
        for weight in algorithm.target_network.parameters():
            weight.mul_(1.5)  # online and target networks disagree
    algorithm.replay = algorithm._make_replay(1)
    observation, successor = np.array([[0.1, -0.4]], np.float32), np.array([[0.3, 0.8]], np.float32)
    flags = np.array([terminated]), np.array([truncated])
    transition = Transition(observation, np.array([2]), np.array([0.7]), successor, *flags, {})
    algorithm.replay.add(transition, transition.action, np.array([True]))
    q = algorithm.network(torch.as_tensor(observation))[0, 2].item()
    best = algorithm.target_network(torch.as_tensor(successor)).max().item()
    error = 0.7 + (0.0 if terminated else 0.9 * best) - q  # a truncation bootstraps, a termination does not
    metrics = algorithm.learn()
    assert metrics["loss"] == pytest.approx(0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5, rel=1e-5)
    assert metrics["q_value"] == pytest.approx(q, rel=1e-5)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
def test_probes_are_solved(probe: Any) -> None:
    run = rlhub.train("deep/dqn", probe, steps=1_200, num_envs=2, config=QUICK | {"discount": 0.5})
    network = run.algorithm.network
    with torch.no_grad():
        low, zero, high = network(torch.tensor([[-1.0], [0.0], [1.0]]))
    if probe is ActionAndObservationMatter:
        assert low.argmax() == 0
        assert high.argmax() == 1
    elif probe is ObservationValue:
        assert (low.item(), high.item()) == pytest.approx((-1, 1), abs=0.1)
    elif probe is DiscountedValue:
        assert (zero.item(), high.item()) == pytest.approx((0.5, 1), abs=0.1)
    else:
        assert zero[-1].item() == pytest.approx(1, abs=0.1)
    assert rlhub.evaluate(run, episodes=20).mean >= -0.5


@pytest.mark.parametrize("num_envs", [1, 3])
def test_resume_is_exact_with_schedules(num_envs: int) -> None:
    config = {"learning_rate": "linear(1e-3, 0)", "batch_size": "linear(16, 32, 900)", "learning_starts": 100}
    check_exact_resume("deep/dqn", "CartPole-v1", steps=1_500, num_envs=num_envs, config=config)


def test_updates_follow_the_number_of_env_steps() -> None:
    counts = []
    for num_envs in (1, 8):
        run = rlhub.train(
            "deep/dqn", "CartPole-v1", steps=400, num_envs=num_envs, config={"learning_starts": 0, "train_every": 4}
        )
        counts.append(int(run.algorithm.optimizer.state_dict()["state"][0]["step"]))
    assert counts == [100, 100]


def test_exploration_follows_its_schedule_and_acting_does_not_explore() -> None:
    algorithm = made(epsilon=Linear(1.0, 0.0, 100))
    observations, first = np.zeros((1_000, 2), np.float32), np.zeros(1_000, np.bool_)
    greedy = algorithm.actor()(observations, first)
    assert len(set(greedy.tolist())) == 1
    for step, share in ((0, 2 / 3), (50, 1 / 3), (100, 0.0)):
        algorithm.steps = step
        wandering = algorithm.actor(explore=True)(observations, first) != greedy
        assert wandering.mean() == pytest.approx(share, abs=0.06)


def test_actions_begin_where_the_space_begins() -> None:
    actions = made(Discrete(3, start=5), epsilon=1.0).actor(explore=True)(
        np.zeros((99, 2), np.float32), np.zeros(99, bool)
    )
    assert set(actions.tolist()) == {5, 6, 7}

    class Offset(ActionAndObservationMatter):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = Discrete(2, start=3)

        def reward(self, seen: float, action: int) -> float:
            return super().reward(seen, action - 3)

    run = rlhub.train("deep/dqn", Offset, steps=1_200, num_envs=2, config=QUICK)
    assert rlhub.evaluate(run, episodes=20).mean == 1.0


def test_one_seed_gives_one_network_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two = made(), made()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True))


@pytest.mark.parametrize(
    "space", [Discrete(16), Box(0, 255, (4, 84, 84), np.uint8), Box(0, 255, (48, 40, 3), np.uint8)]
)
def test_networks_for_every_kind_of_observation(space: Any) -> None:
    algorithm = DQN(space, Discrete(4), DQNConfig(), seed=0, total_steps=1)
    observations = np.stack([space.sample() for _ in range(5)])
    assert algorithm.actor()(observations, np.zeros(5, bool)).shape == (5,)
    if space.shape == (4, 84, 84):
        assert sum(weight.numel() for weight in algorithm.network.parameters()) == 1_686_180  # as published


def test_different_pictures_have_different_values_from_the_first() -> None:
    pictures = np.zeros((8, 4, 84, 84), np.uint8)
    for index, picture in enumerate(pictures):  # a dark field with a paddle of 4 × 12 pixels somewhere, as in Breakout
        picture[:, 78:82, 8 * index : 8 * index + 12] = 142
    network = DQN(Box(0, 255, (4, 84, 84), np.uint8), Discrete(4), DQNConfig(), seed=0, total_steps=1).network
    with torch.no_grad():
        assert network(torch.as_tensor(pictures)).std(dim=0).min() > 0.003


def test_a_network_of_the_users_own_is_used_and_a_wrong_one_refused() -> None:
    def linear(space: gymnasium.Space[Any], outputs: int) -> nn.Module:
        return nn.Linear(2, outputs)

    assert isinstance(made(network=linear).network, nn.Linear)
    with pytest.raises(ConfigError, match=r"for one observation it must give shape \(1, 3\), not \(1, 7\)"):
        made(network=lambda space, outputs: nn.Linear(2, 7))


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    algorithm = made(learning_rate=0.0)
    before = [weight.clone() for weight in algorithm.network.parameters()]
    collector = rlhub.Collector(rlhub.make_vec("MountainCar-v0", 2), 0)
    for _ in algorithm.train(collector, 2_000):
        pass
    assert all(torch.equal(a, b) for a, b in zip(before, algorithm.network.parameters(), strict=True))


def test_the_plugin_module_is_light() -> None:
    code = "import rlhub_deep.plugin, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Look(gymnasium.Env[Any, Any]):
    """Two stacked pictures, bright above or below; the newer one says which of two actions is rewarded."""

    observation_space = Box(0, 255, (2, 36, 36), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.pictures = 0, np.stack([self._picture(), self._picture()])
        return self.pictures.copy(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.bright)
        self.time += 1
        self.pictures = np.stack([self.pictures[1], self._picture()])
        return self.pictures.copy(), reward, self.time == 4, False, {}

    def _picture(self) -> Any:
        self.bright = int(self.np_random.integers(2))
        picture = np.zeros((36, 36), np.uint8)
        picture[18 * self.bright : 18 * (self.bright + 1)] = 200
        return picture


def test_it_learns_from_stacked_pixels() -> None:
    config = QUICK | {
        "learning_rate": 5e-4,
        "discount": 0.5,
        "target_update_every": 50,
        "batch_size": 16,
        "train_every": 2,
    }
    run = rlhub.train("deep/dqn", Look, steps=800, num_envs=2, config=config)
    assert run.algorithm.replay.stack == 2
    assert rlhub.evaluate(run, episodes=10).mean >= 3.9
