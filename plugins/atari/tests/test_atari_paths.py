"""The single and the vector environment are one definition: held to each other frame by frame."""

import platform
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from rlhub_atari.single import make_atari
from rlhub_atari.vector import AtariVector

EXACT = platform.machine() == "x86_64"  # elsewhere a compiler may fuse multiply and add, and round once less


def both(game: str, num_envs: int, **keywords: Any) -> tuple[SyncVectorEnv, AtariVector]:
    singles = SyncVectorEnv([lambda: make_atari(game, **keywords)] * num_envs)
    return singles, AtariVector(game, num_envs, **keywords)


def assert_same_pixels(expected: np.ndarray, actual: np.ndarray) -> None:
    if EXACT:
        np.testing.assert_array_equal(expected, actual)
    difference = np.abs(expected.astype(np.int16) - actual)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.9999


def assert_same_info(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    for key in ("lives", "frame_number", "episode_frame_number"):
        np.testing.assert_array_equal(expected[key], actual[key])


def assert_same_play(singles: SyncVectorEnv, vector: AtariVector, steps: int, seed: int = 0) -> int:
    """Play both at random, autoresets included; returns how many episodes ended."""
    rng = np.random.default_rng(seed)
    ended = 0
    for _ in range(steps):
        actions = rng.integers(0, vector.single_action_space.n, vector.num_envs)
        expected, actual = singles.step(actions), vector.step(actions)
        assert_same_pixels(expected[0], actual[0])
        for part in (1, 2, 3):  # rewards, terminated, truncated
            np.testing.assert_array_equal(expected[part], actual[part])
        assert_same_info(expected[4], actual[4])
        ended += int((actual[2] | actual[3]).sum())
    return ended


@pytest.mark.parametrize(
    ("game", "num_envs", "keywords", "steps", "least_ended"),
    [
        ("breakout", 2, {}, 300, 2),
        ("breakout", 2, {"sticky": 0.25}, 200, 1),
        ("pong", 2, {"max_frames": 300}, 170, 2),
        ("space_invaders", 2, {"max_frames": 400}, 220, 2),
        ("seaquest", 2, {}, 340, 1),
        ("ms_pacman", 1, {}, 150, 0),
        ("freeway", 1, {"full_action_space": True}, 100, 0),
        ("freeway", 1, {"frame_skip": 1, "noop_max": 0}, 100, 0),
        ("breakout", 1, {"grayscale": False, "size": 60, "stack": 2, "frame_skip": 3}, 120, 0),
        ("air_raid", 1, {"size": 100, "stack": 1, "fire": False}, 100, 0),
    ],
)
def test_same_seed_and_actions_give_the_same_games(
    game: str, num_envs: int, keywords: dict[str, Any], steps: int, least_ended: int
) -> None:
    singles, vector = both(game, num_envs, **keywords)
    assert singles.single_observation_space == vector.single_observation_space
    assert singles.single_action_space == vector.single_action_space
    expected, actual = singles.reset(seed=8), vector.reset(seed=8)
    assert_same_pixels(expected[0], actual[0])
    assert_same_info(expected[1], actual[1])
    assert assert_same_play(singles, vector, steps) >= least_ended


def test_masked_resets_mean_the_same_on_both() -> None:
    singles, vector = both("breakout", 3)
    singles.reset(seed=1)
    vector.reset(seed=1)
    rng = np.random.default_rng(0)
    for seed in (None, 5, [None, 3, 2**40 + 9], [4, None, None]):
        assert_same_play(singles, vector, 20, seed=int(rng.integers(100)))
        mask = np.array([False, True, bool(rng.integers(2))])
        expected = singles.reset(seed=seed, options={"reset_mask": mask})
        actual = vector.reset(seed=seed, options={"reset_mask": mask})
        assert_same_pixels(expected[0], actual[0])


@pytest.mark.parametrize("path", ["single", "vector"])
def test_a_lost_life_is_followed_by_fire(path: str) -> None:
    def play(after_a_loss: int, fire: bool = True) -> tuple[list[np.ndarray], list[int]]:
        """Do nothing for 260 steps, but `after_a_loss` in the steps that follow a lost life."""
        made = make_atari("breakout", fire=fire) if path == "single" else None
        env = SyncVectorEnv([lambda: made]) if made else AtariVector("breakout", 1, fire=fire)
        observation, info = env.reset(seed=0)
        observations, lives, action = [observation], [int(info["lives"][0])], 0
        for _ in range(260):
            observation, _, terminated, _, info = env.step(np.array([action]))
            observations.append(observation)
            lives.append(int(info["lives"][0]))
            action = after_a_loss if lives[-1] < lives[-2] else 0
            if terminated[0]:
                break
        return observations, lives

    quiet, lives = play(after_a_loss=0)
    overridden, _ = play(after_a_loss=2)
    assert lives[-1] == 0, "with FIRE pressed for it, a player that does nothing loses every life"
    np.testing.assert_array_equal(quiet, overridden)
    _, unfired = play(after_a_loss=0, fire=False)
    assert set(unfired) == {5}, "without FIRE no ball comes, and no life is lost"


def test_the_time_limit_truncates_both() -> None:
    max_frames, steps = 50, 13  # the last step is cut short
    for env in both("seaquest", 1, max_frames=max_frames):
        _, start = env.reset(seed=3)
        for _ in range(steps - 1):
            _, _, terminated, truncated, _ = env.step(np.array([0]))
            assert not terminated.any()
            assert not truncated.any()
        _, _, terminated, truncated, info = env.step(np.array([0]))
        assert truncated.all()
        assert not terminated.any()
        assert (info["episode_frame_number"] - start["episode_frame_number"] == max_frames).all()


def test_a_truncated_game_leaves_no_lost_life_to_its_successor() -> None:
    singles, vector = both("breakout", 2, max_frames=100)
    singles.reset(seed=0)
    vector.reset(seed=0)
    assert assert_same_play(singles, vector, 110) >= 4
