"""Ends a run that has stopped to improve."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rlhub_core import Callback, ConfigError, Run, StopTraining, option, state
from rlhub_core.evaluation import Evaluation


@dataclass
class EarlyStop(Callback):
    """Ends the run when so many evaluations in a row have not been better than the best one before them."""

    patience: int = option(10, "evaluations in a row without improvement", unit="evaluations", minimum=1)
    min_delta: float = option(0.0, "mean return that counts as an improvement lies above the best by more", minimum=0)
    warmup: int = option(0, "evaluations before that count as none", unit="env steps", minimum=0)
    _best: float | None = field(default=None, init=False, repr=False)
    _without: int = field(default=0, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Begin to count, but for a run that goes on.

        Raises:
            ConfigError: where nothing evaluates.
        """
        if run.restored is None:
            self._best, self._without = None, 0
        if not any(callback.evaluates for callback in run.callbacks):
            raise ConfigError("callbacks/early_stop needs core/evaluate or callbacks/epochs among the callbacks.")

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Count, and stop where it is enough."""
        if evaluation.step < self.warmup:
            return
        if evaluation.beats(self._best, self.min_delta):
            self._best, self._without = evaluation.mean, 0
            return
        self._without += 1
        if self._without >= self.patience:
            above = "NaN" if self._best is None else f"{self._best + self.min_delta:g}"
            raise StopTraining(f"no evaluation above {above} in the last {self._without}")

    def save(self, folder: Path) -> None:
        """Write the best mean return, and how many evaluations were no better."""
        state.save(folder, "early_stop", {"best": self._best, "without": self._without})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "early_stop")
        self._best, self._without = saved["best"], saved["without"]
