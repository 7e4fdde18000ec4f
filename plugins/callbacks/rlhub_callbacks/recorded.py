"""What a run records, as lines of numbers under one scheme of names, whatever algorithm or backend it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlhub_core import Run, config
from rlhub_core.evaluation import Evaluation
from rlhub_core.records import read_evaluations, read_metrics

METRICS, EVALUATIONS = "metrics", "evaluations"


class Line(NamedTuple):
    """What was recorded at one env step."""

    step: int
    source: str  # METRICS or EVALUATIONS
    numbers: dict[str, float]  # "rollout/return_mean" -> number; what was not finite is left out


def of_record(record: Mapping[str, float | None]) -> Line:
    """Return a line of `metrics.jsonl`."""
    numbers = {name: number for name, number in record.items() if name != "step" and number is not None}
    return Line(int(record["step"] or 0), METRICS, numbers)


def of_evaluation(evaluation: Evaluation) -> Line:
    """Return an evaluation as a line."""
    numbers = {
        "evaluation/return_mean": evaluation.mean,
        "evaluation/return_min": float(min(evaluation.returns)),
        "evaluation/return_max": float(max(evaluation.returns)),
        "evaluation/length_mean": sum(evaluation.lengths) / len(evaluation.lengths),
        "evaluation/episodes": len(evaluation.returns),
    }
    return Line(evaluation.step, EVALUATIONS, numbers)


def lines(folder: Path) -> list[Line]:
    """Return everything that a run has recorded so far, by env step, evaluations after metrics."""
    found = [of_record(record) for record in read_metrics(folder)]
    found += [of_evaluation(evaluation) for evaluation in read_evaluations(folder)]
    return sorted(found, key=lambda line: line.step)


def recipe(run: Run) -> dict[str, Any]:
    """Return what a tracker shows as a run's hyper-parameters: name -> number, truth value or text.

    Algorithm, environment, seed, steps and environments, and each hyper-parameter under its own name.
    """
    given = run.experiment
    first = {name: getattr(given, name) for name in ("algorithm", "environment", "seed", "steps", "num_envs")}
    settings = {name: config.plain(value) for name, value in given.hyper_parameters.items()}
    return first | {
        name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in settings.items()
    }


def run_name(run: Run) -> str:
    """Return what a run is called where there are many: the name of its folder."""
    return run.folder.resolve().name
