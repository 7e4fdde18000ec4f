"""Checkpoints of a replay share the files of rows that do not change, and each of them is whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import Space
from gymnasium.spaces import Box
from test_replay import NESTED, STACKED, VECTOR, life

from rlhub_core import CheckpointError, Replay, checkpoint, segments, state
from rlhub_core.segments import Segments

PICTURE = Box(0, 255, (4, 12, 12), np.uint8)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LEAST_BYTES", 1)
    monkeypatch.setattr(segments, "IN_A_RING", 12)


def save(parent: Path, step: int, replay: Replay) -> Path:
    def fill(folder: Path) -> dict[str, Any]:
        (folder / "algorithm").mkdir()
        replay.save(folder / "algorithm")
        return {}

    return checkpoint.write(parent, step, fill)


def loaded(folder: Path, like: Replay, space: Space[Any]) -> Replay:
    checkpoint.verify(folder)
    replay = Replay(like.num_envs * like.length, like.num_envs, space, prioritized=like.tree is not None)
    replay.load(folder / "algorithm")
    return replay


def rows(folder: Path) -> tuple[int, int]:
    """Return how many rows a checkpoint wrote and how many it shares with others."""
    index = state.load(folder / "algorithm", "replay")["rows"]
    sizes = (index["ends"] - index["starts"]).sum(1)
    shared = [(folder / "algorithm" / file).stat().st_nlink > 1 for file in index["segments"]]
    return int(sizes[~np.array(shared, np.bool_)].sum()), int(sizes[shared].sum())


class Life:
    """A replay that is saved and loaded, and one that never is; both live through the same."""

    def __init__(self, space: Space[Any], num_envs: int, capacity: int, prioritized: bool, seed: int) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)
        self.saved, self.never = (Replay(capacity, num_envs, space, prioritized=prioritized) for _ in range(2))
        self.history, self.step = life(space, num_envs, 10**9, seed), 0

    def add(self, steps: int) -> None:
        for _ in range(steps):
            transition, first = next(self.history)
            for replay in (self.saved, self.never):
                replay.add(transition, transition.action, first)
            self.step += 1
            if self.rng.random() < 0.2:
                seed, priority = self.rng.integers(10**9), self.rng.random(8) + 0.1
                for replay in (self.saved, self.never):
                    replay.prioritize(replay.sample(8, np.random.default_rng(seed)).index, priority)

    def check(self) -> None:
        np.testing.assert_equal(self.saved.state(), self.never.state())
        one, other = (each.sample(32, np.random.default_rng(self.step), n_step=3) for each in (self.saved, self.never))
        np.testing.assert_equal(one, other)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("prioritized", [False, True], ids=["uniform", "prioritised"])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("space", [VECTOR, STACKED, NESTED], ids=["vector", "stack", "dict"])
def test_saved_and_loaded_at_any_times_it_is_the_replay_that_never_was(
    space: Space[Any], num_envs: int, prioritized: bool, seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    lived = Life(space, num_envs, int(rng.integers(20, 130)) * num_envs, prioritized, seed)
    for _ in range(8):
        lived.add(int(rng.choice([0, 1, 5, 20, 150], p=[0.1, 0.2, 0.3, 0.3, 0.1])) or (lived.step == 0))
        folder = save(tmp_path, lived.step, lived.saved)
        chance = rng.random()
        if chance < 0.2:
            checkpoint.prune(tmp_path, 1)
        elif chance < 0.3:  # somebody cleared away what was there before
            for step in checkpoint.steps(tmp_path)[:-1]:
                shutil.rmtree(tmp_path / f"{step:012d}")
        elif chance < 0.6:
            lived.saved = loaded(folder, lived.saved, space)
            lived.check()
    for step in checkpoint.steps(tmp_path):
        checkpoint.verify(tmp_path / f"{step:012d}")
    lived.saved = loaded(folder, lived.saved, space)
    lived.check()


@pytest.mark.parametrize("num_envs", [1, 4])
def test_a_checkpoint_writes_about_what_is_new(num_envs: int, tmp_path: Path) -> None:
    lived = Life(VECTOR, num_envs, 6_400, False, 0)  # a segment is 533 rows or more
    lived.add(7_000 // num_envs)
    written, shared = rows(save(tmp_path, lived.step, lived.saved))
    assert (written, shared) == (6_400, 0)
    for number in range(4):
        before = int(lived.saved.written.sum())
        lived.add(600 // num_envs)
        written, shared = rows(save(tmp_path, lived.step, lived.saved))
        new = int(lived.saved.written.sum()) - before
        assert new <= written <= new + num_envs  # the newest of each environment was to be changed
        assert written + shared >= 6_400
        assert number < 3 or shared <= 6_400 + 2 * 1_066  # those overwritten long since are gone
        checkpoint.prune(tmp_path, 2)


def test_it_writes_the_bytes_of_what_is_new(tmp_path: Path) -> None:
    lived = Life(PICTURE, 1, 3_200, True, 0)
    lived.add(1_500)
    save(tmp_path, 1, lived.saved)
    before = int(lived.saved.written[0])
    lived.add(320)
    new = int(lived.saved.written[0]) - before
    files = [path.stat() for path in save(tmp_path, 2, lived.saved).rglob("*") if path.is_file()]
    written = sum(file.st_size for file in files if file.st_nlink == 1)
    changing = 9 * 3_200  # a byte a place, and 8 with priorities
    assert new * 144 < written < (new + 1) * (144 + 14) + changing + 10_000  # names and headers


def test_however_often_it_is_saved_the_files_are_few(tmp_path: Path) -> None:
    lived = Life(VECTOR, 2, 1_280, False, 0)
    most = 0
    for _ in range(90):
        lived.add(int(lived.rng.integers(1, 30)))
        folder = save(tmp_path, lived.step, lived.saved)
        most = max(most, len(list((folder / "algorithm").iterdir())))
        checkpoint.prune(tmp_path, 2)
    assert 10 < most < 20
    lived.saved = loaded(folder, lived.saved, VECTOR)
    lived.check()


def test_after_a_load_the_files_go_on_being_shared(tmp_path: Path) -> None:
    lived = Life(VECTOR, 2, 1_280, False, 0)
    lived.add(600)
    lived.saved = loaded(save(tmp_path, 600, lived.saved), lived.saved, VECTOR)
    lived.add(30)
    written, shared = rows(save(tmp_path, 630, lived.saved))
    assert written < 200 < 1_000 < shared


def test_the_newest_checkpoint_is_whole_without_those_before_it(tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, True, 0)
    for _ in range(5):
        lived.add(100)
        folder = save(tmp_path / "run", lived.step, lived.saved)
        checkpoint.prune(tmp_path / "run", 1)
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "run")
    lived.saved = loaded(tmp_path / "copy", lived.saved, VECTOR)
    lived.check()


def test_saved_twice_at_one_step(tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, False, 0)
    lived.add(400)
    save(tmp_path, 400, lived.saved)
    folder = save(tmp_path, 400, lived.saved)
    assert checkpoint.steps(tmp_path) == [400]
    lived.add(50)
    assert rows(save(tmp_path, 450, lived.saved))[1] > 300
    lived.saved = loaded(folder, lived.saved, VECTOR)
    assert len(lived.saved) < len(lived.never)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_there_are_no_links_all_is_written_again(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    lived = Life(VECTOR, 2, 600, False, 0)
    for _ in range(6):
        lived.add(80)
        folder = save(tmp_path, lived.step, lived.saved)
        held = min(300, int(lived.saved.written[0])) + min(300, int(lived.saved.written[1]))
        assert rows(folder) == (held, 0)
        assert all(path.stat().st_nlink == 1 for path in (folder / "algorithm").iterdir())
    lived.saved = loaded(folder, lived.saved, VECTOR)
    lived.check()


def test_saved_elsewhere_nothing_is_shared_with_the_run_it_came_from(tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, False, 0)
    lived.add(700)
    lived.saved = loaded(save(tmp_path / "one", 700, lived.saved), lived.saved, VECTOR)
    folder = save(tmp_path / "other", 700, lived.saved)
    assert rows(folder) == (500, 0)
    lived.saved.save(tmp_path)  # beside no checkpoint
    lived.saved = loaded(folder, lived.saved, VECTOR)
    lived.check()


def test_a_save_that_failed_loses_nothing(tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, False, 0)
    lived.add(200)
    save(tmp_path, 200, lived.saved)
    lived.add(200)

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "algorithm").mkdir()
        lived.saved.save(folder / "algorithm")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoint.write(tmp_path, 400, fill)
    lived.add(250)
    lived.saved = loaded(save(tmp_path, 650, lived.saved), lived.saved, VECTOR)
    lived.check()


def shared_file(parent: Path, lived: Life) -> Path:
    """Save twice and return a file that both checkpoints have, of the first."""
    lived.add(300)
    folder = save(parent, lived.step, lived.saved)
    lived.add(20)
    save(parent, lived.step, lived.saved)
    return next(path for path in sorted((folder / "algorithm").iterdir()) if path.stat().st_nlink > 1)


def test_damage_to_a_shared_file_is_found_in_every_checkpoint_that_has_it(tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, False, 0)
    path = shared_file(tmp_path, lived)
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a disk would do it
    save(tmp_path, 330, lived.saved)
    for step in checkpoint.steps(tmp_path):
        with pytest.raises(CheckpointError, match=f"is damaged: algorithm/{path.name}"):
            checkpoint.verify(tmp_path / f"{step:012d}")


@pytest.mark.parametrize("how", ["changed", "replaced", "deleted", "a link to elsewhere"])
def test_a_file_that_is_not_the_one_that_was_written_is_written_again(how: str, tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, False, 0)
    path = shared_file(tmp_path, lived)
    for step in checkpoint.steps(tmp_path):
        each = tmp_path / f"{step:012d}" / "algorithm" / path.name
        content = each.read_bytes()
        if how != "changed":
            each.unlink()
        if how in ("changed", "replaced"):
            each.write_bytes(content)
            os.utime(each, ns=(1, 1))
        if how == "a link to elsewhere":
            (tmp_path / "elsewhere").write_bytes(content)
            each.symlink_to(tmp_path / "elsewhere")
    folder = save(tmp_path, 500, lived.saved)
    new = folder / "algorithm" / path.name
    assert new.stat().st_nlink == 1
    assert not new.is_symlink()
    lived.saved = loaded(folder, lived.saved, VECTOR)
    lived.check()


def test_a_state_that_is_whole_in_one_file_is_read_too(tmp_path: Path) -> None:
    lived = Life(NESTED, 2, 200, True, 0)
    lived.add(120)
    state.save(tmp_path, "replay", lived.saved.state())
    lived.saved = Replay(200, 2, NESTED, prioritized=True)
    lived.saved.load(tmp_path)
    lived.check()


def test_a_replay_of_another_size_or_of_other_observations_is_not_loaded(tmp_path: Path) -> None:
    lived = Life(VECTOR, 2, 50, False, 0)
    lived.add(20)
    lived.saved.save(tmp_path)
    with pytest.raises(CheckpointError, match="The replay was saved with 2 × 25 frames, not 2 × 30"):
        Replay(60, 2, VECTOR).load(tmp_path)
    with pytest.raises(CheckpointError, match="are not those of this replay: their shapes or types are others"):
        Replay(50, 2, Box(0, 1, (4,), np.float32)).load(tmp_path)


HOSTILE: dict[str, Any] = {
    "a gap": {"starts": [[0], [60]], "ends": [[50], [100]]},
    "its end missing": {"ends": [[50], [99]]},
    "rows that were not written": {"ends": [[50], [1 << 40]]},
    "more rows than the ring": {"written": [1 << 40], "ends": [[50], [1 << 40]]},
    "negative": {"starts": [[-5], [50]]},
    "backwards": {"starts": [[80], [50]]},
    "another length": {"length": 1 << 40},
    "another number of environments": {"written": [100, 100]},
    "a path": {"segments": ["../rows.0", "rows.1"]},
    "an absolute path": {"segments": ["/etc/passwd", "rows.1"]},
    "no name": {"segments": [0, "rows.1"]},
    "no list": {"segments": 5},
    "words": {"starts": "all"},
    "fewer files": {"segments": ["rows.1"]},
    "more that are closed": {"closed": 3},
    "none": {"written": None},
}


@pytest.mark.parametrize("change", HOSTILE)
def test_what_says_where_rows_are_is_believed_only_where_it_fits(change: str, tmp_path: Path) -> None:
    arrays = {"values": np.arange(100.0)[None]}
    index = Segments().save(tmp_path, "rows", arrays, np.array([100]))
    index = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in index.items()}
    index |= {"segments": index["segments"][:1] * 2, "starts": [[0], [50]], "ends": [[50], [100]], "closed": 2}
    with pytest.raises(CheckpointError, match=r"does not hold the rows of a ring of 1 × 100|cannot be read"):
        Segments().load(tmp_path, index | HOSTILE[change], {"values": np.zeros((1, 100))})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    lived = Life(VECTOR, 1, 500, False, 0)
    lived.add(300)
    lived.saved.save(tmp_path)
    gone = sorted(tmp_path.glob("replay.0*"))[3]
    gone.unlink()
    with pytest.raises(CheckpointError, match=f"{gone.name} cannot be read: No such file"):
        Replay(500, 1, VECTOR).load(tmp_path)
    gone.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=f"{gone.name} cannot be read"):
        Replay(500, 1, VECTOR).load(tmp_path)


def test_saving_and_loading_take_little_memory(tmp_path: Path) -> None:
    lived = Life(PICTURE, 1, 40_000, False, 0)
    transition, first = next(lived.history)
    for _ in range(1_000):
        lived.saved.add(transition, transition.action, first)
    lived.saved.written[:] = 41_000  # full of zeros
    tracemalloc.start()
    lived.saved.save(tmp_path)
    Replay.load(other := Replay(40_000, 1, PICTURE), tmp_path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < other.nbytes * 1.25  # one is made here


def test_equal_states_are_equal_however_their_rows_are_cut(tmp_path: Path) -> None:
    lived = Life(STACKED, 2, 300, True, 0)
    digests = []
    for name, steps in (("one", [200]), ("other", [3, 50, 120, 27])):
        lived = Life(STACKED, 2, 300, True, 0)
        for each in steps:
            lived.add(each)
            folder = save(tmp_path / name, lived.step, lived.saved) / "algorithm"
        digests.append(json.dumps(segments.digest(folder, state.load(folder, "replay"))))
        assert len(list(folder.iterdir())) > 6
    assert digests[0] == digests[1]
    lived.add(1)
    folder = save(tmp_path, 201, lived.saved) / "algorithm"
    assert json.dumps(segments.digest(folder, state.load(folder, "replay"))) != digests[0]
