"""Runs whose checkpoints share the frames of their replay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import rlhub_core as rlhub
from rlhub_core import checkpoint, segments
from rlhub_core.testing import fingerprints

ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("CartPole-v1", {"prioritized": True, "n_step": 3, "train_every": 10, "hidden_sizes": (8,)}),
    "sac": ("Pendulum-v1", {"hidden_sizes": (8,), "batch_size": 8, "train_every": 10}),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LEAST_BYTES", 1)
    monkeypatch.setattr(segments, "IN_A_RING", 12)


def trained(folder: Path, name: str = "dqn", steps: int = 600) -> rlhub.Run:
    env, config = ALGORITHMS[name]
    config = {"buffer_size": 500, "learning_starts": 50} | config
    options: dict[str, Any] = {"steps": steps, "num_envs": 2, "callbacks": ["core/checkpoint:every=100"]}
    return rlhub.train(f"deep/{name}", env, config=config, folder=folder, **options)


def shared(folder: Path) -> list[str]:
    """Return the files that the newest two checkpoints share."""
    older, newest = sorted((folder / "checkpoints").glob("[0-9]*"))[-2:]
    files = (path.relative_to(newest) for path in newest.rglob("*") if path.is_file())
    return sorted(str(file) for file in files if (older / file).exists() and (older / file).samefile(newest / file))


def damage(path: Path) -> None:
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_run_shares_its_frames_before_and_after_a_resume_and_resumes_exactly(name: str, tmp_path: Path) -> None:
    trained(tmp_path / "run", name, 400)
    assert len(shared(tmp_path / "run")) >= 4
    assert rlhub.resume(tmp_path / "run", steps=800).restored == "exact"
    assert len(shared(tmp_path / "run")) >= 6
    trained(tmp_path / "again", name, 400)
    for older in checkpoint.steps(tmp_path / "again" / "checkpoints")[:-1]:
        shutil.rmtree(tmp_path / "again" / "checkpoints" / f"{older:012d}")
    shutil.copytree(tmp_path / "again", tmp_path / "copy")
    assert rlhub.resume(tmp_path / "copy", steps=800).restored == "exact"
    assert fingerprints(tmp_path / "copy") == fingerprints(tmp_path / "run")


def test_where_a_shared_file_is_damaged_training_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    file = shared(tmp_path / "run")[0]
    damage(tmp_path / "run" / "checkpoints" / f"{600:012d}" / file)
    with pytest.raises(rlhub.CheckpointError, match=f"is damaged: {file}.* is damaged: {file}"):
        rlhub.resume(tmp_path / "run", steps=800)


def test_where_the_newest_is_damaged_the_one_before_it_goes_on_and_its_frames_are_shared(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    rlhub.resume(tmp_path / "whole", steps=800)
    newest = tmp_path / "run" / "checkpoints" / f"{600:012d}"
    damage(next(path for path in (newest / "algorithm").glob("replay.0*") if path.stat().st_nlink == 1))
    assert rlhub.resume(tmp_path / "run", steps=800).restored == "exact"
    assert len(shared(tmp_path / "run")) >= 6
    assert fingerprints(tmp_path / "run") == fingerprints(tmp_path / "whole")
