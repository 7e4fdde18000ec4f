"""Crashes at chosen moments: a shim over the operations that change a disk."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from typing import Any

import pytest

Crash = Callable[[str], None]
OPERATIONS = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "link", "truncate", "ftruncate", "fsync")


class Shim:
    """Counts the operations that change a disk, halves of a payload among them, and crashes at the k-th.

    Args:
        patch: replaces what it counts.
        at: the operation before which `crash` is called with its name; 0 for every one.
        crash: what a crash is.
        fsync: what takes the place of the system's.
        on: crash at all that come after it as well.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, at: int, crash: Crash, fsync: Callable[[int], None], *, on: bool = False
    ) -> None:
        self.count, self._at, self._crash, self._on = 0, at, crash, on
        real = {name: getattr(os, name) for name in OPERATIONS} | {"fsync": fsync}
        for name in OPERATIONS:
            patch.setattr(os, name, self._counted(name, real[name]))
        opened = io.open
        for module in (io, builtins):
            patch.setattr(module, "open", lambda *args, **options: self._open(opened, *args, **options))

    def tick(self, operation: str) -> None:
        """Come to a point where a crash may be."""
        self.count += 1
        if self._at in (0, self.count) or (self._on and self.count > self._at):
            self._crash(operation)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.tick(name)
            return call(*args, **options)

        return counted

    def _open(self, opened: Callable[..., Any], file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        writes = set(mode) & set("wax+")
        if writes:
            self.tick("open")
        handle = opened(file, mode, *args, **options)
        if not writes:
            return handle
        whole = handle.write

        def half_by_half(content: Any) -> int:
            middle = len(content) // 2
            whole(content[:middle])
            handle.flush()
            self.tick("write")
            whole(content[middle:])
            handle.flush()
            return len(content)

        handle.write = half_by_half
        return handle
