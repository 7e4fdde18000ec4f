"""Finds plugins by their entry points, isolates what is broken, refuses conflicts, looks things up by name.

pluggy's own `load_setuptools_entrypoints` stops at the first plugin that fails, and one hook implementation that raises
stops the whole call. A hub must not: entry points are loaded one by one, and implementations are called one by one.
"""

from __future__ import annotations

import os
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from gymnasium.envs.registration import EnvSpec

from rlhub_core import hookspecs
from rlhub_core.errors import NotFoundError, PluginError, did_you_mean, listed
from rlhub_core.specs import AdapterSpec, AlgorithmSpec, CallbackSpec, CommandSpec, WrapperSpec, load_target

Offer = EnvSpec | AdapterSpec | WrapperSpec | AlgorithmSpec | CallbackSpec | CommandSpec

KINDS: dict[str, tuple[str, type[Any]]] = {  # kind -> hook, what it yields
    "environment": ("rlhub_environments", EnvSpec),
    "algorithm": ("rlhub_algorithms", AlgorithmSpec),
    "callback": ("rlhub_callbacks", CallbackSpec),
    "wrapper": ("rlhub_wrappers", WrapperSpec),
    "adapter": ("rlhub_adapters", AdapterSpec),
    "command": ("rlhub_commands", CommandSpec),
}


@dataclass
class Plugin:
    """One installed plugin: where it comes from, and what became of it."""

    name: str  # the namespace of everything it offers
    load: Callable[[], Any] = field(repr=False)
    distribution: str = ""  # "rlhub-deep"
    version: str = ""
    requires: tuple[str, ...] = ()  # requirements of its distribution
    error: str = ""  # one line; empty while nothing is wrong
    traceback: str = field(default="", repr=False)
    offers: dict[str, dict[str, Any]] | None = field(default=None, repr=False)  # kind -> name -> spec, once loaded

    @property
    def status(self) -> str:
        """One of "broken", "loaded" and "not loaded"."""
        return "broken" if self.error else "not loaded" if self.offers is None else "loaded"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip() or self.name


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
        found = _discover() if discover else []
        found += [Plugin(name, partial(_itself, module)) for name, module in (plugins or {}).items()]
        self._plugins: dict[str, Plugin] = {}
        self._loading = threading.RLock()
        for plugin in found:
            if plugin.name in self._plugins:
                self._refuse_both(self._plugins[plugin.name], plugin)
            else:
                self._plugins[plugin.name] = plugin

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
        spec = self.find(kind, name)
        try:
            return load_target(spec.entry_point)
        except PluginError:  # it knows its own cause and cure
            raise
        except Exception as error:
            plugin = self._plugins[spec.name.partition("/")[0]]
            if isinstance(error, ImportError):
                raise PluginError(_not_loaded(plugin, _one_line(error))) from error
            raise PluginError(
                f"{spec.name} of plugin {plugin.name!r} could not be loaded: {_one_line(error)}. "
                f"Report it to the authors of {plugin}."
            ) from error

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

    def _refuse_both(self, one: Plugin, other: Plugin) -> None:
        clash = f"two distributions claim the name {one.name!r}: {one} and {other}"
        self._quarantine(one, PluginError(f"{clash}; uninstall one of them"))

    def _load(self, plugin: Plugin) -> None:
        with self._loading:  # a thread that comes second waits, rather than find a plugin that offers nothing yet
            if plugin.offers is not None:
                return
            plugin.offers = {kind: {} for kind in KINDS}
            if plugin.error:
                return
            try:
                _check_core_version(plugin)
                plugin.offers = _ask(plugin.name, plugin.load())
            except (Exception, SystemExit) as error:
                self._quarantine(plugin, error)

    def _quarantine(self, plugin: Plugin, error: BaseException) -> None:
        plugin.error = str(error) if isinstance(error, PluginError) else _one_line(error)
        plugin.traceback = "".join(traceback.format_exception(error))
        if self._strict:
            raise PluginError(f"Plugin {plugin.name!r}: {plugin.error} (RLHUB_STRICT is set.)") from error


@cache
def default_hub() -> Hub:
    """Return the hub of everything installed, made on first use."""
    return Hub()


def _itself(module: Any) -> Any:
    return module


def _discover() -> list[Plugin]:
    disabled = {name.strip() for name in os.environ.get("RLHUB_DISABLE", "").split(",")}
    seen: dict[tuple[str, str, str], EntryPoint] = {}  # an editable install may be listed twice
    for point in entry_points(group=hookspecs.GROUP):
        if point.name not in disabled:
            seen.setdefault((point.name, point.dist.name if point.dist else "", point.value), point)
    return [
        Plugin(
            point.name,
            distribution=point.dist.name if point.dist else "",
            version=point.dist.version if point.dist else "",
            load=point.load,
            requires=tuple(point.dist.requires or ()) if point.dist else (),
        )
        for _, point in sorted(seen.items())
    ]


def _ask(name: str, module: Any) -> dict[str, dict[str, Any]]:
    """Register a plugin module with pluggy, call each of its hooks and return what it offers, checked."""
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{error}; the hooks are {listed(hook for hook, _ in KINDS.values())}") from error
    return {
        kind: _checked(name, kind, expected, (impl.function for impl in getattr(manager.hook, hook).get_hookimpls()))
        for kind, (hook, expected) in KINDS.items()
    }


def _checked(name: str, kind: str, expected: type[Any], hooks: Iterable[Callable[[], Any]]) -> dict[str, Any]:
    offers: dict[str, Any] = {}
    for hook in hooks:
        for spec in hook() or ():
            if not isinstance(spec, expected):
                raise PluginError(f"rlhub_{kind}s gave a {type(spec).__name__}, not {expected.__name__}: {spec!r}")
            full = spec.id if isinstance(spec, EnvSpec) else spec.name
            if not full.startswith(f"{name}/"):
                raise PluginError(f"it offers {full!r}, outside its namespace; call it '{name}/{full.split('/')[-1]}'")
            if kind == "algorithm" and not all(
                isinstance(x, tuple) for x in (spec.action_spaces, spec.observation_spaces)
            ):
                raise PluginError(f"{full!r} must state its spaces as tuples of names, such as ('Discrete',)")
            if full in offers:
                raise PluginError(f"it offers {full!r} twice")
            offers[full] = spec
    return offers


def _check_core_version(plugin: Plugin) -> None:
    wanted = [text for text in plugin.requires if re.match(r"rlhub[-_.]core\b(?![-_.]\w)", text, re.IGNORECASE)]
    if not wanted or plugin.distribution == "rlhub-core":
        return
    from importlib.metadata import version

    from packaging.requirements import Requirement

    have = version("rlhub-core")
    for text in wanted:
        if not Requirement(text).specifier.contains(have, prereleases=True):
            raise PluginError(f"it needs {text}; rlhub-core {have} is installed. Try: pip install --upgrade rlhub-core")


def _one_line(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"ModuleNotFoundError: {error.name}"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _not_loaded(plugin: Plugin, cause: str) -> str:
    cure = f"Try: pip install {plugin.distribution or f'rlhub-{plugin.name}'}."
    return f"Plugin {plugin.name!r} is installed but could not be loaded: {cause.rstrip('.')}. {cure}"
