"""What the command line shows: tables on a terminal, plain tab-separated lines in a pipe."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from rlhub_core import config
from rlhub_core.doctor import SLOW, Finding, counted
from rlhub_core.envs import EnvironmentSource
from rlhub_core.errors import ConfigError, NotFoundError, PluginError, RlhubError, did_you_mean, listed, printable
from rlhub_core.hub import KINDS, Hub, default_hub
from rlhub_core.normalization import Normalize
from rlhub_core.parts import presets
from rlhub_core.records import read_metric_names
from rlhub_core.run import Run
from rlhub_core.specs import AlgorithmSpec, CommandSpec, load_target

LAST = 20  # training episodes in the mean that is shown at the end
MANY = 12  # environments of one plugin, beyond which they are shown as names only

Row = Sequence[str]


def offers(kind: str | None) -> None:
    """Show what is installed, of one kind ("algorithm", "algorithms") or of all."""
    kinds = list(KINDS) if kind is None else [_kind(kind)]
    hub = default_hub()
    if not sys.stdout.isatty():
        for each in kinds:
            for name, spec in hub.offers(each).items():
                print(name, each, hub.provider(name), _described(spec), sep="\t")
    else:
        for each in kinds:
            _offers_of(hub, each, whole=kind is not None)
    broken = [name for name, plugin in hub.plugins().items() if plugin.error]
    if broken:
        print(f"Broken plugins (see `rlhub plugins`): {listed(broken)}.", file=sys.stderr)


def _kind(asked: str) -> str:
    singular = asked.lower().removesuffix("s")
    if singular not in KINDS:
        plurals = [f"{kind}s" for kind in KINDS]
        raise ConfigError(f"There is no kind {asked!r}.{did_you_mean(asked, plurals)} Kinds: {listed(plurals)}.")
    return singular


def _offers_of(hub: Hub, kind: str, *, whole: bool) -> None:
    rows: list[Row] = []
    large: list[tuple[str, list[str]]] = []
    for plugin in hub.plugins().values():
        of_plugin = (plugin.offers or {})[kind]
        names = sorted(of_plugin)
        if len(names) <= MANY:
            rows += [(name, _described(of_plugin[name]), str(plugin)) for name in names]
        elif whole:
            large.append((f"{plugin}, {len(names)} {kind}s", names))
        else:
            rows.append((f"{names[0]} … {names[-1]}", f"{len(names)} in all: rlhub list {kind}s", str(plugin)))
    if rows:
        table((kind, "", "from"), rows)
    for title, names in large:
        _columns(title, names)
    if not rows and not large:
        print(f"No {kind}s are installed.\n")
    if kind == "environment":
        print("Every id that Gymnasium knows works as well, such as CartPole-v1.\n")


def info(name: str) -> None:
    """Show everything about what bears a name.

    Raises:
        NotFoundError: where nothing does.
        PluginError: where its plugin is broken; a target that alone cannot be imported is shown without its arguments.
    """
    if name == "normalize":
        block(
            "normalize", {"kind": "setting of a run", "description": "rlhub train … --normalize observations,rewards"}
        )
        _parameters("setting", Normalize)
    hub = default_hub()
    name = _typed(hub).get(name, name)
    bearers = [(kind, full) for kind in KINDS for full in hub.offers(kind) if name in (full, full.partition("/")[2])]
    if not bearers and name != "normalize":
        _gymnasium_info(hub, name)
    for kind in dict.fromkeys(kind for kind, _ in bearers):
        spec = hub.find(kind, name)
        full = spec.id if isinstance(spec, EnvSpec) else spec.name
        facts = {"kind": kind, "description": _described(spec), "from": str(hub.provider(full))}
        if isinstance(spec, EnvSpec):
            _environment(full, spec, facts)
            continue
        facts["implemented by"] = spec.entry_point
        if isinstance(spec, AlgorithmSpec):
            facts |= _algorithm_facts(spec)
        if isinstance(spec, CommandSpec):
            facts["help"] = f"rlhub {spec.typed} --help"
        try:
            target = hub.load(kind, full)
        except PluginError as error:  # what is known without it is shown nevertheless
            block(full, {**facts, "cannot be used": str(error)})
            continue
        block(full, facts)
        if isinstance(spec, AlgorithmSpec):
            _parameters("hyper-parameter", target.Config)
        elif kind != "adapter":
            _parameters("argument", target, skip=1 if kind == "wrapper" else 0)


def _typed(hub: Hub) -> dict[str, str]:
    """Return the names of commands by what a user types for them."""
    return {spec.typed: spec.name for spec in hub.offers("command").values()}


def _algorithm_facts(spec: AlgorithmSpec) -> dict[str, str]:
    """Return what is known of an algorithm without importing it."""
    shipped = [f"{preset} ({listed(places)})" for preset, places in presets(spec).items()]
    return {
        "observations": " or ".join(spec.observation_spaces),
        "actions": " or ".join(spec.action_spaces),
        "resume": "exact" if spec.exact_resume else "warm",
        "presets": ", ".join(shipped) or "none",
    }


def _environment(name: str, spec: EnvSpec, facts: Mapping[str, str]) -> None:
    vector = spec.vector_entry_point
    more = {
        "implemented by": str(spec.entry_point) + (f", vectorised by {vector}" if vector else ""),
        "time limit": f"{spec.max_episode_steps:,} steps" if spec.max_episode_steps else "",
        "solved at": f"a mean return of {spec.reward_threshold:g}" if spec.reward_threshold is not None else "",
    }
    block(name, {**facts, **more, **_made(name)})
    target = load_target(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    if target is not None:
        _parameters("option", target, fixed=spec.kwargs)


def _made(name: str) -> dict[str, str]:
    """Return the facts that only a made environment tells, or why it cannot be made."""
    try:
        env = EnvironmentSource.of(name).make()
    except (RlhubError, ImportError) as error:
        return {"cannot be made": str(error)}
    spaces = {
        "observations": " ".join(str(env.observation_space).split()),  # numpy pads columns
        "actions": " ".join(str(env.action_space).split()),
    }
    modes = listed(env.metadata.get("render_modes", []))
    env.close()
    return {**spaces, "render modes": modes}


def _gymnasium_info(hub: Hub, name: str) -> None:
    provider = hub.provider(name)
    if provider is not None and provider.error:
        hub.find("environment", name)  # raises, with cause and cure
    try:
        spec = gymnasium.spec(name)
    except (gymnasium.error.Error, ModuleNotFoundError):
        known = [*_typed(hub), *(full for kind in KINDS for full in hub.offers(kind))]
        hint = did_you_mean(name, [*known, *gymnasium.registry])
        if not hint and "/" in name and provider is None:
            hint = f" If a package offers it: pip install rlhub-{name.partition('/')[0]}."
        raise NotFoundError(f"Nothing installed is called {name!r}.{hint} See `rlhub list`.") from None
    _environment(spec.id, spec, {"kind": "environment", "from": "registered in Gymnasium"})


def _parameters(what: str, target: Any, skip: int = 0, fixed: Mapping[str, Any] | None = None) -> None:
    """Show the parameters of a target, those of an environment's specification with its values."""
    rows = []
    for name, parameter in config.parameters(target, skip).items():
        default = (fixed or {}).get(name, parameter.default)
        rows.append(
            (name, parameter.type_name, _written(default), _range(parameter), parameter.unit, parameter.meaning)
        )
    if rows:
        filled = [index for index in range(6) if index < 3 or any(row[index] for row in rows)]
        heads = (what, "type", "default", "range", "unit", "meaning")
        table([heads[index] for index in filled], [[row[index] for index in filled] for row in rows])


def _written(default: Any) -> str:
    if default is config.MISSING:
        return "required"
    if isinstance(default, str):
        return default or '""'
    return (
        config.join_name("", {"": default}).removeprefix(":=") if not callable(default) else str(config.plain(default))
    )


def _range(parameter: config.Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"≥ {low:g}" if low is not None else f"≤ {high:g}" if high is not None else ""


def _described(spec: Any) -> str:
    if not isinstance(spec, EnvSpec):
        return str(spec.description)
    return f"at most {spec.max_episode_steps:,} steps an episode" if spec.max_episode_steps else ""


def plugins(tracebacks: bool) -> None:
    """Show every plugin, its state, and what is wrong with it."""
    rows, broken = [], []
    for name, plugin in default_hub().plugins().items():
        state = "broken" if plugin.error else "works"
        slow = f"; {plugin.seconds:.1f} s to load" if plugin.seconds > SLOW else ""
        rows.append((name, state, str(plugin), (plugin.error or counted(plugin)) + slow))
        broken += [plugin] if plugin.error else []
    table(("plugin", "state", "from", "offers, or what is wrong"), rows)
    if broken and tracebacks:
        for plugin in broken:
            print(f"{plugin.name}:\n{plugin.traceback}", file=sys.stderr)
    elif broken:
        print("More: rlhub plugins --traceback; cures: rlhub doctor", file=sys.stderr)


def findings(found: Iterable[Finding]) -> bool:
    """Show findings as they come and return whether nothing is wrong."""
    import typer

    marks = {"good": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "red")}
    wrong = 0
    for finding in found:
        mark, colour = marks[finding.level]
        typer.echo(f"{typer.style(mark, fg=colour)} {_hanging(finding.text)}")
        if finding.cure:
            typer.echo(f"  → {_hanging(finding.cure)}")
        wrong += finding.level == "wrong"
    typer.echo(f"{wrong} thing{'s' * (wrong != 1)} wrong." if wrong else "Nothing is wrong.")
    return not wrong


def ended(run: Run) -> None:
    """Say how a run ended, where it is, and what to try next."""
    recipe = run.experiment
    why = f" It stopped early: {run.stopped}." if run.stopped else ""
    told = f"{recipe.algorithm} on {recipe.environment}: {run.steps:,} steps in {run.seconds:.0f} s.{why}"
    print(printable(told))
    returns = [episode.return_ for episode in run.episodes]
    last = returns[-LAST:]
    if last:
        mean = sum(last) / len(last)
        print(f"Training return: {mean:.2f}, mean of the last {len(last)} of {len(returns):,} episodes.")
    if run.last_evaluation is not None:
        print(f"Last evaluation: {run.last_evaluation} at step {run.last_evaluation.step:,}.")
    folder = shlex.quote(str(run.folder))
    print(f"The run is in {run.folder}\nNext:")
    scored = last or run.last_evaluation is not None
    metric = "" if scored else "".join(f" --metric {name}" for name in read_metric_names(run.folder)[:1])
    for command in ("evaluate", "record", "plot"):
        print(f"  rlhub {command} {folder}{metric if command == 'plot' else ''}")


def _hanging(text: str) -> str:
    """Return a text wrapped to the terminal below its second column; unwrapped in a pipe."""
    width = shutil.get_terminal_size().columns - 4 if sys.stdout.isatty() else 10_000
    return "\n    ".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


def table(heads: Row, rows: Sequence[Row]) -> None:
    """Print a table: ruled on a terminal, lines with tabs in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print(*row, sep="\t")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    ruled = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        ruled.add_column(head, style="cyan" if index == 0 else "", no_wrap=index == 0, overflow="fold")
    for row in rows:
        ruled.add_row(*map(Text, row))
    Console(highlight=False).print(ruled, "")


def block(title: str, facts: Mapping[str, str]) -> None:
    """Print a title and facts below it; empty ones are left out."""
    shown = {name: fact for name, fact in facts.items() if fact}
    if not sys.stdout.isatty():
        print("name", title, sep="\t")
        for name, fact in shown.items():
            print(name, fact, sep="\t")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 2))
    for name, fact in shown.items():
        grid.add_row(Text(name, style="dim"), Text(fact))
    Console(highlight=False).print(Text(title, style="bold cyan"), grid, "")


def _columns(title: str, names: Sequence[str]) -> None:
    from rich.columns import Columns
    from rich.console import Console

    Console(highlight=False).print(f"[bold]{title}[/]", Columns(names, padding=(0, 2), column_first=True), "")
