"""`callbacks/video`: films that change nothing, are whole, and are there once also after a kill."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from PIL import Image
from rlhub_callbacks.video import Video

import rlhub_core as rlhub
from rlhub_core import ConfigError, Evaluation, RlhubError
from rlhub_core.playing.recording import filmed

EVALUATE = "core/evaluate:every=100,episodes=2,num_envs=1"
GIF = "callbacks/video:every=150,format=gif,max_steps=20"


def train(folder: Path, *callbacks: Any, algorithm: str = "deep/dqn", **settings: Any) -> rlhub.Run:
    """Train for 400 steps on the balanced pole."""
    settings = {"steps": 400, "config": {"learning_starts": 50, "hidden_sizes": (8,)}} | settings
    return rlhub.train(algorithm, "CartPole-v1", callbacks=callbacks, folder=folder, progress=False, **settings)


def names(folder: Path) -> list[str]:
    """Return the files in the run's videos."""
    return sorted(os.listdir(folder / "videos"))


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of every film."""
    return {name: hashlib.sha256((folder / "videos" / name).read_bytes()).hexdigest() for name in names(folder)}


def test_films_at_chosen_steps(tmp_path: Path) -> None:
    run = train(tmp_path, GIF)
    assert names(tmp_path) == ["steps-000000000152.gif", "steps-000000000300.gif"]
    with Image.open(tmp_path / "videos" / "steps-000000000152.gif") as shown:
        assert shown.n_frames <= 21  # type: ignore[attr-defined]
    assert run.steps == 400


def test_films_on_evaluations_and_on_new_bests(tmp_path: Path) -> None:
    run = train(tmp_path, EVALUATE, "callbacks/video:on=evaluation,max_steps=5", "callbacks/video:on=best,max_steps=5")
    steps = [evaluation.step for evaluation in run.evaluations]
    means = [evaluation.mean for evaluation in run.evaluations]
    best = [step for index, step in enumerate(steps) if means[index] > max([-1.0, *means[:index]])]
    assert names(tmp_path) == sorted(
        [*[f"evaluation-{step:012d}.mp4" for step in steps], *[f"best-{step:012d}.mp4" for step in best]]
    )


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/ppo", "sb3/dqn", "deep/cmaes"])
def test_the_training_is_the_same_to_the_last_bit(tmp_path: Path, algorithm: str) -> None:
    def weights(run: rlhub.Run) -> dict[str, str]:
        newest = max((run.folder / "checkpoints").iterdir())
        files = [path for path in sorted((newest / "algorithm").rglob("*")) if path.is_file()]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    video = "callbacks/video:every=100,format=gif,max_steps=10,view=agent"
    with_it, without = (
        train(tmp_path / name, *callbacks, algorithm=algorithm, config=None)
        for name, callbacks in (("with", [video]), ("without", []))
    )
    assert names(tmp_path / "with")
    assert weights(with_it) == weights(without)
    assert with_it.episodes == without.episodes


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import os
from test_callbacks_video import Path, train
from rlhub_core.records import Records
add = Records.add
Records.add = lambda self, progress: add(self, progress) if progress.steps < 330 else os._exit(9)
train(Path({folder!r}), *{callbacks!r})
"""


def test_a_killed_and_resumed_run_has_the_same_films(tmp_path: Path) -> None:
    callbacks = [
        "core/checkpoint:every=200",
        EVALUATE,
        "callbacks/video:every=70,format=gif,max_steps=10",
        "callbacks/video:on=best,format=gif,max_steps=10",
    ]
    whole = train(tmp_path / "whole", *callbacks)
    folder = tmp_path / "killed"
    code = KILLED.format(tests=str(Path(__file__).parent), folder=str(folder), callbacks=callbacks)
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode == 9
    before = digests(folder)
    (folder / "videos" / ".steps-000000000350.gif.part").write_bytes(b"half a film")
    (folder / "videos" / "steps-000000000399.gif").write_bytes(b"of another future")
    (folder / "videos" / "mine.gif").write_bytes(b"a user's own")
    resumed = rlhub.resume(folder, progress=False)
    assert resumed.restored == "exact"
    (folder / "videos" / "mine.gif").unlink()
    assert digests(folder) == digests(whole.folder)
    assert before.items() <= digests(folder).items()


class Blind(gymnasium.Env[Any, Any]):
    """An environment that cannot be looked at."""

    metadata = {"render_modes": ["ansi"]}
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), 0.0, True, False, {}


@pytest.mark.parametrize(
    ("env", "callbacks", "said"),
    [
        (Blind, [GIF], "Blind cannot be recorded: it has no render mode 'rgb_array'. It has: ansi."),
        (
            gymnasium.make("CartPole-v1", render_mode="rgb_array"),
            [GIF],
            "callbacks/video films in a second CartPole-v1. Pass its class or a factory instead of one environment "
            "object.",
        ),
        (
            "CartPole-v1",
            ["callbacks/video:on=best"],
            "callbacks/video:on=best needs core/evaluate among the callbacks.",
        ),
        (
            "CartPole-v1",
            [GIF, "callbacks/video:every=7,format=gif"],
            "callbacks/video stands twice with on=steps,format=gif: one would overwrite the other's files. Choose "
            "another format, or leave one out.",
        ),
        ("CartPole-v1", ["callbacks/video:every=0"], "callbacks/video: every must be at least 1, not 0."),
    ],
)
def test_what_cannot_be_filmed_is_refused_at_the_start(
    env: Any, callbacks: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        rlhub.train("deep/dqn", env, steps=50, callbacks=callbacks, folder=tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_without_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlhub_core.errors.find_spec", lambda name: None)
    with pytest.raises(
        RlhubError, match=r"^An MP4 needs av, which is not installed\. Try: pip install 'rlhub-core\[vid"
    ):
        train(tmp_path / "run", "callbacks/video")


def test_a_film_that_fails_ends_the_run_at_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise OSError("no space left on device")

    monkeypatch.setattr("rlhub_callbacks.video.filmed", fail)
    with pytest.raises(OSError, match="no space left") as caught:
        train(tmp_path, GIF)
    assert caught.value.__notes__ == ["raised by the callback Video at step 152; the run is saved"]
    monkeypatch.setattr("rlhub_callbacks.video.filmed", filmed)
    assert rlhub.resume(tmp_path, progress=False).steps == 400


def test_a_normalising_run_is_filmed_as_it_sees(tmp_path: Path) -> None:
    video = "callbacks/video:every=200,view=agent,format=gif,max_steps=5"
    train(tmp_path, video, normalize="observations", algorithm="deep/ppo", config={"rollout_length": 100})
    assert names(tmp_path) == ["steps-000000000200.gif", "steps-000000000400.gif"]


def test_an_evaluation_of_nan_is_no_best_and_hides_none() -> None:
    means = [float("nan"), 1.0, float("nan"), 2.0]
    made: list[int] = []
    video = Video(on="best")
    video._film = lambda run, step: made.append(step)  # type: ignore[method-assign]
    for step, mean in enumerate(means):
        video.on_evaluation(cast(Any, None), Evaluation((mean,), (1,), step=step))
    assert made == [1, 3]
