"""TensorBoard's event files, made of tensorboardX's messages, which need neither TensorFlow nor torch.

Its own writer is left aside: it hands each number to a thread through a queue between processes, and waits for the disk
at each flush, which takes 7 ms a line; a line here is one event, and takes a hundredth of that.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from rlhub_callbacks.files import alone, needed
from rlhub_callbacks.recorded import Line, of_evaluation, of_record, recipe
from rlhub_core import Callback, Run, RunError, state
from rlhub_core.errors import listed
from rlhub_core.evaluation import Evaluation
from rlhub_core.experiment import FILE as RECIPE

FOLDER = "tensorboard"
GOALS = ("rollout/return_mean", "evaluation/return_mean")  # what hyper-parameters are compared by


@dataclass
class TensorBoard(Callback):
    """Writes what a run records as event files in its folder `tensorboard`: `tensorboard --logdir runs`.

    A resumed run cuts them back to the checkpoint and goes on in a new one, which also has a TensorBoard that is being
    looked at forget what came after.
    """

    _file: EventFile | None = field(default=None, init=False, repr=False)
    _folder: Path | None = field(default=None, init=False, repr=False)
    _sizes: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Open an event file; a new run begins with its recipe.

        Raises:
            ConfigError: where tensorboardX is not installed, or where there are two.
        """
        alone(run, self, "callbacks/tensorboard")
        needed(lambda: import_module("tensorboardX"), "callbacks/tensorboard", "tensorboardX", "tensorboard")
        self._folder = run.folder / FOLDER
        self._folder.mkdir(exist_ok=True)
        if run.restored is None:
            self._sizes = {}
        else:
            _cut_back(self._folder, self._sizes)
        self._file = EventFile(self._folder, len(_events(self._folder)))
        if self._sizes:
            self._file.forget_after(run.steps)
        else:
            self._write_recipe(run, self._file)

    def on_record(self, run: Run, record: Mapping[str, float | None]) -> None:
        """Write a line."""
        self._add(of_record(record))

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Write an evaluation."""
        self._add(of_evaluation(evaluation))

    def on_end(self, run: Run) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def save(self, folder: Path) -> None:
        """Write how long each event file is."""
        if self._file is not None and self._folder is not None:
            self._file.sync()
            self._sizes = {path.name: path.stat().st_size for path in _events(self._folder)}
        state.save(folder, "tensorboard", {"files": list(self._sizes), "sizes": list(self._sizes.values())})

    def load(self, folder: Path) -> None:
        """Read how long each event file was."""
        saved = state.load(folder, "tensorboard")
        self._sizes = dict(zip(saved["files"], saved["sizes"], strict=True))

    def _add(self, line: Line) -> None:
        assert self._file is not None
        self._file.scalars(line.numbers, line.step)

    def _write_recipe(self, run: Run, file: EventFile) -> None:
        """Write the recipe as a text, and as what TensorBoard compares hyper-parameters by."""
        summaries = import_module("tensorboardX.summary")
        text = (run.folder / RECIPE).read_text()
        file.write(summary=summaries.text("recipe", "\n".join(f"    {line}" for line in text.splitlines())), step=0)
        for summary in summaries.hparams(recipe(run), dict.fromkeys(GOALS, 0.0)):
            file.write(summary=summary)


class EventFile:
    """An event file; each event is handed to the operating system at once.

    Args:
        folder: where it is made.
        number: of the files there: TensorBoard reads them in the order of their names.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._event: Any = import_module("tensorboardX.proto.event_pb2")
        self._summary: Any = import_module("tensorboardX.proto.summary_pb2").Summary
        self._checksum = import_module("tensorboardX.record_writer").masked_crc32c
        now = int(time.time())
        path = folder / f"events.out.tfevents.{now:010d}.{number:04d}.{socket.gethostname()}"
        self._file: IO[bytes] = path.open("xb")
        self.write(file_version="brain.Event:2")

    def scalars(self, numbers: Mapping[str, float], step: int) -> None:
        """Write numbers of one env step, by name."""
        values = [self._summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        self.write(summary=self._summary(value=values), step=step)

    def forget_after(self, step: int) -> None:
        """Have whoever has read later events in other files forget them."""
        self.write(session_log=self._event.SessionLog(status=self._event.SessionLog.START), step=step + 1)

    def write(self, **event: Any) -> None:
        """Write an event as a TFRecord: length, its checksum, content, its checksum."""
        content: bytes = self._event.Event(wall_time=time.time(), **event).SerializeToString()
        length = struct.pack("<Q", len(content))
        sums = (struct.pack("<I", self._checksum(part)) for part in (length, content))
        self._file.write(length + next(sums) + content + next(sums))
        self._file.flush()

    def sync(self) -> None:
        """Wait until it is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close it."""
        self._file.close()


def _events(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


def _cut_back(folder: Path, sizes: Mapping[str, int]) -> None:
    """Bring event files back to a length each, and remove those that came later.

    Raises:
        RunError: where one has lost something since.
    """
    if any(Path(name).name != name for name in sizes):
        raise RunError(f"The checkpoint names event files outside of {folder}: {listed(sizes)}.")
    for path in _events(folder):
        if path.name not in sizes:
            path.unlink()
    for name, size in sizes.items():
        path = folder / name
        if not path.exists() or path.stat().st_size < size:
            raise RunError(f"{path} is shorter than it was at the checkpoint: events are missing. Restore the file.")
        os.truncate(path, size)
