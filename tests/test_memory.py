"""What does not fit is refused before it is allocated."""

from __future__ import annotations

from pathlib import Path

import pytest

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
