"""Runs in processes of their own that can be killed at any instant, resumed, and compared with one that was not.

A process begins as a fork of multiprocessing's fork server, which has imported what is heavy, has one thread, and has
computed nothing: so a process costs milliseconds, and no thread pool of torch is ever copied half.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import rlhub_core as rlhub
from rlhub_core import checkpoint
from rlhub_core.testing import fingerprints

PRELOADED = (
    *("rlhub_core.training", "rlhub_core.testing", "rlhub_core.callbacks", "gymnasium.vector", "gymnasium.wrappers"),
    *("torch.optim", "torch._dynamo", "stable_baselines3", "sb3_contrib", "safetensors.numpy", "pydantic", "tomli_w"),
    *("rlhub_deep.dqn", "rlhub_deep.ppo", "rlhub_deep.sac", "rlhub_sb3.adapter", "rlhub_sb3.algorithms"),
    *("rlhub_atari.vector", "rlhub_gridworld.vector", "rlhub_tabular.learner", "rlhub_legacy.gym"),
)
BY_DEFAULT = multiprocessing.get_all_start_methods()[0]  # of the workers of an AsyncVectorEnv, as for any user
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(list(PRELOADED))


@dataclass(frozen=True)
class Recipe:
    """What is trained: an algorithm, an environment, and further settings of `rlhub.train`."""

    algorithm: str
    env: Any
    settings: Mapping[str, Any] = field(default_factory=dict)

    def train(self, folder: Path) -> None:
        """Train from the beginning."""
        rlhub.train(self.algorithm, self.env, folder=folder, device="cpu", progress=False, **self.settings)

    def resume(self, folder: Path) -> None:
        """Go on from the newest checkpoint."""
        rlhub.resume(folder, progress=False, **self._live)

    def load(self, folder: Path) -> None:
        """Print the step of the newest checkpoint, as who only wants to act meets it."""
        print(rlhub.load(folder, **self._live).steps)

    @property
    def _live(self) -> dict[str, Any]:
        """Return what a recipe only mentions and is passed again."""
        functions = {name: value for name, value in self.settings.get("config", {}).items() if callable(value)}
        return {"env": None if isinstance(self.env, str) else self.env, "config": functions or None}


class Child:
    """A process, leader of a session of its own, that runs a function and writes what it says into a file."""

    def __init__(self, work: Callable[..., object], *arguments: Any, log: Path) -> None:
        self.log = log
        self._process = SERVER.Process(target=_work, args=(work, arguments, log))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def ends_within(self, seconds: float | None) -> bool:
        """Wait at most so long for its end."""
        return bool(wait([self._process.sentinel], seconds))

    def end(self) -> int:
        """Wait for its end and return the exit code, or minus the signal that killed it."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self, number: int = signal.SIGKILL, *, group: bool = False) -> None:
        """Send a signal, also to the processes that it has started where asked, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number) if group else os.kill(self.pid, number)

    def said(self) -> str:
        """Return what it has printed."""
        return self.log.read_text() if self.log.exists() else ""

    def left_behind(self) -> list[int]:
        """Return the processes of its session that are alive."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _session(pid) == self.pid]


def run_through(work: Callable[..., object], *arguments: Any, log: Path) -> str:
    """Do something in a process of its own and return what it said.

    Raises:
        AssertionError: where it did not end well.
    """
    child = Child(work, *arguments, log=log)
    code = child.end()
    assert code == 0, f"exit code {code}: {child.said()}"
    return child.said()


def complete(folder: Path) -> list[int]:
    """Return the steps of a run's complete checkpoints, rising; none where there is no run yet."""
    return checkpoint.steps(folder / "checkpoints")


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the files in which two runs differ that should be equal, wall time aside."""
    ours, theirs = fingerprints(one), fingerprints(other)
    return sorted({name for name, _ in set(ours) ^ set(theirs)})


def _work(work: Callable[..., object], arguments: tuple[Any, ...], log: Path) -> None:
    multiprocessing.set_start_method(BY_DEFAULT, force=True)  # not the one that this process was started with
    os.setsid()
    sys.stdout.flush(), sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    _one_thread()
    try:
        work(*arguments)
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def _one_thread() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _session(pid: int) -> int | None:
    """Return the session of a live process; None of one that has gone or only waits to be reaped."""
    try:
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else int(session)
