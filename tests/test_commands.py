"""Commands that plugins offer: shown by `rlhub --help`, imported when they are called, failing in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from rlhub_core import AdapterSpec, Callback, CommandSpec, ConfigError, Hub, Progress, hookimpl
from rlhub_core.cli import app
from rlhub_core.hub import default_hub
from rlhub_core.parts import make_callbacks

PLUGIN = """
from rlhub_core import CommandSpec, hookimpl

@hookimpl
def rlhub_commands():
    yield CommandSpec("maze/solve", "maze_solve:solve", "prints the shortest way out")
    yield CommandSpec("maze/lost", "no_such_module:lost", "cannot be imported")
"""
SOLVE = """
from typing import Annotated
import typer
from rlhub_core import ConfigError
imported = True

def solve(maze: Annotated[str, typer.Argument(help="A drawing.")], steps: int = 100) -> None:
    "Print the shortest way out."
    if steps < 1:
        raise ConfigError("There must be a step.")
    if maze == "broken":
        raise OSError("no such drawing")
    typer.echo(f"{maze}: {steps}")
"""


@pytest.fixture
def maze(tmp_path: Path, install: Any, on_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    install(tmp_path, "rlhub-maze", "1", {"maze_plugin.py": PLUGIN, "maze_solve.py": SOLVE}, {"maze": "maze_plugin"})
    on_path(tmp_path)
    default_hub.cache_clear()
    yield
    default_hub.cache_clear()


def rlhub(*arguments: str) -> Any:
    """Run the command line in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.usefixtures("maze")
def test_help_shows_a_command_without_importing_it() -> None:
    sys.modules.pop("maze_solve", None)
    shown = rlhub("--help").output
    assert "solve-maze" in shown
    assert "prints the shortest way out" in shown
    assert "maze_solve" not in sys.modules
    assert "A drawing." in rlhub("solve-maze", "--help").output


@pytest.mark.usefixtures("maze")
def test_a_command_takes_arguments_and_fails_like_the_cores_own() -> None:
    assert rlhub("solve-maze", "a", "--steps", "3").output == "a: 3\n"
    for arguments, code, said in (
        (("a", "--steps", "0"), 2, "There must be a step."),
        (("broken",), 1, "OSError: no such drawing. For the traceback, set RLHUB_DEBUG=1."),
        (("a", "--stps", "1"), 2, "No such option: --stps"),
        ((), 2, "Missing argument"),
    ):
        done = rlhub("solve-maze", *arguments)
        assert (done.exit_code, said in done.output) == (code, True), done.output


@pytest.mark.usefixtures("maze")
def test_a_command_that_cannot_be_imported_names_its_plugin() -> None:
    done = rlhub("lost-maze")
    assert done.exit_code == 2
    assert done.output.startswith(
        "Plugin 'maze' (rlhub-maze 1) is installed but could not be loaded: ModuleNotFoundError"
    )
    assert rlhub("solve-labyrinth").exit_code == 2


def test_a_command_stays_in_its_namespace() -> None:
    class Elsewhere:
        @hookimpl
        def rlhub_commands(self) -> Any:
            yield CommandSpec("solve", "a:b", "")

    hub = Hub({"maze": Elsewhere()}, discover=False)
    assert "outside its namespace" in hub.plugins()["maze"].error
    assert CommandSpec("maze/solve-all", "a:b", "").typed == "solve-all-maze"


def test_help_imports_no_framework() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from rlhub_core.cli import app;"
        "CliRunner().invoke(app, ['--help']);"
        "print([name for name in ('torch', 'stable_baselines3', 'ale_py') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class Foreign:
    """A callback of another library."""


class Adapted(Callback):
    """What makes it one of ours."""

    def __init__(self, thing: Foreign) -> None:
        self.thing = thing

    def on_progress(self, run: Any, progress: Progress) -> None:
        """Do nothing."""


def adapting(*names: str) -> Hub:
    """Return a hub whose plugin adapts foreign callbacks, as often as there are names."""

    class Plugin:
        @hookimpl
        def rlhub_adapters(self) -> Any:
            for name in names:
                yield AdapterSpec(
                    name, f"{__name__}:Adapted", lambda thing: isinstance(thing, Foreign), "foreign ones", "callback"
                )

    return Hub({"far": Plugin()}, discover=False)


def test_a_foreign_callback_is_adapted_and_mentioned_by_its_own_name() -> None:
    thing = Foreign()
    (made,), (written,) = make_callbacks(adapting("far/one"), [thing])
    assert type(made).__name__ == "Adapted"
    assert made.thing is thing  # type: ignore[attr-defined]
    assert written == f"object:{__name__}.Foreign"
    with pytest.raises(ConfigError, match=r"is recognised by far/one and far/two. Adapt it with one of them"):
        make_callbacks(adapting("far/one", "far/two"), [thing])
    with pytest.raises(ConfigError, match=r"is no callback: pass a name or an rlhub_core.Callback object"):
        make_callbacks(adapting("far/one"), [SimpleNamespace()])
    with pytest.raises(ConfigError, match=r"is no callback: make one: Adapted"):
        make_callbacks(adapting("far/one"), [Adapted])


def test_an_adapter_of_callbacks_makes_no_environment() -> None:
    from rlhub_core import EnvironmentContractError, adapt

    with pytest.raises(EnvironmentContractError, match="no adapter recognises it"):
        adapt(Foreign(), hub=adapting("far/one"))
