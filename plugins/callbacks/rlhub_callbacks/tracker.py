"""What trackers on a server or in a database have in common: every line once, and training goes on without them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rlhub_callbacks.files import alone, replaced
from rlhub_callbacks.recorded import EVALUATIONS, METRICS, Line, lines, of_evaluation, of_record
from rlhub_core import Callback, Run, artefacts
from rlhub_core.evaluation import Evaluation

PATIENCE = 20  # sending takes at most a 20th of the time, also from a server that answers after minutes


class Tracker(Callback):
    """Sends all that a run records to one place, each line once.

    A small file in the run folder says under which id and up to which env steps lines were sent. What is beyond, a
    resumed run sends before it goes on, and what is within, it does not send again when it comes by a second time.
    Lines are collected while sending would take more than a twentieth of the time, or fails.
    """

    kind: ClassVar[str]  # "mlflow": its file is mlflow.json
    title: ClassVar[str]  # for messages

    def connect(self, run: Run, id_: str | None) -> str:
        """Begin a run there, or go on with that of the id; return the id."""
        raise NotImplementedError

    def send(self, recorded: Sequence[Line]) -> None:
        """Write lines there; whatever it raises, training goes on, and they are sent again later."""
        raise NotImplementedError

    def disconnect(self, run: Run) -> None:
        """Say there that the session has ended."""

    def on_start(self, run: Run) -> None:
        """Read what was sent before; send what a resumed run has recorded since.

        Raises:
            ConfigError: where there are two of a kind.
        """
        alone(run, self, f"callbacks/{self.kind}")
        self._file = run.folder / f"{self.kind}.json"
        self._warned = self._connected = False
        self._free_from = 0.0
        self._id: str | None = None
        self._sent = {METRICS: -1, EVALUATIONS: -1}  # env steps
        self._pending: list[Line] = []
        if run.restored is not None and self._file.exists():
            known = artefacts.json_file(self._file)
            self._id, self._sent = known["id"], known["sent"]
        self._sent_before = self._sent  # by earlier sessions; this one notes each line once, also several of one step
        for line in lines(run.folder):
            self._note(line)
        self._deliver(run)

    def on_record(self, run: Run, record: Mapping[str, float | None]) -> None:
        """Send a line."""
        self._note(of_record(record))
        self._deliver(run)

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Send an evaluation."""
        self._note(of_evaluation(evaluation))
        self._deliver(run)

    def on_end(self, run: Run) -> None:
        """Send what is left, and take leave."""
        self._free_from = 0.0
        self._deliver(run)
        if self._connected:
            self._guarded(lambda: self.disconnect(run))

    def _note(self, line: Line) -> None:
        if line.step > self._sent_before[line.source]:
            self._pending.append(line)

    def _deliver(self, run: Run) -> None:
        begun = time.monotonic()
        if begun >= self._free_from and (self._pending or not self._connected):
            self._guarded(lambda: self._send(run))
            now = time.monotonic()
            self._free_from = now + PATIENCE * (now - begun)

    def _send(self, run: Run) -> None:
        if not self._connected:
            self._id = self.connect(run, self._id)
            self._connected = True
        before = self._sent
        self._mark(before | {line.source: line.step for line in self._pending})  # a kill may lose a line, not double it
        try:
            self.send(self._pending)
        except Exception:
            self._mark(before)
            raise
        self._pending = []

    def _mark(self, sent: Mapping[str, int]) -> None:
        self._sent = dict(sent)
        replaced(self._file, json.dumps({"id": self._id, "sent": self._sent}))

    def _guarded(self, act: Any) -> None:
        try:
            act()
        except Exception as error:
            if not self._warned:
                self._warned = True
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                print(
                    f"{self.title} cannot be written to: {reason}. Training goes on; what is not sent is tried again.",
                    file=sys.stderr,
                )
