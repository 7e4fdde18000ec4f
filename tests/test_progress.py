"""What `core/progress` shows, and where."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import rlhub_core as rlhub
from rlhub_core import displays, progress
from rlhub_core.displays import Lines, Notebook, Snapshot, Terminal, drawn
from rlhub_core.progress import ProgressBar, Returns, Speed
from rlhub_core.protocol import Episode

SNAPSHOT = Snapshot(
    name="seed 0 · deep/dqn · CartPole-v1",
    steps=2_500,
    total=10_000,
    unit="steps",
    recent=500.0,
    overall=250.0,
    last=31.25,
    best=40.0,
    episodes=20,
    sparkline="▁▄█",
    evaluation=55.5,
    in_force={"ε": 0.5, "lr": 2.5e-4},
    memory=300 * 2**20,
)


class Screen(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(*snapshots: Snapshot, width: int = 110) -> str:
    """Return what a terminal of a width shows."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(drawn(*snapshots))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_everything_is_on_two_lines() -> None:
    first, second = shown(SNAPSHOT).splitlines()
    assert first.startswith("seed 0 · deep/dqn · CartPole-v1  ━━━")
    assert first.rstrip().endswith("2,500/10,000 steps  500 steps/s  0:15 left")
    assert second.strip() == (
        "return 31.2 (last 20), best 40.0 ▁▄█ · evaluation 55.5 · ε 0.5 · lr 0.00025 · mean 250 steps/s · 300 MiB"
    )


def test_a_narrow_terminal_has_two_lines_as_well() -> None:
    first, second = shown(SNAPSHOT, width=80).splitlines()
    assert first.startswith("seed 0 · deep/dqn")
    assert "…  ━━━" in first
    assert first.endswith("2,500/10,000 steps  500 steps/s  0:15 left")
    assert second.endswith("…")
    assert len(shown(SNAPSHOT, width=40).splitlines()) == 2


def test_several_runs_have_two_lines_each() -> None:
    assert len(shown(SNAPSHOT, SNAPSHOT, SNAPSHOT).splitlines()) == 6


def test_a_plan_has_no_end_and_no_bar() -> None:
    text = shown(Snapshot("tabular/value_iteration", 12, None, "sweeps", 3.0, 3.0))
    assert "12 sweeps" in text
    assert "3 sweeps/s" in text
    assert "left" not in text
    assert "episode" not in text


def test_the_rate_is_the_recent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    speed = Speed(1000)
    for second in range(1, 101):
        now = 100.0 + second
        speed.note(1000 + (10 * second if second <= 60 else 600 + 100 * (second - 60)))
    assert speed.recent == pytest.approx(100)
    assert speed.overall == pytest.approx(4600 / 100)


def test_best_is_over_a_full_window_and_the_sparkline_over_the_run() -> None:
    returns = Returns(window=2, total=1600)
    assert (returns.last, returns.best, returns.sparkline()) == (None, None, "")
    returns.add([Episode(50, 90.0, 1, 0)])
    assert (returns.last, returns.best) == (90.0, None)
    returns.add([Episode(step, value, 1, 0) for step, value in ((60, 10.0), (850, 0.0), (1600, 8.0))])
    assert (returns.last, returns.best) == (4.0, 50.0)
    assert returns.sparkline() == "█▁▂"  # means 50, 0 and 8


def test_a_return_that_is_not_finite_does_no_harm() -> None:
    returns = Returns(window=1, total=100)
    returns.add([Episode(1, float("nan"), 1, 0), Episode(50, float("inf"), 1, 0), Episode(99, 1.0, 1, 0)])
    assert returns.sparkline() == ""
    assert returns.last == 1.0


def test_lines_in_a_pipe(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callbacks = ["core/evaluate:every=100,episodes=2"]
    config = {"right": "linear(1.0, 0.5, 400)"}
    rlhub.train(
        *("toy/random", "toy/Corridor-v0"),
        steps=400, callbacks=callbacks, config=config, folder=tmp_path / "run", progress=True,
    )  # fmt: skip
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("seed 0 · toy/random · toy/Corridor-v0 · 400/400 steps · ")
    assert "return " in last
    assert " · evaluation 0." in last
    assert " · right 0.5 · " in last
    assert last.endswith(" MiB · done")


def test_nothing_is_shown_unasked_in_a_pipe(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rlhub.train("toy/random", "toy/Corridor-v0", steps=100, folder=tmp_path / "run")
    assert capsys.readouterr().err == ""


def test_a_resumed_run_knows_its_best(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rlhub.train("toy/random", "toy/Corridor-v0", steps=400, folder=tmp_path / "run")
    run = rlhub.resume(tmp_path / "run", steps=420, progress=True)
    returns = Returns(20, None)
    returns.add(run.episodes)
    assert f"best {returns.best:.1f}" in capsys.readouterr().err.splitlines()[-1]


def test_records_are_the_same_with_and_without(toy: Path, tmp_path: Path) -> None:
    for name, wanted in (("with", True), ("without", False)):
        rlhub.train("toy/random", "toy/Corridor-v0", steps=300, folder=tmp_path / name, progress=wanted)
    assert (tmp_path / "with/episodes.csv").read_bytes() == (tmp_path / "without/episodes.csv").read_bytes()


def test_runs_in_threads_share_one_display(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")

    def train(seed: int) -> None:
        rlhub.train("toy/random", "toy/Corridor-v0", steps=300, seed=seed, folder=tmp_path / f"{seed}")

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stderr is screen  # rich has given it back
    for seed in range(3):
        assert f"seed {seed}" in screen.getvalue()
    assert screen.getvalue().rstrip().count("300/300 steps") >= 3


def test_a_run_that_ends_leaves_the_others_live(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    terminal, one, two = Terminal(), object(), object()
    terminal.show(one, SNAPSHOT)
    terminal.show(two, SNAPSHOT)
    terminal.leave(one, SNAPSHOT)
    assert sys.stderr is not screen  # what is printed meanwhile goes above the bars
    print("a line of somebody else", file=sys.stderr)
    terminal.leave(two, None)
    assert sys.stderr is screen
    assert "a line of somebody else\n" in screen.getvalue()


def test_a_real_terminal(toy: Path, tmp_path: Path) -> None:
    program = (
        "import rlhub_core as rlhub\n"
        f"rlhub.train('toy/random', 'toy/Corridor-v0', steps=300, folder={str(tmp_path / 'run')!r})"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, stdout=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            got = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not got:
            break
        said += got
    assert process.wait() == 0
    assert "300/300 steps" in said.decode()
    assert "\x1b[?25h" in said.decode()  # the cursor is back


class Handle:
    """Stands for the output of a cell."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []

    def update(self, data: dict[str, str], raw: bool) -> None:
        """Note what is shown now."""
        self.outputs.append(data)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """Pretend that this is a Jupyter notebook."""
    handle = Handle()

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        handle.update(data, raw)
        return handle

    shell = type("ZMQInteractiveShell", (), {})()
    modules: dict[str, Any] = {
        "IPython": types.SimpleNamespace(get_ipython=lambda: shell),
        "IPython.display": types.SimpleNamespace(display=display),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    displays._notebook.cache_clear()
    return handle


def test_in_a_notebook(toy: Path, tmp_path: Path, cell: Handle) -> None:
    rlhub.train("toy/random", "toy/Corridor-v0", steps=300, folder=tmp_path / "run")
    last = cell.outputs[-1]
    assert "300/300 steps" in last["text/plain"]
    assert last["text/html"].startswith("<pre")
    assert "\x1b" not in last["text/html"] + last["text/plain"]


def test_names_cannot_become_html_in_a_notebook(cell: Handle) -> None:
    Notebook().show(object(), Snapshot("<img src=x>", 1, 2, "steps", 1.0, 1.0))
    assert "<img" not in cell.outputs[-1]["text/html"]


def test_between_two_updates_nothing_is_computed(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = ProgressBar._snapshot
    monkeypatch.setattr(ProgressBar, "_snapshot", lambda *a: taken.append(1) or original(*a))  # type: ignore[func-returns-value]
    bar = ProgressBar(seconds=1e6)
    rlhub.train("toy/random", "toy/Corridor-v0", steps=300, callbacks=[bar], folder=tmp_path / "run")
    assert len(taken) <= 3  # the start, the first progress, and the end


def test_the_display_of_a_pipe_a_dumb_terminal_and_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(displays.display_here(), Lines)
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(displays.display_here(), Lines)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(displays.display_here(), Terminal)


def test_time_and_memory_are_told() -> None:
    assert Snapshot("x", 0, 100_000, "steps", 10.0, 10.0).left == "2:46:40 left"
    assert Snapshot("x", 0, 10, "steps", 0.0, 0.0).left == "-:-- left"
    assert progress.memory() > 10 * 2**20


def test_huge_and_unknown_returns_do_not_end_a_run() -> None:
    returns = Returns(window=1, total=100)
    returns.add([Episode(1, float("nan"), 1, 0), Episode(2, -1.7e308, 1, 0), Episode(99, 1.7e308, 1, 0)])
    assert returns.best == 1.7e308
    huge = Returns(window=1, total=100)
    huge.add([Episode(1, -1.7e308, 1, 0), Episode(99, 1.7e308, 1, 0)])
    assert huge.sparkline() == ""
