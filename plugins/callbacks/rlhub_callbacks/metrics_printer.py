"""Chosen metrics as plain lines, aligned in columns."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlhub_callbacks.recorded import Line, of_evaluation, of_record
from rlhub_core import Callback, ConfigError, Run, option, state
from rlhub_core.errors import did_you_mean, listed
from rlhub_core.evaluation import Evaluation

USUAL = ("rollout/return_mean", "rollout/length_mean", "evaluation/return_mean", "time/steps_per_second")
HEAD_EVERY = 20  # lines


@dataclass
class MetricsPrinter(Callback):
    """Prints a line with the chosen metrics for each line that the run records, newest values, aligned."""

    metrics: tuple[str, ...] | str = option(USUAL, "names as in metrics.jsonl, or evaluation/…")
    every: int = option(1, "lines of metrics.jsonl between two that are printed", unit="lines", minimum=1)
    _newest: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _seen: set[str] = field(default_factory=set, init=False, repr=False)
    _count: int = field(default=0, init=False, repr=False)
    _printed: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._names = (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics)
        if not all(self._names) or not self._names:
            raise ConfigError("callbacks/metrics_printer: metrics must name at least one, such as rollout/return_mean.")

    def on_start(self, run: Run) -> None:
        """Begin with a head line."""
        self._printed = 0
        if run.restored is None:
            self._newest, self._seen, self._count = {}, set(), 0

    def on_record(self, run: Run, record: Mapping[str, float | None]) -> None:
        """Print a line where one is due."""
        line = of_record(record)
        self._take(line)
        self._count += 1
        if self._count % self.every == 0:
            self._print(line.step)
            self._newest = {}

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Remember it for the next line."""
        self._take(of_evaluation(evaluation))

    def on_end(self, run: Run) -> None:
        """Name the chosen metrics that nobody has logged, and those that there are."""
        missing = [name for name in self._names if name not in self._seen]
        if self.metrics != USUAL and missing and self._seen:
            hint = did_you_mean(missing[0], self._seen)
            print(
                f"Nobody has logged {listed(missing)}.{hint} This run has: {listed(self._seen, 40)}.", file=sys.stderr
            )

    def save(self, folder: Path) -> None:
        """Write what the next line will need."""
        kept = {"newest": self._newest, "count": self._count}
        state.save(folder, "metrics_printer", {**kept, "seen": sorted(self._seen)})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "metrics_printer")
        self._newest, self._count, self._seen = saved["newest"], saved["count"], set(saved["seen"])

    def _take(self, line: Line) -> None:
        self._newest |= line.numbers
        self._seen |= line.numbers.keys()

    def _print(self, step: int) -> None:
        widths = [max(10, len(name)) for name in self._names]
        if self._printed % HEAD_EVERY == 0:
            print("  ".join([f"{'step':>12}", *map(str.rjust, self._names, widths)]))
        cells = [f"{_short(self._newest.get(name)):>{width}}" for name, width in zip(self._names, widths, strict=True)]
        print("  ".join([f"{step:>12,}", *cells]), flush=True)
        self._printed += 1


def _short(number: float | None) -> str:
    if number is None:
        return "–"
    return f"{number:,.0f}" if abs(number) >= 100_000 else f"{number:,.5g}" if abs(number) < 1_000 else f"{number:,.1f}"
