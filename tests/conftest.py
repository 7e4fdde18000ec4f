"""Throw-away plugins: real distributions in a temporary folder, found by their entry points like any other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from rlhub_core.hub import default_hub

Install = Callable[..., Path]


def _install(
    folder: Path,
    name: str,
    version: str,
    source_files: Mapping[str, str],
    entry_points: Mapping[str, str],
    requires: Sequence[str] = (),
) -> Path:
    """Write a distribution into a folder and return the folder, which belongs on the import path.

    Args:
        folder: where to; it may hold several distributions.
        name: of the distribution, "rlhub-toy".
        version: of the distribution.
        source_files: path in the folder -> text, {"rlhub_toy/plugin.py": "..."}.
        entry_points: in the group `rlhub`, {"toy": "rlhub_toy.plugin"}.
        requires: requirements of the distribution.
    """
    for path, text in source_files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    points = "".join(f"{point} = {target}\n" for point, target in entry_points.items())
    (info / "entry_points.txt").write_text(f"[rlhub]\n{points}")
    return folder


@pytest.fixture
def install() -> Install:
    """`install(folder, name, version, source_files, entry_points, requires=())` writes a distribution into a folder."""
    return _install


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """`on_path(folder)` makes the plugins in a folder, and the core, all that is installed, subprocesses included."""
    modules = set(sys.modules)
    others = {point.name for point in entry_points(group="rlhub")} - {"core"}

    def show(folder: Path) -> None:
        monkeypatch.setenv("RLHUB_DISABLE", ",".join(sorted(others)))
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.syspath_prepend(str(folder))
        default_hub.cache_clear()

    yield show
    default_hub.cache_clear()
    for name in set(sys.modules) - modules:
        if name.partition(".")[0].startswith("rlhub_") and not name.startswith("rlhub_core"):
            del sys.modules[name]


@pytest.fixture
def toy(tmp_path: Path, install: Install, on_path: Callable[[Path], None]) -> Path:
    """Have the core and the plugin `toy` installed: a corridor, an algorithm that learns nothing, callbacks."""
    source = Path(__file__).parent / "toy"
    files = {f"rlhub_toy/{path.name}": path.read_text() for path in sorted(source.iterdir()) if path.is_file()}
    folder = install(tmp_path / "site", "rlhub-toy", "1.0", files, {"toy": "rlhub_toy.plugin"}, ["rlhub-core>=0.1,<1"])
    on_path(folder)
    return folder
