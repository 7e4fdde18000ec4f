"""Pictures of a run: a film of the agent playing, and learning curves.

Needs `pip install 'rlhub-core[media]'` (Pillow and matplotlib), for an MP4 `rlhub-core[video]` (PyAV), which are
imported only when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rlhub_core.curves import RETURNS, Axis, Band, Curve, labelled, over_seeds
from rlhub_core.envs import check_positive
from rlhub_core.errors import ConfigError, written
from rlhub_core.evaluation import told
from rlhub_core.figures import draw
from rlhub_core.film import Film, check_path, need
from rlhub_core.playing import Stage
from rlhub_core.views import check_view, view_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def record(
    subject: Any,
    path: str | Path,
    env: Any = None,
    *,
    episodes: int = 1,
    seed: int = 0,
    fps: float | None = None,
    max_steps: int = 1000,
    view: str = "environment",
    wrappers: Sequence[Any] = (),
    **options: Any,
) -> Path:
    """Have an agent play, film it, and return the path of the animated GIF or the MP4.

    Args:
        subject: a run, or an actor, which may be a plain function `(observations, first) -> actions`.
        path: of the file to write; it ends in `.gif`, or in `.mp4`, which is smaller and needs `rlhub-core[video]`.
        env: a name, class, factory or environment; for a run the one it was trained on unless given.
        episodes: how many, one after another.
        seed: of the environment; the same seed gives the same play.
        fps: frames per second, one frame an env step (default: the environment's own speed), at most 50 of a
            GIF and 120 of an MP4.
        max_steps: after which an episode is cut off.
        view: "environment", or "agent": beside it what the agent sees, and what it thinks actions or states are worth
            where its actor tells (`rlhub_core.actors`).
        wrappers: of the environment.
        options: keyword arguments of the environment.

    Raises:
        ConfigError: for another file type, or an environment that cannot be rendered as pixels.
        RlhubError: where Pillow or PyAV is not installed.
    """
    path = Path(path)
    check_positive("episodes", episodes)
    check_positive("max_steps", max_steps)
    if fps is not None and not fps > 0:
        raise ConfigError(f"fps must be a positive number, not {fps!r}.")
    check_view(view)
    check_path(path)
    with Stage(subject, env, wrappers, options, values=view == "agent") as stage:
        filmed(stage, episodes, seed, max_steps, view).write(path, fps or stage.fps)
    return path


def filmed(stage: Stage, episodes: int, seed: int, max_steps: int, view: str) -> Film:
    """Return the film of some episodes, one after another; arguments as for `record`."""
    film, frame = Film(), view_of(stage, view)
    with told([stage.env]):
        for episode in range(episodes):
            for moment in stage.episode(seed if episode == 0 else None, max_steps):
                film.add(frame(moment))
            film.cut()
    return film


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
