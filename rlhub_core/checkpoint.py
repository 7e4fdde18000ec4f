"""A checkpoint is a folder that is whole or absent: written aside, hashed, its manifest last, then renamed.

While it is written or deleted it bears another name:

    .000000200000.partial   being written; of a killed process, and cleared away
    000000200000            complete
    000000200000.old        complete, while another of the same step takes its place
    .000000200000.deleted   being deleted, so that half of it never looks like a whole one
    000000200000.damaged    set aside by a resume that used an older one

Files may be hard links to those of another checkpoint: nothing in a checkpoint is ever written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from rlhub_core import artefacts
from rlhub_core.errors import ArtefactError, CheckpointError, StorageError
from rlhub_core.storage import free_space, make_folder, reason_if_full, size, sync

FORMAT = 2
MANIFEST = "manifest.json"
Manifest = dict[str, Any]
Member = dict[str, Any]  # {"sha256": hex digest, "size": bytes}


class NewerFormatError(CheckpointError):
    """A checkpoint, sealed and whole, of a format that only a newer rlhub reads."""


def write(parent: Path, step: int, fill: Callable[[Path], dict[str, Any]]) -> Path:
    """Write the checkpoint of an env step under `parent` and return its folder, which is then on the disk.

    Args:
        parent: the folder of all checkpoints of a run.
        step: env steps; checkpoints are ordered by it.
        fill: writes the files into the folder it is given and returns what else the manifest shall hold.

    Raises:
        StorageError: where the disk is full; the checkpoints before it stay, and nothing is left of this one.
    """
    final, aside = parent / f"{step:012d}", parent / f".{step:012d}.partial"
    try:
        make_folder(parent)
        recover(parent)
        aside.mkdir()
        facts, known = fill(aside), _digests(parent)
        manifest = {"format": FORMAT, "step": step, **facts, "files": _members(aside, known)}
        for path in aside.rglob("*"):
            if _inode(path) not in known:  # what is linked is on the disk already
                sync(path)
        (aside / MANIFEST).write_text(_readable(manifest, aside), encoding="utf-8")
        sync(aside / MANIFEST)
        sync(aside)
        _put_in_place(aside, final)
    except BaseException as error:
        needed = _estimate(parent, aside)
        shutil.rmtree(aside, ignore_errors=True)
        if (reason := reason_if_full(error)) is not None:
            raise StorageError(_full(parent, step, reason, needed)) from error
        raise
    return final


def recover(parent: Path) -> None:
    """Put back what a process that was killed had moved out of the way, and clear away what it had not finished.

    Only the one writer of a run may call it.
    """
    if not parent.exists():
        return
    for old in sorted(parent.glob("*.old")):
        if (old.with_suffix("") / MANIFEST).exists():
            _delete(old)
        else:
            old.rename(old.with_suffix(""))
            sync(parent)
    for leftover in [*parent.glob(".*.partial"), *parent.glob(".*.deleted")]:
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def folders(parent: Path) -> dict[int, Path]:
    """Return env step -> folder of the complete checkpoints under `parent`, steps rising.

    One that was moved out of the way by a process that was killed before the new one stood there is complete, too.
    """
    found = {}
    for path in sorted(parent.glob(f"*/{MANIFEST}"), reverse=True):  # "1.old" before "1", which wins
        if match := re.fullmatch(r"(\d{12})(\.old)?", path.parent.name):
            found[int(match[1])] = path.parent
    return dict(sorted(found.items()))


def standing(parent: Path) -> dict[Path, int]:
    """Return folder -> inode of the complete checkpoints: others where one was deleted or written anew."""
    found = {}
    for folder in folders(parent).values():
        with contextlib.suppress(FileNotFoundError):  # deleted between one call and the next
            found[folder] = folder.stat().st_ino
    return found


def steps(parent: Path) -> list[int]:
    """Return the env steps of the complete checkpoints under `parent`, rising."""
    return list(folders(parent))


def set_aside_after(parent: Path, step: int) -> None:
    """Rename the checkpoints newer than that of an env step, which were found damaged, so that they count no more."""
    for newer, folder in folders(parent).items():
        if newer > step:
            if (damaged := parent / f"{newer:012d}.damaged").exists():
                _delete(damaged)
            folder.rename(damaged)
    sync(parent)


def beside(path: Path) -> list[Path]:
    """Return where the complete checkpoints have what a path within one that is being written is, newest first.

    Files that did not change may be linked from there. Elsewhere there are none.
    """
    for aside in (path, *path.parents):
        if re.fullmatch(r"\.\d{12}\.partial", aside.name):
            within = path.relative_to(aside)
            return [aside.parent / f"{step:012d}" / within for step in reversed(steps(aside.parent))]
    return []


def prune(parent: Path, keep: int, kept: Collection[int] = ()) -> None:
    """Delete all checkpoints but the newest `keep` and those of the steps `kept`.

    A disk may be too full even for that. Nothing is lost then: the next `write` says so, if it still is.
    """
    for step in steps(parent)[: -max(1, keep)]:
        if step not in kept:
            _delete_if_room(parent / f"{step:012d}")


def verify(folder: Path) -> Manifest:
    """Return the manifest of a checkpoint, in today's format, after comparing every file with it.

    Raises:
        NewerFormatError: for a checkpoint that only a newer rlhub reads.
        CheckpointError: for a missing, changed, unknown or unreadable file, naming it.
    """
    manifest = _read(folder)
    if re.fullmatch(r"\d{12}(\.old)?", folder.name) and manifest.get("step") != int(folder.name[:12]):
        raise CheckpointError(f"{folder} is damaged: its {MANIFEST} is that of step {manifest.get('step')}.")
    try:
        for version in range(manifest["format"], FORMAT):
            manifest = MIGRATIONS[version](manifest, folder)
    except OSError as error:
        raise CheckpointError(f"{folder} is damaged: {error}.") from error
    recorded, found = manifest["files"], _files(folder)
    for name in sorted(recorded.keys() | found.keys()):
        left_about = name not in recorded and _hidden(name)  # by a file manager
        if not left_about and not (name in found and _is_member(found[name], recorded.get(name))):
            raise CheckpointError(f"{folder} is damaged: {name} is not what its manifest says.")
    return manifest


def _read(folder: Path) -> Manifest:
    """Return the manifest as it was written, once it is certain that it was written like this."""
    try:
        text = artefacts.text(folder / MANIFEST)
        manifest: Manifest = artefacts.json_text(text, folder / MANIFEST)
        version, tables = manifest["format"], (manifest["files"], manifest.get("provenance", {}))
        whole = text == (_dumped(manifest) if version == 1 and "seal" not in manifest else _sealed(manifest))
    except ArtefactError as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: {error}") from error
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: it has no {MANIFEST}.") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: its {MANIFEST} is none.") from error
    if not whole:
        raise CheckpointError(f"{folder} is damaged: its {MANIFEST} is not as it was written.")
    if type(version) is not int or version < 1 or not all(isinstance(table, dict) for table in tables):
        raise CheckpointError(f"{folder} is damaged: its {MANIFEST} is none that rlhub writes.")
    if version > FORMAT:
        raise NewerFormatError(
            f"{folder} has checkpoint format {version}; this rlhub reads formats 1 to {FORMAT}. "
            "Upgrade it: pip install -U rlhub-core."
        )
    return manifest


def _to_2(manifest: Manifest, folder: Path) -> Manifest:
    """Format 1 held no sizes, no seal, and the names of callbacks as those of folders alone."""
    sizes = {name: path.stat().st_size for name, path in _files(folder).items()}
    files = {name: {"sha256": digest, "size": sizes.get(name)} for name, digest in manifest["files"].items()}
    callbacks = sorted(path.name for path in folder.glob("callbacks/*") if path.is_dir())
    return manifest | {"format": 2, "files": files, "callbacks": callbacks}


MIGRATIONS: dict[int, Callable[[Manifest, Path], Manifest]] = {1: _to_2}
"""Format -> function of (manifest, folder), both only read, that returns the manifest of the next format."""


def _readable(manifest: Manifest, folder: Path) -> str:
    """Return the text of a manifest, once it is certain that `_read` takes it: no checkpoint is written in vain.

    Raises:
        ArtefactError: for facts that nest too deep, or are too large.
    """
    utf8 = json.dumps(manifest, ensure_ascii=False).encode(errors="replace")  # halves of characters, as in paths
    text = _sealed(json.loads(utf8))  # as a reader will see it: keys 1 and "1" are one
    artefacts.json_text(text, folder / MANIFEST)
    return text


def _sealed(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as text with its own checksum.

    Every format from 2 on is sealed like this, so that one of a newer rlhub can be told from one that is damaged.
    """
    rest = {name: value for name, value in manifest.items() if name != "seal"}
    return _dumped(rest | {"seal": hashlib.sha256(_dumped(rest).encode()).hexdigest()})


def _dumped(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1)


def _put_in_place(aside: Path, final: Path) -> None:
    """Rename a finished checkpoint; another of its step, of a planner or a run resumed at its end, makes room."""
    old = final.with_suffix(".old")
    if final.exists():
        final.rename(old)
    aside.rename(final)
    sync(final.parent)
    if old.exists():
        _delete_if_room(old)


def _delete_if_room(folder: Path) -> None:
    """Delete a checkpoint, but for where the disk is so full that not even a name can be changed."""
    try:
        _delete(folder)
    except OSError as error:
        if reason_if_full(error) is None:
            raise


def _delete(folder: Path) -> None:
    """Delete a checkpoint, which from the first moment on is not one any more."""
    doomed = folder.with_name(f".{folder.name.partition('.')[0]}.deleted")
    if doomed.exists():
        shutil.rmtree(doomed)
    folder.rename(doomed)
    sync(folder.parent)
    shutil.rmtree(doomed, ignore_errors=True)  # what is left is cleared away by the next `write`


def _members(folder: Path, known: Mapping[tuple[int, int], Member]) -> dict[str, Member]:
    """Return path -> digest and size of every file of a checkpoint but its manifest.

    Args:
        folder: of the checkpoint.
        known: (device, inode) -> digest of files that stand in another checkpoint as well, as hard links.
    """
    return {name: _member(path, known) for name, path in _files(folder).items()}


def _files(folder: Path) -> dict[str, Path]:
    """Return every file of a checkpoint but its manifest by its path within.

    Raises:
        CheckpointError: for a link or a device, which is no part of a checkpoint.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise CheckpointError(f"{folder} is damaged: {name} is no regular file.")
        if path.is_file() and name != MANIFEST:
            files[name] = path
    return files


def _is_member(path: Path, recorded: Any) -> bool:
    """Return whether a file is what a manifest says; one of another size is not read, however large it is."""
    try:
        return bool(recorded["size"] == path.stat().st_size and recorded == _member(path))
    except (KeyError, TypeError, OSError):  # the last: a disk that fails, or another process that deletes it
        return False


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _member(path: Path, known: Mapping[tuple[int, int], Member] | None = None) -> Member:
    if known and (same := known.get(_inode(path))) is not None:
        return same
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def _digests(parent: Path) -> dict[tuple[int, int], Member]:
    """Return (device, inode) -> digest of files that have been linked or may be, as the newest checkpoint recorded it.

    A digest taken anew would cost reading a replay buffer at each save, and would bless what has been damaged since.
    """
    found: dict[tuple[int, int], Member] = {}
    for folder in list(folders(parent).values())[-1:]:
        try:
            manifest = _read(folder)
            for name, member in manifest["files"].items() if manifest["format"] > 1 else ():
                found[_inode(folder / name)] = member
        except (CheckpointError, OSError):  # a resume will say so; here everything is hashed anew
            continue
    return found


def _estimate(parent: Path, aside: Path) -> int:
    """Return the bytes that a checkpoint takes beside what it shares: of the last one, or as far as this one came."""
    files = [path.stat() for path in aside.rglob("*") if path.is_file()]
    written = sum(status.st_size for status in files if status.st_nlink == 1)
    shared = sum(status.st_size for status in files) - written
    last = list(folders(parent).values())[-1:]
    before = sum(path.stat().st_size for folder in last for path in folder.rglob("*") if path.is_file())
    return max(written, before - shared)


def _full(parent: Path, step: int, reason: str, needed: int) -> str:
    known = steps(parent)
    about = f"about {size(needed)}" if known else f"more than {size(needed)}"
    onward = (
        f"Free some space, then go on from step {known[-1]:,}: rlhub resume {shlex.quote(str(parent.parent))}"
        if known
        else "Free some space, then start again"
    )
    return (
        f"The checkpoint of step {step:,} could not be written to {parent}: {reason}. "
        f"It needs {about}, and {free_space(parent)}. {onward}."
    )
