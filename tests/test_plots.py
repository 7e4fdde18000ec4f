"""Learning curves of several runs: grouped over seeds, over steps, seconds and episodes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core import ConfigError, Experiment, RunError
from rlhub_core.reporting.curves import Curve, Point, average, settings


def write_run(
    folder: Path, seed: int, values: dict[int, float | None], evaluations: dict[int, float] | None = None, **recipe: Any
) -> Path:
    """Write the folder of a run: an episode and a line of metrics at each step, a second for ten steps."""
    folder.mkdir()
    experiment = Experiment("deep/dqn", "CartPole-v1", 100, seed=seed)
    replace(experiment, **recipe).write(folder)
    lines = [{"step": s, "time/seconds": s / 10, "train/loss": v} for s, v in values.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = "".join(f"{step},{value},5,0\n" for step, value in values.items() if value is not None)
    (folder / "episodes.csv").write_text("step,return,length,env\n" + rows)
    scores = [
        {"step": s, "mean": v, "returns": [v, v], "lengths": [4, 6], "unfinished": 0}
        for s, v in (evaluations or {}).items()
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(score) + "\n" for score in scores))
    return folder


@pytest.fixture
def seeds(tmp_path: Path) -> list[Path]:
    """Three runs of one setting; their means at 0, 50 and 100 steps are 0, 10 and 20."""
    return [
        write_run(tmp_path / f"s{seed}", seed, {10: 2 + d, 50: 10 + d, 90: 18 + d}, {50: 10 + d, 90: 30 + d})
        for seed, d in enumerate((-3.0, 0.0, 3.0))
    ]


def line(figure: Any, index: int = 0) -> tuple[Any, Any]:
    """Return x and y of a line."""
    x, y = figure.axes[0].lines[index].get_data()
    return x, y


def test_runs_of_one_setting_become_their_mean_and_band(seeds: list[Path]) -> None:
    figure: Any = rlhub.plot(seeds, smooth=1)
    x, y = line(figure)
    np.testing.assert_allclose(x, [10, 50, 90])
    np.testing.assert_allclose(y, [2, 10, 18])
    assert figure.axes[0].lines[0].get_label() == "deep/dqn · 3 seeds"
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {5.0, -1.0, 7.0, 13.0} <= set(np.round(band[:, 1], 6))  # ± 3, the standard deviation
    assert "± one standard deviation" in figure.axes[0].get_xlabel()


def test_the_interval_of_the_mean_is_students(seeds: list[Path]) -> None:
    mean = average([Curve.of(folder, smooth=1) for folder in seeds], "ci")
    assert mean.low is not None
    np.testing.assert_allclose(mean.values - mean.low, 4.303 * 3 / np.sqrt(3))


def test_where_steps_differ_curves_are_interpolated_over_what_all_have(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", 0, {0: 0, 100: 100})
    two = write_run(tmp_path / "two", 1, {20: 40, 60: 80})
    mean = average([Curve.of(one, smooth=1), Curve.of(two, smooth=1)], "std")
    assert (mean.x[0], mean.x[-1], len(mean.x)) == (20, 60, 300)
    np.testing.assert_allclose(mean.values, mean.x + 10)


def test_evaluations_are_averaged_at_the_steps_that_all_have(seeds: list[Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", 7, {10: 2.0, 90: 18.0}, {90: 30.0})
    mean = average([Curve.of(folder) for folder in [*seeds, other]], "std")
    assert [(point.step, point.mean) for point in mean.evaluations] == [(90, 30.0)]


def test_band_none_draws_every_run(seeds: list[Path]) -> None:
    figure: Any = rlhub.plot(seeds, band="none", metric="train/loss")
    labels = [f"deep/dqn · seed {seed}" for seed in range(3)]
    assert [each.get_label() for each in figure.axes[0].lines] == labels


def test_a_repeated_seed_and_another_setting_are_not_averaged() -> None:
    a, b, c = (Experiment("deep/dqn", "CartPole-v1", 100, seed=seed) for seed in (0, 1, 2))
    assert settings([a, b, c]) == [[0, 1, 2]]
    assert settings([a, b, a]) == [[0], [1], [2]]
    assert settings([a, replace(b, hyper_parameters={"discount": 0.9}), c]) == [[0, 2], [1]]


def test_runs_without_a_step_in_common_stay_apart(tmp_path: Path) -> None:
    early = write_run(tmp_path / "early", 0, {10: 1.0, 20: 2.0})
    late = write_run(tmp_path / "late", 1, {50: 1.0, 60: 2.0})
    assert len(rlhub.plot([early, late]).axes[0].lines) == 2


def test_over_seconds_and_episodes(seeds: list[Path]) -> None:
    figure: Any = rlhub.plot(seeds[0], x="seconds")
    np.testing.assert_allclose(line(figure)[0], [1, 5, 9])
    assert figure.axes[0].get_xlabel() == "wall time"
    np.testing.assert_allclose(figure.axes[0].containers[0].lines[0].get_xdata(), [5, 9])
    np.testing.assert_allclose(line(rlhub.plot(seeds[0], x="episodes"))[0], [1, 2, 3])
    np.testing.assert_allclose(line(rlhub.plot(seeds[0], x="episodes", metric="train/loss"))[0], [1, 2, 3])


def test_evaluations_are_a_metric(seeds: list[Path]) -> None:
    np.testing.assert_allclose(line(rlhub.plot(seeds[1], metric="evaluation/return_mean")), [[50, 90], [10, 30]])
    np.testing.assert_allclose(line(rlhub.plot(seeds[1], metric="evaluation/length_mean"))[1], [5, 5])


def test_a_value_that_is_not_finite_leaves_the_others(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 0, {10: 1.0, 20: None, 30: 3.0})
    x, y = line(rlhub.plot(folder, metric="train/loss", smooth=2))
    np.testing.assert_allclose((x, y), [[10, 30], [1, 2]])
    nothing = write_run(tmp_path / "nothing", 0, {10: None})
    with pytest.raises(RunError, match="has recorded 'train/loss', but never a finite value"):
        rlhub.plot(nothing, metric="train/loss")


def test_lines_differ_without_colour(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"{n}", n, {10: 1.0, 20: 2.0}, steps=100 + n) for n in range(4)]
    lines: Any = rlhub.plot(runs).axes[0].lines
    assert len({each.get_linestyle() + str(each._dash_pattern) for each in lines}) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"x": "hours"}, "x is steps, seconds or episodes, not 'hours'."),
        ({"band": "sem"}, "band is std, ci or none, not 'sem'."),
        ({"runs": []}, "There is nothing to plot: name at least one run."),
        (
            {"metric": "evaluation/retrun_mean"},
            "has no metric 'evaluation/retrun_mean'. Did you mean 'evaluation/return_mean'? "
            "It has: evaluation/length_mean, evaluation/return_mean, rollout/return_mean, time/seconds, train/loss.",
        ),
    ],
)
def test_what_cannot_be_drawn(seeds: list[Path], arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        rlhub.plot(**({"runs": seeds} | arguments))


def test_seconds_need_a_line_of_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "x", 0, {10: 1.0})
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match=r"so its seconds are not known\. Plot over steps\."):
        rlhub.plot(folder, x="seconds")


def test_a_point_of_one_run_keeps_its_own_interval(seeds: list[Path]) -> None:
    assert Curve.of(seeds[1]).evaluations == [Point(50, 50, 10, 10, 10), Point(90, 90, 30, 30, 30)]


def test_names_are_written_as_they_are(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, 0, {10: 1.0, 20: 2.0}) for name in (r"a$\frac$b", "_hidden")]
    figure = rlhub.plot(runs, tmp_path / "x.png")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.replace("\u200b", "").replace("\\$", "$").split(" (")[0] for text in shown] == [
        r"a$\frac$b",
        "_hidden",
    ]


def test_a_legend_of_long_names_is_whole(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / (letter * 30), 0, {10: 1.0, 20: 2.0}, {10: 1.0}) for letter in "abc"]
    figure = rlhub.plot(runs, tmp_path / "x.png")
    shown = figure.legends[0].get_window_extent()
    assert shown.x0 >= 0
    assert shown.x1 <= figure.bbox.x1
