"""Replay buffers of every kind in checkpoints that share what does not change."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from rlhub_sb3 import saving
from rlhub_sb3.frame_replay import FrameReplayBuffer
from rlhub_sb3.saved_replay import SavedReplay
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

import rlhub_core as rlhub
from rlhub_core import checkpoint, segments, state

PLACE = spaces.Box(-1e9, 1e9, (2,), np.float32)
GOALS = spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), PLACE))
ACTIONS = spaces.Discrete(3)


class Forgetful(ReplayBuffer):
    """Changes a row of long ago with every step, as a buffer of the user's own may."""

    def add(self, *args: Any) -> None:
        super().add(*args)
        self.rewards[self.pos // 2] += 1


KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "uniform": (ReplayBuffer, PLACE, {}),
    "memory optimised": (
        ReplayBuffer,
        PLACE,
        {"optimize_memory_usage": True, "handle_timeout_termination": False},
    ),
    "n-step": (NStepReplayBuffer, PLACE, {"n_steps": 3}),
    "dict": (DictReplayBuffer, GOALS, {}),
    "hindsight": (HerReplayBuffer, GOALS, {"env": None}),
    "hindsight that keeps infos": (HerReplayBuffer, GOALS, {"env": None, "copy_info_dict": True}),
    "frames": (FrameReplayBuffer, PLACE, {}),
    "frames of a dict": (FrameReplayBuffer, GOALS, {}),
    "the user's own": (Forgetful, PLACE, {}),
}
SHARING = [kind for kind in KINDS if kind != "the user's own"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LEAST_BYTES", 1)
    monkeypatch.setattr(segments, "IN_A_RING", 12)


def steps_of(space: Any, num_envs: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Yield what a buffer is given at each step: episodes of 1 to 9 steps, every other one cut off."""
    rng = np.random.default_rng(seed)

    def seen() -> Any:
        draw = {key: rng.normal(size=(num_envs, 2)).astype(np.float32) for key in ("observation", *GOALS.spaces)}
        return {key: draw[key] for key in GOALS.spaces} if space is GOALS else draw["observation"]

    before = seen()
    while True:
        after, done = seen(), rng.random(num_envs) < 0.2
        cut = done & (rng.random(num_envs) < 0.5)
        infos = [{"TimeLimit.truncated": bool(c), "late": float(rng.random())} for c in cut]
        action, reward = rng.integers(0, 3, num_envs), rng.normal(size=num_envs).astype(np.float32)
        yield before, after, action, reward, done, infos
        before = seen() if done.any() else after


def save(parent: Path, saver: SavedReplay, buffer: Any, steps: int) -> Path:
    def fill(folder: Path) -> dict[str, Any]:
        saver.save(folder, buffer, steps)
        return {}

    return checkpoint.write(parent, steps, fill)


def made(kind: str, size: int, num_envs: int) -> Any:
    maker, space, options = KINDS[kind]
    return maker(size, space, ACTIONS, device="cpu", n_envs=num_envs, **options)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_at_any_times_it_is_the_buffer_that_never_was(
    kind: str, num_envs: int, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EXDEV, "another device")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    rng, size = np.random.default_rng(num_envs), 60 * num_envs
    saver, saved, never = SavedReplay(), made(kind, size, num_envs), made(kind, size, num_envs)
    life, steps, shared = steps_of(KINDS[kind][1], num_envs, 0), 1_000 * num_envs, 0
    for _ in range(12):
        for _ in range(int(rng.choice([1, 3, 8, 20, 130], p=[0.1, 0.2, 0.3, 0.3, 0.1]))):
            step = next(life)
            for buffer in (saved, never):
                buffer.add(*(dict(each) if isinstance(each, dict) else each for each in step))
            steps += num_envs
        folder = save(tmp_path, saver, saved, steps)
        checkpoint.prune(tmp_path, 2)
        checkpoint.verify(folder)
        shared += sum(path.stat().st_nlink > 1 for path in folder.iterdir())
        if rng.random() < 0.4:
            saver, saved = SavedReplay(), made(kind, size, num_envs)
            saver.load(folder, saved, steps)
        np.testing.assert_equal(saving.replay_state(saved), saving.replay_state(never))
    assert (shared > 0) == (links and kind in SHARING)


@pytest.mark.parametrize("kind", SHARING)
def test_a_state_that_is_whole_in_one_file_is_read_too(kind: str, tmp_path: Path) -> None:
    buffer, again = made(kind, 50, 2), made(kind, 50, 2)
    for _, step in zip(range(40), steps_of(KINDS[kind][1], 2, 0), strict=False):
        buffer.add(*step)
    state.save(tmp_path, "replay", saving.replay_state(buffer))
    SavedReplay().load(tmp_path, again, 80)
    np.testing.assert_equal(saving.replay_state(again), saving.replay_state(buffer))


def cleared(buffer: Any) -> None:
    buffer.reset()


def moved(buffer: Any) -> None:
    buffer.pos = (buffer.pos + 7) % buffer.buffer_size


@pytest.mark.parametrize("change", [cleared, moved])
def test_where_the_steps_do_not_tally_all_is_written_again(change: Callable[[Any], None], tmp_path: Path) -> None:
    saver, buffer, again, life = SavedReplay(), *(made("uniform", 60, 1) for _ in range(2)), steps_of(PLACE, 1, 0)
    for _ in range(100):
        buffer.add(*next(life))
    save(tmp_path, saver, buffer, 100)
    change(buffer)
    for _ in range(20):
        buffer.add(*next(life))
    folder = save(tmp_path, saver, buffer, 120)
    assert all(path.stat().st_nlink == 1 for path in folder.iterdir())
    SavedReplay().load(folder, again, 120)
    np.testing.assert_equal(saving.replay_state(again), saving.replay_state(buffer))


def test_an_episode_that_hindsight_cuts_off_after_a_load_is_saved_so(tmp_path: Path) -> None:
    saver, buffer, life = SavedReplay(), made("hindsight", 60, 1), steps_of(GOALS, 1, 0)
    for _ in range(30):
        before, after, action, reward, done, infos = next(life)
        buffer.add(before, after, action, reward, done & False, infos)
    folder = save(tmp_path, saver, buffer, 30)
    saver, buffer = SavedReplay(), made("hindsight", 60, 1)
    saver.load(folder, buffer, 30)
    with pytest.warns(UserWarning, match="will be truncated"):
        buffer.truncate_last_trajectory()
    folder, again = save(tmp_path, saver, buffer, 30), made("hindsight", 60, 1)
    SavedReplay().load(folder, again, 30)
    assert again.dones[29, 0] == again.timeouts[29, 0] == 1
    np.testing.assert_equal(saving.replay_state(again), saving.replay_state(buffer))


@pytest.mark.parametrize("replay_buffer_class", [None, "rlhub_sb3.frame_replay:FrameReplayBuffer"])
def test_a_run_shares_its_transitions_before_and_after_a_resume(
    replay_buffer_class: str | None, tmp_path: Path
) -> None:
    config = {"buffer_size": 1_000, "learning_starts": 100, "replay_buffer_class": replay_buffer_class}
    options: dict[str, Any] = {"callbacks": ["core/checkpoint:every=300"], "folder": tmp_path / "run", "config": config}
    rlhub.train("sb3/dqn", "CartPole-v1", steps=600, **options)
    rlhub.resume(tmp_path / "run", steps=1_200)
    newest = tmp_path / "run" / "checkpoints" / f"{1_200:012d}" / "algorithm"
    linked = {path.name for path in newest.iterdir() if path.stat().st_nlink > 1}
    assert len(linked) > 6
    older = [path for path in newest.parents[1].iterdir() if path != newest.parent]
    assert all((folder / "algorithm" / min(linked)).samefile(newest / min(linked)) for folder in older)
