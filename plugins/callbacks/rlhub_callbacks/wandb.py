"""Weights & Biases: online where its server answers, else offline, to be sent later by `wandb sync`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from rlhub_callbacks.files import needed
from rlhub_callbacks.recorded import Line, recipe, run_name
from rlhub_callbacks.tracker import Tracker
from rlhub_core import Run, option

Mode = Literal["auto", "online", "offline"]
SECONDS_TO_ANSWER = 3.0
PORTS = {"http": 80, "https": 443}


@dataclass
class WandB(Tracker):
    """Sends what a run records to Weights & Biases, the recipe as its config; without a network, writes offline."""

    project: str = option("rlhub", "project there")
    mode: Mode = option("auto", "auto: online where the server answers, else offline, for `wandb sync` later")

    kind = "wandb"
    title = "Weights & Biases"

    def on_start(self, run: Run) -> None:
        """Look for wandb, then as every tracker.

        Raises:
            ConfigError: where wandb is not installed.
        """
        needed(lambda: import_module("wandb"), "callbacks/wandb", "wandb", "wandb")
        super().on_start(run)

    def connect(self, run: Run, id_: str | None) -> str:
        """Begin a run in the project, or go on with the one of the id; offline where online is refused."""
        library: Any = import_module("wandb")
        id_ = id_ or uuid4().hex[:8]
        settings = {
            "project": self.project,
            "name": run_name(run),
            "id": id_,
            "resume": "allow",
            "dir": str(run.folder),
            "config": recipe(run),
        }
        self._run: Any = library.init(mode=self._mode(library), **settings)
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        return id_

    def send(self, recorded: Sequence[Line]) -> None:
        """Write lines; wandb itself sends them, from a process of its own."""
        for line in recorded:
            self._run.log({"step": line.step, **line.numbers})

    def disconnect(self, run: Run) -> None:
        """Finish the session."""
        self._run.finish(exit_code=0)

    def _mode(self, library: Any) -> str:
        asked = library.setup().settings.mode
        if self.mode != "auto":
            return self.mode
        if asked not in (None, "online", "shared"):  # WANDB_MODE=offline or disabled
            return str(asked)
        return "online" if _answers(str(library.setup().settings.base_url)) else "offline"


def _answers(url: str) -> bool:
    """Return whether something listens where a URL points to."""
    parts = urlsplit(url)
    try:
        address = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)
        socket.create_connection(address, SECONDS_TO_ANSWER).close()
    except (OSError, ValueError):
        return False
    return True
