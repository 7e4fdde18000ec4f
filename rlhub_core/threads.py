"""How many threads a run computes with, decided in one place for torch, BLAS, emulators and worker processes.

They take turns: while environments step, nothing learns. So each may have all CPUs that we may use, and together they
do not ask for more; a worker process, of which there are many at a time, computes with one thread.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlhub_core.errors import ConfigError

BY_ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # a user's word, read at import
MOST = 1_024  # OpenMP ends the process where the system does not give it the threads it was told to start
_in_force: list[int] = []  # for environments of the runs in this process, the innermost last


def usable_cpus(root: Path = Path("/")) -> int:
    """Return how many CPUs this process may keep busy: its affinity, and the quota of its control groups (v2 or v1)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # no macOS
    return max(1, min(affinity, *(math.ceil(quota) for quota in _quotas(root)), affinity))


def in_force() -> int:
    """Return how many threads native environments may have: as the run that is on asks, else the usable CPUs."""
    return _in_force[-1] if _in_force else usable_cpus()


@contextlib.contextmanager
def settled(asked: int | None, kept: Any = None, kept_blas: Any = None) -> Iterator[int]:
    """Have a run compute with so many threads, and yield how many; afterwards everything is as it was.

    Args:
        asked: what the user says. None: what torch takes by itself or was set to before, but no more than the CPUs
            that may be used; where a variable such as OMP_NUM_THREADS is set, it counts alone.
        kept: what a run that goes on computed with until now; native environments need not have it, their results do
            not depend on it. A file says it, so what is no such number counts as not said.
        kept_blas: the same of numpy's BLAS, where a variable has given it another number, or nothing imports torch.
    """
    torch: Any = sys.modules.get("torch")  # never imported from here
    before = torch.get_num_threads() if torch is not None else usable_cpus()
    told = any(os.environ.get(name) for name in BY_ENVIRONMENT)
    kept, kept_blas = (each if _is_count(each) else None for each in (kept, kept_blas))
    blas = asked or kept_blas or kept
    count = asked or kept or (before if told else min(before, usable_cpus()))
    _in_force.append(asked or usable_cpus())
    try:
        with contextlib.ExitStack() as ending:
            if torch is not None and count != before:
                torch.set_num_threads(count)
                ending.callback(torch.set_num_threads, before)
            if blas or not told:
                ending.enter_context(_blas(blas or count))
            yield count
    finally:
        _in_force.pop()


def of_blas() -> int | None:
    """Return how many threads numpy's BLAS computes with now; None where that cannot be had (Apple's Accelerate)."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    return max((each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"), default=None)


def alone(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a maker that, in a worker process, first has everything there compute with one thread."""
    return functools.partial(_made, make, os.getpid())


def check_count(count: Any) -> None:
    """Raise ConfigError unless a number of threads is None or an integer from 1 to MOST."""
    if count is None or _is_count(count):
        return
    if isinstance(count, int) and count > MOST:
        raise ConfigError(f"threads={count:,} is more than {MOST:,}, which no machine is faster with.")
    raise ConfigError(f"threads must be a positive integer, not {count!r}.")


def _is_count(count: Any) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MOST


def _made(make: Callable[[], Any], parent: int) -> Any:
    if os.getpid() != parent:
        torch: Any = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(1)
        _blas(1)
    return make()


def _blas(count: int) -> Any:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(count, user_api="blas")


def _quotas(root: Path) -> Iterator[float]:
    own, mount = root / "sys/fs/cgroup", root / "sys/fs/cgroup"
    with contextlib.suppress(OSError, StopIteration):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        own /= next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
    for group in (own, *own.parents):
        with contextlib.suppress(OSError, ValueError):  # no group, or no limit ("max")
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota, period = ((mount / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
