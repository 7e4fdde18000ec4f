"""A run that is killed at any moment and resumed is the run that never was: every algorithm, every environment."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from covering import ALGORITHMS, ENVIRONMENTS, Haphazard, covering, recipe
from killing import Child, Recipe, complete, differences, run_through

import rlhub_core as rlhub


def train_under_kills(recipe: Recipe, folder: Path, seed: int) -> str:
    """Train, kill it once some checkpoints are written, resume, kill that too or not, resume; return what was said."""
    chance = random.Random(seed)
    log = folder.with_suffix(".log")
    steps = recipe.settings["steps"]
    step = chance.randrange(1, steps // 2)
    while not killed_after(Child(recipe.train, folder, log=log), folder, step, chance.uniform(0, 0.01)):
        assert step, f"the run was over before it could be killed: {log.read_text()}"
        shutil.rmtree(folder)
        step //= 2
    if chance.random() < 0.5:
        child = Child(recipe.resume, folder, log=log)
        child.ends_within(chance.uniform(0, 0.2))
        child.kill()
        assert child.end() in (0, -signal.SIGKILL), child.said()
    return run_through(recipe.resume, folder, log=log)


def killed_after(child: Child, folder: Path, step: int, seconds: float) -> bool:
    """Kill a run some time after it has written a checkpoint of a step or a later one; return False if it was over."""
    while not any(each >= step for each in complete(folder)) and not child.ends_within(0.001):
        pass
    child.ends_within(seconds)
    before = complete(folder)
    child.kill()
    code = child.end()
    assert code in (0, -signal.SIGKILL), child.said()
    assert complete(folder)[-1] >= before[-1]
    return code != 0


@pytest.mark.parametrize(("algorithm", "kind"), [*covering()])
def test_a_killed_and_resumed_run_leaves_what_one_that_was_not_leaves(
    algorithm: str, kind: str, tmp_path: Path
) -> None:
    what = recipe(algorithm, kind)
    exact = rlhub.algorithms()[algorithm].exact_resume
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_through(what.train, whole, log=tmp_path / "whole.log")
    said = train_under_kills(what, killed, seed=len(algorithm) * len(kind))
    assert ("resumes warm" in said) == (not exact)
    if exact:
        assert differences(whole, killed) == []
    assert complete(killed)[-1] >= what.settings["steps"]


def test_every_algorithm_and_every_kind_of_environment_is_killed() -> None:
    ours = {"core", "atari", "callbacks", "deep", "gridworld", "legacy", "sb3", "tabular"}
    offered = {name for name in rlhub.algorithms() if name.partition("/")[0] in ours}
    assert set(ALGORITHMS) == offered, "give an algorithm its case in tests/covering.py"
    assert {kind for _, kind in covering()} == set(ENVIRONMENTS)
    times = Counter(kind for _, kind in covering())
    assert [kind for kind, count in times.items() if count < 2 and kind not in ("sync, bounded", "sync, masked")] == []


def test_an_environment_that_is_not_deterministic_is_found_out(tmp_path: Path) -> None:
    callbacks = ["core/checkpoint:every=50"]
    config = {"rollout_length": 5, "hidden_sizes": (8,)}
    what = Recipe("deep/a2c", Haphazard, {"steps": 1_000, "num_envs": 2, "config": config, "callbacks": callbacks})
    said = train_under_kills(what, tmp_path / "run", seed=1)
    assert "The environments did not come back to where they were; they go on with new episodes." in said
    assert f"{tmp_path / 'run'} resumes warm, not exact, from step " in said
    assert complete(tmp_path / "run")[-1] == 1_000
