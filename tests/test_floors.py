"""The house stands: modules import only from floors below, plugins never from each other, and the core stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {"errors", "protocol", "specs", "schedules", "seeding", "actors", "artefacts", "trees"},
    {
        *("hookspecs", "state", "checkpoint", "config", "collector", "side_by_side", "normalization", "memory"),
        *("sum_tree", "segments", "replay", "stopwatch", "storage", "finite", "recorded_spaces"),
        *("discovery", "offers", "threads", "action_log", "checks", "faults", "workers"),
    },
    {"hub", "envs", "evaluation", "rehearsal"},
    {
        *("experiment", "records", "provenance", "callbacks", "displays", "progress", "plugin", "parts", "run"),
        *("loop", "training", "postmortem"),
    },
    {
        *("playing.stage", "playing.film", "playing.drawing", "playing.actions", "playing.views", "playing.recording"),
        *("playing.terminal", "playing.window", "playing.watching", "playing.__init__"),
        *("reporting.curves", "reporting.figures", "reporting.plotting", "reporting.markup", "reporting.charts"),
        *("reporting.embedding", "reporting.facts", "reporting.sections", "reporting.page", "reporting.__init__"),
        *("doctor", "command", "screens", "cli", "testing", "gym", "__init__"),
    },
]
_SHOWN = {"playing.recording", "playing.watching", "reporting.plotting", "reporting.page"}
SAME_FLOOR = {  # who may look at a neighbour
    "state": {"memory"},
    "collector": {"state", "side_by_side", "normalization", "action_log", "checks", "faults"},
    "workers": {"checks", "faults"},
    "checks": set(),
    "faults": {"checks"},
    "side_by_side": {"checks", "faults"},
    "action_log": set(),
    "normalization": {"state", "config"},
    "config": set(),
    "checkpoint": {"storage"},
    "segments": {"checkpoint"},
    "replay": {"memory", "segments", "state", "sum_tree"},
    "discovery": {"hookspecs"},
    "offers": {"hookspecs"},
    "evaluation": {"envs"},
    "envs": {"hub"},
    "rehearsal": {"hub"},
    "records": set(),
    "callbacks": set(),
    "displays": set(),
    "progress": {"displays"},
    "parts": {"experiment", "callbacks"},
    "run": {"experiment", "records", "provenance", "progress", "parts"},
    "loop": {"displays", "progress", "run", "postmortem"},
    "postmortem": {"experiment", "parts", "provenance", "run"},
    "training": {"experiment", "callbacks", "parts", "run", "loop"},
    "playing.views": {"playing.actions", "playing.drawing", "playing.film", "playing.stage"},
    "playing.recording": {"playing.film", "playing.stage", "playing.views"},
    "playing.terminal": {"playing.drawing"},
    "playing.window": {"playing.drawing", "playing.terminal"},
    "playing.watching": {
        *("playing.actions", "playing.drawing", "playing.film", "playing.stage", "playing.views"),
        *("playing.terminal", "playing.window"),
    },
    "reporting.figures": {"reporting.curves"},
    "reporting.plotting": {"reporting.curves", "reporting.figures"},
    "reporting.charts": {"reporting.curves", "reporting.markup"},
    "reporting.embedding": {"reporting.markup"},
    "reporting.facts": {"reporting.curves"},
    "reporting.sections": {
        *("reporting.curves", "reporting.facts", "reporting.charts", "reporting.markup", "reporting.embedding"),
    },
    "reporting.page": {"reporting.curves", "reporting.facts", "reporting.sections", "reporting.markup"},
    "command": {"__init__"},
    "screens": {"doctor", "command"},
    "cli": {*_SHOWN, "doctor", "command", "screens"},
    "__init__": _SHOWN,
}
CORE = {
    ".".join(path.relative_to(ROOT / "rlhub_core").with_suffix("").parts): path
    for path in sorted((ROOT / "rlhub_core").rglob("*.py"))
}
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
    assert set(CORE) == set().union(*FLOORS)


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_the_page_on_architecture_shows_every_module_on_its_floor(floor: int) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    (row,) = re.findall(rf"^\| {floor} \w+ \| (.*) \|.*\|$", page, re.MULTILINE)
    assert set(re.findall(r"`(\w+)/?`", row)) == {name.partition(".")[0] for name in FLOORS[floor]} - {"__init__"}


@pytest.mark.parametrize("module", CORE)
def test_a_module_imports_only_from_floors_below(module: str) -> None:
    floor = next(number for number, names in enumerate(FLOORS) if module in names)
    below = set().union(*FLOORS[:floor]) | SAME_FLOOR.get(module, FLOORS[0] if floor == 0 else set())
    used = {name.removeprefix("rlhub_core.") for name in imports(CORE[module])} & set(CORE)
    assert used <= below, f"{module} reaches up to {sorted(used - below)}"


@pytest.mark.parametrize("module", CORE)
def test_the_core_names_no_framework(module: str) -> None:
    heads = {name.split(".")[0] for name in imports(CORE[module])}
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
