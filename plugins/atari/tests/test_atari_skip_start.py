"""The skip-start wrapper, on Space Invaders and on a game of a few steps that is written out here."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from rlhub_atari.single import make_atari
from rlhub_atari.wrappers import SkipStart


class Countdown(gymnasium.Env[np.ndarray, int]):
    """Observes its step number; rewards 1 a step; loses a life at the steps named; ends after `length` steps."""

    def __init__(self, length: int, losses: tuple[int, ...] = (), meanings: tuple[str, ...] = ("FIRE", "NOOP")) -> None:
        self.observation_space = spaces.Box(0, 1000, (1,), np.int64)
        self.action_space = spaces.Discrete(len(meanings))
        self.length, self.losses, self.meanings = length, losses, meanings
        self.actions: list[int] = []

    def get_action_meanings(self) -> list[str]:
        return list(self.meanings)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.now, self.lives = 0, 3
        return np.array([0]), {"lives": 3}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.now += 1
        self.lives -= self.now in self.losses
        self.actions.append(action)
        return np.array([self.now]), 1.0, self.now >= self.length, False, {"lives": self.lives}


def test_it_waits_after_reset_and_hands_the_reward_on() -> None:
    env = SkipStart(Countdown(100), noops=40)
    observation, _ = env.reset()
    assert observation == [40]
    assert env.unwrapped.actions == [1] * 40, "NOOP is found by its name"
    observation, reward, terminated, truncated, _ = env.step(0)
    assert (observation, reward, terminated, truncated) == ([41], 41.0, False, False)
    assert env.step(0)[1] == 1.0


def test_it_waits_after_each_lost_life_anew() -> None:
    env = SkipStart(Countdown(100, losses=(12, 15)), noops=10)
    env.reset()
    assert env.step(0)[0] == [11]
    observation, reward, *_, info = env.step(0)  # the life lost at 12, another at 15, ten steps from there
    assert (observation, reward, info["lives"]) == ([25], 14.0, 1)


def test_a_game_that_ends_while_waiting_ends_the_step() -> None:
    env = SkipStart(Countdown(15, losses=(12,)), noops=10)
    env.reset()
    env.step(0)
    observation, reward, terminated, _, _ = env.step(0)
    assert (observation, reward, terminated) == ([15], 4.0, True)


def test_a_game_shorter_than_the_wait_starts_without_waiting() -> None:
    env = SkipStart(Countdown(5), noops=10)
    assert env.reset()[0] == [0]
    assert env.step(0)[:2] == ([1], 1.0)


def test_space_invaders_starts_40_steps_in() -> None:
    plain, skipping = make_atari("space_invaders"), SkipStart(make_atari("space_invaders"))
    _, before = plain.reset(seed=4)
    for _ in range(40):
        observation, _, _, _, info = plain.step(0)
    skipped, skipped_info = skipping.reset(seed=4)
    np.testing.assert_array_equal(observation, skipped)
    assert skipped_info == info
    assert info["episode_frame_number"] - before["episode_frame_number"] == 160


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="noops must be a whole number from 0 to 2147483646, not -1"):
        SkipStart(make_atari("pong"), noops=-1)
    with pytest.raises(ValueError, match="needs the action NOOP; this game has only FIRE, UP"):
        SkipStart(Countdown(5, meanings=("FIRE", "UP")))
