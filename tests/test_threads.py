"""Threads are decided in one place, and a resumed run keeps the number it was started with."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import pytest

import rlhub_core as rlhub
from rlhub_core import provenance, threads


def machine(root: Path, limits: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/user/job\n")
    for group, limit in limits.items():
        folder = root / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("limits", "cpus"),
    [
        ({}, 16),
        ({"user/job": "max 100000"}, 16),
        ({"user/job": "250000 100000"}, 3),
        ({"user/job": "400000 100000", "user": "150000 100000"}, 2),
        ({"": "10000 100000"}, 1),
        ({"user/job": "6400000 100000"}, 16),
    ],
)
def test_no_more_cpus_than_affinity_and_control_groups_leave(
    tmp_path: Path, limits: dict[str, str], cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    assert threads.usable_cpus(machine(tmp_path, limits)) == cpus


class Torch(types.ModuleType):
    """As much of torch as counts threads."""

    def __init__(self, threads: int) -> None:
        super().__init__("torch")
        self.threads = threads

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    """A torch that takes 16 threads by itself, on 4 CPUs that may be used, where nobody has said anything."""
    stand_in = Torch(16)
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    monkeypatch.setattr(threads, "usable_cpus", lambda: 4)
    monkeypatch.setattr(provenance, "usable_cpus", lambda: 4)
    for name in threads.BY_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return stand_in


@pytest.mark.parametrize(("before", "asked", "count"), [(16, None, 4), (2, None, 2), (2, 7, 7), (16, 16, 16)])
def test_a_run_takes_what_was_asked_or_set_before_or_may_be_used(
    torch: Torch, before: int, asked: int | None, count: int
) -> None:
    torch.threads = before
    with threads.settled(asked) as settled:
        assert (settled, torch.threads, threads.in_force()) == (count, count, asked or 4)
    assert (torch.threads, threads.in_force()) == (before, 4)


def test_a_variable_of_the_environment_wins_over_the_default_alone(
    torch: Torch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    for asked, count in ((None, 16), (3, 3)):
        with threads.settled(asked):
            assert torch.threads == count


def test_everything_is_as_before_where_a_run_fails(torch: Torch) -> None:
    with pytest.raises(ZeroDivisionError), threads.settled(2):
        raise ZeroDivisionError
    assert torch.threads == 16


@pytest.mark.usefixtures("toy")
def test_a_resumed_run_keeps_its_threads_on_a_machine_of_fewer_cpus(
    torch: Torch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rlhub.train("toy/random", "toy/Corridor-v0", steps=50, folder=tmp_path / "run", progress=False)
    assert json.loads((tmp_path / "run/provenance.json").read_text())["torch_threads"] == 4
    monkeypatch.setattr(threads, "usable_cpus", lambda: 1)
    torch.threads = 1
    resumed = rlhub.resume(tmp_path / "run", steps=80, progress=False)
    assert (resumed.restored, resumed.provenance["torch_threads"], torch.threads) == ("exact", 4, 1)


@pytest.mark.usefixtures("toy")
def test_a_resumed_run_that_needs_no_torch_keeps_the_threads_of_its_blas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in threads.BY_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    run = rlhub.train("toy/random", "toy/Corridor-v0", steps=50, folder=tmp_path / "run", progress=False)
    if run.provenance["blas_threads"] is None:  # Apple's, whose threads nobody can set
        return
    assert run.provenance["blas_threads"] == 2
    monkeypatch.setattr(threads, "usable_cpus", lambda: 1)
    resumed = rlhub.resume(tmp_path / "run", steps=80, progress=False)
    assert (resumed.restored, resumed.provenance["blas_threads"]) == ("exact", 2)


@pytest.mark.parametrize("kept", ["x", -3, 2.5, [1], 10**6, True])
def test_a_number_of_threads_in_a_file_that_cannot_be_is_not_taken(torch: Torch, kept: object) -> None:
    with threads.settled(None, kept, kept) as count:
        assert (count, torch.threads) == (4, 4)


@pytest.mark.usefixtures("toy")
def test_a_recipe_holds_the_threads_that_were_asked_for(tmp_path: Path) -> None:
    rlhub.train("toy/random", "toy/Corridor-v0", steps=20, threads=3, folder=tmp_path / "run", progress=False)
    assert rlhub.Experiment.read(tmp_path / "run").threads == 3
    provenance = json.loads((tmp_path / "run/provenance.json").read_text())
    assert provenance["environment_threads"] == 3
    with pytest.raises(rlhub.ConfigError, match="threads must be a positive integer, not 0"):
        rlhub.train("toy/random", "toy/Corridor-v0", steps=20, threads=0, folder=tmp_path / "no", progress=False)
    with pytest.raises(rlhub.ConfigError, match="threads=1,000,000 is more than 1,024"):
        rlhub.train("toy/random", "toy/Corridor-v0", steps=20, threads=10**6, folder=tmp_path / "no", progress=False)


def test_only_a_worker_process_computes_with_one_thread(torch: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    make = threads.alone(lambda: torch.threads)
    assert make() == 16
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert make() == 1
