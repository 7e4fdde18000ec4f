"""Pictures of a run: an animated GIF of the agent playing, and learning curves.

Needs `pip install 'rlhub-core[media]'` (Pillow and matplotlib), which are imported only when something is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from rlhub_core.collector import act
from rlhub_core.curves import RETURNS, Curve, draw, labelled
from rlhub_core.envs import Env, EnvironmentSource, check_positive
from rlhub_core.errors import ConfigError, RlhubError, listed
from rlhub_core.evaluation import check_same_spaces, subject_of, told
from rlhub_core.film import Film
from rlhub_core.protocol import Actor, ActType, ObsType

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FASTEST = 50.0  # frames per second; viewers slow down what is faster


def record(
    subject: Any,
    path: str | Path,
    env: Any = None,
    *,
    episodes: int = 1,
    seed: int = 0,
    fps: float | None = None,
    max_steps: int = 1000,
    wrappers: Sequence[Any] = (),
    **options: Any,
) -> Path:
    """Have an agent play, film it, and return the path of the animated GIF.

    Args:
        subject: a run, or an actor, which may be a plain function `(observations, first) -> actions`.
        path: of the file to write; it ends in `.gif`.
        env: a name, class, factory or environment; for a run the one it was trained on unless given.
        episodes: how many, one after another.
        seed: of the environment; the same seed gives the same play.
        fps: frames per second, one frame an env step (default: the environment's own speed), at most 50.
        max_steps: after which an episode is cut off.
        wrappers: of the environment.
        options: keyword arguments of the environment.

    Raises:
        ConfigError: for another file type, or an environment that cannot be rendered as pixels.
        RlhubError: where Pillow is not installed.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ConfigError(f"A recording is a .gif, not {path.suffix or 'a file without ending'!r}: {path}.")
    check_positive("episodes", episodes)
    check_positive("max_steps", max_steps)
    if fps is not None and not fps > 0:
        raise ConfigError(f"fps must be a positive number, not {fps!r}.")
    _need("PIL")
    actor, source = subject_of(subject, env, wrappers, options)
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # else pygame complains of the missing one
    filmed = _filmable(source)
    film = Film()
    try:
        check_same_spaces(subject, filmed, source.name)
        with told([filmed]):
            for episode in range(episodes):
                _play(actor, filmed, film, seed if episode == 0 else None, max_steps)
    except DependencyNotInstalled as error:
        raise RlhubError(f"{source.name} cannot be rendered: {error}") from error
    finally:
        if not source.is_instance:
            filmed.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    film.write(path, min(fps or _own_speed(filmed), FASTEST))
    return path


def plot(runs: Any, path: str | Path | None = None, *, metric: str = RETURNS, smooth: int | None = None) -> Figure:
    """Draw the learning curves of one or several runs and return the matplotlib figure.

    Returns of training episodes are drawn one by one, faintly, below their running mean; evaluations as points with the
    95 % interval of their mean.

    Args:
        runs: a run or its folder, or several of them.
        path: where to write it (.png, .svg, .pdf), if anywhere.
        metric: what to draw: training returns, or any name in the runs' `metrics.jsonl`.
        smooth: values in the running mean (default: a twentieth of the episodes, at most 100; 1 for other metrics).

    Raises:
        RunError: for a folder that is no run, or a run that has recorded nothing yet.
        ConfigError: for a metric that was not recorded, naming those that were.
        RlhubError: where matplotlib is not installed.
    """
    if smooth is not None:
        check_positive("smooth", smooth)
    path = None if path is None else Path(path)
    if path is not None and path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"A plot is a .png, .svg or .pdf, not {path.suffix or 'a file without ending'!r}: {path}.")
    many = list(runs) if isinstance(runs, (list, tuple)) else [runs]
    curves = labelled([Curve.of(run, metric, smooth) for run in many])
    _need("matplotlib")
    figure = draw(curves, metric)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure


def _play(actor: Actor, env: Env, film: Film, seed: int | None, max_steps: int) -> None:
    observation, info = env.reset(seed=seed)
    film.add(env.render())
    first = np.ones(1, np.bool_)
    for _ in range(max_steps):
        actions = act(actor, _batched(env, observation), first, partial(_masks, env, info))
        observation, _, terminated, truncated, info = env.step(_unbatched(env, actions))
        first = np.zeros(1, np.bool_)
        film.add(env.render())
        if terminated or truncated:
            break
    film.cut()


def _masks(env: Env, info: dict[str, Any]) -> Any:
    """Return the possible actions [1, n], as `Collector.action_masks` does."""
    if "action_mask" in info:
        return np.array(info["action_mask"])[None]
    return np.array(env.get_wrapper_attr("action_masks")())[None] if env.has_wrapper_attr("action_masks") else None


def _batched(env: Env, observation: Any) -> ObsType:
    space = env.observation_space
    return concatenate(space, [observation], cast(Any, create_empty_array(space, 1)))


def _unbatched(env: Env, actions: ActType) -> Any:
    return next(iter(iterate(batch_space(env.action_space, 1), actions)))


def _filmable(source: EnvironmentSource) -> Env:
    """Return an environment that renders pixels.

    Raises:
        ConfigError: saying which render modes it has.
    """
    env = source.make()
    if env.render_mode == "rgb_array":
        return env
    modes = env.metadata.get("render_modes", [])
    if source.is_instance:
        raise ConfigError(f'{source.name} was made without render_mode="rgb_array". Make it with that to record it.')
    env.close()
    if "rgb_array" not in modes:
        has = listed(modes)
        raise ConfigError(f"{source.name} cannot be recorded: it has no render mode 'rgb_array'. It has: {has}.")
    return source.make(render_mode="rgb_array")


def _own_speed(env: Env) -> float:
    """Return the env steps per second that show the environment at its own speed."""
    skip = env.spec.kwargs.get("frameskip") if env.spec is not None else None
    if isinstance(skip, int) and str(env.spec.entry_point).startswith("ale_py"):  # type: ignore[union-attr]
        return 60.0 / skip  # ale-py says 30 whatever its frame skip
    return float(env.metadata.get("render_fps") or 30)


def _need(module: str) -> None:
    """Raise RlhubError where a module of the extra `media` is not installed."""
    if find_spec(module) is None:
        raise RlhubError(f"Pictures need {module}, which is not installed. Try: pip install 'rlhub-core[media]'.")
