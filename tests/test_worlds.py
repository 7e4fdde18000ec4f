"""Grid worlds and tables, as a user meets them: any algorithm on the same worlds, pictures, a lesson, a page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rlhub_tabular.model import Model
from test_whole import ROOT, rlhub_command

import rlhub_core as rlhub

LEARNERS: dict[str, dict[str, Any]] = {
    "tabular/q_learning": {"num_envs": 4, "env_options": {"observation": "index"}},
    "deep/dqn": {
        "num_envs": 4,
        "config": {
            "learning_rate": 1e-3,
            "learning_starts": 200,
            "epsilon": "linear(1.0, 0.05, 2500)",
            "target_update_every": 200,
            "discount": 0.9,
        },
    },
    "sb3/ppo": {
        "num_envs": 8,
        "steps": 12_000,
        "config": {"n_steps": 32, "batch_size": 64, "learning_rate": 2e-3, "gamma": 0.9, "ent_coef": 0.01},
    },
}


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_algorithms_of_every_plugin_find_the_shortest_way(algorithm: str, tmp_path: Path) -> None:
    settings = {"steps": 4_000, **LEARNERS[algorithm]}
    run = rlhub.train(algorithm, "gridworld/Grid4x4-v0", folder=tmp_path, progress=False, **settings)
    evaluation = rlhub.evaluate(run, episodes=10)
    assert set(evaluation.returns) == {10.0}
    assert set(evaluation.lengths) == {6}  # from one corner to the other


def test_q_learning_walks_the_shortest_way_through_four_rooms(tmp_path: Path) -> None:
    def rlhub_says(*arguments: object) -> str:
        return subprocess.run(
            rlhub_command(*arguments), cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    rlhub_says("train", "tabular/q_learning", "gridworld/FourRooms-v0", "--steps", 50_000, "--out", "rooms")
    rlhub_says("train", "tabular/value_iteration", "gridworld/FourRooms-v0", "--out", "best")
    best = rlhub.evaluate(rlhub.load(tmp_path / "best"), episodes=5)
    walked = rlhub.evaluate(rlhub.load(tmp_path / "rooms"), episodes=5)
    assert walked.lengths == best.lengths
    assert "mean return 1.00" in rlhub_says("evaluate", "rooms")
    rlhub_says("plot", "rooms")
    rlhub_says("record", "rooms")
    film = Image.open(next((tmp_path / "rooms" / "videos").glob("*.gif")))
    assert getattr(film, "n_frames", 1) == best.lengths[0] + 1


@pytest.mark.parametrize(("discount", "at_random"), [(0.9, -0.750317), (1.0, -0.795169)])
def test_the_answers_of_the_small_grid_are_those_worked_out(discount: float, at_random: float, tmp_path: Path) -> None:
    env = rlhub.make("gridworld/Grid4x4-v0", observation="index")
    model = Model.of(env)
    uniform = np.full((model.states, model.actions), 1 / model.actions)
    np.testing.assert_allclose(model.policy_evaluation(uniform, discount)[0], at_random, atol=1e-6)
    if discount < 1:
        config = {"discount": discount}
        best: Any = rlhub.train("tabular/value_iteration", env, config=config, folder=tmp_path).algorithm
        np.testing.assert_allclose(best.q_values[0], [-1, 5.9049, -1, 5.9049], atol=1e-9)


def test_the_lesson_comes_to_the_numbers_of_its_textbook(tmp_path: Path) -> None:
    lesson = [sys.executable, str(ROOT / "examples" / "markov_to_q_learning.py"), "--folder", str(tmp_path)]
    printed = subprocess.run(lesson, capture_output=True, text=True, check=True).stdout
    for line in (
        "States: 0 1 2 1 2 1 2 1 2 1 3 \n",
        "[[18.91891892 17.02702702 13.62162162]",
        "[[21.73304188 20.63807938 16.70138772]",
        "[[18.77621289 17.2238872  13.74543343]",
        "[ 0.                -inf -8.00485647]",
        "[       -inf 49.40208921        -inf]]",
    ):
        assert line in printed
    assert Image.open(tmp_path / "q_values.png").width > 1_000
    assert Image.open(tmp_path / "values.png").width > 200


def test_grid_worlds_and_tables_need_no_framework() -> None:
    code = (
        "import pkgutil, importlib, sys, rlhub_gridworld, rlhub_tabular\n"
        "for package in (rlhub_gridworld, rlhub_tabular):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sorted({'torch', 'scipy', 'matplotlib', 'stable_baselines3', 'ale_py'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_a_planner_counts_sweeps_and_promises_no_time(tmp_path: Path) -> None:
    trained = subprocess.run(
        rlhub_command("train", "tabular/value_iteration", "FrozenLake-v1", "--out", "plan"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert " sweeps/s" in trained.stderr
    assert "left" not in trained.stderr
    assert "rlhub plot plan --metric train/" in trained.stdout
