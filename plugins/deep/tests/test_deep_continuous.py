"""deep/ddpg, deep/td3 and deep/sac by hand: formulas, noise, bounds, single updates, clocks and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from rlhub_deep.ddpg import DDPG
from rlhub_deep.noise import Noise, ornstein_uhlenbeck
from rlhub_deep.off_policy import Bounds, Sample
from rlhub_deep.sac import SAC, squashed_gaussian, squashed_gaussian_backward
from rlhub_deep.td3 import TD3
from torch import Tensor
from torch.distributions import Normal, TanhTransform, TransformedDistribution

import rlhub_core as rlhub
from rlhub_core import ConfigError, SpaceError, schedules
from rlhub_core.schedules import Linear, Piecewise

Maker = Callable[..., Any]
NEVER = 10**6
SPACE = Box(-9, 9, (1,), np.float32)
ACTION = Box(-1, 1, (1,), np.float32)
KINDS = [DDPG, TD3, SAC]
PLAIN: dict[str, Any] = {"hidden_sizes": (), "optimizer": "sgd", "learning_rate": 0.1, "discount": 0.5}


class Line(gymnasium.Env[Any, Any]):
    """Positions 0, 1, 2, … whatever is done; the action is the reward; three steps make an episode.

    Args:
        ending: "terminated" or "truncated".
    """

    observation_space, action_space = SPACE, ACTION

    def __init__(self, ending: str = "terminated") -> None:
        self.ending, self.position = ending, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.position = 0
        return np.array([0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.position += 1
        over = self.position == 3
        seen = np.array([self.position], np.float32)
        return seen, float(action[0]), over and self.ending == "terminated", over and self.ending == "truncated", {}


def made(kind: Any, space: Any = SPACE, action_space: Any = ACTION, **config: Any) -> Any:
    return kind(space, action_space, kind.Config(**PLAIN | config), seed=0, total_steps=100, device="cpu")


def write(network: Any, numbers: Any) -> None:
    """Set all weights, in the order of layers: weight, bias."""
    network.weights.copy_(torch.as_tensor(numbers, dtype=torch.float32).flatten())


def lined(kind: Any, **config: Any) -> Any:
    """Return an algorithm with Q(s, a) = 2 a + s + 1, of a second critic 2 a + s, and means of 0.5 s - 0.2.

    Targets have Q' = a + 2 s, of a second critic a + 2 s - 1, and μ' = tanh(s); SAC's log σ are 0.1 s - 1.
    """
    algorithm = made(kind, **config)
    one = kind is DDPG
    write(algorithm.critic, [2, 1, 1] if one else [2, 1, 1, 2, 1, 0])
    write(algorithm.target_critic, [1, 2, 0] if one else [1, 2, 0, 1, 2, -1])
    write(algorithm.network, [0.5, 0.1, -0.2, -1] if kind is SAC else [0.5, -0.2])
    if kind is not SAC:
        write(algorithm.target_network, [1, 0])
    return algorithm


def filled(algorithm: Any, ending: str = "terminated", steps: int = 3, num_envs: int = 1) -> Any:
    """Have an algorithm play on the line."""
    collector = rlhub.Collector(rlhub.make_vec(lambda: Line(ending), num_envs), 0)
    for _ in algorithm.train(collector, steps):
        pass
    return algorithm


def batch(target: Any = (4.0, 0.0), weight: Any = (1.0, 1.0)) -> Sample:
    """Return two transitions, of s = 1, a = 0.5 and s = -1, a = 0."""
    return Sample(
        torch.tensor([[1.0], [-1.0]]),
        torch.tensor([[0.5], [0.0]]),
        torch.tensor(target),
        torch.tensor(weight),
        np.array([0, 1]),
    )


# noise


def test_a_step_of_the_ornstein_uhlenbeck_process_by_hand() -> None:
    x, normal = np.array([[2.0, 0.0]]), np.array([[-2.0, 1.0]])
    # 2 + 0.5 · (1 - 2) · 0.25 + 0.3 · 0.5 · (-2); 0 + 0.5 · 1 · 0.25 + 0.3 · 0.5 · 1
    found = ornstein_uhlenbeck(x, normal, sigma=0.3, theta=0.5, dt=0.25, mean=1.0)
    np.testing.assert_allclose(found, [[1.575, 0.275]])


def series(noise: Noise, steps: int, num_envs: int, **parameters: float) -> Any:
    rng, first = np.random.default_rng(0), np.zeros(num_envs, np.bool_)
    return np.array([noise.step(rng, first, **parameters) for _ in range(steps)])  # [steps, num_envs, size]


def test_noise_that_remembers_has_the_moments_of_its_process() -> None:
    x = series(Noise("ornstein-uhlenbeck", 2), 300, 2_000, sigma=0.4, theta=0.2, dt=0.5)[100:]
    kept = 1 - 0.2 * 0.5
    assert x.std() == pytest.approx(0.4 * math.sqrt(0.5 / (1 - kept**2)), rel=0.01)
    assert (x[1:] * x[:-1]).mean() / x.var() == pytest.approx(kept, abs=0.01)
    assert (x[:, 1:] * x[:, :-1]).mean() / x.var() == pytest.approx(0, abs=0.01)  # environments are apart
    assert (x[..., 0] * x[..., 1]).mean() / x.var() == pytest.approx(0, abs=0.01)  # and so are numbers of an action


def test_white_noise_remembers_nothing() -> None:
    x = series(Noise("gaussian", 2), 100, 2_000, sigma=0.4, theta=0.2, dt=0.5)
    assert x.std() == pytest.approx(0.4, rel=0.01)
    assert (x[1:] * x[:-1]).mean() / x.var() == pytest.approx(0, abs=0.01)


def test_noise_begins_anew_with_an_episode() -> None:
    noise, rng, first = Noise("ornstein-uhlenbeck", 1), np.random.default_rng(0), np.zeros(4_000, np.bool_)
    for _ in range(50):
        old = noise.step(rng, first, 1.0, 0.1, 1.0)
    half = np.arange(4_000) < 2_000
    new = noise.step(rng, half, 1.0, 0.1, 1.0)
    assert new[half].std() == pytest.approx(1, rel=0.05)
    assert np.corrcoef(old[half, 0], new[half, 0])[0, 1] == pytest.approx(0, abs=0.06)
    assert np.corrcoef(old[~half, 0], new[~half, 0])[0, 1] > 0.8


@pytest.mark.parametrize("kind", [DDPG, TD3])
@pytest.mark.parametrize("name", ["gaussian", "ornstein-uhlenbeck"])
def test_it_explores_with_the_noise_asked_for(kind: Any, name: Any) -> None:
    config = {"noise": name, "noise_scale": Linear(0.0, 0.2, 100), "noise_theta": 0.5, "noise_dt": 0.25}
    algorithm = made(kind, Box(-1, 1, (2,), np.float32), Box(-3, 5, (1,), np.float32), learning_starts=0, **config)
    observations, first = np.full((3_000, 2), 0.3, np.float32), np.ones(3_000, np.bool_)
    greedy = algorithm.actor()(observations, first)
    assert np.array_equal(algorithm.actor(explore=True)(observations, first), greedy)  # at first σ is 0
    algorithm.steps = 50
    act = algorithm.actor(explore=True)
    noise = [act(observations, first * (time == 0)) - greedy for time in range(6)]  # half the range is 4
    white = name == "gaussian"
    assert noise[0].std() == pytest.approx(4 * 0.1 * (1 if white else 0.5), rel=0.06)
    kept = (noise[5] * noise[4]).mean() / (noise[4] ** 2).mean()
    assert kept == pytest.approx(0 if white else 1 - 0.5 * 0.25, abs=0.06)
    again = algorithm.actor(explore=True)
    assert np.array_equal(again(observations, first) - greedy, noise[0])


@pytest.mark.parametrize("kind", KINDS)
def test_actions_are_random_until_it_learns(kind: Any) -> None:
    algorithm = made(kind, action_space=Box(-3, 5, (2,), np.float32), learning_starts=100)
    observations, first = np.zeros((4_000, 1), np.float32), np.zeros(4_000, np.bool_)
    algorithm.steps = 99
    actions = algorithm.actor(explore=True)(observations, first)
    assert actions.min(0) == pytest.approx([-3, -3], abs=0.02)
    assert actions.max(0) == pytest.approx([5, 5], abs=0.02)
    assert actions.mean(0) == pytest.approx([1, 1], abs=0.1)
    assert actions.std() == pytest.approx(8 / math.sqrt(12), rel=0.03)
    algorithm.steps = 100
    later = algorithm.actor(explore=True)(observations, first)
    if kind is SAC:
        write(algorithm.network, [0, 0, 0, 0, 0, 0, -2, -2])
        later = algorithm.actor(explore=True)(observations, first)
    assert later.std(0) == pytest.approx([4 * {DDPG: 0.2, TD3: 0.1, SAC: math.exp(-2)}[kind]] * 2, rel=0.1)


# actions


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_actions_are_scaled_to_the_box(kind: Any) -> None:
    space = Box(np.array([[-1, 0], [10, -7]], kind), np.array([[3, 0.1], [20, -7]], kind), dtype=kind)
    bounds = Bounds(space)
    rows = np.array([[-1, -1, -1, -1], [1, 1, 1, 1], [0, 0, 0, 0], [0.5, -0.5, 0.25, 0.9]], np.float32)
    actions = bounds.to_env(rows)
    assert actions.dtype == kind
    expected = [[[-1, 0], [10, -7]], [[3, 0.1], [20, -7]], [[1, 0.05], [15, -7]], [[2, 0.025], [16.25, -7]]]
    np.testing.assert_allclose(actions, expected, rtol=1e-6)
    assert all(space.contains(action) for action in actions)
    for low, high in ((-0.1, 0.7), (1e-3, 1e3), (-3e38, 3e38)):
        narrow = Box(low, high, (1,), kind)
        for action in Bounds(narrow).to_env(np.linspace(-1, 1, 1_001, dtype=np.float32)[:, None]):
            assert narrow.contains(action)


@pytest.mark.parametrize(
    "space",
    [
        Box(-np.inf, np.inf, (1,), np.float32),
        Box(np.array([-1, -np.inf]), np.array([1, 1]), dtype=np.float32),
        Box(0, 9, (2,), np.int64),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_box_without_bounds_or_of_whole_numbers_is_refused(kind: Any, space: Any) -> None:
    with pytest.raises(SpaceError, match=r"must be a Box of floats that has all of them, not Box\(.*Wrap the envir"):
        made(kind, action_space=space)


@pytest.mark.parametrize("name", ["deep/ddpg", "deep/td3", "deep/sac"])
def test_actions_that_are_no_box_are_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=f"{name} needs a Box action space; CartPole-v1 has Discrete"):
        rlhub.train(name, "CartPole-v1", steps=10)
    kind = {"deep/ddpg": DDPG, "deep/td3": TD3, "deep/sac": SAC}[name]
    with pytest.raises(SpaceError, match="must be a Box of floats"):
        made(kind, action_space=MultiDiscrete([2, 2]))
    with pytest.raises(SpaceError, match="must be a Box of floats"):
        made(kind, action_space=Discrete(2))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_played_is_what_is_stored(kind: Any) -> None:
    class Noted(Line):
        action_space = Box(-2, 6, (), np.float64)  # type: ignore[assignment]
        taken: list[Any] = []

        def step(self, action: Any) -> Any:
            assert self.action_space.contains(np.asarray(action))
            self.taken.append(float(action))
            return super().step(np.array([action]))

    Noted.taken = []
    config = PLAIN | {"learning_starts": 5, "batch_size": 4}
    run = rlhub.train(kind, Noted, steps=12, num_envs=1, config=config)
    drawn = run.algorithm.replay.sample(200, np.random.default_rng(0))  # type: ignore[attr-defined]
    assert np.abs(drawn.action).max() <= 1
    np.testing.assert_allclose(np.unique(2 + 4 * drawn.action), np.unique(np.float32(Noted.taken)), rtol=1e-4)
    np.testing.assert_allclose(drawn.reward, 2 + 4 * drawn.action[:, 0], rtol=1e-4)


# targets


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
@pytest.mark.parametrize("kind", KINDS)
def test_targets_bootstrap_from_a_truncation_but_not_from_a_termination(kind: Any, ending: str) -> None:
    config = {"target_noise": 0.0} if kind is TD3 else {"entropy_coefficient": 0.0} if kind is SAC else {}
    algorithm = filled(lined(kind, learning_starts=NEVER, batch_size=200, **config), ending)
    if kind is SAC:
        write(algorithm.network, [1, 0, 0, -20])  # draws tanh(s)
    sample = algorithm.sample()
    following = sample.observation[:, 0] + 1
    value = following.tanh() + 2 * following - (0 if kind is DDPG else 1)
    if ending == "terminated":
        value[following == 3] = 0
    torch.testing.assert_close(sample.target, sample.action[:, 0] + 0.5 * value, rtol=1e-4, atol=1e-5)
    assert set(following.tolist()) == {1, 2, 3}


@pytest.mark.parametrize("kind", KINDS)
def test_targets_sum_rewards_of_several_steps(kind: Any) -> None:
    algorithm = filled(lined(kind, learning_starts=NEVER, batch_size=50, n_step=3), "terminated")
    sample, reward = algorithm.sample(), {}
    for seen, action in zip(sample.observation[:, 0].tolist(), sample.action[:, 0].tolist(), strict=True):
        reward[int(seen)] = action
    for seen, target in zip(sample.observation[:, 0].tolist(), sample.target.tolist(), strict=True):
        later = sum(0.5 ** (position - seen) * reward[position] for position in range(int(seen), 3))
        assert target == pytest.approx(later, rel=1e-4)


def test_the_target_of_td3_is_smoothed() -> None:
    algorithm = lined(TD3, target_noise=Linear(0.0, 0.4, 100), target_noise_clip=Linear(0.0, 1.0, 100))
    observation = torch.zeros(20_000, 1)  # where μ' = 0
    assert not algorithm.target_action(observation).any()
    algorithm.steps = 50  # σ = 0.2, cut off at 0.5
    noise = algorithm.target_action(observation)
    assert noise.std().item() == pytest.approx(0.2 * 0.96, rel=0.03)  # by what is cut off
    assert noise.abs().max().item() == 0.5
    assert (noise.abs() == 0.5).float().mean().item() == pytest.approx(0.0124, abs=0.003)
    far = algorithm.target_action(observation + 9)  # where μ' = 1
    assert far.max().item() == 1
    assert far.min().item() == pytest.approx(0.5, abs=1e-3)


def test_the_target_of_sac_is_soft() -> None:
    algorithm = lined(SAC, entropy_coefficient=Linear(0.0, 1.0, 100))
    algorithm.steps = 30
    observation = torch.tensor([[0.3]]).expand(40_000, 1)
    found = algorithm.next_value(observation)
    u = Normal(0.5 * 0.3 - 0.2, math.exp(0.1 * 0.3 - 1))
    policy = TransformedDistribution(u, [TanhTransform()])
    torch.manual_seed(0)
    action = policy.sample((400_000,))
    expected = (action + 2 * 0.3 - 1 - 0.3 * policy.log_prob(action)).mean().item()
    assert found.mean().item() == pytest.approx(expected, abs=0.01)


# updates by hand


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_of_the_critic_by_hand(kind: Any) -> None:
    algorithm = lined(kind, critic_learning_rate=0.25)
    before = algorithm.network.weights.clone()
    metrics = algorithm.improve_critic(batch(weight=(1.0, 0.5)))
    # Q = 3 and 0, errors -1 and 0; of a second critic Q = 2 and -1, errors -2 and -1
    slopes = [[-1 * 0.5, -1, -1]]  # of Σ w e² / 2: w e a, w e s, w e
    if kind is not DDPG:
        slopes.append([-2 * 0.5 - 0.5 * 0, -2 + 0.5, -2 - 0.5])
    begun = np.array([[2, 1, 1], [2, 1, 0]][: len(slopes)])
    np.testing.assert_allclose(algorithm.critic.weights, (begun - 0.25 * np.array(slopes)).flatten(), rtol=1e-6)
    assert metrics["critic_loss"] == pytest.approx((1 if kind is DDPG else 1 + 4 + 0.5) / 2)
    assert metrics["critic_gradient_norm"] == pytest.approx(float(np.linalg.norm(slopes)))
    assert metrics["value_mean"] == pytest.approx(1.5 if kind is DDPG else 1)
    assert torch.equal(algorithm.network.weights, before)


def test_twin_critics_share_a_priority() -> None:
    config = {"prioritized": True, "priority_alpha": 1.0, "learning_starts": NEVER}
    algorithm = filled(lined(TD3, **config))
    algorithm.improve_critic(batch(target=(2.5, 0.5)))  # errors 0.5 and -0.5, -0.5 and -1.5
    assert algorithm.replay.tree[[0, 1]].tolist() == pytest.approx([0.5, 1.0], abs=1e-4)


@pytest.mark.parametrize("kind", [DDPG, TD3])
def test_an_update_of_a_deterministic_actor_by_hand(kind: Any) -> None:
    algorithm = lined(kind)
    write(algorithm.critic, [2, 1, 1] if kind is DDPG else [2, 1, 1, -7, 1, -9])  # of two critics the first counts
    critic = algorithm.critic.weights.clone()
    metrics = algorithm.improve_actor(batch().observation)
    actions = np.tanh([0.5 - 0.2, -0.5 - 0.2])
    slopes = -2 * (1 - actions**2) / 2  # of -mean Q with respect to what is squashed
    gradient = np.array([slopes @ [1, -1], slopes.sum()])
    np.testing.assert_allclose(algorithm.network.weights, [0.5, -0.2] - 0.1 * gradient, rtol=1e-5)
    assert metrics["actor_loss"] == pytest.approx(-(2 * actions + [1, -1] + 1).mean(), rel=1e-5)
    assert metrics["actor_gradient_norm"] == pytest.approx(float(np.linalg.norm(gradient)), rel=1e-5)
    assert torch.equal(algorithm.critic.weights, critic)


def test_an_update_of_a_soft_actor_is_that_of_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = lined(SAC, entropy_coefficient=0.3)
    write(algorithm.critic, [2, 1, 1, -3, 1, 0.5])  # either is the lesser of the two for some actions
    normal = torch.tensor([[0.7], [-1.2], [0.1], [2.0]])
    monkeypatch.setattr(algorithm, "normal", lambda outputs: normal)
    observation = torch.tensor([[1.0], [-1.0], [0.5], [0.2]])
    weight = algorithm.network.weights.clone().requires_grad_()
    mean, log_deviation = (weight[i] * observation + weight[i + 2] for i in (0, 1))
    u = mean + log_deviation.exp() * normal
    action = u.tanh()
    log_prob = Normal(mean, log_deviation.exp()).log_prob(u) - (1 - action.square()).log()
    values = torch.minimum(2 * action + observation + 1, -3 * action + observation + 0.5)
    assert len({bool(x) for x in (5 * action + 0.5 > 0).flatten()}) == 2
    loss = (0.3 * log_prob - values).mean()
    (gradient,) = torch.autograd.grad(loss, weight)
    metrics = algorithm.improve_actor(observation)
    torch.testing.assert_close(algorithm.network.weights, (weight - 0.1 * gradient).detach(), rtol=1e-4, atol=1e-6)
    assert metrics["actor_loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert metrics["entropy"] == pytest.approx(-log_prob.mean().item(), rel=1e-4)
    assert metrics["entropy_coefficient"] == 0.3
    assert metrics["actor_gradient_norm"] == pytest.approx(gradient.norm().item(), rel=1e-4)


def test_an_update_of_a_learnt_coefficient_by_hand() -> None:
    algorithm = made(SAC, action_space=Box(-1, 1, (3,), np.float32), initial_entropy_coefficient=0.5)
    assert algorithm.coefficient == pytest.approx(0.5)
    algorithm.improve_coefficient(-2.0)  # above its target of -3
    assert math.log(algorithm.coefficient) == pytest.approx(math.log(0.5) - 0.1 * (-2 + 3), rel=1e-5)
    algorithm = made(SAC, target_entropy=Linear(0.0, 1.0, 100), learning_rate=Linear(0.0, 0.2, 100))
    algorithm.steps = 50
    algorithm.improve_coefficient(0.2)  # below its target of 0.5
    assert math.log(algorithm.coefficient) == pytest.approx(0.1 * 0.3, rel=1e-5)


def test_a_given_coefficient_stays_and_may_be_scheduled() -> None:
    algorithm = filled(made(SAC, entropy_coefficient=Linear(0.4, 0.0, 100), learning_starts=4, batch_size=4), steps=20)
    assert algorithm.coefficient == pytest.approx(0.4 * 0.8)
    assert algorithm.log_coefficient.weights.item() == 0
    learnt = filled(made(SAC, learning_starts=4, batch_size=4), steps=20)
    assert learnt.log_coefficient.weights.item() != 0


# the squashed Gaussian


def random_policy(rows: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    outputs = 0.5 * torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return outputs, torch.randn(rows, 3, generator=generator, dtype=torch.float64)


def test_the_density_of_a_squashed_gaussian_is_torchs() -> None:
    outputs, normal = random_policy()
    action, log_prob = squashed_gaussian(outputs, normal)
    mean, log_deviation = outputs.chunk(2, 1)
    torch.testing.assert_close(action, (mean + log_deviation.exp() * normal).tanh())
    policy = TransformedDistribution(Normal(mean, log_deviation.exp()), [TanhTransform(cache_size=1)])
    near = (action.abs() < 0.999).all(1)  # else torch's inverse of tanh is not exact
    torch.testing.assert_close(log_prob[near], policy.log_prob(action).sum(1)[near], rtol=1e-6, atol=1e-6)
    assert near.sum() > 10


def test_the_density_integrates_to_one() -> None:
    u = torch.linspace(-9, 9, 20_001, dtype=torch.float64)[:, None]
    mean, log_deviation = 0.4, -0.3
    outputs = torch.tensor([[mean, log_deviation]], dtype=torch.float64).expand(len(u), 2)
    action, log_prob = squashed_gaussian(outputs, (u - mean) / math.exp(log_deviation))
    assert torch.trapezoid(log_prob.exp(), action[:, 0]).item() == pytest.approx(1, abs=1e-4)


def test_the_density_is_exact_where_the_action_rounds_to_its_bound() -> None:
    outputs = torch.tensor([[40.0, 0.0], [-40.0, 0.0]])
    action, log_prob = squashed_gaussian(outputs, torch.zeros(2, 1))
    assert action.flatten().tolist() == [1, -1]
    # log N(0) - log 4 e^-2|u|
    expected = -0.5 * math.log(2 * math.pi) - math.log(4) + 80
    assert log_prob.tolist() == pytest.approx([expected, expected])


def test_the_gradient_of_a_squashed_gaussian_is_autograds() -> None:
    outputs, normal = random_policy()
    outputs[0, 4], outputs[1, 5] = 2.5, -21.0  # deviations that are cut off
    outputs.requires_grad_()
    slope = torch.randn(64, 3, dtype=torch.float64)
    action, log_prob = squashed_gaussian(outputs, normal)
    (expected,) = torch.autograd.grad((action, log_prob), outputs, (slope, torch.full_like(log_prob, 0.3)))
    found = squashed_gaussian_backward(outputs.detach(), normal, slope, 0.3)
    torch.testing.assert_close(found, expected)
    assert found[0, 4] == found[1, 5] == 0


def test_sac_draws_from_its_policy_and_plays_its_mode() -> None:
    algorithm = lined(SAC, learning_starts=0)
    observations, first = np.full((40_000, 1), 0.3, np.float32), np.zeros(40_000, np.bool_)
    assert algorithm.actor()(observations, first)[0] == pytest.approx(math.tanh(0.5 * 0.3 - 0.2), rel=1e-4)
    u = np.arctanh(algorithm.actor(explore=True)(observations, first).astype(np.float64))
    assert u.mean() == pytest.approx(0.5 * 0.3 - 0.2, abs=0.01)
    assert u.std() == pytest.approx(math.exp(0.1 * 0.3 - 1), rel=0.02)


# clocks


@pytest.mark.parametrize(
    ("num_envs", "config", "updates"),
    [
        (1, {}, 291),  # at steps 10, 11, …, 300
        (1, {"train_every": 4}, 73),  # 12, 16, …, 300
        (1, {"train_every": 4, "gradient_steps": 3}, 73 * 3),
        (3, {"train_every": 4}, 73),  # two are due at some steps, one at others
        (4, {}, 73 * 4),  # 12, 16, …
        (1, {"train_every": Piecewise((100,), (1, 10))}, 91 + 20),
        (1, {"gradient_steps": Piecewise((101,), (1, 2))}, 91 + 2 * 200),
        (1, {"learning_starts": 299}, 2),
    ],
)
def test_how_often_it_learns(num_envs: int, config: dict[str, Any], updates: int) -> None:
    algorithm = made(DDPG, **{"learning_starts": 10, "batch_size": 2} | config)
    assert filled(algorithm, steps=300, num_envs=num_envs).updates == updates


def test_td3_delays_actor_and_targets() -> None:
    algorithm = filled(lined(TD3, learning_starts=NEVER, batch_size=4, policy_delay=Piecewise((50,), (3, 2))))
    parts = [algorithm.critic, algorithm.network, algorithm.target_critic, algorithm.target_network]
    moved = []
    for step in range(12):
        algorithm.steps = 0 if step < 6 else 50
        before = [part.weights.clone() for part in parts]
        metrics = algorithm.learn()
        moved.append([not torch.equal(part.weights, old) for part, old in zip(parts, before, strict=True)])
        assert ("actor_loss" in metrics) is moved[-1][1]
    assert all(critic for critic, *_ in moved)
    late = [2, 5, 7, 9, 11]
    assert [step for step in range(12) if moved[step] == [True] * 4] == late
    assert all(moved[step] == [True, False, False, False] for step in range(12) if step not in late)


@pytest.mark.parametrize("kind", KINDS)
def test_targets_follow_weights_and_biases(kind: Any) -> None:
    config = {"policy_delay": 1} if kind is TD3 else {}
    algorithm = filled(lined(kind, learning_starts=NEVER, batch_size=4, tau=Linear(0.0, 0.5, 100), **config))
    algorithm.steps = 50
    pairs = [(algorithm.target_critic, algorithm.critic)]
    pairs += [] if kind is SAC else [(algorithm.target_network, algorithm.network)]
    before = [target.weights.clone() for target, _ in pairs]
    algorithm.learn()
    for (target, online), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(target.weights, 0.75 * old + 0.25 * online.weights)


# schedules

TO_ZERO = Linear(1.0, 0.0, 100)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [0, 50, 75])
def test_what_an_update_uses_follows_its_schedules(kind: Any, step: int, spy: Maker) -> None:
    left = 1 - step / 100

    def learnt(**config: Any) -> Any:
        more = {"policy_delay": 1} if kind is TD3 else {}
        algorithm = filled(lined(kind, **{"learning_starts": NEVER, "batch_size": 32} | more | config))
        algorithm.steps = step
        algorithm.before = [algorithm.network.weights.clone(), algorithm.critic.weights.clone()]
        algorithm.drawn = spy(algorithm.replay, "sample")
        algorithm.learn()
        return algorithm

    def moves(algorithm: Any) -> list[Tensor]:
        networks = (algorithm.network, algorithm.critic)
        return [old - each.weights for old, each in zip(algorithm.before, networks, strict=True)]

    algorithm = learnt(learning_rate=TO_ZERO)
    for moved, network in zip(moves(algorithm), (algorithm.network, algorithm.critic), strict=True):
        torch.testing.assert_close(moved, left * network.gradient, rtol=1e-3, atol=1e-5)
    algorithm = learnt(learning_rate=0.5, critic_learning_rate=TO_ZERO)
    for rate, moved, network in zip((0.5, left), moves(algorithm), (algorithm.network, algorithm.critic), strict=True):
        torch.testing.assert_close(moved, rate * network.gradient, rtol=1e-3, atol=1e-5)
    algorithm = learnt(learning_rate=1.0, max_grad_norm=Linear(0.1, 0.0, 100))
    for moved in moves(algorithm):
        assert moved.norm().item() == pytest.approx(0.1 * left, rel=1e-3, abs=1e-6)

    algorithm = learnt(learning_rate=0.0, tau=0.0, prioritized=True, priority_alpha=TO_ZERO)
    batch = algorithm.drawn[0][2]
    seen = {"action": torch.as_tensor(batch.action), "observation": torch.as_tensor(batch.observation)}
    if kind is DDPG:  # whose targets are not random
        target = batch.reward + batch.discount * algorithm.next_value(torch.as_tensor(batch.next_observation)).numpy()
        error = np.abs(algorithm.critic(seen).numpy() - target[:, None]).mean(1)
        assert algorithm.replay.tree[batch.index].tolist() == pytest.approx((error**left).tolist(), rel=1e-3)

    counts = {"n_step": Linear(1, 9, 100), "batch_size": Linear(32, 64, 100)}
    shares = {"discount": Linear(0.5, 0.9, 100), "priority_beta": Linear(0.4, 1.0)}
    (size, _), asked, batch = learnt(**counts, **shares).drawn[0]
    assert size == len(batch.index) == 32 + round(32 * step / 100)
    assert asked["n_step"] == 1 + round(8 * step / 100)
    assert asked["discount"] == pytest.approx(0.5 + 0.4 * step / 100)
    assert asked["beta"] == pytest.approx(0.4 + 0.6 * step / 100)  # over the 100 steps of the run


@pytest.mark.parametrize("kind", KINDS)
def test_rare_transitions_weigh_more(kind: Any) -> None:
    config = {"prioritized": True, "priority_beta": 1.0, "learning_starts": NEVER, "batch_size": 64}
    algorithm = filled(lined(kind, **config))
    algorithm.replay.prioritize(np.arange(3), [1.0, 1.0, 8.0])
    sample = algorithm.sample()
    weight = {int(seen): w for seen, w in zip(sample.observation, sample.weight.tolist(), strict=True)}
    assert weight[2] == pytest.approx(weight[0] / 8) == pytest.approx(weight[1] / 8)


# what is measured, what is refused


@pytest.mark.parametrize("kind", KINDS)
def test_diagnostics_measure_what_an_update_improved(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, measured = (lined(kind, learning_rate=1e-3, diagnostics=diagnostics) for diagnostics in (False, True))
    found: list[dict[str, float]] = []
    for algorithm in (plain, measured, measured):
        monkeypatch.setattr(algorithm, "normal", lambda outputs: torch.tensor([[0.3], [-0.4]]), raising=False)
        if algorithm is plain:
            kept = algorithm.critic.weights.clone()
        found.append(algorithm.improve_critic(batch()))
    assert set(found[1]) - set(found[0]) == {"critic_improvement"}
    assert found[1]["critic_improvement"] == pytest.approx(found[1]["critic_loss"] - found[2]["critic_loss"], abs=1e-5)
    assert found[1]["critic_improvement"] > 0
    assert not torch.equal(plain.critic.weights, kept)
    first, second = (measured.improve_actor(batch().observation) for _ in range(2))
    assert first["actor_improvement"] == pytest.approx(first["actor_loss"] - second["actor_loss"], abs=1e-5)
    assert first["actor_improvement"] > 0


@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_metrics_of_a_run(name: str) -> None:
    config = {"learning_starts": 10, "batch_size": 4, "hidden_sizes": (8,), "diagnostics": True}
    run = rlhub.train(f"deep/{name}", Line, steps=100, config=config, log_every=50)
    line = (run.folder / "metrics.jsonl").read_text().splitlines()[-1]
    expected = {"critic_loss", "critic_gradient_norm", "value_mean", "critic_improvement", "updates"}
    expected |= {"actor_loss", "actor_gradient_norm", "actor_improvement"}
    expected |= {"entropy", "entropy_coefficient"} if name == "sac" else set()
    assert all(f'"train/{metric}": ' in line for metric in expected)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("ddpg", {"noise": "pink"}, "noise must be 'gaussian' or 'ornstein-uhlenbeck', not 'pink'"),
    ("ddpg", {"noise_scale": -0.1}, "noise_scale must be at least 0"),
    ("ddpg", {"policy_delay": 2}, "has no hyper-parameter 'policy_delay'"),
    ("td3", {"policy_delay": 0}, "policy_delay must be at least 1, not 0"),
    ("td3", {"target_noise_clip": -1}, "target_noise_clip must be at least 0"),
    ("sac", {"entropy_coefficient": -0.1}, "entropy_coefficient must be at least 0"),
    ("sac", {"initial_entropy_coefficient": 0}, "initial_entropy_coefficient must be at least"),
    ("sac", {"noise_scale": 0.1}, "has no hyper-parameter 'noise_scale'"),
    ("sac", {"tau": 1.5}, r"tau must be in \[0, 1\], not 1.5"),
    ("td3", {"critic_optimizer": "adamant"}, "optimizer: 'adamant' is unknown. Did you mean 'adam'"),
    ("ddpg", {"buffer_size": 1}, "buffer_size 1 is too small"),
]


@pytest.mark.parametrize(("name", "config", "message"), WRONG, ids=[f"{name}-{next(iter(c))}" for name, c, _ in WRONG])
def test_what_makes_no_sense_is_refused(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rlhub.train(f"deep/{name}", Line, steps=10, config=config)


@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_options_may_be_text(name: str) -> None:
    config = {
        "learning_rate": "linear(1e-3, 0)",
        "critic_learning_rate": "none",
        "critic_optimizer": "sgd:momentum=0.9",
        "hidden_sizes": "8,8",
        "initialization": "orthogonal",
    }
    algorithm: Any = rlhub.train(f"deep/{name}", Line, steps=5, config=config).algorithm
    assert schedules.value(algorithm.config.learning_rate, 5) == 0
    assert algorithm.config.hidden_sizes == (8, 8)
    assert algorithm.critic_optimizer.state()["param_groups"][0]["momentum"] == 0.9
    assert "betas" in algorithm.optimizer.state()["param_groups"][0]
