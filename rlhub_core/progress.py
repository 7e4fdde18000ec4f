"""`core/progress`: where a run is, while it goes. What it says is gathered here; `displays` shows it."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rlhub_core.config import option
from rlhub_core.displays import Display, Snapshot, display_here
from rlhub_core.protocol import Callback, Episode, Progress

if TYPE_CHECKING:
    from rlhub_core.run import Run

RECENT = 20.0  # s that the recent rate looks back
BUCKETS = 16  # of the sparkline, equal parts of the run
BARS = "▁▂▃▄▅▆▇█"
SHORT = {"epsilon": "ε", "learning_rate": "lr"}


@dataclass
class ProgressBar(Callback):
    """Shows steps, steps/s, returns, schedules in force and the time left; without a terminal, a line now and then.

    Nothing is computed between two updates but the mean return. Runs in several threads share one display.
    """

    seconds: float = option(
        0.0, "between two updates; 0: 0.5 on a terminal, 1 in a notebook, 15 elsewhere", unit="s", minimum=0
    )
    window: int = option(20, "episodes in the mean return", unit="episodes", minimum=1)
    _display: Display | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Start the clock and the display."""
        self._shown = 0.0
        self._first = run.steps
        self._speed = Speed(run.steps)
        self._returns = Returns(self.window, None if run.plans else run.experiment.steps)
        self._in_force: dict[str, float] = {}
        if run.restored is not None:
            self._returns.add(run.episodes)
        self._display = display_here()
        self._pause = self.seconds or self._display.pause
        self._display.show(self, self._snapshot(run, run.steps))

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Show where the run is, if it was not shown a moment ago."""
        if progress.episodes:
            self._returns.add(progress.episodes)
        now = time.monotonic()
        if now - self._shown >= self._pause and self._display is not None:
            self._shown = now
            self._display.show(self, self._snapshot(run, progress.steps))

    def on_record(self, run: Run, record: Mapping[str, float | None]) -> None:
        """Note the hyper-parameters in force."""
        prefix = "hyper_parameters/"
        self._in_force = {
            name.removeprefix(prefix): value
            for name, value in record.items()
            if name.startswith(prefix) and value is not None
        }

    def on_end(self, run: Run) -> None:
        """Show the end, if there was anything to see."""
        if self._display is not None:
            self._display.leave(self, self._snapshot(run, run.steps) if run.steps > self._first else None)
            self._display = None

    def _snapshot(self, run: Run, steps: int) -> Snapshot:
        self._speed.note(steps)
        evaluation = run.last_evaluation
        return Snapshot(
            name=f"seed {run.experiment.seed} · {run.experiment.algorithm} · {run.environment.name}",
            steps=steps,
            total=None if run.plans else run.experiment.steps,
            unit="sweeps" if run.plans else "steps",
            recent=self._speed.recent,
            overall=self._speed.overall,
            last=self._returns.last,
            best=self._returns.best,
            episodes=len(self._returns.window),
            sparkline=self._returns.sparkline(),
            evaluation=None if evaluation is None else evaluation.mean,
            in_force={SHORT.get(name, name): value for name, value in self._in_force.items()},
            memory=memory(),
        )


class Speed:
    """Steps per second: recent, and since the session began."""

    def __init__(self, steps: int) -> None:
        self._samples = deque([(time.monotonic(), steps)])
        self._begin = self._samples[0]

    def note(self, steps: int) -> None:
        """Note where the run is now."""
        now = time.monotonic()
        self._samples.append((now, steps))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RECENT:
            self._samples.popleft()

    @property
    def recent(self) -> float:
        """Steps per second over the last 20 seconds, or since the last update where that was longer ago."""
        return _rate(self._samples[0], self._samples[-1])

    @property
    def overall(self) -> float:
        """Steps per second since the run was started or resumed."""
        return _rate(self._begin, self._samples[-1])


def _rate(begin: tuple[float, int], end: tuple[float, int]) -> float:
    seconds, steps = end[0] - begin[0], end[1] - begin[1]
    return steps / seconds if seconds > 0 else 0.0


class Returns:
    """The mean return of the last episodes, the best it was, and its course over the run."""

    def __init__(self, window: int, total: int | None) -> None:
        self.window: deque[float] = deque(maxlen=window)
        self.best: float | None = None
        self._total = total
        self._buckets: list[list[float]] = [[] for _ in range(BUCKETS)]  # [sum, count], empty before the first episode

    def add(self, episodes: Sequence[Episode]) -> None:
        """Note episodes that ended; the best mean is one over a full window."""
        for episode in episodes:
            self.window.append(episode.return_)
            if self._total is not None:
                self._note(min(BUCKETS - 1, episode.step * BUCKETS // self._total), episode.return_)
            if len(self.window) == self.window.maxlen and self.last is not None and not math.isnan(self.last):
                self.best = self.last if self.best is None else max(self.best, self.last)

    @property
    def last(self) -> float | None:
        """Mean return of the last episodes; None before the first."""
        return sum(self.window) / len(self.window) if self.window else None

    def sparkline(self) -> str:
        """Return the mean return of each sixteenth of the run so far, as blocks between the lowest and the highest."""
        means = [bucket[0] / bucket[1] for bucket in self._buckets if bucket]
        finite = [mean for mean in means if abs(mean) < float("inf")]
        if len(finite) < 2:
            return ""
        low, span = min(finite), (max(finite) - min(finite)) or 1.0
        if span == float("inf"):  # the difference of two huge numbers
            return ""
        return "".join(BARS[round((mean - low) / span * (len(BARS) - 1))] for mean in finite)

    def _note(self, index: int, value: float) -> None:
        bucket = self._buckets[index]
        self._buckets[index] = [bucket[0] + value, bucket[1] + 1] if bucket else [value, 1]


def memory() -> int:
    """Return the bytes of memory that the process holds; where the system does not say, the most it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
