"""Learning curves of runs, drawn into a file. Needs `pip install 'rlhub-core[media]'` (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rlhub_core.envs import check_positive
from rlhub_core.errors import ConfigError, need, written
from rlhub_core.reporting.curves import RETURNS, Axis, Band, Curve, labelled, over_seeds
from rlhub_core.reporting.figures import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    runs: Any,
    path: str | Path | None = None,
    *,
    metric: str = RETURNS,
    x: Axis = "steps",
    smooth: int | None = None,
    band: Band = "std",
) -> Figure:
    """Draw the learning curves of one or several runs and return the matplotlib figure.

    Runs of one setting, that is with recipes that differ in nothing but the seed, become one line, their mean, with a
    band: each run's running mean is interpolated linearly on a grid of 300 equal steps over the x that all of them have
    in common, and evaluations are averaged where all have one at the same env step. Of a run that stands alone, returns
    of training episodes are drawn one by one, faintly, below their running mean, and evaluations as points with the
    95 % interval of their mean.

    Args:
        runs: a run or its folder, or several of them.
        path: where to write it (.png, .svg, .pdf), if anywhere.
        metric: what to draw: training returns, any name in the runs' `metrics.jsonl`, "evaluation/return_mean" or
            "evaluation/length_mean".
        x: what it is drawn over: env steps, wall seconds of training, or training episodes.
        smooth: values in the running mean (default: a twentieth of the episodes, at most 100; 1 for other metrics).
        band: one standard deviation over seeds ("std"), the 95 % interval of the mean over seeds ("ci", Student's t),
            or "none": every run by itself.

    Raises:
        RunError: for a folder that is no run, or a run that has recorded nothing yet.
        ConfigError: for a metric that was not recorded, naming those that were; for another x, band or file type.
        RlhubError: where matplotlib is not installed.
    """
    if smooth is not None:
        check_positive("smooth", smooth)
    _check_choice("x", x, Axis)
    _check_choice("band", band, Band)
    path = None if path is None else Path(path)
    if path is not None and path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"A plot is a .png, .svg or .pdf, not {path.suffix or 'a file without ending'!r}: {path}.")
    many = list(runs) if isinstance(runs, (list, tuple)) else [runs]
    if not many:
        raise ConfigError("There is nothing to plot: name at least one run.")
    curves = labelled(over_seeds([Curve.of(run, metric, smooth, x) for run in many], band))
    need("matplotlib", "media")
    figure = draw(curves, metric, x, band)
    if path is not None:
        with written("A plot", path):
            figure.savefig(path)
    return figure


def _check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        raise ConfigError(f"{name} is {', '.join(get_args(choices)[:-1])} or {get_args(choices)[-1]}, not {value!r}.")
