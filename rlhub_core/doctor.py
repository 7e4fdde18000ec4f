"""Examines an installation: metadata first, then each plugin, then (deep) everything that is on offer."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement

from rlhub_core.discovery import discover
from rlhub_core.errors import MissingExtraError, listed
from rlhub_core.hub import KINDS, Hub, Plugin
from rlhub_core.rehearsal import Outcome, rehearse
from rlhub_core.specs import load_target
from rlhub_core.threads import usable_cpus

HEAVY = ("torch", "tensorflow", "jax", "stable_baselines3", "ray", "ale_py", "matplotlib", "pygame", "cv2")


SLOW = 1.0  # seconds that a plugin may take merely to be listed


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["good", "note", "wrong"]
    text: str
    cure: str = ""  # a command or a sentence


def examine(*, deep: bool = False) -> Iterator[Finding]:
    """Yield what is found, good and bad, in the order in which it is looked at.

    Args:
        deep: import every target on offer as well, frameworks included.
    """
    yield from _ground()
    yield from _metadata(discover())
    hub = Hub(strict=False)
    rehearsed = list(rehearse(list(hub.discovered()), deep=deep))
    fatal = {outcome.target or outcome.plugin for outcome in rehearsed if outcome.fate}
    for outcome in rehearsed:
        yield from _rehearsed(outcome, hub.discovered()[outcome.plugin])
    tried = {outcome.plugin for outcome in rehearsed}
    for name in hub.discovered().keys() - tried:  # what was not survived elsewhere is not risked here
        yield Finding("wrong", f"plugin {name!r} could not be tried in another process", "run rlhub doctor again")
    sound = [name for name in hub.discovered() if name in tried and name not in fatal]
    yield from _plugins(hub, sound)
    if deep:
        yield from _targets(hub, sound, fatal)
    if _installed("torch"):
        yield _torch()


def _ground() -> Iterator[Finding]:
    packages = ("rlhub-core", "gymnasium", "numpy")
    yield Finding("good", f"Python {platform.python_version()}, " + ", ".join(f"{p} {version(p)}" for p in packages))
    yield Finding("good", f"{usable_cpus()} CPU cores are usable")
    missing = [name for name, module in (("matplotlib", "matplotlib"), ("Pillow", "PIL")) if not _installed(module)]
    if missing:
        yield Finding("note", f"no plots or recordings: {listed(missing)} missing", "pip install 'rlhub-core[media]'")
    if os.environ.get("RLHUB_DISABLE"):
        yield Finding("note", f"RLHUB_DISABLE leaves out {os.environ['RLHUB_DISABLE']}", "unset RLHUB_DISABLE")


def _torch() -> Finding:
    torch = sys.modules.get("torch")  # where a target has imported it
    if torch is not None:
        cuda = f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "no CUDA device"
        return Finding("good", f"torch {torch.__version__}, {torch.get_num_threads()} threads, {cuda}")
    threads = os.environ.get("OMP_NUM_THREADS")
    set_to = f"OMP_NUM_THREADS={threads}" if threads else "OMP_NUM_THREADS is not set: one thread a core"
    return Finding("good", f"torch {version('torch')}, {set_to}")


def _metadata(plugins: list[Plugin]) -> Iterator[Finding]:
    """Judge by metadata alone, which nothing broken can prevent."""
    owners: dict[str, set[str]] = {}
    for plugin in plugins:
        owners.setdefault(plugin.name, set()).add(plugin.distribution)
    for name, distributions in sorted(owners.items()):
        if len(distributions) > 1:
            rivals = sorted(distributions)
            yield Finding(
                "wrong",
                f"plugin {name!r} is claimed by {' and '.join(rivals)}",
                f"pip uninstall {rivals[-1]}, or the other",
            )
    for plugin in plugins:
        for copy in plugin.shadowed:
            text = f"{plugin} is used; another copy is installed, {copy}"
            yield Finding("note", text, f"pip uninstall {plugin.distribution} until it is gone, then install it once")
    requirements = {(plugin.distribution, text) for plugin in plugins for text in plugin.requires}
    for distribution, text in sorted(requirements):
        problem = _unmet(text)
        if problem:
            yield Finding("wrong", f"{distribution} needs {text}; {problem}", f"pip install --upgrade {distribution}")


def _unmet(text: str) -> str:
    """Return why a requirement does not hold, or nothing."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return "which is no valid requirement"
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return ""
    try:
        have = version(requirement.name)
    except PackageNotFoundError:
        return "it is not installed"
    return "" if requirement.specifier.contains(have, prereleases=True) else f"{requirement.name} {have} is installed"


def _rehearsed(outcome: Outcome, plugin: Plugin) -> Iterator[Finding]:
    """Tell what a plugin does to the process that imports it."""
    what = f"{outcome.target} of plugin" if outcome.target else "plugin"
    if outcome.fate:
        cure = f"pip install --upgrade {plugin.distribution}, or leave it out: RLHUB_DISABLE={plugin.name}"
        yield Finding("wrong", f"{what} {plugin.name!r} ({plugin}) {outcome.fate} that imports it", cure)
    if outcome.changed and not outcome.target:
        text = f"{what} {plugin.name!r} ({plugin}) changes {listed(outcome.changed)} merely to be listed"
        yield Finding("note", text, "its author should leave that to what is used")


def _plugins(hub: Hub, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        before = set(sys.modules)
        plugin = hub.plugin(name)
        heavy = [module for module in HEAVY if module in sys.modules and module not in before]
        if plugin.error:
            if not _told_by_metadata(plugin):
                cure = f"pip install --upgrade {plugin.distribution}; if that does not help: rlhub plugins --traceback"
                yield Finding("wrong", f"plugin {name!r} does not load: {plugin.error}", cure)
            continue
        yield Finding(
            "good", f"plugin {name!r} ({plugin}) loads in {1000 * plugin.seconds:.0f} ms and offers {counted(plugin)}"
        )
        if plugin.printed:
            text = f"plugin {name!r} ({plugin}) prints {_shortened(plugin.printed)} merely to be listed"
            yield Finding("note", text, "its author should use logging")
        if plugin.seconds > SLOW:
            text = f"plugin {name!r} ({plugin}) takes {plugin.seconds:.1f} s merely to be listed"
            yield Finding(
                "note", text, f"its author should import on use; meanwhile RLHUB_DISABLE={name} leaves it out"
            )
        if heavy:
            yield Finding(
                "note",
                f"plugin {name!r} imports {listed(heavy)} merely to be listed",
                "its author should import it on use",
            )


def _told_by_metadata(plugin: Plugin) -> bool:
    """Return whether the reason why a plugin is broken is among what `_metadata` finds."""
    return "distributions claim the name" in plugin.error or plugin.error.startswith("it needs ")


def _targets(hub: Hub, names: Iterable[str], fatal: Collection[str]) -> Iterator[Finding]:
    """Import every target of every plugin that loads; an extra that is left out is no fault."""
    for name in names:
        plugin = hub.plugin(name)
        loaded, failed = 0, False
        lacking: dict[tuple[str, str], list[str]] = {}  # what is wrong, its cure -> names
        for kind in KINDS:
            for full, spec in (plugin.offers or {})[kind].items():
                if full in fatal:
                    failed = True
                    continue
                error = _unloadable(spec)
                if error is None:
                    loaded += 1
                elif isinstance(error, MissingExtraError):
                    lacking.setdefault((error.problem, error.cure), []).append(full)
                else:
                    failed = True
                    text = f"{kind} {full} cannot be loaded: {type(error).__name__}: {error}"
                    yield Finding("wrong", text, f"pip install {plugin.distribution}")
        for (problem, cure), names in lacking.items():
            yield Finding("note", f"plugin {name!r} {problem}, for {listed(names)}", cure)
        if loaded and not failed:
            which = "the other" if lacking else "all"
            yield Finding("good", f"plugin {name!r}: {which} {loaded} on offer can be imported")


def _unloadable(spec: Any) -> BaseException | None:
    """Return why a target of an offer cannot be imported."""
    for target in (spec.entry_point, getattr(spec, "vector_entry_point", None)):
        try:
            if isinstance(target, str):
                load_target(target)
        except (Exception, SystemExit) as error:
            return error
    return None


def counted(plugin: Plugin) -> str:
    """Return how many things a plugin offers, "1 environment, 3 algorithms"."""
    sizes = {kind: len(offers) for kind, offers in (plugin.offers or {}).items() if offers}
    return ", ".join(f"{size} {kind}{'s' * (size != 1)}" for kind, size in sizes.items()) or "nothing"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else f"{line[:59]}…")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
