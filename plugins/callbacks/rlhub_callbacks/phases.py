"""What is counted between two epochs' ends, for the logs that have a row for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rlhub_core import Progress, Run, schedules

LOSSES = ("loss", "critic_loss", "policy_loss", "cross_entropy", "td_error", "residual")  # first of these is "the" loss
EPSILON = "hyper_parameters/epsilon"


@dataclass
class Phase:
    """The training of an epoch so far."""

    begun_step: int = 0
    begun_second: float = 0.0  # wall
    games: int = 0
    reward: float = 0.0  # of all games together
    lowest: float | None = None
    highest: float | None = None
    sums: dict[str, list[float]] = field(default_factory=dict)  # name -> [sum, count]
    newest: dict[str, float] = field(default_factory=dict)

    def add(self, progress: Progress) -> None:
        """Count a progress."""
        for episode in progress.episodes:
            self.add_game(episode.return_)
        self.add_metrics(progress)

    def add_game(self, score: float) -> None:
        """Count an episode."""
        self.games += 1
        self.reward += score
        self.lowest = score if self.lowest is None else min(self.lowest, score)
        self.highest = score if self.highest is None else max(self.highest, score)

    def add_metrics(self, progress: Progress) -> None:
        """Count what was measured."""
        for name, number in progress.metrics.items():
            name = name.removeprefix("train/")
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = [total + float(number), count + 1]
            self.newest[name] = float(number)

    @property
    def average(self) -> float | None:
        """Return the mean score of a game, or None where there was none."""
        return self.reward / self.games if self.games else None

    def mean(self, name: str) -> float | None:
        """Return the mean of what was measured in this epoch, or None."""
        pair = self.sums.get(name)
        return pair[0] / pair[1] if pair else None

    def next(self, run: Run, step: int) -> Phase:
        """Return the phase that begins now, which remembers what was measured last."""
        return Phase(step, run.seconds, newest=self.newest)

    def state(self) -> dict[str, Any]:
        """Return it as a plain value."""
        return asdict(self) | {"sums": list(self.sums.items()), "newest": list(self.newest.items())}

    @classmethod
    def of_games(cls, scores: Iterable[float]) -> Phase:
        """Return the phase in which games of these scores were played."""
        phase = cls()
        for score in scores:
            phase.add_game(score)
        return phase

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Phase:
        """Return the phase whose `state` was taken."""
        return cls(**saved | {"sums": {k: list(v) for k, v in saved["sums"]}, "newest": dict(saved["newest"])})


def loss_name(phase: Phase) -> str | None:
    """Return which of the metrics is the loss that an algorithm of this kind is known by."""
    return next((name for name in LOSSES if name in phase.newest), None)


def epsilon(run: Run, phase: Phase) -> float | None:
    """Return the probability of a random action that is in force, or None where the algorithm has none."""
    if EPSILON in phase.newest:
        return phase.newest[EPSILON]
    given = run.experiment.hyper_parameters.get("epsilon")
    if not callable(given) and not isinstance(given, (int, float)):
        return None
    return float(schedules.value(given, getattr(run.algorithm, "clock", run.steps)))
