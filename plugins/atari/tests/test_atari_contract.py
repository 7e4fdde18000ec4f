"""What Gymnasium asks of an environment, rendering, and what bad input gets."""

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from rlhub_atari.roms import rom_md5
from rlhub_atari.single import make_atari
from rlhub_atari.vector import AtariVector


@pytest.mark.parametrize(("game", "keywords"), [("breakout", {}), ("freeway", {"grayscale": False, "size": 40})])
def test_gymnasiums_checker_is_content(game: str, keywords: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")  # wrappers are the point
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        check_env(make_atari(game, render_mode="rgb_array", **keywords))


def test_spaces_and_metadata() -> None:
    single, vector = make_atari("breakout", frame_skip=2), AtariVector("breakout", 3, stack=2, size=42, grayscale=False)
    assert single.observation_space.shape == (4, 84, 84)
    assert vector.observation_space.shape == (3, 2, 42, 42, 3)
    assert vector.action_space.shape == (3,)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert (single.metadata["render_fps"], vector.metadata["render_fps"]) == (30, 15)
    assert single.get_wrapper_attr("get_action_meanings")() == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    assert vector.get_action_meanings() == ["NOOP", "FIRE", "RIGHT", "LEFT"]


def test_both_take_the_same_keywords_with_the_same_defaults() -> None:
    single, vector = (inspect.signature(call).parameters.copy() for call in (make_atari, AtariVector))
    for name in ("num_envs", "num_threads"):
        del vector[name]
    assert single == vector


def test_rewards_are_raw_and_episodes_whole_games() -> None:
    env = AtariVector("seaquest", 4)
    _, info = env.reset(seed=0)
    rng = np.random.default_rng(0)
    lives, rewards = [info["lives"]], []
    for _ in range(200):
        _, reward, terminated, truncated, info = env.step(rng.integers(0, 18, 4))
        assert not truncated.any()
        assert (info["lives"][terminated] == 0).all()
        lives.append(info["lives"])
        rewards.append(reward)
    assert np.max(rewards) == 20.0
    assert reward.dtype == np.float64
    assert ((np.diff(lives, axis=0) == -1) & (np.array(lives[1:]) > 0)).any(), "some lives were lost"


def test_rendering_shows_the_screen_or_the_newest_frame() -> None:
    single = make_atari("carnival", render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        single.render()
    single.reset()
    assert single.render().shape == (214, 160, 3)
    single = make_atari("breakout", render_mode="rgb_array")
    single.reset()
    screen = single.render()
    assert (screen.shape, screen.dtype) == ((210, 160, 3), np.uint8)
    assert (screen[..., 0] != screen[..., 2]).any(), "in colour"

    for grayscale in (True, False):
        vector = AtariVector("breakout", 2, grayscale=grayscale, render_mode="rgb_array")
        with pytest.raises(ResetNeeded):
            vector.render()
        observations, _ = vector.reset()
        frames = vector.render()
        assert isinstance(frames, tuple)
        assert [(frame.shape, frame.dtype) for frame in frames] == [((84, 84, 3), np.uint8)] * 2
        newest = observations[1, -1] if not grayscale else np.stack([observations[1, -1]] * 3, axis=-1)
        np.testing.assert_array_equal(frames[1], newest)


def test_observations_are_the_callers_to_keep_and_to_change() -> None:
    single, vector = make_atari("breakout"), AtariVector("breakout", 2)
    single.reset()
    vector.reset()
    for env, action in ((single, 1), (vector, np.array([1, 1]))):
        kept = env.step(action)[0]
        copy = kept.copy()
        following = env.step(action)[0]
        np.testing.assert_array_equal(kept, copy)
        assert not np.shares_memory(kept, following)
        following[:] = 0
        assert env.step(action)[0][..., -2, :, :].any(), "what the caller wrote is not what the next step shows"


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_actions_of_any_integer_dtype_mean_the_same(dtype: type) -> None:
    actions = np.array([[0, 9], [5, 9], [2, 9]])[:, 0]  # a strided column
    plain, other = AtariVector("pong", 3), AtariVector("pong", 3)
    plain.reset(seed=3)
    other.reset(seed=3)
    for _ in range(40):
        expected, given = plain.step(actions), other.step(actions.astype(dtype))
    np.testing.assert_array_equal(expected[0], given[0])
    assert not np.array_equal(expected[0][0], expected[0][1]), "different actions were not played"


def test_actions_that_make_no_sense_are_refused_and_change_nothing() -> None:
    vector, single = AtariVector("pong", 2), make_atari("pong")
    vector.reset(seed=0)
    single.reset(seed=0)
    for actions in ([0, 6], [-1, 0], [2**40, 0], [0.0, 1.0], [0], [[0], [0]], 1, [True, False]):
        with pytest.raises(InvalidAction, match=r"Actions must be (from 0 to 5|2 integers, one per environment), not"):
            vector.step(np.array(actions))
    for action in (6, -1, 1.5, None, np.array([1])):
        with pytest.raises(InvalidAction, match="is no action of this game; it has 0 to 5"):
            single.step(action)
    np.testing.assert_array_equal(vector.step(np.array([0, 5]))[0][0], single.step(0)[0])


def test_steps_without_a_game_are_refused() -> None:
    single, vector = make_atari("pong", max_frames=1), AtariVector("pong", 1)
    for env, action in ((single, 0), (vector, np.array([0]))):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            env.step(action)
    single.reset()
    assert single.step(0)[3]
    with pytest.raises(ResetNeeded, match="again after an episode has ended"):
        single.step(0)


def test_a_closed_vector_environment_stays_closed() -> None:
    env = AtariVector("pong", 2)
    env.reset()
    env.close()
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(np.array([0, 0]))


def test_masks_that_make_no_sense_are_refused() -> None:
    env = AtariVector("pong", 2)
    with pytest.raises(ResetNeeded, match="The first reset must be of all games"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset()
    for mask, error in (
        ([True, False], TypeError),
        (np.array([1, 0]), TypeError),
        (np.array([True]), ValueError),
        (np.array([False, False]), ValueError),
    ):
        with pytest.raises(error, match="reset_mask"):
            env.reset(options={"reset_mask": mask})


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"game": "brekout"}, "No Atari game is called 'brekout'. Did you mean 'breakout'?"),
        ({"game": "combat"}, "The Atari game 'combat' needs two players"),
        ({"stack": 0}, "stack must be a whole number from 1 to 2147483646, not 0."),
        ({"stack": 2.5}, "stack must be a whole number from 1 to 2147483646, not 2.5."),
        ({"frame_skip": 0}, "frame_skip must be a whole number from 1 to 2147483646, not 0."),
        ({"noop_max": -1}, "noop_max must be a whole number from 0 to 2147483646, not -1."),
        ({"max_frames": 0}, "max_frames must be a whole number from 1 to 2147483646, not 0."),
        ({"max_frames": 2**31}, "max_frames must be a whole number from 1 to 2147483646, not 2147483648."),
        ({"size": 200}, "size must be a whole number from 1 to 160, not 200."),
        ({"size": True}, "size must be a whole number from 1 to 160, not True."),
        ({"sticky": 2}, "sticky must be a probability from 0 to 1, not 2."),
        ({"sticky": float("nan")}, "sticky must be a probability from 0 to 1, not nan."),
        ({"fire": "no"}, "fire must be true or false, not 'no'."),
        ({"render_mode": "human"}, "render_mode must be None or 'rgb_array', not 'human'."),
    ],
)
def test_keywords_that_make_no_sense_get_one_sentence(keywords: dict[str, Any], sentence: str) -> None:
    for make in (make_atari, AtariVector):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  (the text is compared below)
            make(**{"game": "breakout", **keywords})
        assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("name", ["num_envs", "num_threads"])
def test_counts_that_make_no_sense_get_one_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 to 2147483646, not 0."):
        AtariVector("breakout", **{name: 0})


def test_rom_md5_names_the_rom(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    assert rom_md5("breakout") == "f34f08e5eb96e500e851a80be3277a56"
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="unset ALE_ROMS_DIR"):
        rom_md5("breakout")
