"""Observations, rewards and ends as Stable-Baselines3 means them; every kind of space that it takes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from rlhub_sb3.spaces import policy_for
from rlhub_sb3.vec_env import CollectorVecEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecTransposeImage

import rlhub_core as rlhub


class Random(gymnasium.Env):
    """Draws observations of any space; ends after `length` steps, by termination or truncation in turn."""

    def __init__(self, observation_space=None, action_space=None, length=5):
        self.observation_space = spaces.Box(-1, 1, (3,)) if observation_space is None else observation_space
        self.action_space = action_space or spaces.Discrete(2)
        self.length, self.games = length, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
            self.games = 0
        self.time, self.games = 0, self.games + 1
        return self.observation_space.sample(), {}

    def step(self, action):
        assert action in self.action_space
        self.time += 1
        over = self.time == self.length
        truncated = over and self.games % 2 == 0
        return self.observation_space.sample(), float(self.time), over and not truncated, truncated, {}


class Count(gymnasium.Env):
    """Observes its own clock; truncated after five steps."""

    observation_space, action_space = spaces.Box(0, 100, (1,)), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.full(1, self.time, np.float32), 1.0, False, self.time == 5, {}


def vec_env(env, num_envs=2, **view):
    collector = rlhub.Collector(rlhub.make_vec(env, num_envs), seed=0, **view)
    made = CollectorVecEnv(num_envs, collector.single_observation_space, collector.single_action_space)
    made.collector = collector
    return made


def test_truncated_episode_says_so_and_shows_its_last_observation():
    ours, theirs = vec_env(Count), DummyVecEnv([lambda: Monitor(Count())] * 2)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for _ in range(12):
        mine, reference = ours.step(np.zeros(2, np.int64)), theirs.step(np.zeros(2, np.int64))
        for one, other in zip(mine[:3], reference[:3], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        for one, other in zip(mine[3], reference[3], strict=True):
            assert one.get("TimeLimit.truncated", False) == other["TimeLimit.truncated"]
            assert one.get("terminal_observation") == other.get("terminal_observation")


def test_termination_is_no_truncation():
    env = vec_env(lambda: Random(length=3))
    ends = []
    for _ in range(6):
        _, _, dones, infos = env.step(np.zeros(2, np.int64))
        ends += [infos[0]["TimeLimit.truncated"]] if dones[0] else []
    assert ends == [False, True]


def test_lost_life_ends_an_episode_in_the_learning_view_only():
    class Lives(Count):
        def step(self, action):
            observation, reward, terminated, truncated, _ = super().step(action)
            return observation, reward, terminated, truncated, {"lives": 3 if self.time < 2 else 2}

        def reset(self, **kwargs):
            return super().reset(**kwargs)[0], {"lives": 3}

    env = vec_env(Lives, 1, terminal_on_life_loss=True)
    steps = [env.step(np.zeros(1, np.int64)) for _ in range(3)]
    assert [bool(dones[0]) for _, _, dones, _ in steps] == [False, True, False]
    assert steps[1][3][0]["terminal_observation"] == steps[1][0][0] == 2  # the game goes on from there
    assert not steps[1][3][0]["TimeLimit.truncated"]


IMAGE = spaces.Box(0, 255, (36, 40, 3), np.uint8)
KINDS = {
    "dict": spaces.Dict({"a": spaces.Box(-1, 1, (3,)), "b": spaces.Discrete(4), "c": spaces.MultiBinary(2)}),
    "discrete": spaces.Discrete(5),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(4),
    "image, channel last": IMAGE,
    "image, channel first": spaces.Box(0, 255, (4, 36, 36), np.uint8),
    "small image": spaces.Box(0, 255, (8, 8, 3), np.uint8),
    "dict with an image": spaces.Dict({"image": IMAGE, "vector": spaces.Box(-1, 1, (2,))}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dqn", "ppo"])
def test_every_observation_trains_and_acts(kind, name, algorithm, tmp_path):
    collector = rlhub.Collector(rlhub.make_vec(lambda: Random(KINDS[kind]), 2))
    small = {"policy_kwargs": {"net_arch": [8]}} | ({"buffer_size": 50} if name == "dqn" else {})
    ours = algorithm(name, collector, 100, **small)
    list(ours.train(collector, 100))
    actions = ours.actor()(collector.observations, collector.first)
    assert actions.shape == (2,)
    assert ours.actor(explore=True)(collector.observations, collector.first).shape == (2,)
    ours.save(tmp_path)
    again = algorithm(name, collector, 100, **small)
    again.load(tmp_path)
    np.testing.assert_array_equal(again.actor()(collector.observations, collector.first), actions)


@pytest.mark.parametrize(
    "space",
    [spaces.Box(-2, 2, (2,)), spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)],
    ids=lambda space: type(space).__name__,
)
def test_every_action_is_one_of_the_space(space, algorithm):
    collector = rlhub.Collector(rlhub.make_vec(lambda: Random(action_space=space), 2))
    for name in ("a2c", "ppo"):
        ours = algorithm(name, collector, 40)
        list(ours.train(collector, 40))
        for explore in (False, True):
            assert all(a in space for a in ours.actor(explore=explore)(collector.observations, collector.first))


def test_only_images_with_channels_last_are_transposed(algorithm):
    for kind, transposed in (("image, channel last", True), ("image, channel first", False)):
        collector = rlhub.Collector(rlhub.make_vec(lambda kind=kind: Random(KINDS[kind]), 2))
        ours = algorithm("ppo", collector, 64)
        assert isinstance(ours.model.env, VecTransposeImage) is transposed


def test_policy_follows_the_observation_space():
    chosen = {kind: policy_for(space) for kind, space in KINDS.items()}
    assert [kind for kind, policy in chosen.items() if policy == "CnnPolicy"] == [
        "image, channel last",
        "image, channel first",
    ]
    assert [kind for kind, policy in chosen.items() if policy == "MultiInputPolicy"] == ["dict", "dict with an image"]


@pytest.mark.parametrize(
    ("observation_space", "action_space", "text"),
    [
        (None, spaces.Box(-np.inf, np.inf, (1,)), "its bounds must be finite"),
        (None, spaces.Discrete(3, start=1), "it must count from 0"),
        (None, spaces.MultiBinary((2, 2)), "it must have one dimension"),
        (spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})}), None, "a Dict inside it is not supported"),
        (spaces.Dict({}), None, "there is nothing in it to learn from"),
        (spaces.Dict({"a.b": spaces.Discrete(2)}), None, "its key 'a.b' cannot name a network.* wrapper, to 'a_b'"),
        (
            spaces.Dict({"type": spaces.Discrete(2)}),
            None,
            "its key 'type' cannot name .* or torch uses it .*to 'type_'",
        ),
        (spaces.Dict({"$x": spaces.Discrete(2)}), None, r"its key '\$x' cannot name a network.* wrapper, to 'x'"),
        (spaces.Dict({"": spaces.Discrete(2)}), None, "its key '' cannot name a network.* wrapper, to 'observation'"),
        (spaces.Dict({"a": spaces.Box(-1, 1, ())}), None, r"a Box of shape \(\) has no dimension.*shape \(1,\): with"),
        (spaces.Box(-1, 1, ()), None, r"else with gymnasium.wrappers.ReshapeObservation"),
        (spaces.Box(-1, 1, (0,)), None, "a Box in it is empty. Leave it out, with a wrapper"),
    ],
)
def test_spaces_that_sb3_cannot_use_are_refused_before_training(observation_space, action_space, text, tmp_path):
    with pytest.raises(rlhub.SpaceError, match=text):
        rlhub.train("sb3/ppo", lambda: Random(observation_space, action_space), steps=10, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
