"""Runs of every format that checkpoints ever had are loaded and resumed, for ever after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core import checkpoint

GOLDEN = sorted((Path(__file__).parent / "golden").glob("format-*"))


@pytest.fixture(autouse=True)
def _toy_only(toy: Path) -> None:
    pass


@pytest.fixture(params=GOLDEN, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of a run that was killed after step 250 of 300."""
    return Path(shutil.copytree(request.param, tmp_path / "run"))


def timeless(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith("time/")} for line in lines]


def test_there_is_a_golden_run_of_every_format() -> None:
    assert [path.name for path in GOLDEN] == [f"format-{number}" for number in range(1, checkpoint.FORMAT + 1)]
    for path in GOLDEN:
        manifests = [json.loads(each.read_text()) for each in path.glob("checkpoints/*/manifest.json")]
        assert [f"format-{manifest['format']}" for manifest in manifests] == [path.name] * 2


def test_a_golden_run_is_loaded(golden: Path) -> None:
    assert checkpoint.steps(golden / "checkpoints") == [100, 250]
    run = rlhub.load(golden)
    assert (run.steps, run.experiment.seed, run.best_evaluation.step) == (250, 7, 100)  # type: ignore[union-attr]
    assert run.normalization is not None
    np.testing.assert_array_equal(run.actor()(np.zeros((3, 1), np.float32), np.ones(3, np.bool_)), [1, 1, 1])
    assert [evaluation.step for evaluation in run.evaluations] == [50, 100, 150, 200, 250, 300]
    assert rlhub.load(golden, step="best").steps == 100


def test_a_golden_run_is_resumed_and_leaves_what_it_would_have_left(golden: Path) -> None:
    recorded = timeless(golden), (golden / "episodes.csv").read_text(), (golden / "evaluations.jsonl").read_text()
    run = rlhub.resume(golden)
    assert run.steps == 300
    assert run.restored in ("exact", "warm")  # with the versions it was made with, and with any others
    resumed = timeless(golden), (golden / "episodes.csv").read_text(), (golden / "evaluations.jsonl").read_text()
    assert resumed[0][:-1] == recorded[0][:-1]
    assert len(resumed[0]) == len(recorded[0])
    if run.restored == "exact":
        assert resumed == recorded
    newest = list(checkpoint.folders(golden / "checkpoints").values())[-1]
    assert json.loads((newest / "manifest.json").read_text())["format"] == checkpoint.FORMAT
    assert rlhub.resume(golden, steps=320).restored == "exact"


def test_a_golden_run_of_other_versions_is_resumed_warm(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platform.python_version", lambda: "9.9.9")
        assert rlhub.resume(golden).restored == "warm"
    assert "-> 9.9.9" in capsys.readouterr().err


def test_migrations_are_pure() -> None:
    for path in GOLDEN:
        folder = path / "checkpoints" / "000000000250"
        before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
        manifests = [checkpoint.verify(folder) for _ in range(2)]
        assert manifests[0] == manifests[1]
        assert manifests[0]["format"] == checkpoint.FORMAT
        assert manifests[0]["files"]["run.json"]["size"] == (folder / "run.json").stat().st_size
        assert manifests[0]["callbacks"] == ["0-Evaluate", "1-StopAfter", "2-Checkpoint", "3-Count"]
        assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before


def test_damage_is_detected_in_every_format(golden: Path) -> None:
    folder = golden / "checkpoints" / "000000000250"
    (folder / "algorithm" / "walk.json").write_text("{}")
    with pytest.raises(rlhub.CheckpointError, match=r"is damaged: algorithm/walk\.json is not what its manifest says"):
        checkpoint.verify(folder)
    assert rlhub.resume(golden).steps == 300  # from step 100
