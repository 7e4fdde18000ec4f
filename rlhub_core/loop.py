"""The loop that drives every algorithm: records, callbacks, checkpoints, signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rlhub_core import postmortem
from rlhub_core.displays import can_be_watched
from rlhub_core.errors import EnvironmentFault, NonFiniteError, RunError, TrainingError
from rlhub_core.progress import ProgressBar
from rlhub_core.protocol import Callback, Progress, StopTraining
from rlhub_core.run import Run, naming
from rlhub_core.stopwatch import CALLBACKS

# the loop


def drive(run: Run, show_progress: bool | None) -> Run:
    """Train a run to its end, or until a callback or a signal stops it; in any case it ends with a checkpoint.

    Args:
        run: fresh or restored.
        show_progress: show a progress bar (None: on a terminal, and in a notebook).

    Raises:
        KeyboardInterrupt, SystemExit: after SIGINT or SIGTERM, once the checkpoint is written.
    """
    wanted = show_progress if show_progress is not None else can_be_watched()
    if wanted and not any(isinstance(callback, ProgressBar) for callback in run.callbacks):
        run.callbacks = (*run.callbacks, ProgressBar())
    with _signals() as received, contextlib.ExitStack() as ending:
        ending.push(_closing(run))
        for callback in run.callbacks:
            with naming(callback, "before the first step"):
                callback.on_start(run)
            ending.callback(_end, callback, run)
        try:
            _loop(run, received)
        except NonFiniteError as error:
            postmortem.explain(error, run)
            raise
        except EnvironmentFault as fault:
            _say_what_is_kept(fault, run)
            raise
    if received:
        by = signal.Signals(received[0]).name
        print(
            f"Stopped at step {run.steps:,} by {by}. Go on with: rlhub resume {shlex.quote(str(run.folder))}",
            file=sys.stderr,
        )
        raise KeyboardInterrupt("saved") if received[0] == signal.SIGINT else SystemExit(128 + received[0])
    return run


def _closing(run: Run) -> Callable[..., None]:
    """Return what closes a run; where closing fails after something else has, that stays the error."""

    def close(kind: object, error: BaseException | None, trace: object) -> None:
        try:
            run.close()
        except EnvironmentFault as fault:
            if error is None:
                fault.add_note("Training has ended before, and the run is saved.")
                raise
            error.add_note(f"And then: {fault}")

    return close


def _say_what_is_kept(fault: EnvironmentFault, run: Run) -> None:
    """Say from where on a run can go on: what an algorithm is in the middle of is no whole state."""
    assert run.collector is not None
    if run.collector.steps:
        fault.add_note(
            f"The run's newest checkpoint is of step {run.last_checkpoint:,}. Mend the environment, then go on with: "
            f"rlhub resume {shlex.quote(str(run.folder))}"
        )


def _end(callback: Callback, run: Run) -> None:
    with naming(callback, "at the end; the run is saved"):
        callback.on_end(run)


def _loop(run: Run, received: list[int]) -> None:
    audience = _Audience(run)
    if run.restored is None:
        run.save()  # so that a run can be resumed from its first moment on
    saved = True
    for progress in _training(run):
        saved = False
        run.records.add(progress)
        try:
            stop = audience.tell(progress)
        except Exception:
            run.save(whole=False)
            raise
        if stop is not None:
            run.stopped = str(stop)
        if stop is not None or received:
            break
        if run.checkpoint_due:
            run.save()
            saved = True
    if not saved:
        run.save()


def _training(run: Run) -> Iterator[Progress]:
    """Yield what the algorithm does; where it cannot go on, save what it has learnt."""
    assert run.collector is not None
    try:
        training = run.algorithm.train(run.collector, run.experiment.steps)
        yield from training if run.stopwatch is None else run.stopwatch.over(training)
    except NonFiniteError:
        raise  # nothing of what it holds now is worth a checkpoint
    except TrainingError as error:
        run.save(whole=False)
        error.add_note(f"The run is saved. Go on with: rlhub resume {shlex.quote(str(run.folder))}")
        raise


class _Audience:
    """The callbacks of a run, each asked only for what it listens to."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._listening = {
            event: [each for each in run.callbacks if getattr(type(each), event) is not getattr(Callback, event)]
            for event in ("on_progress", "on_record", "on_evaluation")
        }

    def tell(self, progress: Progress) -> StopTraining | None:
        """Show every callback a progress and what was recorded meanwhile, also when one wants to stop, or fails.

        Evaluations and lines of metrics are shown when all have seen the progress, so that none interrupts another.
        """
        self._stop: StopTraining | None = None
        self._failure: Exception | None = None
        self._tell("on_progress", progress, progress.steps)
        for record in self._run.records.written():
            self._tell("on_record", record, progress.steps)
        for evaluation in self._run.evaluated():
            self._tell("on_evaluation", evaluation, progress.steps)
        if self._failure is not None:
            raise self._failure
        return self._stop

    def _tell(self, event: str, what: Any, steps: int) -> None:
        stopwatch = self._run.stopwatch
        for callback in self._listening[event]:
            try:
                getattr(callback, event)(self._run, what)
            except StopTraining as request:
                self._stop = request
            except Exception as error:
                error.add_note(f"raised by the callback {type(callback).__name__} at step {steps}; the run is saved")
                self._failure = self._failure or error
            if stopwatch is not None:
                stopwatch.lap(CALLBACKS + type(callback).__name__)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield a list to which the first SIGINT or SIGTERM is added; a second one acts at once, as without us."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each in before:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


LOCK = ".lock"
_held: set[int] = set()  # file descriptors of the locks of this process


def _let_go() -> None:
    """Close the locks in a forked process: a worker that outlives a killed run would hold them for ever."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the run's lock for the life of the block; the lock of a dead process is free.

    Raises:
        RunError: naming process and host that hold it.
    """
    descriptor = _locked(folder)
    _held.add(descriptor)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        if descriptor in _held:  # not so in a forked process that came here
            _held.remove(descriptor)
            os.close(descriptor)


def _locked(folder: Path) -> int:
    """Return the descriptor of the run's lock file, locked."""
    while True:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / LOCK).exists() and os.path.samestat(os.fstat(descriptor), (folder / LOCK).stat()):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 1_000, 0).decode(errors="replace")
            os.close(descriptor)
            raise RunError(f"{folder} is being written by {holder or 'another process'}.") from None
        os.close(descriptor)  # its holder was refused and has removed it meanwhile
