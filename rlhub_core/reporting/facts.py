"""What a report says of a run, read from its folder alone: no plugin is imported and nothing is executed."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rlhub_core import artefacts, checkpoint
from rlhub_core.errors import ArtefactError
from rlhub_core.evaluation import Evaluation
from rlhub_core.experiment import FILE, Experiment
from rlhub_core.protocol import Episode
from rlhub_core.records import read_episodes, read_evaluations, read_metrics
from rlhub_core.reporting.curves import RETURNS, Curve, labelled

LAST = 20  # training episodes in the mean that stands for the end
APART = {"step", "time/seconds", "rollout/episodes", RETURNS}  # metrics that have no chart of their own
SPEED = "time/steps_per_second"


@dataclass(frozen=True)
class Facts:
    """Everything that was recorded of one run."""

    folder: Path
    experiment: Experiment
    lines: Sequence[Mapping[str, float | None]]
    episodes: Sequence[Episode]
    evaluations: Sequence[Evaluation]
    provenance: Mapping[str, Any]
    profile: Mapping[str, float]  # what the time went into -> seconds
    stopped: str  # why it ended early
    plans: bool = False  # its steps are sweeps over a model, and it ends by itself
    label: str = ""

    @classmethod
    def of(cls, run: Any) -> Facts:
        """Read a run, or its folder.

        Raises:
            RunError: where it is none, or its records cannot be read.
        """
        if hasattr(run, "records"):
            run.records.flush()
        folder = Path(getattr(run, "folder", run))
        experiment = Experiment.read(folder)
        label = labelled([Curve(experiment, folder, np.zeros(0), np.zeros(0), 1)])[0].label
        records = (read_metrics(folder), read_episodes(folder), read_evaluations(folder))
        manifest = _object(_newest(folder) / "manifest.json")
        profile = _object(folder / "profile.json").get("seconds", {})
        provenance, stopped = _object(folder / "provenance.json"), str(manifest.get("stopped", ""))
        plans = manifest.get("plans") is True
        return cls(folder, experiment, *records, provenance, _seconds(profile), stopped, plans, label)

    @cached_property
    def steps(self) -> int:
        """Env steps so far, as far as the records know."""
        ends = [0, *checkpoint.steps(self.folder / "checkpoints")[-1:]]
        ends += [int(line["step"] or 0) for line in self.lines[-1:]]
        return max(ends + [episode.step for episode in self.episodes[-1:]])

    @property
    def seconds(self) -> float:
        """Wall seconds until the last line of metrics."""
        return float(self.lines[-1].get("time/seconds") or 0.0) if self.lines else 0.0

    @property
    def speed(self) -> float | None:
        """Env steps per second until the last line of metrics."""
        return float(self.lines[-1]["step"] or 0) / self.seconds if self.seconds else None

    @property
    def last_return(self) -> float | None:
        """Mean return of the last training episodes."""
        last = [episode.return_ for episode in self.episodes[-LAST:]]
        return sum(last) / len(last) if last else None

    @property
    def best_evaluation(self) -> Evaluation | None:
        """The evaluation of the highest mean; one whose mean is NaN is none."""
        known = (evaluation for evaluation in self.evaluations if not math.isnan(evaluation.mean))
        return max(known, key=lambda evaluation: evaluation.mean, default=None)

    @property
    def metrics(self) -> set[str]:
        """The names that have a chart of their own."""
        names = {name for line in self.lines for name in line} - APART
        return names | ({SPEED} if len(self.lines) > 1 else set())

    def curve(self, metric: str) -> Curve | None:
        """Return a metric over env steps, without values that are not finite; None where there are none."""
        values = self._speeds() if metric == SPEED else [(line["step"], line.get(metric)) for line in self.lines]
        finite = [(x, y) for x, y in values if x is not None and y is not None and math.isfinite(y)]
        if not finite:
            return None
        x, y = np.array(finite, float).T
        return Curve(self.experiment, self.folder, x, y, 1)

    def returns(self) -> Curve | None:
        """Return the learning curve; None before the first episode and evaluation."""
        known = [episode.return_ for episode in self.episodes] + [evaluation.mean for evaluation in self.evaluations]
        return Curve.of(self.folder) if any(map(math.isfinite, known)) else None

    @property
    def recipe(self) -> dict[str, str]:
        """Return every setting as text, hyper-parameters and options one by one."""
        return _flat(tomllib.loads(self.toml), {})

    @property
    def toml(self) -> str:
        """Return the text of the recipe."""
        return artefacts.text(self.folder / FILE)

    @property
    def made_with(self) -> dict[str, str]:
        """Return the provenance as text, distributions one by one."""
        told = dict(self.provenance)
        distributions = told.pop("distributions", {})
        return _flat(told | (distributions if isinstance(distributions, dict) else {}), {})

    def _speeds(self) -> list[tuple[float | None, float | None]]:
        pairs = [(line["step"] or 0.0, line.get("time/seconds") or 0.0) for line in self.lines]
        return [
            (step, (step - step_before) / (then - then_before))
            for (step_before, then_before), (step, then) in itertools.pairwise(pairs)
            if then > then_before
        ]


def _flat(values: Mapping[str, Any], told: dict[str, str], before: str = "") -> dict[str, str]:
    """Return values as text, those of a table under "table.name"."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            _flat(value, told, f"{before}{name}.")
        else:
            told[f"{before}{name}"] = _text(value)
    return told


def _text(value: Any) -> str:
    if value is None or value == [] or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _newest(folder: Path) -> Path:
    known = list(checkpoint.folders(folder / "checkpoints").values())
    return known[-1] if known else folder / "checkpoints" / "none"


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file, {} where there is none."""
    try:
        value = artefacts.json_file(path)
    except (OSError, ArtefactError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(profile: Any) -> dict[str, float]:
    """Return what is a positive number of seconds."""
    if not isinstance(profile, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in profile.items()
        if isinstance(value, (int, float)) and math.isfinite(value) and value > 0
    }
