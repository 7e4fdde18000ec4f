"""Learning curves: what a run has recorded, read and drawn. Needs matplotlib, imported only to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core.errors import ConfigError, RunError, did_you_mean, listed
from rlhub_core.experiment import Experiment
from rlhub_core.records import read_episodes, read_evaluations, read_metric_names, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = NDArray[np.float64]  # [n]

RETURNS = "rollout/return_mean"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # told apart by everybody
DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """What one run contributes to a plot."""

    experiment: Experiment
    folder: Path
    steps: Values  # env steps
    values: Values
    window: int  # values in the running mean
    evaluations: Sequence[tuple[int, float, float, float]] = ()  # env step, mean, ends of its 95 % interval
    label: str = ""

    @classmethod
    def of(cls, run: Any, metric: str, smooth: int | None) -> Curve:
        """Read a metric of a run, or of its folder; the returns from its episodes and evaluations.

        Raises:
            RunError: where it is no run, or has recorded nothing of the kind yet.
            ConfigError: for a metric that was not recorded, naming those that were.
        """
        if hasattr(run, "records"):
            run.records.flush()
        folder = Path(getattr(run, "folder", run))
        experiment = Experiment.read(folder)
        if metric != RETURNS:
            return cls(experiment, folder, *_series(folder, metric), smooth or 1)
        episodes = np.array([episode[:2] for episode in read_episodes(folder)], float).reshape(-1, 2)
        evaluations = [(each.step, each.mean, *each.interval) for each in read_evaluations(folder)]
        if not len(episodes) and not evaluations:
            others = read_metric_names(folder)
            hint = f" Other metrics: {listed(others)}." if others else ""
            raise RunError(f"{folder} has no finished episode yet, so there is no return to plot.{hint}")
        window = smooth or min(100, max(1, len(episodes) // 20))
        return cls(experiment, folder, episodes[:, 0], episodes[:, 1], window, evaluations)


def labelled(curves: Sequence[Curve]) -> list[Curve]:
    """Give each curve a label that no other has: algorithm, seed, and what else tells it apart."""
    several = len({curve.experiment.environment for curve in curves}) > 1

    def label(curve: Curve) -> str:
        where = f" · {curve.experiment.environment}" if several else ""
        return f"{curve.experiment.algorithm}{where} · seed {curve.experiment.seed}"

    labels = [label(curve) for curve in curves]
    return [
        replace(curve, label=f"{curve.folder.name} ({text})" if labels.count(text) > 1 else text)
        for curve, text in zip(curves, labels, strict=True)
    ]


def running_mean(values: Values, window: int) -> Values:
    """Return the mean of each value and the `window` - 1 before it, of fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - window)
    means: Values = (sums[ends] - sums[begins]) / (ends - begins)
    return means


def draw(curves: Sequence[Curve], metric: str) -> Figure:
    """Return a figure with every curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.3), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for index, curve in enumerate(curves):
        style = {"color": OKABE_ITO[index % len(OKABE_ITO)], "linestyle": DASHES[index // len(OKABE_ITO) % len(DASHES)]}
        _draw_one(axes, curve, style)
    _finish(axes, curves, metric)
    return figure


def _draw_one(axes: Axes, curve: Curve, style: dict[str, str]) -> None:
    label: str | None = curve.label
    if len(curve.values):
        if curve.window > 1:
            faint: dict[str, Any] = {"s": 5, "alpha": 0.25, "linewidths": 0, "rasterized": True}
            axes.scatter(curve.steps, curve.values, color=style["color"], **faint)
        mean = running_mean(curve.values, curve.window)
        axes.plot(curve.steps, mean, **style, linewidth=1.8, label=label)  # type: ignore[arg-type]
        label = None
    if curve.evaluations:
        steps, means, low, high = np.array(curve.evaluations).T
        axes.errorbar(steps, means, [means - low, high - means], label=label, **_points(style["color"]))


def _points(colour: str) -> dict[str, Any]:
    return {"fmt": "o", "color": colour, "mec": "white", "ms": 6, "capsize": 2.5, "elinewidth": 1, "zorder": 3}


def _finish(axes: Axes, curves: Sequence[Curve], metric: str) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_title(listed({curve.experiment.environment for curve in curves}, 3), fontsize=12)
    axes.set_xlabel("environment steps")
    axes.set_ylabel(_quantity(curves, metric))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if any(curve.evaluations for curve in curves):
        grey: Any = axes.errorbar([], [], [], **_points("0.35"))
        handles.append(grey)
        labels.append("evaluation, 95 % interval of the mean")
    axes.figure.legend(
        handles, labels, loc="outside lower center", ncols=min(3, len(labels)), frameon=False, fontsize=9
    )


def _quantity(curves: Sequence[Curve], metric: str) -> str:
    what, unit = ("return of an episode", "episodes") if metric == RETURNS else (metric, "lines of metrics.jsonl")
    windows = sorted({curve.window for curve in curves if len(curve.values)})
    if not windows or windows[-1] == 1:
        return what
    return f"{what}\n(mean of the last {'–'.join(map(str, dict.fromkeys((windows[0], windows[-1]))))} {unit})"


def _series(folder: Path, metric: str) -> tuple[Values, Values]:
    lines = read_metrics(folder)
    names = {name for line in lines for name in line} - {"step"}
    if not names:
        raise RunError(f"{folder} has recorded no metrics yet.")
    if metric not in names:
        hint = did_you_mean(metric, names)
        raise ConfigError(f"{folder} has no metric {metric!r}.{hint} It has: {listed({RETURNS, *names}, 40)}.")
    points = [(line["step"], line[metric]) for line in lines if metric in line]
    return np.array([step for step, _ in points], float), np.array([value for _, value in points], float)
