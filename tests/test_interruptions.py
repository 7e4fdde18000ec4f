"""Ctrl-C, SIGTERM, and the lock of a run: nothing is torn, nothing is written twice, nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from killing import SERVER, Child, complete, differences, run_through

import rlhub_core as rlhub
from rlhub_core import Progress, RunError, checkpoint
from rlhub_core.evaluation import Evaluation
from rlhub_core.loop import only_writer

SETTINGS: dict[str, Any] = {"steps": 400, "num_envs": 2, "progress": False, "config": {"rollout_length": 5}}
CALLBACKS = ("core/checkpoint:every=40", "core/evaluate:every=100,episodes=1")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Signals(rlhub.Callback):
    """Sends signals to its own process at one moment, and prints the step of every iteration."""

    def __init__(self, moment: str = "never", number: int = signal.SIGINT, times: int = 1) -> None:
        self.moment, self.number, self.times = moment, number, times

    def sends(self, moment: str, *, when: bool = True) -> None:
        """Send them where it is the moment."""
        if moment == self.moment and when:
            self.moment = "never"
            print("signal", flush=True)
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def on_start(self, run: rlhub.Run) -> None:
        """Before the first step."""
        self.sends("on_start")

    def on_progress(self, run: rlhub.Run, progress: Progress) -> None:
        """At an iteration."""
        print("iteration", progress.steps, flush=True)
        self.sends("on_progress", when=progress.steps >= 100)

    def on_evaluation(self, run: rlhub.Run, evaluation: Evaluation) -> None:
        """After an evaluation."""
        self.sends("on_evaluation")

    def on_end(self, run: rlhub.Run) -> None:
        """At the end."""
        self.sends("on_end")

    def save(self, folder: Path) -> None:
        """Amid a checkpoint."""
        self.sends("save", when=folder.parents[1].name != ".000000000000.partial")


class Interrupting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Sends a signal in its 150th step; a resume goes through that step again."""

    number, left = signal.SIGINT, -1

    def step(self, action: Any) -> Any:
        """Step."""
        type(self).left -= 1
        if type(self).left == 0:
            print("signal", flush=True)
            os.kill(os.getpid(), self.number)
        return super().step(action)


def train(folder: Path, moment: str = "never", number: int = signal.SIGINT, times: int = 1) -> None:
    """Train as a user's script does, which ends as Python lets it."""
    Interrupting.number, Interrupting.left = signal.Signals(number), 150 if moment == "step" else -1
    callbacks = [*CALLBACKS, Signals(moment, number, times)]
    with ExitCodes():
        rlhub.train("deep/a2c", "CartPole-v1", folder=folder, callbacks=callbacks, wrappers=[Interrupting], **SETTINGS)


def train_beside_workers(folder: Path, context: str) -> None:
    """Train in an environment whose workers stand in the same process group, as those of a terminal do."""
    mode = f"async:context={context}"
    with ExitCodes():
        rlhub.train("deep/a2c", "CartPole-v1", folder=folder, vectorization_mode=mode, **SETTINGS | {"steps": 10**8})


def resume(folder: Path) -> None:
    """Go on."""
    rlhub.resume(folder, callbacks=[Signals()], wrappers=[Interrupting], progress=False)


class ExitCodes:
    """Turns KeyboardInterrupt into the exit code that a shell sees."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(130)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run_through(train, folder / "run", log=folder / "log")
    return folder / "run"


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", ["on_start", "step", "on_progress", "on_evaluation", "save"])
def test_a_signal_saves_at_the_next_whole_state_and_the_run_goes_on(
    moment: str, number: signal.Signals, tmp_path: Path, whole: Path
) -> None:
    folder = tmp_path / "run"
    child = Child(train, folder, moment, number, log=tmp_path / "log")
    assert child.end() == CODES[number], child.said()
    lines = child.said().splitlines()
    after = [line for line in lines[lines.index("signal") :] if line.startswith("iteration")]
    assert len(after) <= 1
    step = complete(folder)[-1]
    assert lines[-1] == f"Stopped at step {step} by {number.name}. Go on with: rlhub resume {folder}"
    assert step < 400
    assert checkpoint.verify(folder / "checkpoints" / f"{step:012d}")["resume"] == "exact"
    run_through(resume, folder, log=tmp_path / "log")
    assert differences(whole, folder) == []


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_at_the_end_finds_the_run_saved(number: signal.Signals, tmp_path: Path, whole: Path) -> None:
    child = Child(train, tmp_path / "run", "on_end", number, log=tmp_path / "log")
    assert child.end() == CODES[number]
    assert differences(whole, tmp_path / "run") == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
@pytest.mark.parametrize("moment", ["step", "on_progress", "on_evaluation", "save"])
def test_a_second_signal_ends_it_at_once_and_tears_nothing(
    moment: str, number: int, code: int, tmp_path: Path, whole: Path
) -> None:
    folder = tmp_path / "run"
    child = Child(train, folder, moment, number, 1 if moment == "step" else 2, log=tmp_path / "log")
    assert child.end() in (code, CODES[signal.Signals(number)])
    lines = child.said().splitlines()
    if moment != "step":
        assert not any(line.startswith(("iteration", "Stopped")) for line in lines[lines.index("signal") :])
    run_through(resume, folder, log=tmp_path / "log")
    assert differences(whole, folder) == []


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_signal_to_the_whole_group_finds_workers_that_go_on(
    context: str, number: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    child = Child(train_beside_workers, folder, context, log=tmp_path / "log")
    while not complete(folder):
        assert not child.ends_within(0.001), child.said()
    child.kill(number, group=True)
    assert child.end() == CODES[number], child.said()
    step = complete(folder)[-1]
    assert child.said() == f"Stopped at step {step:,} by {number.name}. Go on with: rlhub resume {folder}\n"
    assert checkpoint.verify(folder / "checkpoints" / f"{step:012d}")["resume"] == "exact"
    assert child.left_behind() == []


@pytest.mark.parametrize("seed", range(4))
def test_a_signal_at_a_random_moment_loses_nothing(seed: int, tmp_path: Path, whole: Path) -> None:
    chance = random.Random(seed)
    folder, log = tmp_path / "run", tmp_path / "log"
    child = Child(train, folder, log=log)
    while not complete(folder):
        assert not child.ends_within(0.001)
    child.ends_within(chance.uniform(0, 0.2))
    number = chance.choice(list(CODES))
    child.kill(number)
    assert child.end() in (0, CODES[number])
    run_through(resume, folder, log=log)
    assert differences(whole, folder) == []


def rlhub_command(*arguments: str) -> None:
    """Be the command `rlhub`."""
    from rlhub_core.cli import main

    sys.argv = ["rlhub", *arguments]
    main()


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_the_command_line_exits_as_a_shell_expects(number: signal.Signals, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    arguments = ("train", "deep/a2c", "CartPole-v1", "--steps", "1000000", "--out", folder, "--quiet")
    child = Child(rlhub_command, *arguments, log=tmp_path / "log")
    while not complete(tmp_path / "run"):
        assert not child.ends_within(0.001), child.said()
    child.kill(number)
    assert child.end() == CODES[number]
    step = complete(tmp_path / "run")[-1]
    assert child.said() == f"Stopped at step {step:,} by {number.name}. Go on with: rlhub resume {folder}\n"
    assert run_through(rlhub_command, "resume", folder, "--steps", str(step), "-q", log=tmp_path / "log")


# the lock


def hold(folder: Path, ready: Any, worker: bool) -> None:
    """Hold a run's lock, alone or with a forked worker, until killed."""
    with only_writer(folder):
        if worker and os.fork() == 0:
            signal.pause()
        ready.set()
        signal.pause()


@pytest.fixture
def holder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Child]:
    """Return a process that holds the lock of the folder, with a worker where asked."""
    ready = SERVER.Event()
    child = Child(hold, tmp_path, ready, getattr(request, "param", False), log=tmp_path / "log")
    assert ready.wait(60), child.said()
    yield child
    for pid in {child.pid, *child.left_behind()}:
        if pid != child.pid:
            os.kill(pid, signal.SIGKILL)
    child.kill()
    child.end()


def test_a_run_has_one_writer_and_the_other_is_told_who(tmp_path: Path, holder: Child) -> None:
    with pytest.raises(RunError) as error, only_writer(tmp_path):
        pass
    assert str(error.value) == f"{tmp_path} is being written by process {holder.pid} on {os.uname().nodename}."


@pytest.mark.parametrize("holder", [False, True], indirect=True, ids=["alone", "with a worker that lives on"])
def test_the_lock_of_a_dead_process_is_free(tmp_path: Path, holder: Child, request: pytest.FixtureRequest) -> None:
    holder.kill()
    holder.end()
    assert bool(holder.left_behind()) == request.node.callspec.params["holder"]
    with only_writer(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {os.uname().nodename}"


def write_on(folder: Path) -> None:
    """Train for as long as nobody ends it."""
    rlhub.train("deep/a2c", "CartPole-v1", folder=folder, callbacks=CALLBACKS, **SETTINGS | {"steps": 10**8})


def test_a_run_that_is_being_written_can_be_read_but_not_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = Child(write_on, folder, log=tmp_path / "log")
    while not complete(folder):
        assert not child.ends_within(0.001), child.said()
    try:
        refused = Child(rlhub_command, "resume", str(folder), log=tmp_path / "refused")
        assert refused.end() == 2
        assert f"is being written by process {child.pid} on " in refused.said()
        for arguments in (("evaluate", str(folder), "--episodes", "1"), ("report", str(folder))):
            run_through(rlhub_command, *arguments, log=tmp_path / "reading")
    finally:
        child.kill()
        child.end()


def test_a_refused_run_leaves_nothing_behind(tmp_path: Path) -> None:
    class Clumsy(rlhub.Callback):
        def on_start(self, run: rlhub.Run) -> None:
            raise ValueError("dropped it")

    with pytest.raises(ValueError, match="dropped it"):
        rlhub.train("tabular/sarsa", "FrozenLake-v1", steps=100, folder=tmp_path / "run", callbacks=[Clumsy()])
    assert list(tmp_path.iterdir()) == []


def test_a_refused_import_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"no archive")
    arguments = ("import-sb3", str(tmp_path / "model.zip"), "--env", "CartPole-v1", "--out", str(tmp_path / "run"))
    child = Child(rlhub_command, *arguments, log=tmp_path / "log")
    code = child.end()
    assert code in (1, 2), child.said()
    assert not (tmp_path / "run").exists()
