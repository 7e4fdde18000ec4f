"""How `terminate()` of a ReNom environment ends training outside `fit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhub_core import Callback, ConfigError, Progress, Run, StopTraining


@dataclass
class Terminate(Callback):
    """Ends the run where `terminate()` of a ReNom environment says so, once the algorithm's state is whole."""

    def on_start(self, run: Run) -> None:
        """Let the environments know that someone listens.

        Raises:
            ConfigError: where there is no ReNom environment in this process.
        """
        vec: Any = run.collector and run.collector.env.unwrapped
        envs = [each.unwrapped for each in getattr(vec, "envs", ())]
        self._envs = [each for each in envs if hasattr(each, "terminated_by_rule")]
        if not self._envs:
            raise ConfigError("legacy/terminate needs a ReNom environment in this process, with a method terminate().")
        for each in self._envs:
            each.is_listened_to = True

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Stop where one has said so."""
        if any(each.terminated_by_rule for each in self._envs):
            raise StopTraining("terminate() said so")
