"""Every installed algorithm is loaded in every way while whatever could run code of a file raises."""

from __future__ import annotations

import builtins
import dataclasses
import marshal
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import checkpoint
from rlhub_core.cli import app
from rlhub_core.hub import default_hub

ALGORITHMS = sorted(default_hub().offers("algorithm"))
WORLDS = ("CartPole-v1", "Pendulum-v1", "FrozenLake-v1")  # one of them suits each algorithm, but for
SPECIAL = {"tabular/linear_q": "MountainCar-v0"}


class Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """All actions are possible, and it says so."""

    def action_masks(self) -> Any:
        return np.ones(2, np.bool_)


SMALL = {  # hyper-parameters that some have, so that each learns in a few steps
    "n_steps": 16, "batch_size": 8, "buffer_size": 200, "replay_capacity": 200, "learning_starts": 16,
    "rollout_length": 8, "population": 4, "population_size": 4, "n_delta": 2, "n_top": 2, "episodes": 1,
}  # fmt: skip
CALLBACKS = ("core/checkpoint:every=40", "core/evaluate:every=40,episodes=1", "core/stop_after:episodes=1000000")


class ForbiddenError(BaseException):
    """Something that runs code was called; nothing may catch it on its way."""


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let all that could run what a file holds raise, and return the names of what was replaced."""
    import torch

    replaced = []

    def forbid(owner: Any, name: str, allowed: Callable[..., bool] = lambda *args, **kwargs: False) -> None:
        own = getattr(owner, name)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if allowed(*args, **kwargs):
                return own(*args, **kwargs)
            raise ForbiddenError(f"{owner.__name__}.{name} was called")

        monkeypatch.setattr(owner, name, guarded)
        replaced.append(name)

    def is_git(*args: Any, **kwargs: Any) -> bool:  # the commit, for the provenance
        return bool(args[0][0] == "git")

    def is_python(*args: Any, **kwargs: Any) -> bool:  # a module that is imported, or what a library makes of itself
        return not sys._getframe(2).f_globals.get("__name__", "").startswith("rlhub")

    for name in ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler"):
        forbid(pickle, name)
    forbid(torch, "load")
    forbid(np, "load")
    forbid(os, "system")
    forbid(subprocess, "Popen", is_git)
    forbid(marshal, "loads", is_python)
    forbid(marshal, "load", is_python)
    forbid(builtins, "eval", is_python)
    forbid(builtins, "exec", is_python)
    return replaced


def world_of(name: str) -> str:
    if name in SPECIAL:
        return SPECIAL[name]
    spec = default_hub().find("algorithm", name)
    for world in reversed(WORLDS) if spec.plans or name.startswith("tabular/") else WORLDS:
        env = rlhub.make(world)
        if not spec.misfit(env.observation_space, env.action_space):
            return world
    raise AssertionError(f"no world suits {name}")


def settings_of(name: str, folder: Path) -> dict[str, Any]:
    known = {field.name: field for field in dataclasses.fields(default_hub().load("algorithm", name).Config)}
    settings: dict[str, Any] = {key: value for key, value in SMALL.items() if key in known}
    if "n_steps" in known and "buffer_size" in known:  # there it is the length of a return
        del settings["n_steps"]
    if "teacher_run" in known:
        teacher = rlhub.train("deep/a2c", "CartPole-v1", steps=40, folder=folder / "teacher", progress=False)
        settings["teacher_run"] = str(teacher.folder)
    return settings


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_loaded_resumed_and_shown_without_running_anything(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings, plans = settings_of(name, tmp_path), default_hub().find("algorithm", name).plans
    callbacks = CALLBACKS[:1] if plans else CALLBACKS
    normalize = "rewards" if not plans and name.startswith("deep/") else None
    folder = tmp_path / "run"
    asked: dict[str, Any] = {"steps": 80, "callbacks": callbacks, "config": settings, "normalize": normalize}
    wrappers = [Masked] if "maskable" in name else []
    rlhub.train(name, world_of(name), folder=folder, wrappers=wrappers, progress=False, **asked)
    request.getfixturevalue("nothing_runs")
    before = rlhub.load(folder, wrappers=wrappers)
    for step in checkpoint.steps(folder / "checkpoints"):
        assert rlhub.load(folder, step=step, wrappers=wrappers).steps == step
    rlhub.evaluate(before, episodes=1, longest_episode=20)
    after = rlhub.resume(folder, steps=before.steps + 40, wrappers=wrappers, progress=False)
    assert after.steps >= before.steps


def test_every_command_shows_a_run_without_running_anything(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    callbacks = [f"callbacks/{name}" for name in ("tensorboard", "wide_csv", "profile")]
    callbacks += ["core/evaluate:every=50,episodes=1"]
    callbacks = [each for each in callbacks if each.partition(":")[0] in default_hub().offers("callback")]
    rlhub.train("deep/a2c", "CartPole-v1", steps=100, callbacks=callbacks, folder="run", progress=False)
    commands: list[list[str]] = [
        ["evaluate", "run", "--episodes", "1"],
        ["record", "run", "--max-steps", "5"],
        ["plot", "run"],
        ["plot", "run", "run"],
        ["report", "run"],
        ["report", "run", "run", "-o", "both.html"],
        ["resume", "run", "--steps", "200", "-q"],
        ["train", "run/experiment.toml", "--out", "again", "-q"],
        ["train", "deep/a2c", "CartPole-v1", "--steps", "40", "--out", "preset", "-q"],
    ]
    CliRunner().invoke(app, ["record", "run", "--max-steps", "5", "--out", "first.gif"])
    CliRunner().invoke(app, ["plot", "run", "--out", "first.png"])
    request.getfixturevalue("nothing_runs")
    for command in commands:
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, (command, result.output)


@pytest.mark.parametrize("call", ["loads", "Unpickler"])
def test_the_guard_guards(call: str, nothing_runs: list[str]) -> None:
    assert {"loads", "load", "Unpickler", "system", "Popen", "exec", "eval"} <= set(nothing_runs)
    with pytest.raises(ForbiddenError, match=f"pickle.{call} was called"):
        getattr(pickle, call)(pickle.dumps(1))
    with pytest.raises(ForbiddenError):
        os.system("true")
    with pytest.raises(ForbiddenError):
        subprocess.Popen(["true"])
