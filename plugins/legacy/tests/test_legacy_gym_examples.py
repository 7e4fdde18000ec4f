"""The old scripts of Gym, rlmodels and Simple-DQN as examples, and the pages about them, do what they say."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import readme

ROOT = Path(__file__).parents[3]


@pytest.mark.filterwarnings("ignore:.*taken to be", "ignore:.*played by today's emulator")
@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("old_gym_cartpole", ["--steps", "1000"], "Steps balanced of 200: "),
        ("rlmodels_cartpole_dqn", ["--steps", "1100"], "Steps balanced of 200: "),
        ("rlmodels_wrapper", ["--steps", "700"], "Return, at best about -150: "),
        ("simple_dqn_catch", ["--steps", "600", "--games", "2"], "Balls caught of 10, trained: "),
        ("neon_gym_environment", ["--steps", "400", "--games", "1", "--folder", "neon"], "Scores of 1 games: ["),
    ],
)
def test_an_example_runs(
    name: str,
    arguments: list[str],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(ROOT / "examples" / "legacy" / f"{name}.py"), run_name="__main__")
    assert text in capsys.readouterr().out
    assert name != "neon_gym_environment" or (tmp_path / "neon" / "play.gif").stat().st_size > 1_000


@pytest.mark.parametrize(("page", "blocks"), [("gym", 2), ("simple_dqn", 2), ("rlmodels", 1)])
def test_a_page_does_what_it_says(page: str, blocks: int, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(readme.__file__)), str(ROOT / "docs" / "coming_from" / f"{page}.md")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{blocks} blocks ran\n")
