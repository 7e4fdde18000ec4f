"""A checkpoint is a folder that is whole or absent: written aside, hashed, its manifest last, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rlhub_core.errors import CheckpointError

FORMAT = 1
MANIFEST = "manifest.json"


def write(parent: Path, step: int, fill: Callable[[Path], dict[str, Any]]) -> Path:
    """Write the checkpoint of an env step under `parent` and return its folder.

    Args:
        parent: the folder of all checkpoints of a run.
        step: env steps; checkpoints are ordered by it.
        fill: writes the files into the folder it is given and returns what else the manifest shall hold.
    """
    parent.mkdir(parents=True, exist_ok=True)
    recover(parent)
    final, aside = parent / f"{step:012d}", parent / f".{step:012d}.partial"
    for leftover in parent.glob(".*.partial"):  # of a process that was killed; there is one writer a run
        shutil.rmtree(leftover)
    aside.mkdir()
    try:
        manifest = {"format": FORMAT, "step": step, **fill(aside), "files": _hashes(aside, _linked(aside))}
        for path in (*_files(aside), aside):
            _sync(path)
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1))
        _sync(aside / MANIFEST)
        if final.exists():  # a planner, which takes no env step, or a resumed run that comes by again
            final.rename(_old(final))
        aside.rename(final)
        _sync(parent)
        shutil.rmtree(_old(final), ignore_errors=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return final


def recover(parent: Path) -> None:
    """Put back what a process that was killed while it replaced a checkpoint had moved out of the way."""
    for old in parent.glob("*.old"):
        if old.with_suffix("").exists():
            shutil.rmtree(old)
        else:
            old.rename(old.with_suffix(""))


def steps(parent: Path) -> list[int]:
    """Return the env steps of the complete checkpoints under `parent`, rising."""
    names = (path.parent.name for path in parent.glob(f"*/{MANIFEST}"))
    return sorted(int(name) for name in names if re.fullmatch(r"\d{12}", name))


def set_aside_after(parent: Path, step: int) -> None:
    """Rename the checkpoints newer than that of an env step, which were found damaged, so that they count no more."""
    for newer in steps(parent):
        if newer > step:
            folder = parent / f"{newer:012d}"
            shutil.rmtree(folder.with_suffix(".damaged"), ignore_errors=True)
            folder.rename(folder.with_suffix(".damaged"))


def beside(path: Path) -> list[Path]:
    """Return where the complete checkpoints have what a path within one that is being written is, newest first.

    Files that did not change may be linked from there. Elsewhere there are none.
    """
    for aside in (path, *path.parents):
        if re.fullmatch(r"\.\d{12}\.partial", aside.name):
            within = path.relative_to(aside)
            return [aside.parent / f"{step:012d}" / within for step in reversed(steps(aside.parent))]
    return []


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint after comparing every file with it.

    Raises:
        CheckpointError: for a format of another version, and for a missing, changed or unknown file, naming it.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        version, recorded = manifest["format"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: its {MANIFEST} cannot be read.") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {version}; this rlhub reads {FORMAT}. Upgrade rlhub-core."
        )
    found = _hashes(folder)
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            raise CheckpointError(f"{folder} is damaged: {name} is not what its manifest says.")
    return manifest


def prune(parent: Path, keep: int, kept: Collection[int] = ()) -> None:
    """Delete all checkpoints but the newest `keep` and those of the steps `kept`."""
    for step in steps(parent)[: -max(1, keep)]:
        if step not in kept:
            shutil.rmtree(parent / f"{step:012d}")


def _files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint, without those that a file manager leaves about."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return sorted(path for path in paths if not path.name.startswith("."))


def _old(final: Path) -> Path:
    return final.with_suffix(".old")


def _hashes(folder: Path, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    hashes = {}
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if name in known:
            hashes[name] = known[name]
            continue
        with path.open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _linked(aside: Path) -> dict[str, str]:
    """Return what earlier manifests say of the files that were linked from their checkpoints, not written again.

    So they are not read again, and one that has been damaged since is found out when it is loaded.
    """
    known: dict[str, str] = {}
    for earlier in beside(aside):
        shared = [path for path in _files(aside) if path.stat().st_nlink > 1]
        names = {path.relative_to(aside).as_posix() for path in shared} - known.keys()
        names = {name for name in names if (earlier / name).exists() and (earlier / name).samefile(aside / name)}
        if names:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                manifest = json.loads((earlier / MANIFEST).read_text())
                recorded = manifest["files"] if manifest["format"] == FORMAT else {}
                known |= {name: recorded[name] for name in names & recorded.keys()}
    return known


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
