"""ReNom's ready-made environments: their rewards, ends and stop rules; and the examples."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from rlhub_legacy.renom import Breakout, Breakout_ram, CartPole00, CartPole01, MountainCar, Pendulum, openai_env

import rlhub_core as rlhub
from rlhub_core import ConfigError, RlhubError
from rlhub_core.testing import check_exact_restore

ROOT = Path(__file__).parents[3]
GAMES: dict[Any, tuple[Any, Any]] = {
    CartPole00: (Discrete(2), (4,)),
    CartPole01: (Discrete(2), (4,)),
    Pendulum: (Box(-2, 2, (1,)), (3,)),
    MountainCar: (Discrete(3), (2,)),
    Breakout: (Discrete(4), (4, 84, 84)),
    Breakout_ram: (Discrete(4), (128,)),
    openai_env.Breakout: (Discrete(4), (4, 84, 84)),
    openai_env.CartPole: (Discrete(2), (4,)),
}


@pytest.mark.parametrize("kind", GAMES, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}")
def test_a_game_is_a_proper_environment_and_is_restored_exactly(kind: Any) -> None:
    action_space, shape = GAMES[kind]
    env = rlhub.adapt(kind())
    assert env.action_space == action_space
    assert env.observation_space.shape == shape
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    acceptable = ("not having a spec", "symmetric and normalized", "infinity")
    texts = [str(each.message) for each in said]
    assert all(any(words in text for words in acceptable) for text in texts), texts
    is_slow = "Breakout" in kind.__name__  # a seeded reset loads the game
    check_exact_restore(kind, num_envs=1 if is_slow else 2, steps=25 if is_slow else 150, reseed_every=20)
    env.close()


def played(env: Any, actions: Any, seed: int = 1) -> list[tuple[float, bool, bool]]:
    """Return rewards and ends of one episode."""
    observation, _ = env.reset(seed=seed)
    steps: list[tuple[float, bool, bool]] = []
    while not steps or not (steps[-1][1] or steps[-1][2]):
        observation, reward, terminated, truncated, _ = env.step(actions(observation))
        steps.append((reward, terminated, truncated))
    return steps


def balanced(observation: Any) -> int:
    """Push to where the pole falls."""
    return int(observation[2] + 0.5 * observation[3] > 0)


def test_a_pole_pays_at_the_end_by_how_long_it_stood() -> None:
    env = rlhub.adapt(CartPole00())
    stood = played(env, balanced)
    assert len(stood) == 200
    assert stood[-2:] == [(0.0, False, False), (1.0, True, False)]
    fell = played(env, lambda observation: 0)
    assert len(fell) < 20
    assert fell[-2:] == [(0.0, False, False), (-1.0, True, False)]


def test_ten_successes_end_training_and_those_of_tests_do_not_count() -> None:
    theirs = CartPole01()
    env = rlhub.adapt(theirs)
    theirs.test_start()
    played(env, balanced)
    theirs.test_close()
    for _ in range(9):
        played(env, balanced)
    assert theirs.successes == 9
    assert not theirs.terminate()
    theirs.successes = 10
    assert [theirs.terminate(), theirs.terminate()] == [True, False]


def test_a_car_is_paid_for_where_it_is_at_the_end() -> None:
    env = rlhub.adapt(MountainCar())
    stayed = played(env, lambda observation: 1)
    assert len(stayed) == 200
    assert stayed[-1][1:] == (True, False)
    assert -0.2 < stayed[-1][0] < 0.1  # in the valley, about -0.5
    up = played(env, lambda observation: 2 if observation[1] >= 0 else 0)
    assert len(up) < 200
    assert 0.99 < up[-1][0] <= 1.0
    assert {reward for reward, _, _ in up[:-1]} == {0.0}


def test_a_pendulum_is_cut_off_and_keeps_its_reward() -> None:
    ours = rlhub.adapt(Pendulum())
    steps = played(ours, lambda observation: np.array([1.0], np.float32))
    assert len(steps) == 200
    assert steps[-1][1:] == (False, True)
    plain = gymnasium.make("Pendulum-v1")
    plain.reset(seed=1)
    ours.reset(seed=1)
    ours.theirs.env.reset(seed=1)  # type: ignore[attr-defined]
    assert ours.step(np.ones(1, np.float32))[1] == pytest.approx(plain.step(np.ones(1, np.float32))[1])


@pytest.mark.parametrize("kind", [Breakout, openai_env.Breakout, Breakout_ram])
def test_a_lost_life_ends_an_episode_and_the_game_goes_on(kind: Any) -> None:
    theirs = kind()
    env = rlhub.adapt(theirs)
    env.reset(seed=3)
    lives, ends = [], []
    while not theirs.begins_anew:
        _, _, terminated, truncated, _ = env.step(0 if theirs.steps % 40 else 1)
        assert not truncated
        if terminated:
            lives.append(theirs.lives)
            ends.append(theirs.begins_anew)
            if not theirs.begins_anew:
                env.reset()
    assert lives == sorted(lives, reverse=True)
    assert lives[-1] == 0
    assert ends == [False] * (len(ends) - 1) + [True]
    env.reset()
    assert theirs.lives >= 4, "a new game"
    theirs.epoch()
    assert not theirs.begins_anew, "the epoch's reset has been"
    env.step(0)
    theirs.epoch()
    assert theirs.begins_anew


def test_screens_and_memories_are_those_of_the_frames() -> None:
    theirs = Breakout()
    state = theirs.reset()
    assert (state.dtype, state.shape) == (np.float32, (4, 84, 84))
    assert 0 <= state.min() < state.max() <= 1
    after, _, _ = theirs.step(1)
    np.testing.assert_array_equal(after[:3], state[1:])
    frames = openai_env.Breakout()
    assert frames.reset().dtype == np.uint8
    memory = Breakout_ram()
    expected = np.max(memory.game.memories, axis=0) / 255
    np.testing.assert_allclose(memory.look(), expected, rtol=1e-6)


def test_an_episode_of_memories_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breakout_ram, "longest", 3)
    env = rlhub.adapt(Breakout_ram())
    assert [step[1:] for step in played(env, lambda observation: 0)] == [(False, False)] * 2 + [(False, True)]
    assert (openai_env.Breakout.longest, openai_env.Breakout_ram.action_shape) == (5_000, (4,))


@pytest.mark.parametrize("kind", [Breakout, Breakout_ram])
def test_a_game_that_is_cut_off_is_not_over(kind: Any) -> None:
    theirs = kind()
    theirs.env = theirs.game.env = gymnasium.wrappers.TimeLimit(theirs.game.env, 60)
    assert played(rlhub.adapt(theirs), lambda observation: 0)[-1][1:] == (False, True)
    assert theirs.begins_anew


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(RlhubError, match=r"Breakout needs ale_py: pip install 'rlhub-legacy\[atari\]'"):
        Breakout()


def test_a_game_is_recorded_as_pixels(tmp_path: Path) -> None:
    path = rlhub.record(lambda observations, first: np.zeros(len(first), np.int64), tmp_path / "pole.gif", CartPole00)
    assert path.read_bytes().startswith(b"GIF8")


def test_a_recording_is_a_test(tmp_path: Path) -> None:
    theirs = CartPole01("rgb_array")
    theirs.start = lambda: pytest.fail("that begins a training")  # type: ignore[method-assign]
    told: list[bool] = []
    theirs.epoch_step = lambda: told.append(theirs.test_mode)  # type: ignore[method-assign,func-returns-value]
    rlhub.record(lambda observations, first: np.zeros(len(first), np.int64), tmp_path / "pole.gif", theirs)
    assert told
    assert all(told)
    assert not theirs.test_mode


def test_a_test_is_filmed(tmp_path: Path) -> None:
    theirs = openai_env.CartPole()
    with pytest.raises(ConfigError, match="There is no picture yet"):
        theirs.animation.run(tmp_path / "test.gif")
    rlhub.evaluate(lambda observations, first: np.zeros(len(first), np.int64), theirs, episodes=1)
    length = len(theirs.animation)
    assert 5 < length < 20
    assert theirs.animation.run(tmp_path / "test.gif", reset=True).read_bytes().startswith(b"GIF8")
    assert len(theirs.animation) == 0


@pytest.mark.parametrize(
    ("name", "steps"), [("renom_base_env", 300), ("renom_custom_env", 150), ("renom_cartpole", 300)]
)
def test_an_example_runs(name: str, steps: int, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "legacy" / f"{name}.py"), "--steps", str(steps)]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "epoch 0: " in done.stdout


def test_the_page_of_who_comes_from_renom_does_what_it_says(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tests" / "readme.py"), str(ROOT / "docs" / "coming_from" / "renom.md")]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a test of 30 steps: 10.0" in done.stdout
