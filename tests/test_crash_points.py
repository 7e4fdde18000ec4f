"""Every crash point of writing checkpoints: a process is killed, or the power is cut, at each operation in turn."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from crashes import OPERATIONS, Shim

from rlhub_core import Episode, Progress, checkpoint, state, storage
from rlhub_core.records import Records, read_metrics


@pytest.fixture
def place() -> Iterator[Path]:
    """Have a folder in memory, where there is one: thousands of files are written."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk answer at once; what it promises is modelled here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Disk:
    """What of a folder a power cut leaves: of each file and folder that which was there at its last fsync.

    Args:
        root: a folder that is empty and on the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[int, bytes] = {}  # inode -> content
        self._folders: dict[int, dict[str, int]] = {root.stat().st_ino: {}}  # inode -> name -> inode
        self._is_folder: dict[int, bool] = {}
        self._held: list[int] = []  # so that no inode is used again

    def fsync(self, handle: int) -> None:
        """Take the place of `os.fsync`."""
        self._held.append(os.dup(handle))
        inode = os.fstat(handle).st_ino
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            self._folders[inode] = self._names(f"/proc/self/fd/{handle}")
        else:
            self._files[inode] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def close(self) -> None:
        """Let the inodes be used again."""
        for handle in self._held:
            os.close(handle)

    def left(self, to: Path, kept: random.Random | None) -> None:
        """Write what is left into another folder.

        Args:
            to: that folder, which is made.
            kept: chooses what reached the disk although nobody had asked for it; None: nothing did.
        """
        reached = {path.stat().st_ino: path for path in (self.root, *self.root.rglob("*"))}
        self._leave(self.root.stat().st_ino, True, to, kept, reached)

    def _leave(self, inode: int, folder: bool, to: Path, kept: random.Random | None, reached: dict[int, Path]) -> None:
        now = reached.get(inode) if kept is not None and kept.random() < 0.5 else None
        if not folder:
            content = self._files.get(inode, b"")
            if now is not None:  # whole, or torn behind what is safe
                content += now.read_bytes()[len(content) :][: kept.choice([None, 7])]  # type: ignore[union-attr]
            to.write_bytes(content)
            return
        to.mkdir()
        names = self._names(now) if now is not None else self._folders.get(inode, {})
        for name, below in names.items():
            self._leave(below, self._is_folder[below], to / name, kept, reached)

    def _names(self, folder: Any) -> dict[str, Any]:
        found = list(os.scandir(folder))
        self._is_folder |= {entry.inode(): entry.is_dir() for entry in found}
        return {entry.name: entry.inode() for entry in found}


def fill(version: int, before: Path | None) -> Callable[[Path], dict[str, Any]]:
    """Return what writes nested folders, and a segment that is shared with the checkpoint before as a hard link."""

    def write(folder: Path) -> dict[str, Any]:
        for name in ("algorithm", "collector", "callbacks", "callbacks/0-X"):
            (folder / name).mkdir()
        for name in ("run.json", "algorithm/net", "callbacks/0-X/state"):
            (folder / name).write_text(f"{name} of version {version}")
        segment = folder / "algorithm" / "segment"
        if before is None:
            segment.write_text("frames")
        else:
            os.link(before / "algorithm" / "segment", segment)
        return {"version": version}

    return write


STEPS = (0, 200, 200, 400, 600)  # one of them is written anew


def story(parent: Path, returned: Callable[[int], Any]) -> None:
    """Write checkpoints in a row, prune, and tell which version is whole; then as a resume does, and again."""
    before = None
    for version, step in enumerate(STEPS):
        if version == 4:  # a process was killed while it wrote the checkpoint of step 400 anew; another one resumes
            (parent / "000000000400").rename(parent / "000000000400.old")
            (parent / ".000000000400.partial").mkdir()
            (parent / ".000000000400.partial" / "run.json").write_text("half")
            checkpoint.recover(parent)
            checkpoint.set_aside_after(parent, 400)
        before = checkpoint.write(parent, step, fill(version, before))
        returned(version)
        checkpoint.prune(parent, keep=2)


def judge(parent: Path, promised: int, where: str) -> None:
    """Assert that the newest checkpoint is the promised one, or the one that was being written, and that all goes on.

    Args:
        parent: what a crash has left.
        promised: the version whose `write` returned last, or -1.
        where: of the crash.
    """
    complete = checkpoint.folders(parent)
    for folder in complete.values():
        version = checkpoint.verify(folder)["version"]
        for name in ("run.json", "algorithm/net", "callbacks/0-X/state"):
            assert (folder / name).read_text() == f"{name} of version {version}", where
        assert (folder / "algorithm" / "segment").read_text() == "frames", where
    newest = checkpoint.verify(list(complete.values())[-1])["version"] if complete else -1
    assert promised <= newest <= promised + 1, f"{where}: version {newest}, but {promised} was promised"
    before = list(complete.values())[-1] if complete else None
    last = checkpoint.write(parent, 800, fill(99, None if before is None else _recovered(before)))
    checkpoint.prune(parent, keep=2)
    assert checkpoint.verify(last)["version"] == 99, where
    assert checkpoint.steps(parent)[-1] == 800, where
    assert {path.name for path in parent.iterdir()} == {f"{step:012d}" for step in checkpoint.steps(parent)}, where


def _recovered(folder: Path) -> Path:
    checkpoint.recover(folder.parent)
    return folder.with_suffix("")


def test_a_process_killed_at_any_operation_loses_no_checkpoint(place: Path) -> None:
    def child(k: int, parent: Path, diary: int) -> NoReturn:
        def crash(_: str) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            Shim(pytest.MonkeyPatch(), k, crash, fsync=lambda _: None)  # a kill does not lose what the system holds
            story(parent, lambda version: os.write(diary, bytes([version])))
            code = 0
        finally:
            os._exit(code)

    for k in itertools.count(1):
        folder = place / str(k)
        folder.mkdir()
        reading, diary = os.pipe()
        process = os.fork()
        if process == 0:
            child(k, folder / "checkpoints", diary)
        os.close(diary)
        ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        told = os.read(reading, 100)
        os.close(reading)
        assert ended in (0, -signal.SIGKILL)
        judge(folder / "checkpoints", told[-1] if told else -1, f"killed at operation {k}")
        if ended == 0:
            break
        shutil.rmtree(folder)
    assert k > 150, "the shim counts nothing"


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_power_cut_at_any_operation_loses_no_checkpoint(place: Path, seed: int | None) -> None:
    root, told = place / "run", [-1]
    root.mkdir()
    disk, chance = Disk(root), None if seed is None else random.Random(seed)
    points: list[tuple[Path, int]] = []

    with pytest.MonkeyPatch.context() as patch:

        def cut(_: str) -> None:
            with patch.context() as unpatched:
                for name, call in real.items():
                    unpatched.setattr(os, name, call)
                unpatched.setattr(io, "open", opened)
                left = place / f"left{len(points)}"
                disk.left(left, chance)
            points.append((left, told[-1]))

        real, opened = {name: getattr(os, name) for name in OPERATIONS}, io.open
        Shim(patch, 0, cut, disk.fsync)
        story(root / "checkpoints", told.append)
    disk.close()
    assert len(points) > 150
    for number, (left, promised) in enumerate(points):
        judge(left / "checkpoints", promised, f"the power was cut at operation {number + 1}")


def test_the_model_of_a_power_cut_loses_what_is_not_synced(tmp_path: Path) -> None:
    root = tmp_path / "run"
    root.mkdir()
    disk = Disk(root)

    def synced(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        disk.fsync(handle)
        os.close(handle)

    (root / "named").write_text("its name is safe, its content is not")
    synced(root)
    (root / "filled").write_text("its content is safe, its name is not")
    synced(root / "filled")
    disk.left(tmp_path / "left", None)
    assert {path.name: path.read_text() for path in (tmp_path / "left").iterdir()} == {"named": ""}
    disk.close()


def test_no_checkpoint_counts_on_lines_that_a_power_cut_takes(tmp_path: Path) -> None:
    root = tmp_path / "run"
    root.mkdir()
    disk = Disk(root)

    def records(folder: Path) -> Records:
        return Records(folder, 10, lambda step: {}, lambda: 0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        storage.make_folder(root / "checkpoints")
        written = records(root)

        def saved(folder: Path) -> dict[str, Any]:
            state.save(folder, "run", written.state())
            return {}

        for step in range(0, 60, 20):
            for at in (step + 10, step + 20):
                written.add(Progress(at, [Episode(at, 1.0, 5, 0)], {"loss": 0.5}))
            checkpoint.write(root / "checkpoints", step, saved)
            written.add(Progress(step + 25, [Episode(step + 25, 1.0, 5, 0)]))
            disk.left(tmp_path / f"left{step}", None)
            left = tmp_path / f"left{step}"
            newest = checkpoint.folders(left / "checkpoints")[step]
            assert checkpoint.verify(newest)["step"] == step
            records(left).restore(state.load(newest, "run"))
            assert len(read_metrics(left)) == step // 10 + 2
    disk.close()


def test_a_recipe_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"

    class Cut(BaseException):
        """A crash."""

    def crash(_: str) -> None:
        raise Cut

    storage.replace(path, "old" * 10)
    for k in itertools.count(1):
        with pytest.MonkeyPatch.context() as patch:
            Shim(patch, k, crash, fsync=lambda _: None)
            try:
                storage.replace(path, "new" * 10)
            except Cut:
                assert path.read_text() in ("old" * 10, "new" * 10)
            else:
                break
    assert k > 4
    assert json.dumps([each.name for each in tmp_path.iterdir()]) == '["experiment.toml"]'
