"""The buffer that stores every frame once beside Stable-Baselines3's own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from rlhub_sb3.frame_replay import FrameReplayBuffer
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

import rlhub_core as rlhub
from rlhub_core.testing import check_exact_resume

NAME = "rlhub_sb3.frame_replay:FrameReplayBuffer"


class Film(gymnasium.Env[Any, Any]):
    """Shows its clock in every frame and as reward; terminates and is cut off in turn after 1 to 7 steps.

    Args:
        start: of the clock.
        stacked: observe the last four frames, not one.
        beside: observe a dict with a vector and a number beside the frames (floats, for which SB3 has no convolutions).
    """

    action_space = spaces.Discrete(3)

    def __init__(self, start: int = 0, stacked: bool = True, beside: bool = False) -> None:
        image = spaces.Box(0, 255, (4 if stacked else 1, 8, 8), np.float32 if beside else np.uint8)
        others = {"vector": spaces.Box(-1e9, 1e9, (2,)), "number": spaces.Discrete(1_000)}
        self.observation_space = spaces.Dict({"image": image, **others}) if beside else image
        self.start, self.stacked, self.beside = start, stacked, beside
        self.clock, self.episode = start, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.clock, self.episode = self.start, 0
        self.frames = np.zeros((4, 8, 8), np.uint8)
        self.left = 1 + self.episode % 7
        self.episode += 1
        return self.shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        over, cut = self.left == 0, self.episode % 2 == 0
        return self.shown(), float(self.clock), over and not cut, over and cut, {}

    def shown(self) -> Any:
        self.clock += 1
        self.frames = np.concatenate([self.frames[1:], np.full((1, 8, 8), self.clock % 251, np.uint8)])
        image = self.frames if self.stacked else self.frames[-1:]
        if not self.beside:
            return image
        return {
            "image": image.astype(np.float32),
            "vector": np.full(2, self.clock, np.float32),
            "number": np.int64(self.clock % 1_000),
        }


class Twin(FrameReplayBuffer):
    """Gives what it is given to one of SB3's buffers, too, which is large enough to keep all."""

    def __init__(self, size: int, *spaces_: Any, **options: Any) -> None:
        super().__init__(size, *spaces_, **options)
        kind = DictReplayBuffer if isinstance(self.observation_space, spaces.Dict) else ReplayBuffer
        self.theirs = kind(10_000, *spaces_, **options)

    def add(self, obs: Any, next_obs: Any, *others: Any) -> None:
        super().add(obs, next_obs, *others)
        self.theirs.add(*(dict(o) if isinstance(o, dict) else o for o in (obs, next_obs)), *others)


def drawn(buffer: Any, **options: Any) -> Any:
    np.random.seed(3)
    return buffer.sample(64, **options)


@pytest.mark.parametrize("kind", ["stacked by VecFrameStack", "stacked by the environment", "dict"])
@pytest.mark.parametrize("handle_timeout_termination", [True, False])
@pytest.mark.parametrize(("num_envs", "size"), [(1, 60), (3, 200), (3, 5_000)])
def test_batches_are_those_of_sb3s_buffer(
    kind: str, handle_timeout_termination: bool, num_envs: int, size: int
) -> None:
    by_wrapper = kind.endswith("VecFrameStack")
    env: Any = DummyVecEnv(
        [lambda i=i: Film(10_000 * i, stacked=not by_wrapper, beside=kind == "dict") for i in range(num_envs)]
    )
    env = VecFrameStack(env, 4, channels_order="first") if by_wrapper else env
    model = DQN(
        "MultiInputPolicy" if kind == "dict" else "MlpPolicy",
        env,
        buffer_size=size,
        learning_starts=20,
        policy_kwargs={"net_arch": [4]},
        replay_buffer_class=Twin,
        replay_buffer_kwargs={"handle_timeout_termination": handle_timeout_termination},
        device="cpu",
    )
    model.learn(100 * num_envs)
    model.learn(50 * num_envs)  # begins with a reset amid an episode
    ours: Any = model.replay_buffer
    theirs, batch = ours.theirs, ours.sample(500)
    assert batch.discounts is None
    place = {reward: tuple(at) for at, reward in np.ndenumerate(theirs.rewards[: theirs.pos])}
    time, which = np.array([place[reward] for reward in batch.rewards[:, 0].tolist()]).T
    expected = {
        "observations": theirs.observations,
        "actions": theirs.actions,
        "next_observations": theirs.next_observations,
        "dones": (theirs.dones * (1 - theirs.timeouts))[..., None],
        "rewards": theirs.rewards[..., None],
    }
    for name, arrays in expected.items():
        pairs = [(arrays, getattr(batch, name))]
        if isinstance(arrays, dict):
            assert arrays.keys() == pairs[0][1].keys()
            pairs = [(arrays[key], pairs[0][1][key]) for key in arrays]
        for array, tensor in pairs:
            np.testing.assert_array_equal(tensor.numpy(), array[time, which], err_msg=name)
            assert tensor.numpy().dtype == array.dtype
    assert len(set(zip(time, which, strict=True))) > (0.2 * size if size < 5_000 else 100)
    assert ours.size() == theirs.size() or size < 5_000


def test_observations_and_rewards_are_normalised_when_they_are_drawn() -> None:
    env = VecNormalize(DummyVecEnv([Film]))
    model = DQN("MlpPolicy", env, buffer_size=100, replay_buffer_class=FrameReplayBuffer, device="cpu")
    model.learn(50)
    buffer: Any = model.replay_buffer
    raw, normal = (drawn(buffer, env=given) for given in (None, env))
    np.testing.assert_array_equal(normal.observations, env.normalize_obs(raw.observations.numpy()))
    np.testing.assert_array_equal(normal.next_observations, env.normalize_obs(raw.next_observations.numpy()))
    np.testing.assert_allclose(normal.rewards, env.normalize_reward(raw.rewards.numpy()))
    assert raw.rewards.min() >= 1 > normal.rewards.max()


def test_a_transition_takes_an_eighth_of_the_memory() -> None:
    space, actions = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6)
    theirs = ReplayBuffer(1_000, space, actions, device="cpu")
    arrays = (theirs.observations, theirs.next_observations, theirs.actions, theirs.rewards, theirs.dones)
    assert FrameReplayBuffer(1_000, space, actions, device="cpu").replay.nbytes / 1_000 == 84 * 84 + 8
    assert sum(array.nbytes for array in arrays) / 1_000 > 7.9 * (84 * 84 + 8)


SETTINGS = {"replay_buffer_class": NAME, "learning_starts": 64, "buffer_size": 300, "policy_kwargs": {"net_arch": [8]}}


@pytest.mark.parametrize("env", ["CartPole-v1", Film, lambda: Film(beside=True)], ids=["vector", "stack", "dict"])
def test_resume_is_exact(env: Any) -> None:
    check_exact_resume("sb3/dqn", env, steps=700, config=SETTINGS, device="cpu")


def test_saved_by_sb3_it_comes_back(tmp_path: Any) -> None:
    model = DQN("MlpPolicy", Film(), buffer_size=50, replay_buffer_class=FrameReplayBuffer, seed=1, device="cpu")
    model.learn(80)
    model.save_replay_buffer(tmp_path / "buffer")
    before: Any = model.replay_buffer
    model.load_replay_buffer(tmp_path / "buffer")
    assert model.replay_buffer is not before
    for one, other in zip(drawn(before)[:5], drawn(model.replay_buffer)[:5], strict=True):
        assert th.equal(one, other)
    model.learn(20, reset_num_timesteps=False)


def test_memory_is_saved_already() -> None:
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(ValueError, match="stores every frame once already: leave optimize_memory_usage off"):
        DQN("MlpPolicy", env, replay_buffer_class=FrameReplayBuffer, optimize_memory_usage=True)


def test_what_does_not_fit_is_refused_before_a_run_begins(tmp_path: Any) -> None:
    config = SETTINGS | {"buffer_size": 10**13}
    with pytest.raises(rlhub.ConfigError, match=r"buffer_size 10,000,000,000,000 needs .* At most buffer_size="):
        rlhub.train("sb3/dqn", "CartPole-v1", steps=100, config=config, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
