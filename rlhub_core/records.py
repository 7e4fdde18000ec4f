"""What a run writes while it goes: `metrics.jsonl`, `episodes.csv`, `evaluations.jsonl`, and reading them back.

What is written is decided by steps, never by the clock, and the running means are part of a checkpoint; so a run that
was killed and resumed leaves the same lines (wall seconds aside) as one that was not.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from rlhub_core import artefacts
from rlhub_core.errors import ArtefactError, RunError
from rlhub_core.evaluation import Evaluation
from rlhub_core.protocol import Episode, Progress
from rlhub_core.storage import room_for, sync

METRICS, EPISODES, EVALUATIONS = "metrics.jsonl", "episodes.csv", "evaluations.jsonl"
_LARGEST = sys.float_info.max
_MOST_EPISODES = 100_000  # of one evaluation


class Records:
    """The append-only files of a run folder.

    Args:
        folder: of the run.
        log_every: env steps between two lines of `metrics.jsonl`.
        in_force: env step -> hyper-parameters in force there that follow a schedule.
        seconds: wall seconds of training so far.
    """

    def __init__(
        self, folder: Path, log_every: int, in_force: Callable[[int], Mapping[str, float]], seconds: Callable[[], float]
    ) -> None:
        self.folder, self.log_every = folder, log_every
        self._in_force, self._seconds = in_force, seconds
        self._sums: dict[str, list[float]] = {}  # name -> [sum, count] since the last line
        self._next_line = log_every
        self._last_line = 0, 0.0  # its env step and wall second
        self._written: list[dict[str, float | None]] = []
        self._files: dict[str, IO[str]] = {}

    def add(self, progress: Progress) -> None:
        """Note a progress; write a line where one is due."""
        for episode in progress.episodes:
            self._write(EPISODES, f"{episode.step},{episode.return_!r},{episode.length},{episode.env}\n")
            self._note("rollout/return_mean", episode.return_)
            self._note("rollout/length_mean", episode.length)
        for name, number in progress.metrics.items():
            self._note(name if "/" in name else f"train/{name}", float(number))
        if progress.steps >= self._next_line:
            self._line(progress.steps)

    def written(self) -> list[dict[str, float | None]]:
        """Return the lines of `metrics.jsonl` that were written since this was last asked."""
        if not self._written:
            return []
        written, self._written = self._written, []
        return written

    def evaluation(self, evaluation: Evaluation) -> None:
        """Write one line of `evaluations.jsonl`."""
        record = {
            "step": evaluation.step,
            "mean": evaluation.mean,
            "returns": evaluation.returns,
            "lengths": evaluation.lengths,
            "unfinished": evaluation.unfinished,
        }
        self._write(EVALUATIONS, json.dumps(record) + "\n")
        self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system.

        Raises:
            StorageError: where the disk is full.
        """
        for name, file in self._files.items():
            with self._room_for(name):
                file.flush()

    def close(self) -> None:
        """Close the files; what does not reach a full disk is newer than the last checkpoint, and cut off anyway."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        self._files.clear()

    def state(self) -> dict[str, Any]:
        """Return the running means and the length of each file, once what they hold is on the disk."""
        self.flush()
        paths = [path for name in (METRICS, EPISODES, EVALUATIONS) if (path := self.folder / name).exists()]
        for path in (*paths, self.folder):
            with self._room_for(path.name):
                sync(path)
        sizes = {path.name: path.stat().st_size for path in paths}
        return {"means": self._sums, "next_line": self._next_line, "last_line": self._last_line, "sizes": sizes}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Cut the files back to where they were when `state` was taken, and go on from there."""
        self.close()
        self._sums = {name: list(pair) for name, pair in state["means"].items()}
        self._next_line = _count(state["next_line"])
        self._last_line = state.get("last_line", (0, 0.0))
        for name in (METRICS, EPISODES, EVALUATIONS):
            path, size = self.folder / name, _count(state["sizes"].get(name, 0))
            if (path.stat().st_size if path.exists() else 0) < size:
                raise RunError(f"{path} is shorter than it was at the checkpoint: lines are missing. Restore the file.")
            if path.exists():
                os.truncate(path, size)

    def _room_for(self, name: str) -> contextlib.AbstractContextManager[None]:
        onward = f"Free some space, then go on from the last checkpoint: rlhub resume {shlex.quote(str(self.folder))}."
        return room_for(self.folder / name, onward)

    def _note(self, name: str, number: float) -> None:
        pair = self._sums.get(name)
        if pair is None:
            self._sums[name] = [number, 1]
        else:
            pair[0] += number
            pair[1] += 1

    def _line(self, step: int) -> None:
        seconds = self._seconds()
        since_step, since_second = self._last_line
        rate = (step - since_step) / max(1e-9, seconds - since_second)
        self._last_line = step, seconds
        record: dict[str, float] = {"step": step, "time/seconds": round(seconds, 3)}
        record["time/steps_per_second"] = round(rate, 3)
        record["rollout/episodes"] = int(self._sums.get("rollout/return_mean", (0, 0))[1])
        record |= {name: total / count for name, (total, count) in sorted(self._sums.items())}
        record |= {f"hyper_parameters/{name}": float(number) for name, number in self._in_force(step).items()}
        finite = {name: number if math.isfinite(number) else None for name, number in record.items()}
        self._write(METRICS, json.dumps(finite, allow_nan=False) + "\n")
        self._written.append(finite)
        self._sums.clear()
        self._next_line = (step // self.log_every + 1) * self.log_every
        self.flush()

    def _write(self, name: str, text: str) -> None:
        file = self._files.get(name)
        if file is None:
            path = self.folder / name
            new = not path.exists() or path.stat().st_size == 0
            with self._room_for(name):
                file = self._files[name] = path.open("a", encoding="utf-8", newline="")
            if new and name == EPISODES:
                file.write("step,return,length,env\n")
        try:
            file.write(text)
        except OSError as error:  # not `with`, which each episode of each environment would pay for
            with self._room_for(name):
                raise error


def read_metrics(folder: Path) -> list[dict[str, float | None]]:
    """Return the lines of a run's `metrics.jsonl`, with None for a number that is not finite.

    Raises:
        ArtefactError: where it is none that a run has written, as the other readers do.
    """
    path = folder / METRICS
    with _as_written(path):
        return [_metrics(line) for line in _json_lines(path)]


def read_metric_names(folder: Path) -> list[str]:
    """Return the names of what the algorithm itself measured, such as "train/loss"; none before the first line."""
    return sorted({name for line in read_metrics(folder) for name in line if name.startswith("train/")})


def read_episodes(folder: Path) -> list[Episode]:
    """Return a run's training episodes."""
    path = folder / EPISODES
    with _as_written(path):
        rows = csv.reader(itertools.islice(_whole_lines(path), 1, None))
        return [Episode(_count(s), float(r), _count(n), _count(e)) for s, r, n, e in rows]


def read_evaluations(folder: Path) -> list[Evaluation]:
    """Return a run's evaluations."""
    path = folder / EVALUATIONS
    with _as_written(path):
        return [_evaluation(line) for line in _json_lines(path)]


def _metrics(line: Any) -> dict[str, float | None]:
    for name, number in line.items():
        if number is not None and (type(number) not in (int, float) or not abs(number) <= _LARGEST):
            raise ValueError(f"{name!r} is {number!r:.80}")
    return {**line, "step": _count(line["step"])}


def _evaluation(line: Any) -> Evaluation:
    returns, lengths = tuple(map(float, line["returns"])), tuple(map(_count, line["lengths"]))
    if not 0 < len(returns) == len(lengths) <= _MOST_EPISODES:
        raise ValueError(f"an evaluation has {len(returns):,} returns and {len(lengths):,} lengths")
    return Evaluation(returns, lengths, _count(line["unfinished"]), _count(line["step"]))


def _count(number: Any) -> int:
    """Return a number that counts something, or the text of one."""
    counted = int(number) if isinstance(number, str) else number
    if type(counted) is float and counted.is_integer():
        counted = int(counted)
    if type(counted) is not int or not 0 <= counted < 2**63:
        raise ValueError(f"{number!r:.80} counts nothing")
    return counted


@contextlib.contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Say in one sentence that a file of records is none that a run has written."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, csv.Error, ArtefactError) as error:
        told = f"{path.parent} holds records that cannot be read: {path.name}: {error}".rstrip(".")
        raise ArtefactError(f"{told}. Restore its files.") from error


def _json_lines(path: Path) -> Iterator[Any]:
    return (artefacts.json_text(line, path) for line in _whole_lines(path))


def _whole_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, without a last one that is being written; none where there is no file."""
    with contextlib.suppress(FileNotFoundError):
        yield from artefacts.lines(path)
