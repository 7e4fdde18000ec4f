"""What does not fit is refused before it is allocated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rlhub_core as rlhub
from rlhub_core import ConfigError, memory


def machine(root: Path, available: str, groups: dict[str, tuple[str, str, int]]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal:       99 kB\n{available}")
    (root / "proc/self/cgroup").write_text("4:memory:/old\n0::/user/job\n")
    for name, (limit, used, cached) in groups.items():
        group = root / "sys/fs/cgroup" / name
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "available"),
    [
        ({}, 20_480),
        ({"user/job": ("max", "900", 0)}, 20_480),
        ({"user/job": ("1000", "900", 0)}, 100),
        ({"user/job": ("1000", "900", 300)}, 400),
        ({"user/job": ("1000", "900", 0), "user": ("2000", "1990", 0)}, 10),
        ({"": ("1000", "1200", 0)}, 0),
    ],
)
def test_the_tightest_limit_counts(tmp_path: Path, groups: dict[str, tuple[str, str, int]], available: int) -> None:
    assert memory.available_memory(machine(tmp_path, "MemAvailable:   20 kB\n", groups)) == available


def test_where_the_system_does_not_tell_all_of_the_machines_memory_counts(tmp_path: Path) -> None:
    assert memory.available_memory(tmp_path) >= memory.available_memory() > 1_000_000


def test_too_much_names_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 21_300_000_000)
    memory.check_fits("buffer_size", 3_000_000, lambda size: 7_080 * size)
    with pytest.raises(ConfigError) as refused:
        memory.check_fits("buffer_size", 200_000_000, lambda size: 7_080 * size)
    assert str(refused.value) == (
        "buffer_size 200,000,000 needs 1,416 GB; 21.3 GB is free. At most buffer_size=3,000,000 fits."
    )


def test_where_nothing_fits_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10)
    with pytest.raises(ConfigError, match="At most buffer_size=0 fits"):
        memory.check_fits("buffer_size", 5, lambda size: 100 * size + 20)


def test_a_run_that_does_not_fit_is_refused_with_what_it_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 21_300_000_000)
    parts = [memory.Held("rollout", 3_000_000_000, "num_envs"), memory.Held("replay", 20_000_000_000, "buffer_size")]
    memory.check_run(parts[:1], "x/y on Z")
    with pytest.raises(ConfigError) as refused:
        memory.check_run([*parts, memory.Held("optimiser", 100_000_000)], "x/y on Z")
    assert str(refused.value) == (
        "x/y on Z needs 23.1 GB more memory; 21.3 GB is free. It would hold\n"
        "  replay       20.0 GB  smaller by buffer_size\n"
        "  rollout       3.0 GB  smaller by num_envs\n"
        "  optimiser     0.1 GB"
    )


@pytest.mark.usefixtures("toy")
def test_workers_that_do_not_fit_are_never_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1_000_000_000)
    monkeypatch.setattr("rlhub_core.envs.Workers", None)
    with pytest.raises(ConfigError, match=r"needs .* GB more memory; 1\.0 GB is free\.[^$]*worker processes.*num_envs"):
        rlhub.train(
            "toy/random",
            "toy/Corridor-v0",
            steps=9,
            num_envs=1_000,
            vectorization_mode="async:timeout=9",
            folder=tmp_path / "run",
            progress=False,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("toy")
def test_an_algorithm_that_does_not_tell_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    run = rlhub.train("toy/random", "toy/Corridor-v0", steps=9, folder=tmp_path / "run", progress=False)
    assert list(run.memory) == ["process"]
    assert json.loads((tmp_path / "run/provenance.json").read_text())["memory"] == run.memory
