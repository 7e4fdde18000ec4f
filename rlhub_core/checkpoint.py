"""A checkpoint is a folder that is whole or absent: written aside, hashed, its manifest last, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
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
        if final.exists():  # a resumed run that comes by again: the same step, the same state
            shutil.rmtree(final)
        aside.rename(final)
        _sync(parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return final


def steps(parent: Path) -> list[int]:
    """Return the env steps of the complete checkpoints under `parent`, rising."""
    return sorted(int(path.parent.name) for path in parent.glob(f"[0-9]*/{MANIFEST}"))


def latest(parent: Path) -> Path | None:
    """Return the newest complete checkpoint under `parent`, or None."""
    done = steps(parent)
    return parent / f"{done[-1]:012d}" if done else None


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


def prune(parent: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints."""
    for step in steps(parent)[: -max(1, keep)]:
        shutil.rmtree(parent / f"{step:012d}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


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
