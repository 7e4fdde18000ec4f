"""Files in a run folder that a killed run may leave torn and a resumed one continues."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from rlhub_core import Callback, ConfigError, Run, RunError, storage


def replaced(path: Path, text: str) -> None:
    """Put a text in the place of a file, which is at any moment the old one or the new one."""
    with _room_for(path):
        storage.replace(path, text)


def needed(load: Callable[[], ModuleType], callback: str, package: str, extra: str) -> ModuleType:
    """Return an optional module, or say what to install.

    Raises:
        ConfigError: where it is not installed.
    """
    try:
        return load()
    except ImportError as error:
        raise ConfigError(
            f"{callback} needs {package}, which cannot be imported ({error}): pip install 'rlhub-callbacks[{extra}]'."
        ) from error


def alone(run: Run, callback: Callback, name: str) -> None:
    """Refuse a second callback of a kind, which would write into the files of the first.

    Raises:
        ConfigError: where there is one.
    """
    if sum(type(each) is type(callback) for each in run.callbacks) > 1:
        raise ConfigError(f"{name} may stand once among the callbacks.")


class Growing:
    """A text file that only grows, each line handed to the operating system at once; a resume cuts it back.

    `state()` belongs into `Callback.save`, and what it returned into `cut_back` before the first new line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def write(self, text: str) -> None:
        """Add a text, whole lines."""
        with _room_for(self.path):
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8", newline="")
            self._file.write(text)
            self._file.flush()

    def state(self) -> dict[str, Any]:
        """Return how long the file is, once all of it is on the disk."""
        if not self.path.exists():
            return {"size": 0}
        for path in (self.path, self.path.parent):
            storage.sync(path)
        return {"size": self.path.stat().st_size}

    def cut_back(self, state: Mapping[str, Any]) -> None:
        """Forget what was written after `state` was taken.

        Raises:
            RunError: where the file has lost something since.
        """
        self.close()
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < state["size"]:
            raise RunError(
                f"{self.path} is shorter than it was at the checkpoint: lines are missing. Restore the file."
            )
        if self.path.exists():
            os.truncate(self.path, state["size"])

    def close(self) -> None:
        """Close it; what does not reach a full disk is newer than the last checkpoint, and cut off anyway."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _room_for(path: Path) -> contextlib.AbstractContextManager[None]:
    onward = f"Free some space, then go on from the last checkpoint: rlhub resume {shlex.quote(str(path.parent))}."
    return storage.room_for(path, onward)
