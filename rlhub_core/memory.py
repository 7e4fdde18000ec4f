"""Whether what is about to be allocated fits: memory that is promised lazily and missing later ends in a kill."""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from rlhub_core.errors import ConfigError


def check_fits(option: str, size: int, bytes_needed: Callable[[int], int]) -> None:
    """Raise ConfigError where an option's value takes more memory than there is, naming the largest that fits.

    Args:
        option: its name.
        size: its value.
        bytes_needed: by a value; it must not fall as the value grows.
    """
    needed, free = bytes_needed(size), available_memory()
    if needed > free:
        most = max(0, bisect_right(range(size), free, key=bytes_needed) - 1)
        unit = 10 ** max(0, len(str(most)) - 3)  # three digits are enough of it
        raise ConfigError(
            f"{option} {size:,} needs {_gigabytes(needed)}; {_gigabytes(free)} is free. "
            f"At most {option}={most // unit * unit:,} fits."
        )


def available_memory(root: Path = Path("/")) -> int:
    """Return how many bytes can be had without swapping: what the machine and the control groups (v2) leave us."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        machine = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # all that macOS tells
    return min(machine, *_left_by_groups(root), machine)


def _left_by_groups(root: Path) -> Iterator[int]:
    own = root / "sys/fs/cgroup"
    with contextlib.suppress(OSError, StopIteration):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        own /= next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
    for group in (own, *own.parents):
        with contextlib.suppress(OSError, ValueError):  # no group, or no limit ("max")
            limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield max(0, limit - used + int(statistics["inactive_file"]))  # cached files make room on demand


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.{0 if size >= 1e11 else 1}f} GB"
