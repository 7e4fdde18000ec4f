"""Whether what is about to be allocated fits: memory that is promised lazily and missing later ends in a kill."""

from __future__ import annotations

import contextlib
import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlhub_core.errors import ConfigError

WORKER = 16_000_000  # bytes that a forked worker process does not share (9 to 11 MB measured, and its games)


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
    if size < 1e8:
        return f"{size / 1e6:,.1f} MB"
    return f"{size / 1e9:,.{0 if size >= 1e11 else 1}f} GB"


# a whole run


class Held(NamedTuple):
    """Something large that a run will hold: what an algorithm's optional `memory_needed(num_envs)` yields."""

    what: str  # "replay"
    size: int  # bytes
    setting: str = ""  # what makes it smaller: "buffer_size"


def check_run(parts: Iterable[Held], run: str) -> None:
    """Raise ConfigError, before anything large is allocated, where a run takes more memory than there is.

    Args:
        parts: what it will hold beside what the process has already.
        run: what it is called: "deep/dqn on CartPole-v1".
    """
    parts, free = sorted(parts, key=lambda part: -part.size), available_memory()
    needed = sum(part.size for part in parts)
    if needed <= free:
        return
    width = max(len(part.what) for part in parts)
    rows = [
        f"  {part.what:{width}}  {_gigabytes(part.size):>9}" + (f"  smaller by {part.setting}" if part.setting else "")
        for part in parts
    ]
    raise ConfigError(
        f"{run} needs {_gigabytes(needed)} more memory; {_gigabytes(free)} is free. It would hold\n" + "\n".join(rows)
    )


def resident() -> int:
    """Return how many bytes of memory this process occupies now; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def nbytes_of(space: Any) -> int:
    """Return how many bytes an observation or action of a space takes as arrays."""
    if hasattr(space, "spaces"):
        inner = space.spaces.values() if isinstance(space.spaces, Mapping) else space.spaces
        return sum(nbytes_of(each) for each in inner)
    return math.prod(space.shape or ()) * np.dtype(space.dtype or np.int64).itemsize
