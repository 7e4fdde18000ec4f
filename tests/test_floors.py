"""The house stands: modules import only from floors below, plugins never from each other, and the core stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {"errors", "protocol", "specs", "schedules", "seeding", "actors", "trees"},
    {
        *("hookspecs", "state", "checkpoint", "config", "collector", "side_by_side", "normalization", "memory"),
        *("sum_tree", "replay", "stopwatch", "action_log", "faults", "workers"),
    },
    {"hub", "envs", "evaluation"},
    {
        *("experiment", "records", "provenance", "callbacks", "displays", "progress", "plugin", "parts", "run"),
        *("loop", "training"),
    },
    {
        *("media", "film", "curves", "figures", "reports", "sections", "charts", "markup", "embedding", "facts"),
        *("drawing", "actions", "playing", "views", "watching", "window", "terminal"),
        *("doctor", "command", "screens", "cli", "testing", "gym", "__init__", "__main__"),
    },
]
SAME_FLOOR = {  # who may look at a neighbour
    "state": set(),
    "collector": {"state", "side_by_side", "normalization", "action_log", "faults"},
    "workers": {"faults"},
    "faults": set(),
    "side_by_side": {"faults"},
    "action_log": set(),
    "normalization": {"state", "config"},
    "config": set(),
    "replay": {"memory", "sum_tree"},
    "evaluation": {"envs"},
    "envs": {"hub"},
    "records": set(),
    "callbacks": set(),
    "displays": set(),
    "progress": {"displays"},
    "parts": {"experiment", "callbacks"},
    "run": {"experiment", "records", "provenance", "progress", "parts"},
    "loop": {"displays", "progress", "run"},
    "training": {"experiment", "callbacks", "parts", "run", "loop"},
    "views": {"actions", "drawing", "film", "playing"},
    "media": {"film", "curves", "figures", "playing", "views"},
    "figures": {"curves"},
    "reports": {"curves", "facts", "sections", "markup"},
    "sections": {"curves", "facts", "charts", "markup", "embedding"},
    "facts": {"curves"},
    "charts": {"curves", "markup"},
    "embedding": {"markup"},
    "terminal": {"drawing"},
    "window": {"drawing", "film", "terminal"},
    "watching": {"actions", "drawing", "film", "playing", "views", "terminal", "window"},
    "command": {"__init__"},
    "screens": {"doctor", "command"},
    "cli": {"media", "reports", "watching", "doctor", "command", "screens"},
    "__init__": {"media", "reports", "watching"},
    "__main__": {"cli"},
}
CORE = sorted((ROOT / "rlhub_core").glob("*.py"))
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir())


def imports(path: Path) -> set[str]:
    """Return the modules a file imports at run time, wherever in it."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_has_a_floor() -> None:
    assert {path.stem for path in CORE} <= set().union(*FLOORS)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    floor = next(number for number, names in enumerate(FLOORS) if path.stem in names)
    below = set().union(*FLOORS[:floor]) | SAME_FLOOR.get(path.stem, FLOORS[0] if floor == 0 else set())
    used = {name.split(".")[1] for name in imports(path) if name.startswith("rlhub_core.")}
    used &= set().union(*FLOORS)
    assert used <= below, f"{path.stem} reaches up to {sorted(used - below)}"


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_names_no_framework(path: Path) -> None:
    heads = {name.split(".")[0] for name in imports(path)}
    assert not heads & {"torch", "stable_baselines3", "sb3_contrib", "ale_py", "ray", "pickle", "cloudpickle", "joblib"}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_the_core_and_no_other_plugin(plugin: Path) -> None:
    package = f"rlhub_{plugin.name}"
    for path in (plugin / package).rglob("*.py"):
        ours = {name.split(".")[0] for name in imports(path) if name.startswith("rlhub_")}
        assert ours <= {"rlhub_core", package}, f"{path} imports {sorted(ours)}"
        assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "joblib", "dill"}


@pytest.mark.parametrize(
    "call", ["import rlhub_core", "import rlhub_core as r; r.environments(), r.algorithms(), r.plugins()"]
)
def test_importing_and_listing_loads_no_framework(call: str) -> None:
    code = (
        f"{call}\nimport sys; print(*sorted({{'torch', 'stable_baselines3', 'ale_py', 'pydantic'}} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
