"""Recordings and learning curves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rlhub_core as rlhub
from rlhub_core import ConfigError, RlhubError, RunError
from rlhub_core.reporting.curves import running_mean


@pytest.fixture
def run(toy: Path, tmp_path: Path) -> rlhub.Run:
    """A finished run of 400 steps with evaluations."""
    callbacks = ["core/evaluate:every=100,episodes=3"]
    return rlhub.train("toy/random", "toy/Corridor-v0", steps=400, callbacks=callbacks, folder=tmp_path / "run")


def to_the_right(observations: Any, first: Any) -> Any:
    """Walk right."""
    return np.ones(len(first), np.int64)


def frames(path: Path) -> list[tuple[Any, int]]:
    """Return each frame of a GIF as pixels, with the ms that it stays."""
    film: Any
    with Image.open(path) as film:
        shown = []
        for index in range(film.n_frames):
            film.seek(index)
            shown.append((np.asarray(film.convert("RGB")), film.info["duration"]))
    return shown


def test_a_recording_shows_every_step(toy: Path, tmp_path: Path) -> None:
    shown = frames(rlhub.record(to_the_right, tmp_path / "a" / "x.gif", "toy/Corridor-v0", seed=3, length=12))
    assert shown[0][0].shape == (8 * 3, 96 * 3, 3)  # enlarged by a whole number
    cells = [int(np.argmax((frame[4] == (213, 94, 0)).all(axis=-1))) // 24 for frame, _ in shown]
    assert cells == list(range(cells[0], 12))
    assert [duration for _, duration in shown] == [50] * (len(shown) - 1) + [650]


def test_fps_holds_on_average(toy: Path, tmp_path: Path) -> None:
    path = rlhub.record(to_the_right, tmp_path / "x.gif", "toy/Corridor-v0", length=40, fps=30, max_steps=14)
    durations = [duration for _, duration in frames(path)]
    assert set(durations[:-1]) == {30, 40}
    assert sum(durations) == 500 + 600  # 15 frames, and the stay on the last


def test_a_run_is_recorded_in_its_environment(run: rlhub.Run, tmp_path: Path) -> None:
    path = rlhub.record(run, tmp_path / "x.gif", episodes=2)
    assert sum(duration > 600 for _, duration in frames(path)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "x.avi"}, "A recording is a .gif or .mp4, not '.avi': x.avi."),
        ({"episodes": 0}, "episodes must be a positive integer, not 0."),
        ({"max_steps": 1.5}, "max_steps must be a positive integer, not 1.5."),
        ({"fps": 0}, "fps must be a positive number, not 0."),
        (
            {"env": "toy/Dark-v0"},
            "toy/Dark-v0 cannot be recorded: it has no render mode 'rgb_array'. It has: ansi.",
        ),
    ],
)
def test_what_cannot_be_recorded(toy: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        rlhub.record(to_the_right, **({"path": "x.gif", "env": "toy/Corridor-v0"} | arguments))


def test_a_live_environment_must_render(toy: Path, tmp_path: Path) -> None:
    env = rlhub.make("toy/Corridor-v0").unwrapped
    env.spec = None
    with pytest.raises(ConfigError, match='was made without render_mode="rgb_array"'):
        rlhub.record(to_the_right, tmp_path / "x.gif", env)


def test_a_plot_has_curve_episodes_and_evaluations(run: rlhub.Run, tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    axes: Any = rlhub.plot(run, path, smooth=5).axes[0]
    assert path.read_text().startswith("<?xml")
    assert axes.get_title() == "toy/Corridor-v0"
    line = axes.lines[0]
    assert line.get_label() == "toy/random · seed 0"
    returns = [episode.return_ for episode in run.episodes]
    assert line.get_ydata()[-1] == pytest.approx(np.mean(returns[-5:]))
    assert len(axes.collections[0].get_offsets()) == len(returns)
    assert list(axes.containers[0].lines[0].get_xdata()) == [100, 200, 300, 400]


def test_runs_that_look_alike_bear_their_folders(run: rlhub.Run, tmp_path: Path) -> None:
    other = rlhub.train("toy/random", "toy/Corridor-v0", steps=200, folder=tmp_path / "other")
    axes: Any = rlhub.plot([run, other.folder]).axes[0]
    labels = [line.get_label() for line in axes.lines]
    assert {"run (toy/random · seed 0)", "other (toy/random · seed 0)"} <= set(labels)


def test_other_metrics(run: rlhub.Run) -> None:
    axes: Any = rlhub.plot(run, metric="train/noise").axes[0]
    assert list(axes.lines[0].get_xdata()) == [100, 200, 300, 400]
    with pytest.raises(ConfigError, match=r"has no metric 'train/nois'\. Did you mean 'train/noise'\? It has: eval"):
        rlhub.plot(run, metric="train/nois")


def test_what_cannot_be_plotted(run: rlhub.Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"A plot is a \.png, \.svg or \.pdf, not '\.bmp'"):
        rlhub.plot(run, "x.bmp")
    with pytest.raises(ConfigError, match="smooth must be a positive integer, not 0"):
        rlhub.plot(run, smooth=0)
    short = rlhub.train("toy/random", "toy/Corridor-v0", steps=1, folder=tmp_path / "short")
    with pytest.raises(RunError, match="has no finished episode yet, so there is no return to plot"):
        rlhub.plot(short)
    with pytest.raises(RunError, match="has recorded no metrics yet"):
        rlhub.plot(short, metric="train/noise")


def test_running_mean() -> None:
    np.testing.assert_allclose(running_mean(np.array([1.0, 3.0, 5.0, 9.0]), 2), [1, 2, 4, 7])


def test_without_the_extra(run: rlhub.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlhub_core.errors.find_spec", lambda name: None)
    for draw, module in ((lambda: rlhub.plot(run), "matplotlib"), (lambda: rlhub.record(run, "x.gif"), "PIL")):
        with pytest.raises(RlhubError) as caught:
            draw()
        assert str(caught.value) == (
            f"Pictures need {module}, which is not installed. Try: pip install 'rlhub-core[media]'."
        )
