"""The whole, as a user meets it: the README, a plugin from outside, and runs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import readme

import rlhub_core as rlhub
from rlhub_core import checkpoint
from rlhub_core.testing import fingerprints

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def rlhub_command(*arguments: object, environment: Path | None = None) -> list[str]:
    """Return the command line of `rlhub` in this environment, or in a virtual environment of its own."""
    scripts = environment / "bin" if environment else Path(sysconfig.get_path("scripts"))
    return [str(scripts / "rlhub"), *map(str, arguments)]


def run_page(page: Path, folder: Path) -> str:
    """Run what a page shows and return what it printed."""
    scripts = sysconfig.get_path("scripts")
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        [sys.executable, ROOT / "tests" / "readme.py", page],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize(("page", "blocks"), [("policies", 1), ("evolution", 1), ("tabular", 3)])
def test_a_page_of_the_docs_does_what_it_says(tmp_path: Path, page: str, blocks: int) -> None:
    assert run_page(ROOT / "docs" / f"{page}.md", tmp_path).endswith(f"{blocks} blocks ran\n")


def test_a_run_of_another_library_teaches(tmp_path: Path) -> None:
    config = {"n_steps": 32, "learning_rate": 1e-3}
    teacher = rlhub.train("sb3/ppo", "CartPole-v1", steps=2_000, num_envs=8, config=config, folder=tmp_path / "teacher")
    settings = {"teacher_run": str(teacher.folder), "learning_rate": 3e-3, "rollout_length": 5, "epochs": 4}
    run = rlhub.train(
        "deep/imitation", "CartPole-v1", steps=20_000, num_envs=20, config=settings, folder=tmp_path / "imitator"
    )
    first, said, taught = np.zeros(1, np.bool_), [], []

    def both(observations: Any, _: Any) -> Any:
        said.append(run.actor()(observations, first))
        taught.append(teacher.actor()(observations, first))
        return said[-1]

    rlhub.evaluate(both, "CartPole-v1", episodes=3, num_envs=1)
    assert np.mean(np.concatenate(said) == np.concatenate(taught)) > 0.9


def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    assert run_page(README, tmp_path).endswith("8 blocks ran\n")
    assert (tmp_path / "curve.png").stat().st_size > 10_000
    assert (tmp_path / "breakout.gif").stat().st_size > 1_000


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment into which the README's plugin was installed by pip, beside all that is here."""
    folder = tmp_path_factory.mktemp("outside")
    readme.write_files(README, folder / "plugin")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    ours = sysconfig.get_path("purelib")
    theirs = next((environment / "lib").glob("python*")) / "site-packages"
    (theirs / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", folder / "plugin"], check=True)
    script = environment / "bin" / "rlhub"
    script.write_text(f"#!{environment}/bin/python\nfrom rlhub_core.cli import main\nmain()\n")
    script.chmod(0o755)
    return environment


def test_a_plugin_from_outside_is_listed_and_trains_with_the_others(outside: Path, tmp_path: Path) -> None:
    def call(*arguments: object) -> str:
        command = rlhub_command(*arguments, environment=outside)
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    listed = call("list")
    for name in ("maze/Corridor-v0", "maze/hill_climbing", "maze/longest", "deep/dqn", "sb3/ppo"):
        assert name in listed
    assert "episodes_each" in call("info", "maze/hill_climbing")
    text = call(
        *("train", "maze/hill_climbing", "maze/Corridor-v0", "noise=1.0", "--steps", 1000),
        *("--callback", "maze/longest:least=8", "--callback", "core/evaluate:every=500", "--out", "a"),
    )
    assert "steps in one episode" in text
    call(
        "train", "sb3/ppo", "maze/Corridor-v0", "n_steps=64", "--steps", 128, "--callback", "maze/longest", "--out", "b"
    )
    call("train", "maze/hill_climbing", "CartPole-v1", "--steps", 300, "--num-envs", 2, "--out", "c")
    call("resume", "a", "--steps", 1500)
    assert "mean return" in call("evaluate", "a")


def test_without_its_plugin_a_run_says_what_to_install(outside: Path, tmp_path: Path) -> None:
    command = rlhub_command(
        *("train", "maze/hill_climbing", "CartPole-v1", "--steps", 200, "--out", tmp_path / "run"), environment=outside
    )
    subprocess.run(command, check=True, capture_output=True)
    result = subprocess.run(rlhub_command("evaluate", tmp_path / "run"), capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert (
        "No algorithm is called 'maze/hill_climbing'. If a package offers it: pip install rlhub-maze." in result.stderr
    )


KILLED = (
    *("deep/dqn", "CartPole-v1", "learning_starts=200", "epsilon=linear(1,0.1,2000)", "learning_rate=linear(1e-3,0)"),
    *("--steps", "4000", "--num-envs", "2", "--callback", "core/checkpoint:every=500"),
    *("--callback", "core/evaluate:every=1000,episodes=3"),
)


def test_from_the_shell_a_killed_and_resumed_run_leaves_what_one_that_was_not_leaves(tmp_path: Path) -> None:
    common = ["train", *KILLED, "--log-every", "200", "--quiet"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(rlhub_command(*common, "--out", whole), check=True)
    process = subprocess.Popen(rlhub_command(*common, "--out", killed))
    while len(checkpoint.steps(killed / "checkpoints")) < 2:  # kill it somewhere between its second save and its end
        assert process.poll() is None, "the run was over before it could be killed"
        time.sleep(0.005)
    time.sleep(0.03)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.steps(killed / "checkpoints")[-1] < checkpoint.steps(whole / "checkpoints")[-1]
    subprocess.run(rlhub_command("resume", killed, "--quiet"), check=True)
    assert rlhub.load(killed).steps == rlhub.load(whole).steps
    assert fingerprints(killed) == fingerprints(whole)
