"""What every command of the command line shares: how it is registered, how it fails, how it reads a number."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from rlhub_core import config
from rlhub_core.errors import (
    ArtefactError,
    CheckpointError,
    ConfigError,
    EnvironmentFault,
    RlhubError,
    StorageError,
    TrainingError,
    TrustError,
    printable,
)
from rlhub_core.specs import CommandSpec

FAILURES = (  # nobody's wrong use of the command line
    *(ArtefactError, CheckpointError, EnvironmentFault, StorageError, TrainingError, TrustError),
)


class Commands(TyperGroup):
    """The commands: the core's own, then those of installed plugins, which are imported when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return what `rlhub --help` shows."""
        return [*super().list_commands(ctx), *sorted(_offered())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; one of a plugin's as a stand-in that only its description is known of."""
        own = super().get_command(ctx, cmd_name)
        spec = None if own is not None else _offered().get(cmd_name)
        return own if spec is None else StandIn(spec)


def _offered() -> dict[str, CommandSpec]:
    """Return the plugins' commands as they are typed."""
    from rlhub_core.hub import default_hub

    return {spec.typed: spec for spec in default_hub().offers("command").values()}


app = typer.Typer(
    name="rlhub",
    cls=Commands,
    help="Reinforcement learning with environments, algorithms and callbacks from separately installed packages.",
    epilog="Start with: rlhub list · rlhub info NAME · rlhub train ALGORITHM ENV --steps 50000",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from rlhub_core import __version__

        typer.echo(f"rlhub {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


class Door(TyperCommand):
    """A command whose errors are one sentence: a traceback helps no user (`RLHUB_DEBUG=1` shows it)."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn what it raises into a sentence and an exit code."""
        with _explained():
            return super().invoke(ctx)


class StandIn(TyperCommand):
    """Stands for a plugin's command until it is called."""

    def __init__(self, spec: CommandSpec) -> None:
        super().__init__(spec.typed, help=spec.description, rich_markup_mode=None)
        self._spec = spec

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the command and let it read its arguments."""
        from rlhub_core.hub import default_hub

        with _explained():
            target = default_hub().load("command", self._spec.name)
        own = typer.Typer(add_completion=False, rich_markup_mode=None)
        own.command(self._spec.typed, cls=Door)(target)
        return typer.main.get_command(own).make_context(info_name, args, parent, **extra)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what is raised into a sentence and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        raise
    except KeyboardInterrupt as interrupt:
        if not interrupt.args:  # a run says itself that it was stopped, and where
            typer.secho("Stopped before there was anything to save.", err=True)
        raise typer.Exit(130) from None
    except RlhubError as error:
        said = " ".join([str(error), *getattr(error, "__notes__", ())])
        raise _failed(said, 1 if isinstance(error, FAILURES) else 2) from error
    except Exception as error:
        said = ". ".join([f"{type(error).__name__}: {error}".rstrip(".: "), *getattr(error, "__notes__", ())])
        raise _failed(f"{said}. For the traceback, set RLHUB_DEBUG=1.", 1) from error


def _failed(sentence: str, code: int) -> typer.Exit:
    if os.environ.get("RLHUB_DEBUG", "") not in ("", "0"):
        traceback.print_exc()
    typer.secho(printable(sentence), fg="red", err=True)
    return typer.Exit(code)


Command = TypeVar("Command", bound=Callable[..., Any])


def door(name: str) -> Callable[[Command], Command]:
    """Register a command."""
    return app.command(name, cls=Door)


def number(text: Any) -> Any:
    """Return what a text says; whether it is the number it should be is the core's to say. `1e6` is a million."""
    if not isinstance(text, str):  # a default
        return text
    value = config.parse_value(text)
    return int(value) if isinstance(value, float) and "e" in text.lower() and value.is_integer() else value


def count(help: str, flag: str) -> Any:
    """Return an option that takes a number."""
    return typer.Option(flag, help=help, metavar="N", parser=number)


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return what texts such as `learning_rate=0.001` assign."""
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"{text!r} is not KEY=VALUE, such as learning_rate=0.001.")
        settings[name] = config.parse_value(value)
    return settings
