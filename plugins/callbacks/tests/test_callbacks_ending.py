"""Callbacks that end a run, and those that print: early stop, time limit, chosen metrics, profile."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from rlhub_callbacks.early_stop import EarlyStop
from rlhub_callbacks.files import Growing, replaced
from rlhub_callbacks.profile import ACCOUNTS
from rlhub_callbacks.time_limit import TimeLimit, seconds_of

import rlhub_core as rlhub
from rlhub_core import ConfigError, NotFoundError, Progress, Run, StopTraining, StorageError, checkpoint
from rlhub_core.callbacks import Evaluate
from rlhub_core.evaluation import Evaluation
from rlhub_core.testing import StopAt

ENV: dict[str, Any] = {"env": "gridworld/FourRooms-v0", "env_options": {"observation": "index"}}


def learn(folder: Path, callbacks: list[Any], **settings: Any) -> Run:
    defaults = {"algorithm": "tabular/q_learning", **ENV, "steps": 1_000, "num_envs": 2, "log_every": 100}
    return rlhub.train(**{**defaults, **settings}, folder=folder, callbacks=callbacks, progress=False)


class Scores(Evaluate):
    """Evaluations whose scores are known beforehand."""

    def __init__(self, *scores: float) -> None:
        super().__init__(every=100)
        self.scores = scores

    def on_progress(self, run: Run, progress: Progress) -> None:
        if progress.steps % 100 == 0:
            score = self.scores[progress.steps // 100 - 1]
            run.record_evaluation(Evaluation((score,), (1,), 0, progress.steps))


@pytest.mark.parametrize(
    ("scores", "options", "step"),
    [
        ((1, 2, 3, 3, 2, 1, 0, 0, 0, 0), "patience=3", 600),
        ((1, 2, 3, 3, 2, 4, 4, 4, 4, 9), "patience=3", 900),
        ((1.0, 1.4, 1.5, 1.6, 2, 2, 2, 2, 2, 2), "patience=3,min_delta=0.5", 700),
        ((3, 2, 2, 2, 2, 2, 2, 3, 3, 3), "patience=3,warmup=400", 700),
        ((9, 8, 7, 6, 5, 4, 3, 2, 1, 0), "patience=20", 1_000),
        ((math.nan, 1, 2, 3, math.nan, 4, 5, 6, 7, 8), "patience=3", 1_000),
        ((math.nan,) * 10, "patience=3", 300),
    ],
)
def test_a_run_that_does_not_improve_is_ended(scores: Any, options: str, step: int, tmp_path: Path) -> None:
    run = learn(tmp_path / "run", [Scores(*scores), f"callbacks/early_stop:{options}"])
    assert run.steps == step
    assert bool(run.stopped) == (step < 1_000)


def test_a_resumed_run_remembers_how_long_it_has_not_improved(tmp_path: Path) -> None:
    scores = Scores(3, 2, 2, 2, 2, 2, 2, 2, 2, 2)
    stop = "callbacks/early_stop:patience=4"
    learn(tmp_path / "run", [scores, stop, StopAt(300)])
    run = rlhub.resume(tmp_path / "run", callbacks=[scores, StopAt(10**6)], progress=False)
    assert (run.steps, run.stopped) == (500, "no evaluation above 3 in the last 4")
    assert run.last_checkpoint == 500


def test_a_time_limit_counts_earlier_sessions(tmp_path: Path) -> None:
    learn(tmp_path / "run", [TimeLimit("1h"), StopAt(100)])
    saved = tmp_path / "run" / "checkpoints" / "000000000100"
    manifest = checkpoint.verify(saved)

    def an_hour_later(folder: Path) -> dict[str, Any]:
        shutil.copytree(saved, folder, ignore=shutil.ignore_patterns("manifest.json"), dirs_exist_ok=True)
        known = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(known | {"seconds": 3_599.999}))
        return {name: manifest[name] for name in ("resume", "provenance", "callbacks")}

    checkpoint.write(saved.parent, 100, an_hour_later)
    run = rlhub.resume(tmp_path / "run", callbacks=[StopAt(10**6)], progress=False)
    assert run.stopped == "time limit of 1h reached"
    assert 100 < run.steps < 1_000
    assert run.last_checkpoint == run.steps


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h30m", 9_000), ("45m", 2_700), ("90s", 90), ("1d", 86_400), ("1d 2h", 93_600), ("1.5H", 5_400), (20, 20)],
)
def test_times_are_written_as_people_do(text: Any, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2x", "-3m", "0s", "nan", "inf", "30m2h", 0, -1])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError) as error:
        TimeLimit(text)
    assert str(error.value) == (f"callbacks/time_limit: limit must be a time such as 2h30m, 45m or 90s, not {text!r}.")


def test_chosen_metrics_are_printed_in_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "rollout/return_mean,train/td_error,evaluation/return_mean"
    run = learn(
        tmp_path / "run", [f"callbacks/metrics_printer:metrics=[{names}],every=2", Scores(*range(10))], steps=1_000
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["step", *names.split(",")]
    assert [line.split()[0] for line in lines[1:]] == ["200", "400", "600", "800", "1,000"]
    assert [line.split()[-1] for line in lines[1:]] == ["0", "2", "4", "6", "8"]
    assert len({len(line) for line in lines}) == 1
    assert run.steps == 1_000


def test_an_old_number_is_not_printed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printer = "callbacks/metrics_printer:metrics=[evaluation/episodes]"
    learn(tmp_path / "run", [printer, "core/evaluate:every=300,episodes=2"], steps=600)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [cell for _, cell in lines[1:]] == ["–", "–", "–", "2", "–", "–"]


def test_a_metric_that_nobody_logs_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(tmp_path / "run", ["callbacks/metrics_printer:metrics=train/td_eror"])
    said = capsys.readouterr()
    assert said.err.startswith(
        "Nobody has logged train/td_eror. Did you mean 'train/td_error'? This run has: hyper_parameters/epsilon, "
    )
    assert said.out.splitlines()[1].split() == ["100", "–"]


def test_metrics_that_nobody_chose_are_not_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn(tmp_path / "run", ["callbacks/metrics_printer"])
    assert not capsys.readouterr().err


def test_tests_of_epochs_are_evaluations_to_all_who_need_them(tmp_path: Path) -> None:
    epochs, needs = "callbacks/epochs:steps=500,episodes=1", "core/stop_on_return:value=-1,of=evaluation"
    assert learn(tmp_path / "run", [epochs, needs]).stopped == "return -1 reached in an evaluation"


def test_early_stop_without_evaluations_and_metrics_without_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        learn(tmp_path / "run", ["callbacks/early_stop"])
    assert str(error.value) == "callbacks/early_stop needs core/evaluate or callbacks/epochs among the callbacks."
    with pytest.raises(ConfigError, match="callbacks/metrics_printer: metrics must name at least one"):
        learn(tmp_path / "run", ["callbacks/metrics_printer:metrics=[]"])
    with pytest.raises(ConfigError, match="callbacks/profile may stand once among the callbacks"):
        learn(tmp_path / "run", ["callbacks/profile", "callbacks/profile:show=false"])
    for name in ("csv", "tensorboard"):
        with pytest.raises(ConfigError, match=f"callbacks/{name} may stand once among the callbacks"):
            learn(tmp_path / "run", [f"callbacks/{name}", f"callbacks/{name}"])
    with pytest.raises(NotFoundError, match="Did you mean 'core/stop_on_return'"):
        learn(tmp_path / "run", ["callbacks/stop_on_return:value=3"])


def test_a_profile_accounts_for_all_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Slow(rlhub.Callback):
        def on_progress(self, run: Run, progress: Progress) -> None:
            sum(range(3_000))

    run = learn(tmp_path / "run", ["callbacks/profile", Slow(), "core/evaluate:every=500,episodes=2", StopAt(500)])
    earlier = json.loads((run.folder / "profile.json").read_text())
    resumed = rlhub.resume(run.folder, callbacks=[Slow(), StopAt(10**6)], progress=False)
    profile = json.loads((resumed.folder / "profile.json").read_text())
    assert tuple(profile["seconds"]) == ACCOUNTS
    assert sum(profile["seconds"].values()) == pytest.approx(profile["seconds_in_all"], abs=1e-4)
    assert all(spent > 0 for spent in profile["seconds"].values())
    assert profile["seconds_in_all"] > earlier["seconds_in_all"]
    assert profile["steps"] == 1_000
    of_callbacks = profile["seconds_of_callbacks"]
    assert sum(of_callbacks.values()) == pytest.approx(profile["seconds"]["callbacks"], abs=1e-4)
    assert {"Slow", "Evaluate", "Checkpoint", "StopAt"} <= set(of_callbacks)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["where", "the", "time", "goes", "seconds", "share", "µs", "an", "env", "step"]
    assert len({len(line) for line in printed}) == 1


def test_a_planner_that_takes_no_env_step_only_learns(tmp_path: Path) -> None:
    run = learn(
        tmp_path / "run", ["callbacks/profile:show=false"], algorithm="tabular/value_iteration", num_envs=1, steps=50
    )
    seconds = json.loads((run.folder / "profile.json").read_text())["seconds"]
    assert seconds["environment"] == seconds["acting"] == 0
    assert seconds["learning"] > 0


def test_an_evaluation_of_nan_counts_as_no_better() -> None:
    stop = EarlyStop(patience=2)
    for mean in (float("nan"), 1.0, float("nan")):
        stop.on_evaluation(cast(Any, None), Evaluation((mean,), (1,)))
    with pytest.raises(StopTraining, match=r"^no evaluation above 1 in the last 2$"):
        stop.on_evaluation(cast(Any, None), Evaluation((0.5,), (1,)))
    never = EarlyStop(patience=1)
    with pytest.raises(StopTraining, match=r"^no evaluation above NaN in the last 1$"):
        never.on_evaluation(cast(Any, None), Evaluation((float("nan"),), (1,)))


def test_a_checkpoint_counts_only_on_lines_that_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    file = Growing(tmp_path / "log.csv")
    assert file.state() == {"size": 0}
    file.write("a line\n")
    file.close()
    assert file.state() == {"size": 7}
    assert synced == [str(tmp_path / "log.csv"), str(tmp_path)]


def test_a_file_of_a_callback_on_a_full_disk_is_one_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    replaced(tmp_path / "profile.json", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"profile\.json could not be written: No space left on device; the"):
        replaced(tmp_path / "profile.json", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    file = Growing(tmp_path / "log.csv")
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match=r"log\.csv could not be written: .* go on from the last checkpoint: rlhub"):
        file.write("a line\n")
