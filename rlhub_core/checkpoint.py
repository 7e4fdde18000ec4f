"""A checkpoint is a folder that is whole or absent: written aside, hashed, its manifest last, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from rlhub_core import artefacts
from rlhub_core.errors import ArtefactError, CheckpointError

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
        manifest = {"format": FORMAT, "step": step, **fill(aside), "files": _hashes(aside)}
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


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint after comparing every file with it.

    Raises:
        CheckpointError: for a format of another version, and for a missing, changed or unknown file, naming it.
    """
    try:
        artefacts.check_folder(folder)
        manifest: dict[str, Any] = artefacts.json_file(folder / MANIFEST)
        version, recorded, step = manifest["format"], dict(manifest["files"]), manifest["step"]
    except ArtefactError as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: its {MANIFEST} cannot be read.") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {version}; this rlhub reads {FORMAT}. Upgrade rlhub-core."
        )
    if type(step) is not int or folder.name.partition(".")[0] != f"{step:012d}":
        raise CheckpointError(f"{folder} is damaged: its {MANIFEST} says step {step!r:.80}.")
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


def _hashes(folder: Path) -> dict[str, str]:
    hashes = {}
    for path in _files(folder):
        with path.open("rb") as file:
            hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
