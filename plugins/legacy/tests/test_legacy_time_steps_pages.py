"""What is shown of dm_env, TF-Agents and wrappers: pages and examples run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import readme

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("page", "blocks"), [("coming_from/dm_env", 2), ("coming_from/tf_agents", 1), ("wrappers", 2)])
def test_a_page_does_what_it_says(page: str, blocks: int) -> None:
    shown = [text for language, text in readme.blocks(ROOT / "docs" / f"{page}.md") if language == "python"]
    assert len(shown) == blocks
    for text in shown:
        exec(compile(text, page, "exec"), {"__name__": "page"})


def printed_by(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", [name, *arguments])
    runpy.run_path(str(ROOT / "examples" / "legacy" / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_the_grid_is_learnt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed_by("tf_agents_grid", monkeypatch, capsys).startswith("Return 10 in 6 moves")


def test_catch_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "every ball caught is 1.0" in printed_by("dm_env_catch", monkeypatch, capsys, "--steps", "1000")


def test_breakout_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ale_py")
    pytest.importorskip("rlhub_atari")
    said = printed_by("tf_agents_breakout", monkeypatch, capsys, "--steps", "400", "--games", "1")
    assert " of 400 steps: return " in said
