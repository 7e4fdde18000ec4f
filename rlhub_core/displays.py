"""Where progress is shown: a live display on a terminal, one in a notebook, plain lines everywhere else."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

BAR = 12  # characters


@dataclass(frozen=True)
class Snapshot:
    """Where a run is."""

    name: str
    steps: int
    total: int | None  # None where nobody knows
    unit: str  # "steps" or "sweeps"
    recent: float  # units per second
    overall: float  # units per second
    last: float | None = None  # mean return of the last episodes
    best: float | None = None
    episodes: int = 0  # in that mean
    sparkline: str = ""
    evaluation: float | None = None  # mean return of the last one
    in_force: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0  # bytes

    @property
    def done(self) -> str:
        """Return "3,000/10,000 steps"."""
        return f"{self.steps:,}" + (f"/{self.total:,}" if self.total is not None else "") + f" {self.unit}"

    @property
    def speed(self) -> str:
        """Return the recent rate."""
        return f"{_number(self.recent)} {self.unit}/s"

    @property
    def left(self) -> str:
        """Return the time left at the recent rate."""
        if self.total is None:
            return ""
        if self.steps >= self.total:
            return "done"
        return f"{_clock((self.total - self.steps) / self.recent)} left" if self.recent > 0 else "-:-- left"

    def details(self) -> list[str]:
        """Return what is known beyond the steps, shortest words first."""
        said = []
        if self.last is not None:
            best = f", best {_score(self.best)}" if self.best is not None else ""
            said.append(f"return {_score(self.last)} (last {self.episodes}){best} {self.sparkline}".rstrip())
        elif self.total is not None:
            said.append("no episode yet")
        if self.evaluation is not None:
            said.append(f"evaluation {_score(self.evaluation)}")
        said += [f"{name} {value:.3g}" for name, value in self.in_force.items()]
        return [*said, f"mean {_number(self.overall)} {self.unit}/s", f"{self.memory / 2**20:,.0f} MiB"]


class Display(Protocol):
    """Shows the progress of any number of runs; `key` tells them apart."""

    pause: float  # s between two updates of a run

    def show(self, key: object, snapshot: Snapshot) -> None:
        """Show where a run is."""

    def leave(self, key: object, snapshot: Snapshot | None) -> None:
        """Show where a run ended, if anywhere, and forget it."""


def can_be_watched() -> bool:
    """Whether somebody may be looking: standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or in_notebook()


def display_here() -> Display:
    """Return the display that fits, one for all runs of the process."""
    if in_notebook():
        return _notebook()
    return _terminal() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else _lines()


def in_notebook() -> bool:
    """Whether the code runs in a Jupyter notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    kind = type(shell)
    return kind.__name__ == "ZMQInteractiveShell" or "google.colab" in kind.__module__


class Lines:
    """One line an update, on standard error."""

    pause = 15.0

    def show(self, key: object, snapshot: Snapshot) -> None:
        """Print where a run is, once it has begun."""
        if snapshot.overall:
            said = [snapshot.name, snapshot.done, snapshot.speed, *snapshot.details(), snapshot.left]
            print(" · ".join(filter(None, said)), file=sys.stderr, flush=True)

    def leave(self, key: object, snapshot: Snapshot | None) -> None:
        """Print where a run ended."""
        if snapshot is not None:
            self.show(key, snapshot)


class Terminal:
    """A bar and a line of details for each run; drawn by whichever run is due, at most twice a second, by no thread."""

    pause = 0.5

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[int, Snapshot] = {}
        self._live: Any = None
        self._drawn = 0.0

    def show(self, key: object, snapshot: Snapshot) -> None:
        """Draw every run, if none was drawn a moment ago."""
        with self._lock:
            self._rows[id(key)] = snapshot
            if self._live is None:
                self._live = _live()
                self._live.start()
                self._drawn = 0.0
            now = time.monotonic()
            if now - self._drawn >= 0.9 * self.pause:
                self._drawn = now
                self._live.update(drawn(*self._rows.values()), refresh=True)

    def leave(self, key: object, snapshot: Snapshot | None) -> None:
        """Leave the last state of a run on the screen, above those that go on."""
        with self._lock:
            self._rows.pop(id(key), None)
            if self._live is None:
                return
            self._live.update(drawn(*self._rows.values()), refresh=True)
            if snapshot is not None:
                self._live.console.print(drawn(snapshot))
            if not self._rows:
                self._live.stop()
                self._live = None


class Notebook:
    """The same in the output of a cell; the last state stays in the saved notebook."""

    pause = 1.0

    def __init__(self) -> None:
        self._handles: dict[int, Any] = {}

    def show(self, key: object, snapshot: Snapshot) -> None:
        """Draw a run in an output of its own."""
        handle = self._handles.get(id(key))
        if handle is None:
            from IPython.display import display

            self._handles[id(key)] = display(_mime(snapshot), raw=True, display_id=True)
        else:
            handle.update(_mime(snapshot), raw=True)

    def leave(self, key: object, snapshot: Snapshot | None) -> None:
        """Draw the last state."""
        if snapshot is not None:
            self.show(key, snapshot)
        self._handles.pop(id(key), None)


_lines, _terminal, _notebook = cache(Lines), cache(Terminal), cache(Notebook)


def drawn(*snapshots: Snapshot) -> Any:
    """Return what rich draws of runs: a line with a bar and a line of details for each, as wide as there is room."""
    from rich.console import Group

    return Group(*(_Row(each, _widths(snapshots)) for each in snapshots))


class _Row:
    """Two lines; made by hand, for a table of rich takes four times as long, and training waits for it."""

    def __init__(self, snapshot: Snapshot, widths: Sequence[int]) -> None:
        self._snapshot, self._widths = snapshot, widths

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.text import Text

        name, done, speed = self._widths
        known = self._snapshot
        bar: list[Any] = [(_bar(known.steps / known.total), "green"), "  "] if known.total else []
        right: list[Any] = [
            *bar,
            known.done.rjust(done),
            "  ",
            (known.speed.ljust(speed), "cyan"),
            "  ",
            (known.left, "magenta"),
        ]
        room = options.max_width - sum(len(part if isinstance(part, str) else part[0]) for part in right) - 2
        label = known.name.ljust(name) if name <= room else f"{known.name[: max(0, room - 1)]:<{max(0, room - 1)}}…"
        yield Text.assemble((label, "bold"), "  ", *right, no_wrap=True, overflow="ellipsis")
        yield Text("  " + " · ".join(known.details()), "dim", no_wrap=True, overflow="ellipsis")


def _widths(snapshots: Sequence[Snapshot]) -> list[int]:
    columns = zip(*((each.name, each.done, each.speed) for each in snapshots), strict=True)
    return [max(map(len, texts)) for texts in columns]


def _bar(share: float) -> str:
    halves = round(min(1.0, max(0.0, share)) * 2 * BAR)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(BAR)


def _live() -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), auto_refresh=False)


def _mime(snapshot: Snapshot) -> dict[str, str]:
    from rich.console import Console

    console = Console(file=io.StringIO(), record=True, width=110, force_terminal=True, force_jupyter=False)
    console.print(drawn(snapshot))
    html = console.export_html(inline_styles=True, code_format="<pre style='line-height:1.3'>{code}</pre>", clear=False)
    return {"text/plain": console.export_text(), "text/html": html}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _score(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"  # never "-0.0"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
