"""Trackers and the wide table: one scheme, each line once, also after a kill; what is missing or broken."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from callbacks_kit import (
    ENV,
    KillAt,
    events,
    killed_and_resumed,
    lay_out,
    numbers_sent,
    sent,
    table,
    whole,
)

import rlhub_core as rlhub
from rlhub_core import ConfigError, Progress, Run
from rlhub_core.hub import default_hub
from rlhub_core.records import read_metrics
from rlhub_core.testing import StopAt

LOGS = [
    "callbacks/tensorboard",
    "callbacks/csv",
    "callbacks/epochs:steps=500,episodes=2,snapshots=false",
    "callbacks/simple_dqn_csv",
    "callbacks/renom_log:show=nothing",
    "callbacks/profile:show=false",
    "core/checkpoint:every=600,keep=1",
]
LEARN: dict[str, Any] = {
    "algorithm": "tabular/q_learning",
    "env": ENV,
    "env_options": {"observation": "index"},
    "steps": 2_000,
    "num_envs": 2,
    "log_every": 100,
    "seed": 3,
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders: of a run that was never stopped, and of one that was killed at step 1,700 and resumed."""
    parent = tmp_path_factory.mktemp("runs")
    whole(parent / "whole", LOGS, **LEARN)
    killed_and_resumed(parent / "parted", LOGS, 1_700, [], **LEARN)
    return parent / "whole", parent / "parted"


def test_event_files_have_each_line_once_after_a_kill(two_runs: tuple[Path, Path]) -> None:
    one, other = ([each for each in events(folder) if "time/" not in each[1]] for folder in two_runs)
    assert one == other
    assert len({(step, tag) for step, tag, _ in one}) == len(one)
    steps = [step for step, tag, _ in events(two_runs[1]) if tag == "time/seconds"]
    assert steps == [line["step"] for line in read_metrics(two_runs[1])] == list(range(100, 2_001, 100))
    assert len(list((two_runs[1] / "tensorboard").iterdir())) == 2
    assert [step for step, tag, _ in one if tag == "evaluation/return_mean"] == [500, 1_000, 1_500, 2_000]


@pytest.mark.parametrize("name", ["metrics.csv", "simple_dqn.csv", "renom.csv", "renom_e.csv"])
def test_tables_are_those_of_a_run_that_was_never_killed(two_runs: tuple[Path, Path], name: str) -> None:
    one, other = (table(folder / name) for folder in two_runs)
    assert one == other
    assert len(one) > 3


def test_the_wide_table_holds_every_line(two_runs: tuple[Path, Path]) -> None:
    with (two_runs[0] / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    recorded = read_metrics(two_runs[0])
    assert len(rows) == len(recorded) + 4
    of_metrics = [row for row in rows if row["time/seconds"]]
    assert [{k: float(v) for k, v in row.items() if v} for row in of_metrics] == recorded
    tests = [row for row in rows if row["evaluation/return_mean"]]
    assert {float(row["evaluation/episodes"]) for row in tests} == {2.0}


def test_a_column_that_comes_late_loses_no_line(tmp_path: Path) -> None:
    class Late(rlhub.Callback):
        def on_record(self, run: Run, record: Any) -> None:
            assert len(table(run.folder / "metrics.csv")) == len(read_metrics(run.folder))

    learner: Any = default_hub().load("algorithm", "tabular/q_learning")

    class Measuring(learner):  # type: ignore[misc]
        def train(self, collector: Any, until: int) -> Any:
            for progress in super().train(collector, until):
                yield Progress(progress.steps, progress.episodes, {f'odd, "{progress.steps // 100}"': 1.0})

    run = rlhub.train(
        Measuring,
        ENV,
        env_options={"observation": "index"},
        steps=500,
        log_every=100,
        folder=tmp_path / "run",
        callbacks=["callbacks/csv", Late()],
        progress=False,
    )
    rows = table(run.folder / "metrics.csv")
    assert [row["step"] for row in rows] == ["100", "200", "300", "400", "500"]
    assert rows[4]['train/odd, "5"'] == "1.0"
    assert rows[0]['train/odd, "5"'] == ""


@pytest.mark.parametrize(
    ("kind", "files"), [("mlflow", ("mlflow/__init__.py", "mlflow/entities.py")), ("wandb", ("wandb.py",))]
)
def test_a_tracker_is_sent_each_line_once_after_a_kill(tmp_path: Path, kind: str, files: tuple[str, ...]) -> None:
    lay_out(tmp_path / "site", *files)
    callbacks = [
        f"callbacks/{kind}",
        "callbacks/epochs:steps=500,episodes=2,snapshots=false",
        "core/checkpoint:every=600,keep=1",
    ]
    killed_and_resumed(tmp_path / "run", callbacks, 1_700, [tmp_path / "site"], **LEARN)
    numbers = numbers_sent(tmp_path)
    assert len({(step, name) for step, name, _ in numbers}) == len(numbers)
    recorded = {
        (line["step"], name)
        for line in read_metrics(tmp_path / "run")
        for name in line
        if name != "step" and not name.startswith("time/")
    }
    assert recorded <= {(step, name) for step, name, _ in numbers}
    tests = [step for step, name, _ in numbers if name == "evaluation/return_mean"]
    assert tests == [500, 1_000, 1_500, 2_000]
    assert {each["id"] for each in sent(tmp_path) if "id" in each} == {"the-id"}
    assert "end" in sent(tmp_path)[-1]
    recipe = next(each["params"] for each in sent(tmp_path) if each.get("params"))
    assert recipe["algorithm"] == "tabular/q_learning"
    assert recipe["epsilon"] == "linear(1.0, 0.05, 2000)"


class Sleep(rlhub.Callback):
    """Puts the tracker's server to sleep at a step, and wakes it at another."""

    def __init__(self, from_: int, until: int) -> None:
        self.from_, self.until = from_, until

    def on_progress(self, run: Run, progress: Progress) -> None:
        if progress.steps == self.from_:
            Path("down").touch()
        if progress.steps == self.until:
            Path("down").unlink()


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    lay_out(tmp_path / "site", "mlflow/__init__.py", "mlflow/entities.py", "wandb.py")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mlflow", "wandb"):
            del sys.modules[name]


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_training_goes_on_without_a_server_and_says_so_once(
    kind: str, fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("down").touch()
    run = whole(tmp_path / "run", [f"callbacks/{kind}"], **LEARN)
    assert run.steps == 2_000
    title = {"mlflow": "MLflow", "wandb": "Weights & Biases"}[kind]
    assert capsys.readouterr().err.splitlines() == [
        f"{title} cannot be written to: server is asleep. Training goes on; what is not sent is tried again."
    ]


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_a_server_that_slept_is_sent_what_it_missed(
    kind: str, fakes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks: list[Any] = [Sleep(500, 1_200), f"callbacks/{kind}"]
    rlhub.train(folder=tmp_path / "run", callbacks=callbacks, progress=False, **LEARN)
    steps = [step for step, name, _ in numbers_sent(tmp_path) if name == "rollout/episodes"]
    assert sorted(steps) == list(range(100, 2_001, 100))
    assert capsys.readouterr().err.count("server is asleep") <= 1


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_two_evaluations_at_one_step_are_both_sent(
    kind: str, fakes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlhub_callbacks.tracker.PATIENCE", 0)
    two = ["core/evaluate:every=500,episodes=1", "core/evaluate:every=500,episodes=2"]
    rlhub.train(folder=tmp_path / "run", callbacks=[*two, f"callbacks/{kind}"], progress=False, **LEARN)
    found = [(step, number) for step, name, number in numbers_sent(tmp_path) if name == "evaluation/episodes"]
    assert found == [(step, number) for step in range(500, 2_001, 500) for number in (1, 2)]


def test_a_project_that_looks_like_a_number_is_resumed(fakes: None, tmp_path: Path) -> None:
    callbacks: list[Any] = ['callbacks/wandb:project="2024"', StopAt(1_000)]
    rlhub.train(folder=tmp_path / "run", callbacks=callbacks, progress=False, **LEARN)
    assert rlhub.resume(tmp_path / "run", callbacks=[StopAt(0)], progress=False).steps == 2_000


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_a_resumed_run_sends_what_the_session_before_could_not(kind: str, fakes: None, tmp_path: Path) -> None:
    callbacks: list[Any] = [Sleep(500, -1), f"callbacks/{kind}", StopAt(1_000)]
    rlhub.train(folder=tmp_path / "run", callbacks=callbacks, progress=False, **LEARN)
    assert {step for step, _, _ in numbers_sent(tmp_path)} <= set(range(100, 500, 100))
    Path("down").unlink()
    rlhub.resume(tmp_path / "run", callbacks=[Sleep(-1, -1), StopAt(0)], progress=False)
    steps = [step for step, name, _ in numbers_sent(tmp_path) if name == "rollout/episodes"]
    assert steps == list(range(100, 2_001, 100))


def test_without_a_server_that_answers_wandb_is_offline_and_may_be_told(fakes: None, tmp_path: Path) -> None:
    whole(tmp_path / "a", ["callbacks/wandb"], **LEARN)
    whole(tmp_path / "b", ["callbacks/wandb:mode=online"], **LEARN)
    assert [each["mode"] for each in sent(tmp_path) if "mode" in each] == ["offline", "online"]


def test_mlflow_has_a_local_store_unless_another_is_named(
    fakes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    whole(tmp_path / "a", ["callbacks/mlflow"], **LEARN)
    whole(tmp_path / "b", ["callbacks/mlflow:store=http://127.0.0.1:5000"], **LEARN)
    uris = [each["connect"] for each in sent(tmp_path) if "connect" in each]
    assert uris == [f"sqlite:///{tmp_path / 'mlflow.db'}", "http://127.0.0.1:5000"]


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [("tensorboard", "tensorboardX", "tensorboardX"), ("mlflow", "mlflow", "MLflow"), ("wandb", "wandb", "wandb")],
)
def test_a_tracker_that_is_not_installed_says_what_to_install(
    kind: str, module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as error:
        whole(tmp_path / "run", [f"callbacks/{kind}"], **LEARN)
    assert str(error.value).startswith(f"callbacks/{kind} needs {package}, which cannot be imported (")
    assert str(error.value).endswith(f"): pip install 'rlhub-callbacks[{kind}]'.")
    assert not (tmp_path / "run" / "experiment.toml").exists()


def test_events_that_were_lost_are_not_passed_over(tmp_path: Path) -> None:
    settings = LEARN | {"callbacks": ["callbacks/tensorboard", StopAt(1_000)]}
    run = rlhub.train(folder=tmp_path / "run", progress=False, **settings)
    path = next((run.folder / "tensorboard").iterdir())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(rlhub.RunError, match="is shorter than it was at the checkpoint: events are missing"):
        rlhub.resume(run.folder, callbacks=[StopAt(0)], progress=False)


def test_sb3_and_in_house_runs_have_the_same_names(tmp_path: Path) -> None:
    names = []
    for algorithm, config in (("sb3/ppo", {"n_steps": 64}), ("deep/ppo", {"rollout_length": 64})):
        run = rlhub.train(
            algorithm,
            "CartPole-v1",
            steps=512,
            num_envs=2,
            folder=tmp_path / algorithm[:4],
            config=config,
            callbacks=["callbacks/csv", "core/evaluate:every=256,episodes=1", KillAt(0)],
            progress=False,
        )
        names.append(set(table(run.folder / "metrics.csv")[0]))
    shared = names[0] & names[1]
    assert {"train/policy_loss", "train/value_loss", "train/entropy", "train/kl", "train/clip_fraction"} <= shared
    assert {"rollout/return_mean", "rollout/length_mean", "evaluation/return_mean"} <= shared
    assert not any("approx_kl" in name or "n_updates" in name or "ep_rew" in name for name in names[0])
