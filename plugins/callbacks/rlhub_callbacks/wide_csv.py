"""Everything a run records as one wide table, `metrics.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from rlhub_callbacks.files import alone, replaced
from rlhub_callbacks.recorded import Line, lines, of_evaluation, of_record
from rlhub_core import Callback, Run
from rlhub_core.evaluation import Evaluation

FILE = "metrics.csv"


@dataclass
class CSV(Callback):
    """Writes `metrics.csv`: a row for each line of metrics and each evaluation, a column for each name.

    A name that comes later makes a new column at the end: the file is then written anew from what the run has recorded,
    and takes the place of the old one. A resumed run does the same, so nothing is kept in its checkpoints.
    """

    _columns: list[str] = field(default_factory=list, init=False, repr=False)
    _file: IO[str] | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Write what a resumed run has recorded before.

        Raises:
            ConfigError: where there are two.
        """
        alone(run, self, "callbacks/csv")
        self._columns, self._file = ["step"], None
        self._rewrite(run, lines(run.folder))

    def on_record(self, run: Run, record: Mapping[str, float | None]) -> None:
        """Write a row."""
        self._add(run, of_record(record))

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Write a row."""
        self._add(run, of_evaluation(evaluation))

    def on_end(self, run: Run) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, run: Run, line: Line) -> None:
        if line.numbers.keys() <= set(self._columns):
            assert self._file is not None
            self._file.write(_rows(self._columns, [line]))
            self._file.flush()
            return
        known = (run.folder / FILE).read_text(encoding="utf-8")
        self._columns += [name for name in line.numbers if name not in self._columns]
        self._open(run, _widened(known, self._columns) + _rows(self._columns, [line]))

    def _rewrite(self, run: Run, recorded: Sequence[Line]) -> None:
        self._columns = list(dict.fromkeys(["step", *(name for line in recorded for name in line.numbers)]))
        self._open(run, _rows(self._columns, recorded, header=True))

    def _open(self, run: Run, text: str) -> None:
        self.on_end(run)
        replaced(run.folder / FILE, text)
        self._file = (run.folder / FILE).open("a", encoding="utf-8", newline="")


def _rows(columns: Sequence[str], recorded: Sequence[Line], header: bool = False) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        table.writeheader()
    table.writerows({"step": line.step, **line.numbers} for line in recorded)
    return text.getvalue()


def _widened(known: str, columns: Sequence[str]) -> str:
    """Return a table with more columns at its end."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(csv.DictReader(io.StringIO(known)))
    return text.getvalue()
