"""Learning curves as numbers: what runs have recorded, on one axis, and averaged over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlhub_core.errors import ConfigError, RunError, did_you_mean, listed
from rlhub_core.evaluation import Evaluation
from rlhub_core.experiment import Experiment
from rlhub_core.records import read_episodes, read_evaluations, read_metric_names, read_metrics

Values = NDArray[np.float64]  # [n]
Axis = Literal["steps", "seconds", "episodes"]
Band = Literal["std", "ci", "none"]

RETURNS = "rollout/return_mean"
EVALUATED: dict[str, Callable[[Evaluation], float]] = {
    "evaluation/return_mean": lambda evaluation: evaluation.mean,
    "evaluation/length_mean": lambda evaluation: float(np.mean(evaluation.lengths)),
}
GRID = 300  # points of an averaged curve
T_975 = (  # 97.5 % quantile of Student's t for 1, 2, … degrees of freedom
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Point:
    """An evaluation in a plot, or the mean of several runs' evaluations at one env step."""

    step: float
    x: float
    mean: float
    low: float  # ends of its 95 % interval, or of the band
    high: float


@dataclass(frozen=True)
class Curve:
    """What one run, or several that differ in their seed only, contribute to a plot."""

    experiment: Experiment
    folder: Path
    x: Values  # env steps, wall seconds or training episodes
    values: Values  # one an episode, or one a recorded line
    window: int  # values in the running mean
    evaluations: Sequence[Point] = ()
    label: str = ""
    seeds: int = 1  # runs it is the mean of
    low: Values | None = None  # [n] ends of the band of several runs
    high: Values | None = None

    @classmethod
    def of(cls, run: Any, metric: str = RETURNS, smooth: int | None = None, x: Axis = "steps") -> Curve:
        """Read a metric of a run, or of its folder; the returns from its episodes and evaluations.

        Values that are not finite are left out. Wall seconds are interpolated between lines of `metrics.jsonl`.

        Raises:
            RunError: where it is no run, or has recorded nothing of the kind yet.
            ConfigError: for a metric that was not recorded, naming those that were.
        """
        if hasattr(run, "records"):
            run.records.flush()
        folder = Path(getattr(run, "folder", run))
        experiment = Experiment.read(folder)
        place = _places(folder, x)
        if metric != RETURNS:
            steps, values = _series(folder, metric)
            return cls(experiment, folder, place(steps), values, smooth or 1)
        episodes = np.array([episode[:2] for episode in read_episodes(folder)], float).reshape(-1, 2)
        evaluations = [each for each in read_evaluations(folder) if np.isfinite(each.mean)]
        finite = np.isfinite(episodes[:, 1])
        if not finite.any() and not evaluations:
            others = read_metric_names(folder)
            hint = f" Other metrics: {listed(others)}." if others else ""
            raise RunError(f"{folder} has no finished episode yet, so there is no return to plot.{hint}")
        at = place(np.array([each.step for each in evaluations], float))
        points = [
            Point(each.step, where, each.mean, *each.interval) for each, where in zip(evaluations, at, strict=True)
        ]
        where = np.arange(1.0, len(episodes) + 1) if x == "episodes" else place(episodes[:, 0])
        window = smooth or min(100, max(1, int(finite.sum()) // 20))
        return cls(experiment, folder, where[finite], episodes[finite, 1], window, points)

    @property
    def means(self) -> Values:
        """The running mean of the values [n], or the mean over seeds."""
        return self.values if self.seeds > 1 else running_mean(self.values, self.window)


def labelled(curves: Sequence[Curve]) -> list[Curve]:
    """Give each curve a label that no other has: algorithm, seeds, and what else tells it apart."""
    several = len({curve.experiment.environment for curve in curves}) > 1

    def label(curve: Curve) -> str:
        where = f" · {curve.experiment.environment}" if several else ""
        seeds = f"{curve.seeds} seeds" if curve.seeds > 1 else f"seed {curve.experiment.seed}"
        return f"{curve.experiment.algorithm}{where} · {seeds}"

    labels = [label(curve) for curve in curves]
    names = [curve.folder.name if labels.count(text) > 1 else "" for curve, text in zip(curves, labels, strict=True)]
    return [
        replace(curve, label=f"{name if names.count(name) == 1 else curve.folder} ({text})" if name else text)
        for curve, text, name in zip(curves, labels, names, strict=True)
    ]


def running_mean(values: Values, window: int) -> Values:
    """Return the mean of each value and the `window` - 1 before it, of fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - window)
    means: Values = (sums[ends] - sums[begins]) / (ends - begins)
    return means


def settings(experiments: Sequence[Experiment]) -> list[list[int]]:
    """Return the indices of the experiments, those together that differ in nothing but their seed.

    Where a seed is there twice nothing is put together: the mean of a run and its repetition says less than either.
    """
    groups: list[list[int]] = []
    for index, experiment in enumerate(experiments):
        same = (group for group in groups if replace(experiments[group[0]], seed=experiment.seed) == experiment)
        found = next(same, None)
        if found is None:
            groups.append([index])
        else:
            found.append(index)
    return [part for group in groups for part in ([group] if _distinct(experiments, group) else [[i] for i in group])]


def _distinct(experiments: Sequence[Experiment], group: Sequence[int]) -> bool:
    return len({experiments[index].seed for index in group}) == len(group)


def over_seeds(curves: Sequence[Curve], band: Band) -> list[Curve]:
    """Replace the curves of each setting by their mean and band, where they have x in common."""
    if band == "none":
        return list(curves)
    averaged: list[Curve] = []
    for group in settings([curve.experiment for curve in curves]):
        members = [curves[index] for index in group]
        averaged += [average(members, band)] if len(members) > 1 and _overlap(members) else members
    return averaged


def average(curves: Sequence[Curve], band: Band) -> Curve:
    """Return the mean of several runs' curves, with a band.

    Each run's running mean is interpolated linearly on a grid of 300 equal steps over the x that all runs have in
    common; where all runs have values at the same x these are taken as they are. Evaluations are averaged where every
    run has one at the same env step. The band is one standard deviation over runs (`std`; n - 1 in the denominator) to
    either side, or the 95 % interval of the mean by Student's t (`ci`).
    """
    first = curves[0]
    if all(np.array_equal(curve.x, first.x) for curve in curves):
        grid = first.x
    elif all(len(curve.x) for curve in curves):
        grid = np.linspace(max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves), GRID)
    else:
        grid = np.zeros(0)
    values = np.array([np.interp(grid, curve.x, curve.means) if len(grid) else grid for curve in curves])  # [runs, n]
    mean, low, high = _banded(values, band)
    points = []
    for together in _at_one_step([curve.evaluations for curve in curves]):
        ends = _banded(np.array([[each.mean] for each in together]), band)
        points.append(Point(together[0].step, float(np.mean([each.x for each in together])), *(e.item() for e in ends)))
    return replace(
        first, x=grid, values=mean, low=low, high=high, seeds=len(curves), evaluations=points, window=first.window
    )


def _banded(values: Values, band: Band) -> tuple[Values, Values, Values]:
    """Return mean and ends of the band [n] of values [runs, n]."""
    runs = len(values)
    mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)
    if band == "ci":
        t = T_975[runs - 2] if runs - 2 < len(T_975) else 1.96 + 2.4 / (runs - 1)
        deviation = deviation * t / np.sqrt(runs)
    return mean, mean - deviation, mean + deviation


def _at_one_step(runs: Sequence[Sequence[Point]]) -> list[list[Point]]:
    by_step = [{point.step: point for point in points} for points in runs]
    shared = set(by_step[0]).intersection(*by_step[1:])
    return [[points[step] for points in by_step] for step in sorted(shared)]


def _overlap(curves: Sequence[Curve]) -> bool:
    if not all(len(curve.x) for curve in curves):
        return not any(len(curve.x) for curve in curves) and bool(_at_one_step([c.evaluations for c in curves]))
    return bool(max(curve.x[0] for curve in curves) <= min(curve.x[-1] for curve in curves))


def _places(folder: Path, x: Axis) -> Callable[[Values], Values]:
    """Return what maps env steps to x.

    Raises:
        RunError: where no line has been recorded that would tell the seconds.
    """
    if x == "steps":
        return lambda steps: steps
    if x == "episodes":
        ends = np.array([episode.step for episode in read_episodes(folder)], float)
        return lambda steps: np.searchsorted(ends, steps, side="right").astype(float)
    known = [(line["step"], line["time/seconds"]) for line in read_metrics(folder)]
    if not known:
        raise RunError(f"{folder} has recorded no line of metrics yet, so its seconds are not known. Plot over steps.")
    steps_then, seconds = np.array([(0.0, 0.0), *known], float).T

    def interpolated(steps: Values) -> Values:
        after = np.maximum(0.0, steps - steps_then[-1]) * seconds[-1] / steps_then[-1]  # at the mean rate
        return np.asarray(np.interp(steps, steps_then, seconds) + after, np.float64)

    return interpolated


def _series(folder: Path, metric: str) -> tuple[Values, Values]:
    """Return env steps and values of a metric, without values that are not finite."""
    evaluations = read_evaluations(folder)
    if metric in EVALUATED and evaluations:
        points: list[tuple[Any, Any]] = [(each.step, EVALUATED[metric](each)) for each in evaluations]
    else:
        lines = read_metrics(folder)
        names = {name for line in lines for name in line} - {"step"}
        if not names:
            raise RunError(f"{folder} has recorded no metrics yet.")
        if metric not in names:
            names |= {RETURNS, *(EVALUATED if evaluations else ())}
            hint = did_you_mean(metric, names)
            raise ConfigError(f"{folder} has no metric {metric!r}.{hint} It has: {listed(names, 40)}.")
        points = [(line["step"], line[metric]) for line in lines if metric in line]
    steps, values = np.array(points, float).T
    finite = np.isfinite(values)
    if not finite.any():
        raise RunError(f"{folder} has recorded {metric!r}, but never a finite value.")
    return steps[finite], values[finite]
