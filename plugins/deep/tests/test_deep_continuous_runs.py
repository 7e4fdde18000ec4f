"""deep/ddpg, deep/td3 and deep/sac in whole runs: probes, observations of every kind, resume, networks of one's own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text
from torch import nn

import rlhub_core as rlhub
from rlhub_core import ConfigError, SpaceError, hub
from rlhub_core.errors import CheckpointError
from rlhub_core.testing import check_exact_resume

NAMES = ["ddpg", "td3", "sac"]
LOW, HIGH = -1.0, 3.0  # of actions
SIDE = 36


class Probe(gymnasium.Env[Any, Any]):
    """One action from -1 to 3 and one observation, one step, reward 1: is a value learnt at all?"""

    observation_space: Any = Box(-1, 1, (1,), np.float32)
    action_space = Box(LOW, HIGH, (1,), np.float32)
    length, ending = 1, "terminated"

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.wanted = 0, self.first()
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        reward = self.reward(float(action[0]))
        self.time += 1
        over = self.time == self.length
        self.wanted = self.first() if over else float(self.time)
        return self.seen(), reward, over and self.ending == "terminated", over and self.ending == "truncated", {}

    def first(self) -> float:
        return 0.0

    def reward(self, action: float) -> float:
        return 1.0

    def seen(self) -> Any:
        return np.array([self.wanted], np.float32)


class CutOff(Probe):
    """It is cut off after a step: is the value that of going on for ever, 1 / (1 - γ)?"""

    ending = "truncated"


class ObservationValue(Probe):
    """A random observation of -1 or 1 is the reward: does the value depend on what is seen?"""

    def first(self) -> float:
        return float(self.np_random.choice([-1.0, 1.0]))

    def reward(self, action: float) -> float:
        return self.wanted


class DiscountedValue(Probe):
    """Two steps, reward 1 at the second: is the value of the first γ?"""

    length = 2

    def reward(self, action: float) -> float:
        return self.wanted


class Follow(ObservationValue):
    """The best action is 1 where -1 was seen, and 2 where 1 was: is it found?"""

    def reward(self, action: float) -> float:
        return -((action - 1.5 - 0.5 * self.wanted) ** 2)


QUICK: dict[str, Any] = {
    "learning_rate": 1e-3,
    "critic_learning_rate": 1e-2,
    "hidden_sizes": (32,),
    "discount": 0.5,
    "batch_size": 32,
    "buffer_size": 5_000,
    "learning_starts": 50,
    "tau": 0.1,
}
OWN: dict[str, dict[str, Any]] = {"ddpg": {"noise_scale": 0.5}, "td3": {"noise_scale": 0.5}, "sac": {}}
FIXED = {"sac": {"entropy_coefficient": 0.0}}
VALUES: dict[Any, dict[float, float]] = {
    Probe: {0: 1},
    ObservationValue: {-1: -1, 1: 1},
    CutOff: {0: 2},
    DiscountedValue: {0: 0.5, 1: 1},
}
BEST: dict[float, float] = {-1: 1, 1: 2}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpg": ("ddpg", {}),
    "td3": ("td3", {}),
    "sac": ("sac", {}),
    "prioritized": ("ddpg", {"prioritized": True}),
    "n_step": ("ddpg", {"n_step": 3}),
    "gaussian": ("ddpg", {"noise": "gaussian"}),
    "bf16": ("td3", {"precision": "bf16"}),
    "layer_norm": ("sac", {"layer_norm": True}),
    "fixed coefficient": ("sac", {"entropy_coefficient": 0.01}),
    "everything": ("sac", {"prioritized": True, "n_step": 3, "precision": "bf16", "max_grad_norm": 10.0}),
}


# the last two hold what is in the others
@pytest.mark.parametrize(
    ("name", "probe"), [(name, probe) for name in NAMES for probe in list(VALUES)[0 if name == "ddpg" else 2 :]]
)
def test_the_value_is_found(name: str, probe: Any) -> None:
    config = QUICK | OWN[name] | FIXED.get(name, {})
    run = rlhub.train(f"deep/{name}", probe, steps=500, num_envs=2, config=config)
    critic = run.algorithm.critic  # type: ignore[attr-defined]
    for seen, expected in VALUES[probe].items():
        for action in (-0.5, 0.0, 0.5):
            values = critic({"action": torch.tensor([[action]]), "observation": torch.tensor([[seen]])})
            np.testing.assert_allclose(values[0], expected, atol=0.15)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_best_action_is_found(variant: str) -> None:
    name, options = VARIANTS[variant]
    run = rlhub.train(f"deep/{name}", Follow, steps=500, num_envs=2, config=QUICK | OWN[name] | options)
    for seen, best in BEST.items():
        action = run.actor()(np.array([[seen]], np.float32), np.ones(1, np.bool_))
        assert action[0, 0] == pytest.approx(best, abs=0.4)


def test_the_coefficient_brings_the_entropy_to_its_target() -> None:
    config = QUICK | {"learning_rate": 2e-2, "target_entropy": -1.5}
    algorithm: Any = rlhub.train("deep/sac", Follow, steps=500, num_envs=2, config=config).algorithm
    entropies = [algorithm.learn()["entropy"] for _ in range(50)]
    assert np.mean(entropies) == pytest.approx(-1.5, abs=0.3)


# observations


class Guess(gymnasium.Env[Any, Any]):
    """Of two actions the one that the observation tells is best, the nearer the better; four guesses an episode."""

    observation_space: Any
    action_space = Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        reward = 1 - abs(float(action[0]) - (self.wanted - 0.5))
        self.time += 1
        return self.look(), reward, self.time == 4, False, {}

    def look(self) -> Any:
        self.wanted = int(self.np_random.integers(2))
        return self.shown(self.wanted)

    def shown(self, wanted: int) -> Any:
        raise NotImplementedError


class Classes(Guess):
    """Two classes that begin at no 0."""

    observation_space = Discrete(2, start=7)

    def shown(self, wanted: int) -> Any:
        return 7 + wanted


class Columns(Guess):
    """Two columns of classes, of which the first tells."""

    observation_space = MultiDiscrete([2, 2], start=[1, 0])

    def shown(self, wanted: int) -> Any:
        return np.array([1 + wanted, int(self.np_random.integers(2))])


class Bits(Guess):
    """One of three bits counts."""

    observation_space = MultiBinary(3)

    def shown(self, wanted: int) -> Any:
        bits = self.np_random.integers(2, size=3).astype(np.int8)
        bits[1] = wanted
        return bits


class Nested(Guess):
    """A field within a Dict tells; a class that is called as the critic's other part does not."""

    observation_space = Dict({"body": Dict({"field": Box(-1, 1, (2,), np.float64)}), "action": Discrete(3)})

    def shown(self, wanted: int) -> Any:
        return {"body": {"field": np.array([1 - 2 * wanted, 0.5])}, "action": int(self.np_random.integers(3))}


class Camera(Guess):
    """Pictures in colour, bright above or below; a number beside them tells nothing."""

    observation_space = Dict({"camera": Box(0, 255, (SIDE, SIDE, 3), np.uint8), "number": Discrete(3)})

    def shown(self, wanted: int) -> Any:
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[18 * wanted : 18 * (wanted + 1)] = 200
        return {"camera": picture, "number": int(self.np_random.integers(3))}


@pytest.mark.parametrize(
    ("name", "env"), [("ddpg", Classes), ("td3", Columns), ("sac", Bits), ("ddpg", Nested), ("sac", Nested)]
)
def test_it_learns_from(name: str, env: Any) -> None:
    config = QUICK | OWN[name] | {"discount": 0.0}
    run = rlhub.train(f"deep/{name}", env, steps=600, num_envs=2, config=config)
    assert rlhub.evaluate(run, episodes=20).mean > 3  # who does not look has 2


def test_it_learns_from_pictures() -> None:
    config = {"learning_rate": 3e-4, "critic_learning_rate": 1e-3, "hidden_sizes": (64,), "discount": 0.0}
    run = rlhub.train("deep/sac", Camera, steps=400, num_envs=2, config=QUICK | config)
    assert rlhub.evaluate(run, episodes=20).mean > 2.7  # who does not look has 2


@pytest.mark.parametrize("name", NAMES)
def test_an_unreadable_observation_is_refused_before_training(name: str) -> None:
    kind: Any = hub.default_hub().load("algorithm", f"deep/{name}")
    with pytest.raises(SpaceError, match="A network cannot read Text"):
        kind(Dict({"word": Text(5)}), Probe.action_space, kind.Config(), seed=0, total_steps=9)


# resume

SMALL: dict[str, Any] = {
    "hidden_sizes": (8,),
    "learning_rate": "linear(1e-2, 0)",
    "critic_learning_rate": "linear(2e-2, 0)",
    "batch_size": 8,
    "buffer_size": 150,
    "learning_starts": 30,
    "train_every": 3,
    "tau": 0.1,
}


class Walk(gymnasium.Env[Any, Any]):
    """A walk that ends where it leaves the field, or after some steps; observations and actions of two numbers."""

    observation_space: Any = Box(-9, 9, (2,), np.float32)
    action_space = Box(np.array([-1, 0], np.float32), np.array([1, 5], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.time = self.np_random.normal(size=2), 0
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.place = self.place + 0.3 * (action - [0, 2.5]) + 0.1 * self.np_random.normal(size=2)
        self.time += 1
        far = float(np.abs(self.place).max())
        return self.seen(), -far, far > 2.5, self.time == 17, {}

    def seen(self) -> Any:
        return np.clip(self.place, -9, 9).astype(np.float32)


class Filmed(Walk):
    """Two stacked pictures of the walk beside its place."""

    observation_space = Dict({"film": Box(0, 255, (2, SIDE, SIDE), np.uint8), "place": Walk.observation_space})
    film = np.zeros((2, SIDE, SIDE), np.uint8)

    def seen(self) -> Any:
        picture = np.full((1, SIDE, SIDE), 20 * int(self.place[0] + 5), np.uint8)
        self.film = np.concatenate([self.film[1:], picture])
        return {"film": self.film.copy(), "place": super().seen()}


ALL: dict[str, Any] = {"prioritized": True, "n_step": "linear(1, 5)", "max_grad_norm": 0.5, "diagnostics": True}
RESUMED: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpg": ("ddpg", {}),
    "gaussian": ("ddpg", {"noise": "gaussian", "noise_scale": "linear(0.5, 0.1)"}),
    "ornstein-uhlenbeck": ("ddpg", {"noise_theta": "linear(0.1, 0.5)", "noise_dt": 0.7}),
    "ddpg with everything": ("ddpg", ALL | {"optimizer": "sgd:momentum=0.9", "critic_optimizer": "rmsprop"}),
    "td3": ("td3", {"policy_delay": 3, "target_noise": "linear(0.3, 0.1)"}),
    "td3 with everything": ("td3", ALL | {"precision": "bf16", "gradient_steps": 3}),
    "sac": ("sac", {}),
    "given coefficient": ("sac", {"entropy_coefficient": "linear(0.5, 0.1)"}),
    "sac with everything": ("sac", ALL | {"precision": "bf16", "target_entropy": "linear(0, -2)"}),
}


@pytest.mark.parametrize("variant", RESUMED)
def test_resume_is_exact(variant: str) -> None:
    name, options = RESUMED[variant]
    check_exact_resume(f"deep/{name}", Walk, steps=200, config=SMALL | options, log_every=40)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_resume_is_exact_with_any_number_of_environments(num_envs: int) -> None:
    check_exact_resume("deep/ddpg", Walk, steps=200, num_envs=num_envs, config=SMALL | {"prioritized": True})


@pytest.mark.parametrize("steps", [40, 200])
def test_resume_is_exact_before_it_learns(steps: int) -> None:
    check_exact_resume("deep/sac", Walk, steps=steps, config=SMALL | {"learning_starts": 100})


@pytest.mark.parametrize("name", ["td3", "sac"])
def test_resume_is_exact_from_pictures(name: str) -> None:
    config = SMALL | {"prioritized": True, "n_step": 2, "learning_starts": 60, "train_every": 6}
    check_exact_resume(f"deep/{name}", Filmed, steps=120, config=config)


def dropping(inputs: int) -> Any:
    class Own(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, outputs))

        def forward(self, observations: Any) -> Any:
            if isinstance(observations, dict):
                observations = torch.cat([observations["observation"], observations["action"]], 1)
            return self.layers(observations)

    return lambda space, outputs: Own(outputs)


@pytest.mark.parametrize("name", NAMES)
def test_resume_is_exact_with_dropout(name: str) -> None:
    config = SMALL | {"network": dropping(2), "critic_network": dropping(4)}
    check_exact_resume(f"deep/{name}", Walk, steps=120, config=config)


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_run_acts_as_the_one_that_was_trained(name: str) -> None:
    run = rlhub.train(f"deep/{name}", Walk, steps=100, config=SMALL)
    loaded = rlhub.load(run.folder, env=Walk)
    observations, first = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), np.zeros(50, np.bool_)
    for explore in (False, True):
        one, other = (each.actor(explore=explore)(observations, first) for each in (run, loaded))
        assert np.array_equal(one, other)


def test_who_only_acts_reads_no_replay() -> None:
    run = rlhub.train("deep/sac", Walk, steps=60, config=SMALL)
    folder = run.folder / "checkpoints" / f"{60:012d}" / "algorithm"
    for file in sorted(folder.glob("replay.*")):
        file.write_bytes(b"")
    algorithm: Any = run.algorithm
    again = type(algorithm)(run.observation_space, run.action_space, algorithm.config, seed=0, total_steps=60)
    again.load(folder)
    assert torch.equal(again.network.weights, algorithm.network.weights)
    with pytest.raises(CheckpointError, match=r"replay\.json cannot be read"):
        again.save(folder)


# networks of one's own


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_ones_own_take_the_place_of_the_built_in_ones(name: str) -> None:
    def actor(space: Any, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, outputs), nn.Tanh())

    class Critic(nn.Module):
        def __init__(self, space: Any, outputs: int) -> None:
            super().__init__()
            assert space["action"] == Box(-1, 1, (1,), np.float32)
            assert space["observation"] == Probe.observation_space
            self.seen, self.done = nn.Linear(1, 32), nn.Linear(1, 32)
            self.last = nn.Linear(32, outputs)

        def forward(self, both: Any) -> Any:
            return self.last((self.seen(both["observation"]) + self.done(both["action"])).relu())

    config = QUICK | OWN[name] | {"network": actor, "critic_network": Critic}
    begun, algorithm = (rlhub.train(f"deep/{name}", Follow, steps=n, config=config).algorithm for n in (5, 300))
    assert type(algorithm.critic.module) is type(algorithm.target_critic.module) is Critic  # type: ignore[attr-defined]
    assert type(algorithm.network.module) is nn.Sequential  # type: ignore[attr-defined]
    for old, new in zip(*([each.network, each.critic] for each in (begun, algorithm)), strict=True):  # type: ignore[attr-defined]
        assert not torch.equal(old.weights, new.weights)
    acts = [algorithm.actor()(np.array([[seen]], np.float32), np.ones(1, np.bool_)) for seen in BEST]
    assert acts[1] > acts[0] + 0.3  # which are the same to who learns nothing


@pytest.mark.parametrize(("name", "actor", "critics"), [("ddpg", 1, 1), ("td3", 1, 2), ("sac", 2, 2)])
def test_networks_of_a_wrong_shape_are_refused_by_name(name: str, actor: int, critics: int) -> None:
    class Both(nn.Linear):
        def forward(self, both: Any) -> Any:
            return super().forward(torch.cat([both["action"], both["observation"]], 1))

    for config, message in (
        ({"network": lambda space, outputs: nn.Linear(1, 7)}, rf"^network: .* shape \(1, {actor}\), not \(1, 7\)"),
        ({"critic_network": lambda space, outputs: Both(2, 7)}, rf"^critic_network: .* \(1, {critics}\), not \(1, 7\)"),
        (
            {"critic_network": lambda space, outputs: nn.Linear(2, 1)},
            r"^critic_network: it cannot read .*'action': Box",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            rlhub.train(f"deep/{name}", Probe, steps=5, config=config)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_makes_one_run(name: str) -> None:
    def trained(seed: int) -> Any:
        torch.manual_seed(seed + 5)
        np.random.seed(seed + 7)
        return rlhub.train(f"deep/{name}", Walk, steps=80, seed=3, config=SMALL).algorithm

    state = torch.get_rng_state()
    one, other = trained(0), trained(1)
    assert torch.equal(one.network.weights, other.network.weights)
    assert torch.equal(one.critic.weights, other.critic.weights)
    torch.set_rng_state(state)
    rlhub.train(f"deep/{name}", Walk, steps=80, seed=3, config=SMALL)
    assert torch.equal(torch.get_rng_state(), state)
