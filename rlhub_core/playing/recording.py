"""A film of the agent playing.

Needs `pip install 'rlhub-core[media]'` (Pillow), for an MP4 `rlhub-core[video]` (PyAV), which are imported only when
the film is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhub_core.envs import check_positive
from rlhub_core.errors import ConfigError
from rlhub_core.evaluation import told
from rlhub_core.playing.film import Film, check_path
from rlhub_core.playing.stage import Stage
from rlhub_core.playing.views import check_view, view_of


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
