"""Checkpoints: every damage is detected, formats of other versions are told apart, links are never written again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlhub_core as rlhub
from rlhub_core import CheckpointError, checkpoint, state

NAMES = ["algorithm/net", "algorithm/replay", "callbacks/0-X/state", "collector/log", "run.json", "manifest.json"]


def fill(folder: Path) -> dict[str, Any]:
    for number, name in enumerate(NAMES[:-1]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([number]) * (8 + number % 3))
    return {"resume": "exact", "provenance": {"threads": 1, "versions": {"numpy": "2.0"}}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint.write(tmp_path_factory.mktemp("checkpoints"), 1_000, fill)


@pytest.fixture(scope="module")
def damaged(whole: Path) -> Iterator[Callable[[], Path]]:
    """Have copies of a checkpoint made where that costs little."""
    with tempfile.TemporaryDirectory() as place:
        copies = iter(range(10**6))
        yield lambda: Path(shutil.copytree(whole, Path(place) / str(next(copies)) / whole.name))


MEMBER = st.sampled_from(NAMES)
DAMAGE = st.one_of(
    st.tuples(st.just("change"), MEMBER, st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("truncate"), MEMBER, st.integers(0, 10**6), st.none()),
    st.tuples(st.just("append"), MEMBER, st.none(), st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("insert"), MEMBER, st.integers(0, 10**6), st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("delete"), MEMBER, st.none(), st.none()),
    st.tuples(st.just("add"), st.sampled_from(["more", "algorithm/more", "new/more"]), st.none(), st.binary()),
    st.tuples(st.just("swap"), MEMBER, MEMBER, st.none()).filter(lambda damage: damage[1] != damage[2]),
    st.tuples(st.just("rename"), MEMBER, st.sampled_from(["more", "algorithm/Net"]), st.none()),
    st.tuples(st.just("link"), MEMBER, st.none(), st.none()),
)


def do(folder: Path, damage: tuple[Any, ...]) -> None:
    """Do to a checkpoint what a bad disk or a careless person does."""
    kind, name, where, what = damage
    path = folder / name
    content = bytearray(path.read_bytes()) if path.exists() else bytearray()
    if kind == "change":
        content[where % len(content)] ^= what
    elif kind == "truncate":
        del content[where % len(content) :]
    elif kind == "append":
        content += what
    elif kind == "insert":
        content[where % len(content) : where % len(content)] = what
    elif kind == "delete":
        path.unlink()
        return
    elif kind == "add":
        path.parent.mkdir(exist_ok=True)
        content = what
    elif kind in ("swap", "rename"):
        other = folder / where
        if kind == "swap":
            other.rename(folder / "between")
        path.rename(other)
        if kind == "swap":
            (folder / "between").rename(path)
        return
    elif kind == "link":  # the same content, but elsewhere
        path.rename(folder.parent / "elsewhere")
        path.symlink_to(folder.parent / "elsewhere")
        if name == "manifest.json":
            do(folder, ("append", name, None, b" "))
        return
    path.write_bytes(content)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(damage=DAMAGE)
def test_every_change_truncation_deletion_addition_and_swap_is_detected(
    damaged: Callable[[], Path], damage: tuple[Any, ...]
) -> None:
    folder = damaged()
    do(folder, damage)
    with pytest.raises(CheckpointError):
        checkpoint.verify(folder)
    shutil.rmtree(folder.parent)


def test_every_changed_byte_of_the_manifest_is_detected(damaged: Callable[[], Path]) -> None:
    folder = damaged()
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    for place in range(len(content)):
        for other in (content[place] ^ 1, ord(" ")):
            if other != content[place]:
                manifest.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
                with pytest.raises(CheckpointError):
                    checkpoint.verify(folder)
    manifest.write_bytes(content)
    assert checkpoint.verify(folder)["step"] == 1_000


def test_the_manifest_says_everything(whole: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    assert (manifest["format"], manifest["step"], manifest["resume"]) == (checkpoint.FORMAT, 1_000, "exact")
    assert manifest["provenance"]["threads"] == 1
    assert manifest["files"]["run.json"] == {"sha256": hashlib.sha256(b"\4" * 9).hexdigest(), "size": 9}
    assert set(manifest["files"]) == set(NAMES) - {"manifest.json"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "manifest.json cannot be read: Expecting value"),
        ("[]", "is not a complete checkpoint: its manifest.json is none."),
        ("[" * 100_000, "manifest.json cannot be read: it is more than 64 levels deep."),
        ("\udcff", "manifest.json cannot be read: 'utf-8' codec can't decode byte 0xff"),
        ('{"format": 2, "files": {}}', "is damaged: its manifest.json is not as it was written."),
        ('{\n "format": 1,\n "files": 3\n}', "is damaged: its manifest.json is none that rlhub writes."),
        ('{\n "format": true,\n "files": {}\n}', "is damaged: its manifest.json is none that rlhub writes."),
        ('{\n "format": 0,\n "files": {}\n}', "is damaged: its manifest.json is not as it was written."),
        ('{\n "format": 1,\n "files": {},\n "provenance": 3\n}', "manifest.json is none that rlhub writes."),
        ('{\n "format": 1,\n "step": 1000,\n "files": {\n  "../x": "00"\n }\n}', "is damaged: ../x is not what"),
        ('{\n "format": 1,\n "step": 7,\n "files": {}\n}', "is damaged: its manifest.json is that of step 7."),
    ],
)
def test_a_manifest_that_nobody_wrote(damaged: Callable[[], Path], text: str, message: str) -> None:
    folder = damaged()
    (folder / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError) as error:
        checkpoint.verify(folder)
    assert message in str(error.value)


def test_facts_that_json_writes_in_another_way_are_no_damage(tmp_path: Path) -> None:
    facts = {1: "one", "1": "other", "nan": float("nan"), "tuple": (1, -0.0), "text": "\udcff é", "none": None}
    folder = checkpoint.write(tmp_path, 1, lambda folder: {"provenance": facts})
    read = checkpoint.verify(folder)["provenance"]
    assert (read["tuple"], read["text"]) == ([1, 0.0], "? é")


def test_a_checkpoint_that_nobody_could_read_is_not_written(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    checkpoint.write(tmp_path, 1, fill)
    with pytest.raises(rlhub.ArtefactError, match=r"manifest\.json cannot be read: it is more than 64 levels deep"):
        checkpoint.write(tmp_path, 2, lambda folder: {"provenance": {"deep": deep}})
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001"]


def test_a_file_that_the_disk_does_not_give_is_damage(
    damaged: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", fails)
    with pytest.raises(CheckpointError, match="is damaged: algorithm/net is not what its manifest says"):
        checkpoint.verify(damaged())


def test_a_checkpoint_in_the_place_of_another_is_detected(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.write(tmp_path, step, fill)
    shutil.rmtree(tmp_path / "000000000002")
    (tmp_path / "000000000001").rename(tmp_path / "000000000002")
    with pytest.raises(CheckpointError, match=r"000000000002 is damaged: its manifest\.json is that of step 1\."):
        checkpoint.verify(tmp_path / "000000000002")


def test_what_a_file_manager_leaves_about_is_no_damage(damaged: Callable[[], Path]) -> None:
    folder = damaged()
    (folder / "algorithm" / ".DS_Store").write_bytes(b"x")
    (folder / "callbacks" / "empty").mkdir()
    assert checkpoint.verify(folder)["step"] == 1_000


def test_hidden_files_that_were_saved_are_verified(tmp_path: Path) -> None:
    def hidden(folder: Path) -> dict[str, Any]:
        (folder / ".hidden").write_text("state")
        return {}

    folder = checkpoint.write(tmp_path, 1, hidden)
    (folder / ".hidden").write_text("other")
    with pytest.raises(CheckpointError, match=r"is damaged: \.hidden is not what its manifest says"):
        checkpoint.verify(folder)


def newer(folder: Path) -> None:
    """Have a checkpoint be one that a later rlhub wrote, as far as this one can know."""
    manifest = json.loads((folder / "manifest.json").read_text()) | {"format": 99, "files": {"new": [1, 2]}}
    del manifest["seal"]
    seal = hashlib.sha256(json.dumps(manifest, indent=1).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | {"seal": seal}, indent=1))


def test_a_newer_format_is_refused_by_name(damaged: Callable[[], Path]) -> None:
    folder = damaged()
    newer(folder)
    with pytest.raises(checkpoint.NewerFormatError) as error:
        checkpoint.verify(folder)
    assert str(error.value) == (
        f"{folder} has checkpoint format 99; this rlhub reads formats 1 to {checkpoint.FORMAT}. "
        "Upgrade it: pip install -U rlhub-core."
    )


def test_every_older_format_has_a_migration() -> None:
    assert sorted(checkpoint.MIGRATIONS) == list(range(1, checkpoint.FORMAT))


def test_order_is_that_of_steps_whatever_the_clock_says(tmp_path: Path) -> None:
    for step in (300, 20, 1_000_000, 1):
        folder = checkpoint.write(tmp_path, step, fill)
        os.utime(folder, (10**9 - step, 10**9 - step))
    assert checkpoint.steps(tmp_path) == [1, 20, 300, 1_000_000]
    checkpoint.prune(tmp_path, keep=1, kept=[20])
    assert checkpoint.steps(tmp_path) == [20, 1_000_000]


def linked(parent: Path, step: int, before: Path | None) -> Path:
    """Write a checkpoint that shares a segment with the one before as a hard link."""

    def share(folder: Path) -> dict[str, Any]:
        if before is None:
            (folder / "segment").write_bytes(b"frames")
        else:
            os.link(before / "segment", folder / "segment")
        (folder / "own").write_text(str(step))
        return {}

    return checkpoint.write(parent, step, share)


def test_a_segment_that_is_shared_outlives_the_checkpoint_it_came_from(tmp_path: Path) -> None:
    before = None
    for step in (1, 2, 3):
        before = linked(tmp_path, step, before)
        checkpoint.prune(tmp_path, keep=1)
    assert checkpoint.steps(tmp_path) == [3]
    assert checkpoint.verify(tmp_path / "000000000003")["files"]["segment"]["size"] == 6
    assert (tmp_path / "000000000003" / "segment").read_bytes() == b"frames"


def test_a_segment_damaged_on_the_disk_is_not_taken_for_good_by_the_next_checkpoint(tmp_path: Path) -> None:
    first = linked(tmp_path, 1, None)
    (first / "segment").write_bytes(b"fr_mes")
    with pytest.raises(CheckpointError, match="is damaged: segment"):
        checkpoint.verify(linked(tmp_path, 2, first))


class TestRun:
    """A damaged checkpoint, whichever way a run is opened."""

    @pytest.fixture(autouse=True)
    def _run(self, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        callbacks = ["core/evaluate:every=100,episodes=2,keep_best=true", "core/checkpoint:every=50,keep=3"]
        rlhub.train("toy/random", "toy/Corridor-v0", steps=330, folder="run", callbacks=callbacks, log_every=100)
        self.parent = Path("run/checkpoints")
        self.best: int = state.load(self.parent / "000000000330", "run")["best_evaluation"]["step"]
        self.steps = checkpoint.steps(self.parent)

    def damage(self, step: int) -> None:
        (self.parent / f"{step:012d}" / "algorithm" / "walk.json").write_text("{}")

    def test_the_one_before_it_is_used(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.damage(330)
        assert self.steps[-2:] == [300, 330]
        assert rlhub.load("run").steps == 300
        assert rlhub.load("run", step="best").steps == self.best
        with pytest.raises(CheckpointError, match=r"000000000330 is damaged: algorithm/walk\.json is not what its"):
            rlhub.load("run", step=330)
        assert "000000000330 is damaged" in capsys.readouterr().err
        assert checkpoint.steps(self.parent) == self.steps  # loading changes nothing
        assert rlhub.resume("run").steps == 330
        assert "000000000330 is damaged" in capsys.readouterr().err
        assert (self.parent / "000000000330.damaged").exists()
        assert checkpoint.verify(self.parent / "000000000330")["resume"] == "exact"

    def test_one_that_is_deleted_while_it_is_read_is_no_damage(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        digest, waiting = hashlib.file_digest, [330, 300]

        def deletes(*args: Any) -> Any:
            if waiting:  # as the process that trains the run does, once it has newer ones
                shutil.rmtree(self.parent / f"{waiting.pop(0):012d}")
            return digest(*args)

        monkeypatch.setattr(hashlib, "file_digest", deletes)
        run = rlhub.load("run")
        assert run.steps == checkpoint.steps(self.parent)[-1] < 300
        assert capsys.readouterr().err == ""

    def test_one_that_is_written_anew_while_it_is_read_is_no_damage(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        digest, newest, waiting = hashlib.file_digest, self.parent / "000000000330", [True]

        def replaces(*args: Any) -> Any:
            if waiting:
                waiting.clear()
                other = Path(shutil.copytree(newest, "other"))
                shutil.rmtree(newest)
                other.rename(newest)
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            return digest(*args)

        monkeypatch.setattr(hashlib, "file_digest", replaces)
        assert rlhub.load("run").steps in (300, 330)
        assert capsys.readouterr().err == ""

    def test_a_best_one_that_is_damaged_is_not_replaced_by_another(self) -> None:
        self.damage(self.best)
        with pytest.raises(CheckpointError, match=rf"{self.best:012d} is damaged"):
            rlhub.load("run", step="best")
        assert rlhub.load("run").steps in self.steps

    def test_none_is_whole(self) -> None:
        for step in self.steps:
            self.damage(step)
        for call in (rlhub.load, rlhub.resume):
            with pytest.raises(CheckpointError) as error:
                call("run")
            assert str(error.value).count("is damaged: algorithm/walk.json") == len(self.steps)
        assert checkpoint.steps(self.parent) == self.steps

    def test_a_newer_one_is_neither_skipped_nor_set_aside(self) -> None:
        newer(self.parent / "000000000330")
        for call in (rlhub.load, rlhub.resume):
            with pytest.raises(CheckpointError, match=r"has checkpoint format 99.*pip install -U rlhub-core"):
                call("run")
        assert checkpoint.steps(self.parent) == self.steps

    def test_one_that_was_moved_out_of_the_way_is_still_there(self) -> None:
        (self.parent / "000000000330").rename(self.parent / "000000000330.old")
        assert rlhub.load("run").steps == 330
        assert rlhub.resume("run").restored == "exact"
        assert checkpoint.steps(self.parent)[-1] == 330
        assert not (self.parent / "000000000330.old").exists()
