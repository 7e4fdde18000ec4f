"""deep/a2c, deep/ppo, deep/reinforce: rollouts and losses by hand, clipping, passes, schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from rlhub_deep.a2c import A2C
from rlhub_deep.actor_critic import Rollout
from rlhub_deep.ppo import PPO, divergence
from rlhub_deep.reinforce import Batch, Reinforce
from torch import Tensor

import rlhub_core as rlhub
from rlhub_core.schedules import Linear, Piecewise

VALUES = [1.0, 2.0, 3.0, 10.0]  # of the states of the chain
PLAIN: dict[str, Any] = {"hidden_sizes": (), "max_grad_norm": None, "optimizer": "sgd", "discount": 0.5}


def made(kind: Any, *, actions: int = 2, **config: Any) -> Any:
    """Return an algorithm for the chain whose policy is uniform and whose values are VALUES."""
    given = PLAIN | ({"rollout_length": 5, "gae_lambda": 0.5} if kind is not Reinforce else {}) | config
    algorithm = kind(Discrete(4), Discrete(actions), kind.Config(**given), seed=0, total_steps=100, device="cpu")
    policy = torch.zeros(4 * actions + actions)
    value = torch.tensor([*VALUES, 0.0]) if algorithm.values else torch.zeros(0)
    algorithm.network.weights.copy_(torch.cat([policy, value]))
    return algorithm


def collector(chain: Any, ending: str = "terminated", num_envs: int = 1) -> rlhub.Collector:
    return rlhub.Collector(rlhub.make_vec(lambda: chain(ending), num_envs), 0)


@pytest.mark.parametrize("kind", [A2C, PPO])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize(
    ("gae_lambda", "ending", "returns"),
    [
        # states 0 1 2 | 0 1 with rewards 1, 2, 4 | 1, 2; what follows the last step is state 2, worth 3
        (0.5, "terminated", [2.4375, 3.75, 4, 2.375, 3.5]),
        (0.5, "truncated", [2.75, 5, 9, 2.375, 3.5]),  # 4 + 10/2
        (0.0, "terminated", [2, 3.5, 4, 2, 3.5]),
        (0.0, "truncated", [2, 3.5, 9, 2, 3.5]),
        (1.0, "terminated", [3, 4, 4, 2.75, 3.5]),
        (1.0, "truncated", [4.25, 6.5, 9, 2.75, 3.5]),
        (Linear(0.5, 1.0, 10), "terminated", [2.4375, 3.75, 4, 2.375, 3.5]),
    ],
)
def test_what_a_rollout_holds(
    chain: Any, kind: Any, gae_lambda: Any, ending: str, returns: list[float], num_envs: int
) -> None:
    rollout = made(kind, gae_lambda=gae_lambda).collect(collector(chain, ending, num_envs))
    states = np.repeat([0, 1, 2, 0, 1], num_envs)
    assert rollout.observation.tolist() == states.tolist()
    assert rollout.returns.tolist() == np.repeat(returns, num_envs).tolist()
    assert rollout.value.tolist() == np.array(VALUES)[states].tolist()
    torch.testing.assert_close(rollout.advantage, rollout.returns - rollout.value)
    torch.testing.assert_close(rollout.log_prob, torch.full((5 * num_envs,), 0.5).log())
    assert set(rollout.action.tolist()) <= {0, 1}


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_a_lost_life_ends_a_return_and_no_episode(chain: Any, kind: Any) -> None:
    class Lives(gymnasium.Wrapper[Any, Any, Any, Any]):
        def reset(self, **options: Any) -> Any:
            return self.env.reset(**options)[0], {"lives": 2}

        def step(self, action: Any) -> Any:
            state, *rest, info = self.env.step(action)
            return state, *rest, info | {"lives": 2 if state < 2 else 1}  # lost on the way from 1 to 2

    env = rlhub.make_vec(lambda: Lives(chain()), 1)
    rollout = made(kind, gae_lambda=1.0).collect(rlhub.Collector(env, 0, terminal_on_life_loss=True))
    assert rollout.returns.tolist() == [2, 2, 4, 2, 2]


@pytest.mark.parametrize("kind", [A2C, PPO])
def test_rewards_are_clipped_for_the_learner_alone(chain: Any, kind: Any) -> None:
    clipped = rlhub.Collector(rlhub.make_vec(chain, 1), 0, reward_clip=1.5)
    assert made(kind, gae_lambda=1.0).collect(clipped).returns.tolist() == [2.125, 2.25, 1.5, 2.5, 3.0]
    assert [episode.return_ for episode in clipped.episodes()] == [7]


# deep/a2c


def rollout_of(**given: Any) -> Rollout:
    """Return three steps that were drawn from a uniform policy."""
    filled = {
        "observation": torch.tensor([0, 1, 2]),
        "action": torch.tensor([0, 1, 1]),
        "log_prob": torch.full((3,), 0.5).log(),
        "value": torch.tensor(VALUES[:3]),
        "advantage": torch.tensor([2.0, -1.0, 0.5]),
        "returns": torch.tensor([3.0, 1.0, 3.5]),
    }
    return Rollout(**(filled | given))


def test_the_losses_of_a2c_by_hand() -> None:
    algorithm, rollout = made(A2C), rollout_of()
    losses, _ = algorithm.losses(algorithm.network(rollout.observation), rollout)
    assert losses.policy.item() == pytest.approx(1.5 / 3 * np.log(2))  # -(2 - 1 + 0.5)/3 log ½
    assert losses.value.item() == pytest.approx((4 + 1 + 0.25) / 3)
    assert losses.entropy.item() == pytest.approx(np.log(2))


def test_an_update_of_a2c_by_hand() -> None:
    algorithm = made(A2C, learning_rate=0.3, value_coefficient=0.5, entropy_coefficient=0.1)
    algorithm.learn(rollout_of())
    logits = algorithm.network.weights[:8].view(2, 4)  # of the actions, for every state
    # up the gradient A (1 - π) of the action taken, down that of the other; entropy is at its maximum
    torch.testing.assert_close(logits[0], torch.tensor([0.1, 0.05, -0.025, 0.0]))
    torch.testing.assert_close(logits[1], -logits[0])
    values = algorithm.network.weights[10:14]
    torch.testing.assert_close(values, torch.tensor([1 + 0.2, 2 - 0.1, 3 + 0.05, 10.0]))


def test_the_entropy_bonus_makes_actions_more_even() -> None:
    algorithm = made(A2C, learning_rate=0.1, entropy_coefficient=1.0, value_coefficient=0.0)
    algorithm.network.weights[:4] = 1.0
    nothing = rollout_of(advantage=torch.zeros(3))
    before = algorithm.learn(nothing)["entropy"]
    assert algorithm.learn(nothing)["entropy"] > before


def test_advantages_are_normalized_where_asked_for() -> None:
    rollout, config = rollout_of(), {"learning_rate": 0.1, "epochs": 1, "minibatches": 1}
    even = (rollout.advantage - rollout.advantage.mean()) / rollout.advantage.std(correction=0)
    for kind in (A2C, PPO):
        options = config if kind is PPO else {"learning_rate": 0.1}
        one, other, neither = (made(kind, normalize_advantages=each, **options) for each in (True, False, False))
        one.learn(rollout)
        other.learn(rollout._replace(advantage=even))
        neither.learn(rollout)
        torch.testing.assert_close(one.network.weights, other.network.weights)
        assert not torch.allclose(one.network.weights, neither.network.weights)


# deep/ppo


def outputs_of(ratios: list[float], values: list[float]) -> Tensor:
    """Return outputs that make the actions of `rollout_of` so many times as likely as they were."""
    taken = torch.tensor(ratios) / 2
    logits = torch.stack([taken, 1 - taken], 1).log()
    logits[1:] = logits[1:].flip(1)  # where action 1 was taken
    return torch.cat([logits, torch.tensor(values)[:, None]], 1)


def test_the_clipped_surrogate_by_hand() -> None:
    algorithm = made(PPO, clip_range=0.2, normalize_advantages=False)
    loss = algorithm.loss(outputs_of([1.5, 0.5, 0.9], [3.0, 1.0, 3.0]), rollout_of())
    # min(1.5·2, 1.2·2), min(0.5·-1, 0.8·-1), min(0.9·0.5, 0.9·0.5)
    assert loss.policy.tolist() == pytest.approx([-2.4, 0.8, -0.45])
    assert loss.value.tolist() == pytest.approx([0, 0, 0.25])
    assert loss.ratio.tolist() == pytest.approx([1.5, 0.5, 0.9])
    worse = algorithm.loss(outputs_of([0.5, 1.5, 1.0], [3.0, 1.0, 3.5]), rollout_of())
    assert worse.policy.tolist() == pytest.approx([-1, 1.5, -0.5])  # what got worse is not clipped


def test_the_divergence_by_hand() -> None:
    assert divergence(torch.ones(5)).item() == 0
    assert divergence(torch.tensor([2.0, 0.5])).item() == pytest.approx((2 - 1 - np.log(2) + 0.5 - 1 + np.log(2)) / 2)


@pytest.mark.parametrize("value_clip_range", [None, 0.5])
@pytest.mark.parametrize("ratios", [[1.5, 0.5, 0.9], [0.5, 1.5, 1.0], [1.1, 0.9, 1.3]])
def test_the_gradient_of_ppo_is_autograds(ratios: list[float], value_clip_range: float | None) -> None:
    config = {"value_coefficient": 0.7, "entropy_coefficient": 0.1, "normalize_advantages": False}
    algorithm = made(PPO, clip_range=0.2, value_clip_range=value_clip_range, **config)
    outputs = outputs_of(ratios, [2.5, 1.0, 3.2]).requires_grad_()
    loss = algorithm.loss(outputs, rollout_of())
    whole = (loss.policy + 0.7 * loss.value - 0.1 * loss.entropy).mean()
    torch.testing.assert_close(loss.gradient, torch.autograd.grad(whole, outputs)[0])
    if ratios[0] == 1.5:  # clipped in the first two
        free = made(PPO, clip_range=9.0, value_clip_range=value_clip_range, **config).loss(outputs, rollout_of())
        assert not torch.allclose(free.gradient[:2], loss.gradient[:2])
        torch.testing.assert_close(free.gradient[2], loss.gradient[2])


def test_clipped_values_by_hand() -> None:
    algorithm = made(PPO, value_clip_range=0.5)
    # old values 1, 2, 3; returns 3, 1, 3.5; new values 2.5, 1, 3.2; near 1.5, 1.5, 3.2
    loss = algorithm.loss(outputs_of([1.0] * 3, [2.5, 1.0, 3.2]), rollout_of())
    assert loss.value.tolist() == pytest.approx([1.5**2, 0.5**2, 0.3**2])


def test_what_ppo_tells_of_its_updates() -> None:
    algorithm = made(PPO, epochs=1, minibatches=1, learning_rate=0.0, normalize_advantages=False, clip_range=0.2)
    weights = torch.tensor([[1.5, 1.0, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0]]).log()
    algorithm.network.weights[:8] = weights.flatten()
    metrics = algorithm.learn(rollout_of())
    assert metrics["policy_loss"] == pytest.approx(-(1.2 * 2 - 1 + 0.5) / 3)
    assert metrics["value_loss"] == pytest.approx((4 + 1 + 0.25) / 3)
    assert metrics["clip_fraction"] == pytest.approx(1 / 3)
    assert metrics["kl"] == pytest.approx((1.5 - 1 - np.log(1.5)) / 3, rel=1e-4)
    assert metrics["updates_per_rollout"] == 1


def test_the_first_update_of_ppo_is_that_of_a2c() -> None:
    config = {"learning_rate": 0.1, "entropy_coefficient": 0.1, "normalize_advantages": False, "optimizer": "sgd"}
    one, other = made(A2C, **config), made(PPO, epochs=1, minibatches=1, **config)
    one.learn(rollout_of())
    other.learn(rollout_of())
    torch.testing.assert_close(one.network.weights, other.network.weights)


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (3, 2), (2, 50), (Linear(2, 4, 100), 5)])
def test_every_step_is_learnt_from_once_an_epoch(spy: Any, epochs: Any, minibatches: int) -> None:
    algorithm = made(PPO, epochs=epochs, minibatches=minibatches, learning_rate=1e-6)
    algorithm.steps = 50
    states, zeros = torch.arange(12) % 4, torch.zeros(12)
    rollout = Rollout(
        states, torch.zeros(12, dtype=torch.long), zeros.exp().div(2).log(), zeros, torch.arange(12.0), zeros
    )
    recorded, stepped = spy(algorithm.network, "record"), spy(algorithm.optimizer, "step")
    metrics = algorithm.learn(rollout)
    passes, updates = epochs if isinstance(epochs, int) else 3, min(minibatches, 12)
    assert len(recorded) == len(stepped) == passes * updates == metrics["updates_per_rollout"]
    seen = [call[0][0].tolist() for call in recorded]
    for epoch in range(passes):
        passed = seen[epoch * updates : (epoch + 1) * updates]
        assert sorted(state for each in passed for state in each) == sorted(states.tolist())
    assert [state for each in seen for state in each] != np.tile(states, passes).tolist()  # shuffled
    assert np.isfinite(list(metrics.values())).all()


def test_updates_end_where_the_policy_has_moved_far_enough() -> None:
    config = {"epochs": 50, "minibatches": 1, "learning_rate": 0.5, "normalize_advantages": False}
    rollout = rollout_of()
    free, held = made(PPO, **config).learn(rollout), made(PPO, target_kl=0.01, **config).learn(rollout)
    assert free["updates_per_rollout"] == 50
    assert 0 < held["updates_per_rollout"] < 10
    assert free["kl"] > 0.015 > made(PPO, target_kl=1e9, **config | {"epochs": 1}).learn(rollout)["kl"]
    stuck = made(PPO, target_kl=0.0, **config)
    assert stuck.learn(rollout)["updates_per_rollout"] == 1  # at first it has not moved at all


# deep/reinforce


@pytest.mark.parametrize(
    ("config", "ending", "returns"),
    [
        ({}, "terminated", [3.0, 4.0, 4.0]),  # 1 + 4/2, 2 + 4/2, 4
        ({}, "truncated", [3.0, 4.0, 4.0]),  # nobody says what would have followed
        ({"baseline": True}, "terminated", [3.0, 4.0, 4.0]),
        ({"baseline": True}, "truncated", [4.25, 6.5, 9.0]),  # 4 + 10/2
        ({"discount": Linear(0.0, 1.0, 10)}, "terminated", [1.0, 2.0, 4.0]),
    ],
)
def test_the_returns_of_whole_episodes(chain: Any, config: Any, ending: str, returns: list[float]) -> None:
    algorithm = made(Reinforce, episodes_per_update=2, normalize_returns=False, **config)
    batch, episodes = algorithm.collect(collector(chain, ending))
    assert batch.observation.tolist() == [0, 1, 2] * 2
    assert batch.returns.tolist() == returns * 2
    expected = np.array(returns * 2) - (np.tile(VALUES[:3], 2) if config.get("baseline") else 0)
    assert batch.advantage.tolist() == expected.tolist()
    assert [episode.return_ for episode in episodes] == [7, 7]


class Lengths(gymnasium.Env[Any, Any]):
    """Episodes of 1 step in the first environment that is made, 2 in the second, …."""

    observation_space, action_space = Box(0, 9, (1,), np.float32), Discrete(2)
    made = 0

    def __init__(self) -> None:
        self.length = type(self).made = type(self).made + 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.array([self.length], np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return np.array([self.length], np.float32), 1.0, self.time == self.length, False, {}


def episodes_of(rollout: Rollout) -> Batch:
    """Return the same as steps of whole episodes."""
    return Batch(rollout.observation, rollout.action, rollout.returns, torch.zeros(3), rollout.advantage)


def test_short_episodes_are_not_favoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lengths, "made", 0)
    config = Reinforce.Config(episodes_per_update=7, hidden_sizes=(4,))
    algorithm = Reinforce(Lengths.observation_space, Discrete(2), config, seed=0, total_steps=99, device="cpu")
    env = rlhub.Collector(rlhub.make_vec(Lengths, 3), 0)
    for _ in range(2):
        batch, episodes = algorithm.collect(env)
        assert sorted((episode.env, episode.length) for episode in episodes) == [
            *[(0, 1)] * 3, *[(1, 2)] * 2, *[(2, 3)] * 2
        ]  # fmt: skip
        assert np.bincount(batch.observation[:, 0].long()).tolist() == [0, 3, 4, 6]  # whole ones, and no others
    run = rlhub.train("deep/reinforce", "CartPole-v1", steps=3_000, num_envs=4, config={"episodes_per_update": 6})
    assert len(run.episodes) % 6 == 0


def test_an_update_of_reinforce_by_hand() -> None:
    algorithm = made(Reinforce, learning_rate=0.3)
    algorithm.learn(episodes_of(rollout_of()))
    logits = algorithm.network.weights[:8].view(2, 4)
    torch.testing.assert_close(logits[0], torch.tensor([0.1, 0.05, -0.025, 0.0]))
    torch.testing.assert_close(logits[1], -logits[0])


def test_a_long_batch_is_learnt_from_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"learning_rate": 0.1, "entropy_coefficient": 0.2, "baseline": True, "diagnostics": True}
    whole, parted = made(Reinforce, **config), made(Reinforce, **config)
    one = whole.learn(episodes_of(rollout_of()))
    monkeypatch.setattr("rlhub_deep.reinforce.MOST_TOGETHER", 2)
    other = parted.learn(episodes_of(rollout_of()))
    torch.testing.assert_close(whole.network.weights, parted.network.weights)
    assert one == pytest.approx(other)


# schedules and diagnostics


@pytest.mark.parametrize("kind", [A2C, PPO, Reinforce])
def test_what_an_update_uses_follows_its_schedules(kind: Any) -> None:
    def learnt(step: int, **config: Any) -> Tensor:
        whole = {"epochs": 1, "minibatches": 1, "normalize_advantages": False} if kind is PPO else {}
        algorithm = made(kind, **({"baseline": True} if kind is Reinforce else whole) | config)
        algorithm.network.weights[:4] = 1.0  # so that entropy has a gradient
        algorithm.steps = step
        algorithm.learn(episodes_of(rollout_of()) if kind is Reinforce else rollout_of())
        weights: Tensor = algorithm.network.weights
        return weights

    for option, start, end in (
        ("learning_rate", 1.0, 0.0),
        ("value_coefficient", 1.0, 0.0),
        ("entropy_coefficient", 2.0, 0.0),
        ("max_grad_norm", 0.2, 0.05),
    ):
        fixed = {"learning_rate": 0.1} if option != "learning_rate" else {}
        for step, value in ((0, start), (50, (start + end) / 2), (100, end)):
            scheduled = learnt(step, **fixed, **{option: Linear(start, end, 100)})
            torch.testing.assert_close(scheduled, learnt(0, **fixed, **{option: value}))
        assert not torch.equal(learnt(0, **fixed, **{option: start}), learnt(0, **fixed, **{option: end}))


def test_clipping_follows_its_schedules() -> None:
    outputs, rollout = outputs_of([1.5, 0.5, 0.9], [2.5, 1.0, 3.2]), rollout_of()
    falling = made(PPO, clip_range=Linear(0.2, 0.0, 100), value_clip_range=Linear(1.0, 0.0, 100))
    for step in (0, 50, 100):
        falling.steps = step
        fixed = made(PPO, clip_range=0.2 * (1 - step / 100), value_clip_range=1 - step / 100)
        for one, other in zip(falling.loss(outputs, rollout), fixed.loss(outputs, rollout), strict=True):
            torch.testing.assert_close(one, other)


def test_a_rollout_may_grow(chain: Any) -> None:
    algorithm = made(PPO, rollout_length=Piecewise((4,), (2, 3)), minibatches=1, epochs=1)
    steps = [progress.steps for progress in algorithm.train(collector(chain), 10)]
    assert steps == [2, 4, 7, 10]


@pytest.mark.parametrize("kind", [A2C, PPO, Reinforce])
def test_diagnostics_say_what_an_update_improved(kind: Any) -> None:
    config = {"learning_rate": 1e-2, "diagnostics": True}
    config |= {"baseline": True} if kind is Reinforce else {"minibatches": 1} if kind is PPO else {}
    algorithm = made(kind, **config)
    rollout = episodes_of(rollout_of()) if kind is Reinforce else rollout_of()
    metrics = algorithm.learn(rollout)
    assert metrics["policy_improvement"] > 0
    assert metrics["value_improvement"] > 0
    plain = made(kind, **config | {"diagnostics": False})
    assert plain.learn(rollout).keys() == metrics.keys() - {"policy_improvement", "value_improvement"}
    assert torch.equal(plain.network.weights, algorithm.network.weights)


def test_what_is_explored_and_what_is_shown(chain: Any) -> None:
    algorithm = made(A2C, actions=3)
    algorithm.network.weights[:12].view(3, 4)[:, 0] = torch.tensor([0.1, 0.7, 0.2]).log()
    observations, first = np.zeros(4_000, np.int64), np.zeros(4_000, np.bool_)
    assert set(algorithm.actor()(observations, first).tolist()) == {1}
    explored: Callable[..., Any] = algorithm.actor(explore=True)
    np.testing.assert_allclose(np.bincount(explored(observations, first)) / 4_000, [0.1, 0.7, 0.2], atol=0.03)
