"""Finds plugins by their entry points, isolates what is broken, refuses conflicts, looks things up by name.

pluggy's own `load_setuptools_entrypoints` stops at the first plugin that fails, and one hook implementation that raises
stops the whole call. A hub must not: entry points are loaded one by one, and implementations are called one by one.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from time import perf_counter
from typing import Any

from rlhub_core.discovery import Plugin as Plugin
from rlhub_core.discovery import discover as installed
from rlhub_core.errors import NotFoundError, PluginError, did_you_mean, listed
from rlhub_core.offers import KINDS as KINDS
from rlhub_core.offers import ask, target_fault
from rlhub_core.specs import load_target


class Hub:
    """What is installed, by name.

    Args:
        plugins: modules or objects with hook implementations, by name, beside the discovered ones.
        discover: whether to look for installed plugins (`RLHUB_DISABLE=a,b` leaves some out unimported).
        strict: whether a broken plugin is an error at once (default: the environment variable `RLHUB_STRICT`).
    """

    def __init__(
        self, plugins: Mapping[str, Any] | None = None, *, discover: bool = True, strict: bool | None = None
    ) -> None:
        self._strict = os.environ.get("RLHUB_STRICT", "") not in ("", "0") if strict is None else strict
        self._disabled = _disabled() if discover else set()
        found = installed(self._disabled) if discover else []
        found += [Plugin(name, partial(_itself, module)) for name, module in (plugins or {}).items()]
        claims: dict[str, list[Plugin]] = {}
        for plugin in found:
            claims.setdefault(plugin.name, []).append(plugin)
        self._plugins = {name: claimants[0] for name, claimants in claims.items()}
        self._loading = threading.RLock()
        for claimants in claims.values():
            if len(claimants) > 1:
                self._refuse_all(claimants)

    def discovered(self) -> dict[str, Plugin]:
        """Return every plugin by name, as it is: those that nothing has asked for yet are not loaded."""
        return dict(sorted(self._plugins.items()))

    def plugins(self) -> dict[str, Plugin]:
        """Return every plugin by name, loaded, the broken ones with their error."""
        for name in self._plugins:
            self.plugin(name)
        return self.discovered()

    def plugin(self, name: str) -> Plugin:
        """Return one plugin, loaded, or broken with its error."""
        plugin = self._plugins[name]
        self._load(plugin)
        return plugin

    def offers(self, kind: str) -> dict[str, Any]:
        """Return everything of a kind ("algorithm", "environment", …) by full name."""
        return {
            name: spec
            for plugin in self.plugins().values()
            for name, spec in sorted((plugin.offers or {})[kind].items())
        }

    def find(self, kind: str, name: str) -> Any:
        """Return the spec of a full name, or of a bare one that exactly one thing bears.

        Raises:
            NotFoundError: where nothing or more than one thing bears the name.
            PluginError: where the plugin that would offer it is broken.
        """
        namespace, slash, _ = name.partition("/")
        if not slash:
            return self._find_bare(kind, name)
        plugin = self._plugins.get(namespace)
        if plugin is None and namespace in self._disabled:
            raise NotFoundError(f"{name} is of the plugin {namespace!r}, which RLHUB_DISABLE leaves out. Unset it.")
        if plugin is None:
            hint = did_you_mean(name, self.offers(kind)) or f" If a package offers it: pip install rlhub-{namespace}."
            raise NotFoundError(self._unknown(kind, name, hint))
        self._load(plugin)
        if plugin.error:
            raise PluginError(_not_loaded(plugin, plugin.error))
        try:
            return (plugin.offers or {})[kind][name]
        except KeyError:
            raise NotFoundError(self._unknown(kind, name, did_you_mean(name, self.offers(kind)))) from None

    def load(self, kind: str, name: str) -> Any:
        """Return the target of a name: the class or function itself.

        Raises:
            NotFoundError, PluginError: as `find`; PluginError also where the target cannot be imported.
        """
        return self.target(kind, self.find(kind, name))

    def target(self, kind: str, spec: Any, field: str = "entry_point") -> Any:
        """Return what a field of a spec names; what it prints meanwhile goes to the standard error.

        Raises:
            PluginError: where it cannot be imported, or cannot be what the spec says it is.
        """
        entry_point = getattr(spec, field)
        if not isinstance(entry_point, str):  # an environment's may be the function itself
            return entry_point
        full = getattr(spec, "id", None) or spec.name
        plugin = self._plugins[full.partition("/")[0]]
        try:
            with _apart() as said:
                target = load_target(entry_point)
        except PluginError:  # it knows its own cause and cure
            raise
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"while {full} of plugin {plugin.name!r} ({plugin}) was imported")
            raise
        except BaseException as error:
            if isinstance(error, ImportError):
                raise PluginError(_not_loaded(plugin, _one_line(error))) from error
            raise PluginError(
                f"{full} of plugin {plugin.name!r} could not be loaded: {_one_line(error)}. "
                f"Report it to the authors of {plugin}."
            ) from error
        if said:
            sys.stderr.write("".join(said))
        fault = target_fault(kind, target)
        if fault:
            raise PluginError(f"{full} of plugin {plugin.name!r} {fault}. Report it to the authors of {plugin}.")
        return target

    def provider(self, name: str) -> Plugin | None:
        """Return the plugin in whose namespace a name lies."""
        return self._plugins.get(name.partition("/")[0]) if "/" in name else None

    def _find_bare(self, kind: str, name: str) -> Any:
        offers = self.offers(kind)
        bearers = [full for full in offers if full.partition("/")[2] == name]
        if len(bearers) == 1:
            return offers[bearers[0]]
        if not bearers:
            bare = {full.partition("/")[2]: full for full in offers}
            close = did_you_mean(name, bare)
            raise NotFoundError(self._unknown(kind, name, close))
        by = " and ".join(f"{full} ({self._plugins[full.partition('/')[0]]})" for full in bearers)
        raise NotFoundError(f"{name!r} is offered by {by}. Name one.")

    def _unknown(self, kind: str, name: str, hint: str) -> str:
        broken = [plugin.name for plugin in self._plugins.values() if plugin.error]
        note = f" Broken plugins (see `rlhub plugins`): {listed(broken)}." if broken else ""
        return f"No {kind} is called {name!r}.{hint} Installed: {listed(self.offers(kind))}.{note}"

    def _refuse_all(self, claimants: list[Plugin]) -> None:
        name, who = claimants[0].name, sorted(dict.fromkeys(map(str, claimants)))
        if len(who) == 1:
            clash = f"{who[0]} claims the name {name!r} twice; report it to its authors"
        else:
            count = "two" if len(who) == 2 else str(len(who))
            clash = f"{count} distributions claim the name {name!r}: {' and '.join(who)}; uninstall all but one of them"
        self._quarantine(claimants[0], PluginError(clash))

    def _load(self, plugin: Plugin) -> None:
        with self._loading:  # a thread that comes second waits, rather than find a plugin that offers nothing yet
            if plugin.offers is not None:
                self._object(plugin)
                return
            plugin.offers = {kind: {} for kind in KINDS}
            if plugin.error:
                self._object(plugin)
                return
            begun = perf_counter()
            try:
                with _apart() as said:
                    _check_core_version(plugin)
                    plugin.offers = ask(plugin.name, plugin.load())
            except KeyboardInterrupt as interrupt:  # somebody will not wait: the plugin has another chance later
                plugin.offers = None
                interrupt.add_note(f"while plugin {plugin.name!r} ({plugin}) was loaded")
                raise
            except BaseException as error:
                self._quarantine(plugin, error)
            finally:
                plugin.seconds, plugin.printed = perf_counter() - begun, "".join(said)

    def _quarantine(self, plugin: Plugin, error: BaseException) -> None:
        plugin.error = str(error) if isinstance(error, PluginError) else _one_line(error)
        plugin.traceback = "".join(traceback.format_exception(error))
        self._object(plugin, error)

    def _object(self, plugin: Plugin, error: BaseException | None = None) -> None:
        if self._strict and plugin.error:
            raise PluginError(f"Plugin {plugin.name!r} ({plugin}): {plugin.error} (RLHUB_STRICT is set.)") from error


@cache
def default_hub() -> Hub:
    """Return the hub of everything installed, made on first use."""
    return Hub()


@contextmanager
def _apart() -> Iterator[list[str]]:
    """Yield a list that takes what this thread prints: the standard output belongs to the command that runs."""
    before = sys.stdout
    aside: Any = _Aside(before)
    sys.stdout = aside
    try:
        yield aside.said
    finally:
        aside.over = True
        sys.stdout = before


class _Aside:
    """A stream that notes what one thread writes for a while and passes on all the rest."""

    def __init__(self, behind: Any) -> None:
        self._behind, self._thread = behind, threading.get_ident()
        self.said: list[str] = []
        self.over = False  # a logging handler may keep it for ever

    def write(self, text: str) -> int:
        if self.over or threading.get_ident() != self._thread:
            return int(self._behind.write(text))
        self.said.append(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


def _disabled() -> set[str]:
    return {name.strip() for name in os.environ.get("RLHUB_DISABLE", "").split(",")} - {""}


def _itself(module: Any) -> Any:
    return module


def _check_core_version(plugin: Plugin) -> None:
    wanted = [text for text in plugin.requires if re.match(r"rlhub[-_.]core\b(?![-_.]\w)", text, re.IGNORECASE)]
    if not wanted or plugin.distribution == "rlhub-core":
        return
    from importlib.metadata import version

    from packaging.requirements import InvalidRequirement, Requirement

    have = version("rlhub-core")
    for text in wanted:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise PluginError(f"it needs {text!r}, which is no valid requirement; report it to its authors") from None
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            raise PluginError(f"it needs {text}; rlhub-core {have} is installed. Try: pip install --upgrade rlhub-core")


def _one_line(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"ModuleNotFoundError: {error.name}"
    try:
        said = str(error)
    except Exception:
        said = "its text cannot be shown"
    return f"{type(error).__name__}: {said}".splitlines()[0]


def _not_loaded(plugin: Plugin, cause: str) -> str:
    which = f"Plugin {plugin.name!r}" + (f" ({plugin})" if plugin.distribution else "")
    cure = f"Try: pip install {plugin.distribution or f'rlhub-{plugin.name}'}."
    return f"{which} is installed but could not be loaded: {cause.rstrip('.')}. {cure}"
