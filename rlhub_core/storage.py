"""Writing that outlives a power cut, and saying in one error what did not fit on a disk."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from rlhub_core.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sync(path: Path) -> None:
    """Return once what a file holds, or which names a folder holds, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():  # some network file systems cannot
            raise
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, all of them on the disk."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync(each.parent)


def replace(path: Path, text: str) -> None:
    """Put a text in the place of a file, which is at any moment, also after a power cut, the old one or the new one."""
    aside = path.with_name(f".{path.name}.partial")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def reason_if_full(error: BaseException) -> str | None:
    """Return in the system's words why a disk took no more, or None where an error is about something else.

    safetensors writes in Rust and raises an error of its own, which names the system's number in its text.
    """
    number = error.errno if isinstance(error, OSError) else None
    if type(error).__module__.startswith("safetensors") and (found := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(found[1])
    return os.strerror(number) if number in _FULL else None


@contextlib.contextmanager
def room_for(path: Path, cure: str) -> Iterator[None]:
    """Turn the error of a full disk into a `StorageError` that names what was being written and how to go on.

    Args:
        path: what is written.
        cure: what to do once there is space, a sentence.
    """
    try:
        yield
    except OSError as error:
        if (reason := reason_if_full(error)) is None:
            raise
        raise StorageError(f"{path} could not be written: {reason}; {free_space(path)}. {cure}") from error


def free_space(path: Path) -> str:
    """Return how much space there is where a path lies, as a clause; a quota may leave less."""
    there = next(each for each in (path, *path.parents, Path()) if each.exists())
    return f"the disk has {size(shutil.disk_usage(there).free)} free"


def size(count: float) -> str:
    """Return a number of bytes as people write it: "512 bytes", "1.5 GB"."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"
