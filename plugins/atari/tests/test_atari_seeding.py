"""A seed decides everything: the wait at each reset, sticky actions, and the episodes that follow."""

from typing import Any

import numpy as np
import pytest
from gymnasium.error import Error
from gymnasium.vector import SyncVectorEnv, VectorEnv
from rlhub_atari.single import make_atari
from rlhub_atari.vector import AtariVector

NUM_ENVS = 2


def make(path: str, game: str, num_envs: int = NUM_ENVS, **keywords: Any) -> VectorEnv:
    if path == "vector":
        return AtariVector(game, num_envs, **keywords)
    return SyncVectorEnv([lambda: make_atari(game, **keywords)] * num_envs)


def tape(env: VectorEnv, actions: np.ndarray) -> np.ndarray:
    return np.array([env.step(row)[0] for row in actions])


@pytest.mark.parametrize(("path", "sticky"), [("single", 0.25), ("vector", 0.25), ("vector", 0.0)])
def test_a_seed_and_the_same_actions_replay_the_same_observations(path: str, sticky: float) -> None:
    actions = np.random.default_rng(0).integers(0, 4, (160, NUM_ENVS))  # past the end of some games
    played, replayed = make(path, "breakout", sticky=sticky), make(path, "breakout", sticky=sticky)
    first = played.reset(seed=11)[0]
    tape_played = tape(played, actions)
    replayed.reset(seed=99)
    tape(replayed, actions[:30])  # what was played before the seeded reset does not matter
    np.testing.assert_array_equal(first, replayed.reset(seed=11)[0])
    np.testing.assert_array_equal(tape_played, tape(replayed, actions))


def test_threads_change_nothing() -> None:
    actions = np.random.default_rng(0).integers(0, 4, (60, 2))
    tapes = []
    for threads in (1, 2):
        env = AtariVector("breakout", 2, sticky=0.25, num_threads=threads)
        env.reset(seed=5)
        tapes.append(tape(env, actions))
    np.testing.assert_array_equal(tapes[0], tapes[1])


def test_sticky_actions_differ_by_seed() -> None:
    actions = np.random.default_rng(0).integers(0, 4, (60, NUM_ENVS))
    env = AtariVector("breakout", NUM_ENVS, sticky=0.5, noop_max=0)
    env.reset(seed=[1, 2])
    one = tape(env, np.repeat(actions[:, :1], 2, axis=1))
    assert (one[:, 0] != one[:, 1]).any()


def test_a_masked_reset_is_a_fresh_game_and_leaves_the_others_alone() -> None:
    actions = np.random.default_rng(0).integers(0, 4, (60, 3))
    undisturbed, env, fresh = (AtariVector("breakout", n) for n in (3, 3, 1))
    undisturbed.reset(seed=0)
    env.reset(seed=0)
    np.testing.assert_array_equal(tape(undisturbed, actions[:30]), tape(env, actions[:30]))
    observations, _ = env.reset(seed=[None, 8, None], options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(observations[1], fresh.reset(seed=8)[0][0])
    expected, actual = tape(undisturbed, actions[30:]), tape(env, actions[30:])
    np.testing.assert_array_equal(expected[:, [0, 2]], actual[:, [0, 2]])
    np.testing.assert_array_equal(tape(fresh, actions[30:, 1:2])[:, 0], actual[:, 1])


@pytest.mark.parametrize("path", ["single", "vector"])
def test_seeds_of_any_size_are_taken_by_their_low_31_bits(path: str) -> None:
    env = make(path, "pong")
    _, small = env.reset(seed=[6, 7])
    _, large = env.reset(seed=[2**31 + 6, 2**63 + 7])
    np.testing.assert_array_equal(small["frame_number"], large["frame_number"])
    env.reset(seed=2**31 - 1)  # the second environment's seed is one past ALE's range


@pytest.mark.parametrize("path", ["single", "vector"])
@pytest.mark.parametrize(
    ("game", "noop_max", "waits"), [("boxing", 4, {1, 2, 3}), ("freeway", 3, {0, 1, 2}), ("boxing", 0, {1})]
)
def test_the_wait_has_the_range_that_noop_max_says(path: str, game: str, noop_max: int, waits: set[int]) -> None:
    env = make(path, game, 1, noop_max=noop_max)
    infos = [env.reset(seed=0)[1]] + [env.reset()[1] for _ in range(25)]
    assert {int(info["episode_frame_number"][0]) for info in infos} == waits


def test_seeds_that_make_no_sense_are_refused() -> None:
    env = AtariVector("pong", NUM_ENVS)
    for seed in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="seed must hold one entry per environment, 2 in all"):
            env.reset(seed=seed)
    for seed in (-1, [3, -4]):
        with pytest.raises(Error, match="A seed must be a non-negative integer, not -"):
            env.reset(seed=seed)
