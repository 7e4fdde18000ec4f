"""A full disk, or a quota that is used up: what was saved stays, nothing half is left, and one error says so."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
from crashes import Shim

import rlhub_core as rlhub
from rlhub_core import StorageError, checkpoint, storage
from rlhub_core.testing import fingerprints


def fill(folder: Path) -> dict[str, Any]:
    (folder / "algorithm").mkdir()
    (folder / "algorithm" / "net").write_bytes(b"x" * 3_000)
    (folder / "run.json").write_text("{}")
    return {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_whatever_does_not_fit_the_old_checkpoint_stays_and_the_temporary_is_removed(
    tmp_path: Path, number: int
) -> None:
    parent = tmp_path / "run" / "checkpoints"
    checkpoint.write(parent, 1_000, fill)

    def no_room(operation: str) -> None:
        if operation not in ("unlink", "rmdir"):
            raise OSError(number, os.strerror(number))

    failures = 0
    for k in itertools.count(1):
        with pytest.MonkeyPatch.context() as patch:
            shim = Shim(patch, k, no_room, fsync=lambda _: None)
            try:
                checkpoint.write(parent, 2_000, fill)
            except StorageError as error:
                failures += 1
                message = str(error)
            if shim.count < k:
                break
        assert f"checkpoint of step 2,000 could not be written to {parent}: {os.strerror(number)}" in message
        *_, newest = checkpoint.steps(parent)  # the new one where only its folder's fsync failed
        assert f"Free some space, then go on from step {newest:,}: rlhub resume {parent.parent}." in message
        assert {path.name for path in parent.iterdir()} == {"000000001000", f"{newest:012d}"}
        assert checkpoint.verify(parent / "000000001000")["step"] == 1_000
        if newest == 2_000:
            shutil.rmtree(parent / "000000002000")
    assert failures == k - 1 > 10
    assert checkpoint.steps(parent) == [1_000, 2_000]


@pytest.mark.parametrize("for_ever", [False, True], ids=["for a moment", "from then on"])
def test_a_disk_too_full_to_delete_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, for_ever: bool
) -> None:
    """Some file systems have no room for a name to be changed, or to be forgotten."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    told: list[str] = []

    def no_room(operation: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for k in itertools.count(1):
        parent = tmp_path / str(k) / "checkpoints"
        for step in (1_000, 2_000):
            checkpoint.write(parent, step, fill)
        saved = [2_000]
        with pytest.MonkeyPatch.context() as patch:
            shim = Shim(patch, k, no_room, fsync=lambda _: None, on=for_ever)
            try:
                for step in (2_000, 3_000):  # the first takes the place of another
                    checkpoint.write(parent, step, fill)
                    saved.append(step)
                    checkpoint.prune(parent, keep=1)
            except StorageError as error:
                told.append(str(error))
        assert checkpoint.verify(list(checkpoint.folders(parent).values())[-1])["step"] >= saved[-1]
        checkpoint.write(parent, 4_000, fill)  # once there is room
        checkpoint.prune(parent, keep=1)
        assert [path.name for path in parent.iterdir()] == ["000000004000"]
        if shim.count < k:
            break
    assert k > 40
    assert all("could not be written" in message for message in told)


def test_the_error_says_how_much_is_needed_and_how_much_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_234_567}))

    def grow(size: int, failing: bool) -> Any:
        def grown(folder: Path) -> dict[str, Any]:
            (folder / "replay").write_bytes(b"x" * size)
            if failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return {}

        return grown

    parent = tmp_path / "a run" / "checkpoints"
    with pytest.raises(StorageError) as first:
        checkpoint.write(parent, 0, grow(40_000, failing=True))
    assert str(first.value) == (
        f"The checkpoint of step 0 could not be written to {parent}: No space left on device. "
        "It needs more than 40.0 kB, and the disk has 1.2 MB free. Free some space, then start again."
    )
    checkpoint.write(parent, 1_000, grow(5_000_000, failing=False))
    with pytest.raises(StorageError) as second:
        checkpoint.write(parent, 2_000, grow(40_000, failing=True))
    assert str(second.value) == (
        f"The checkpoint of step 2,000 could not be written to {parent}: No space left on device. "
        "It needs about 5.0 MB, and the disk has 1.2 MB free. "
        f"Free some space, then go on from step 1,000: rlhub resume '{parent.parent}'."
    )


def test_another_error_is_left_as_it_is(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        checkpoint.write(tmp_path, 1, fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (999_960, "1.0 MB"), (7.5e9, "7.5 GB"), (2e12, "2.0 TB")]
)
def test_sizes_are_said_as_people_write_them(count: float, text: str) -> None:
    assert storage.size(count) == text


CALLBACKS = ["core/evaluate:every=200,episodes=2,keep_best=true", "core/checkpoint:every=100"]


def train(folder: str, log_every: int) -> rlhub.Run:
    return rlhub.train(
        *("toy/random", "toy/Corridor-v0"),
        steps=1_200,
        num_envs=2,
        normalize="observations",
        callbacks=CALLBACKS,
        log_every=log_every,
        folder=folder,
        progress=False,
    )


def train_limited(limit: int, log_every: int, diary: int) -> NoReturn:
    """Train where no file may be larger than so many bytes, tell how that ended, and exit."""
    told: dict[str, Any] = {}
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        told = {"steps": train("run", log_every).steps}
    except BaseException as error:
        told = {"error": type(error).__name__, "message": str(error)}
    finally:
        os.write(diary, json.dumps(told).encode())
        os._exit(0)


@pytest.mark.parametrize(
    ("limit", "log_every", "what"),
    [
        (100, 50, "run could not be written: File too large"),
        (1_000, 50, "The checkpoint of step 0 could not be written to run/checkpoints: File too large"),
        (4_000, 50, "The checkpoint of step 500 could not be written to run/checkpoints: File too large"),
        (8_000, 50, "The checkpoint of step 1,000 could not be written to run/checkpoints: File too large"),
        (5_000, 4, "run/metrics.jsonl could not be written: File too large"),
    ],
)
def test_a_run_on_a_disk_that_fills_up_goes_on_where_there_is_room(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, log_every: int, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    train("whole", log_every)
    reading, diary = os.pipe()
    process = os.fork()
    if process == 0:
        train_limited(limit, log_every, diary)
    os.close(diary)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    told = json.loads(os.read(reading, 10_000))
    os.close(reading)
    assert told["error"] == "StorageError", told
    assert told["message"].startswith(what)
    parent = Path("run/checkpoints")
    if not parent.exists():  # refused before its first step: the folder is free
        assert told["message"].endswith("Free some space, then start again.")
        assert train("run", log_every).steps == 1_200
    else:
        assert told["message"].endswith("rlhub resume run.")
        for folder in checkpoint.folders(parent).values():
            checkpoint.verify(folder)
        assert not list(parent.glob(".*"))
        resumed = rlhub.resume("run", progress=False)
        assert (resumed.steps, resumed.restored) == (1_200, "exact")
    assert fingerprints(Path("run")) == fingerprints(Path("whole"))


def test_a_recipe_that_does_not_fit_stays_the_old_one(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train("run", 50)
    before = Path("run/experiment.toml").read_text()

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match=r"^run could not be written: No space left on device; the disk has"):
            rlhub.resume("run", steps=1_300)
    assert Path("run/experiment.toml").read_text() == before
    assert not Path("run/.experiment.toml.partial").exists()
    assert rlhub.resume("run", steps=1_300).restored == "exact"
