"""Every callback of this package on every kind of algorithm, which learns bit for bit what it learns without."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from rlhub_callbacks.plugin import CALLBACKS

import rlhub_core as rlhub
from rlhub_core.testing import StopAt

WORLD: dict[str, Any] = {"env": "gridworld/FourRooms-v0", "env_options": {"observation": "index"}}
POLE: dict[str, Any] = {"env": "CartPole-v1", "num_envs": 2}
NEED_A_SERVER = {"mlflow", "wandb"}
KINDS = {
    "in-house": {"algorithm": "deep/dqn", **POLE, "steps": 600, "config": {"learning_starts": 100, "train_every": 10}},
    "on-policy": {"algorithm": "deep/ppo", **POLE, "steps": 600, "config": {"rollout_length": 50}},
    "tabular": {"algorithm": "tabular/q_learning", **WORLD, "num_envs": 2, "steps": 600},
    "evolutionary": {"algorithm": "deep/openai_es", **POLE, "steps": 600, "config": {"population_size": 8}},
    "planning": {"algorithm": "tabular/value_iteration", **WORLD, "steps": 50},
    "sb3": {"algorithm": "sb3/dqn", **POLE, "steps": 600, "config": {"learning_starts": 100}},
}


def callbacks(every: int) -> list[str]:
    given = {
        "early_stop": "patience=1000",
        "epochs": f"steps={every},episodes=2",
        "time_limit": "limit=1h",
        "renom_log": "show=nothing",
    }
    names = [name for name, _, _ in CALLBACKS if name not in NEED_A_SERVER]
    return [f"callbacks/{name}:{given[name]}" if name in given else f"callbacks/{name}" for name in names]


def parameters(run: rlhub.Run) -> dict[str, str]:
    newest = max((run.folder / "checkpoints").glob("[0-9]*"))
    files = [path for part in ("algorithm", "collector") for path in sorted((newest / part).rglob("*"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_all_callbacks_together_change_nothing(kind: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = KINDS[kind]
    every = settings["steps"] // 5
    plain = rlhub.train(folder=tmp_path / "plain", log_every=every, progress=False, **settings)
    watched = rlhub.train(
        folder=tmp_path / "watched", log_every=every, progress=False, callbacks=callbacks(every), **settings
    )
    assert watched.steps == plain.steps
    assert parameters(watched) == parameters(plain)
    names = {"metrics.csv", "simple_dqn.csv", "renom.csv", "renom_e.csv", "profile.json", "tensorboard"}
    assert names <= {path.name for path in watched.folder.iterdir()}
    assert len((watched.folder / "simple_dqn.csv").read_text().splitlines()) == 1 + 2 * len(watched.evaluations)


@pytest.mark.parametrize("kind", ["in-house", "sb3", "planning"])
def test_all_callbacks_resume_with_the_run(kind: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = KINDS[kind]
    every = settings["steps"] // 5
    common: dict[str, Any] = {"log_every": every, "progress": False, **settings}
    whole = rlhub.train(folder=tmp_path / "whole", callbacks=[*callbacks(every), StopAt(10**6)], **common)
    parted = rlhub.train(folder=tmp_path / "parted", callbacks=[*callbacks(every), StopAt(whole.steps // 2)], **common)
    resumed = rlhub.resume(parted.folder, callbacks=[StopAt(10**6)], progress=False)
    assert resumed.restored == "exact"
    assert parameters(resumed) == parameters(whole)
    for name in ("renom.csv", "renom_e.csv", "evaluations.jsonl"):
        assert (resumed.folder / name).read_text() == (whole.folder / name).read_text()
