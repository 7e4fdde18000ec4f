"""Learning curves drawn by matplotlib, which is imported only to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlhub_core.errors import listed
from rlhub_core.reporting.curves import EVALUATED, RETURNS, Axis, Band, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # told apart by everybody
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))  # told apart without colour
MARKERS = "osD^vPX"
X_LABELS: dict[Axis, str] = {"steps": "environment steps", "seconds": "wall time", "episodes": "training episodes"}
BANDS: dict[Band, str] = {"std": "± one standard deviation", "ci": "with the 95 % interval of the mean"}


def draw(curves: Sequence[Curve], metric: str, x: Axis, band: Band) -> Figure:
    """Return a figure with every curve."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.3), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for index, curve in enumerate(curves):
        _draw_one(axes, curve, index)
    _finish(axes, curves, metric, x, band)
    return figure


def _draw_one(axes: Axes, curve: Curve, index: int) -> None:
    label: str | None = plain(curve.label)
    colour = OKABE_ITO[index % len(OKABE_ITO)]
    marker = MARKERS[index % len(MARKERS)]
    if len(curve.x):
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        elif curve.window > 1:
            axes.scatter(curve.x, curve.values, color=colour, s=5, alpha=0.25, linewidths=0, rasterized=True)
        lone: dict[str, Any] = {"marker": marker, "markersize": 4} if len(curve.x) == 1 else {}
        dashes = DASHES[index % len(DASHES)]
        axes.plot(curve.x, curve.means, color=colour, linestyle=dashes, linewidth=1.8, label=label, **lone)
        label = None
    if curve.evaluations:
        points = np.array([(point.x, point.mean, point.low, point.high) for point in curve.evaluations])
        where, means, low, high = points.T
        errors = [np.maximum(0, means - low), np.maximum(0, high - means)]  # rounding may put an end past the mean
        axes.errorbar(where, means, errors, label=label, **_points(colour, marker))


def _points(colour: str, marker: str) -> dict[str, Any]:
    look = {"mec": "white", "ms": 6, "capsize": 2.5, "elinewidth": 1, "zorder": 3}
    return {"linestyle": "none", "marker": marker, "color": colour, **look}


def _finish(axes: Axes, curves: Sequence[Curve], metric: str, x: Axis, band: Band) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter

    axes.set_title(plain(listed({curve.experiment.environment for curve in curves}, 3)), fontsize=12)
    axes.set_xlabel(X_LABELS[x])
    axes.set_ylabel(plain(_quantity(curves, metric)))
    axes.xaxis.set_major_formatter(FuncFormatter(_duration) if x == "seconds" else EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    grouped = any(curve.seeds > 1 for curve in curves)
    if any(curve.evaluations for curve in curves):
        grey: Any = axes.errorbar([], [], [], **_points("0.35", "o"))
        handles.append(grey)
        labels.append("evaluations likewise" if grouped else "evaluation, 95 % interval of the mean")
    if grouped:
        axes.set_xlabel(f"{X_LABELS[x]}\nmean over seeds {BANDS[band]}")
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=_columns(labels), frameon=False, fontsize=9)


def _columns(labels: Sequence[str]) -> int:
    """Return how many columns of a legend fit side by side: there is room for about 110 letters, 9 for a line."""
    return max(1, min(3, len(labels), 110 // (max(map(len, labels)) + 9)))


def plain(text: str) -> str:
    """Return a text that matplotlib writes as it is: "$" would begin a formula, "_" hide it from the legend."""
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def _duration(seconds: float, _: Any = None) -> str:
    """Return seconds as a tick says them: 45 s, 10 min, 2 h."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _quantity(curves: Sequence[Curve], metric: str) -> str:
    unit = {RETURNS: "episodes"}.get(metric, "evaluations" if metric in EVALUATED else "lines of metrics.jsonl")
    what = "return of an episode" if metric == RETURNS else metric
    windows = sorted({curve.window for curve in curves if len(curve.values)})
    if not windows or windows[-1] == 1:
        return what
    return f"{what}\n(mean of the last {'–'.join(map(str, dict.fromkeys((windows[0], windows[-1]))))} {unit})"
