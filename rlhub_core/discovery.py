"""What is installed, read from each distribution by itself, so that metadata that cannot be read stops no other.

`importlib.metadata.entry_points()` reads all of them or, where a single file is malformed, none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

from rlhub_core import hookspecs
from rlhub_core.errors import PluginError


@dataclass
class Plugin:
    """One installed plugin: where it comes from, and what became of it."""

    name: str  # the namespace of everything it offers
    load: Callable[[], Any] = field(repr=False)
    distribution: str = ""  # "rlhub-deep"
    version: str = ""
    requires: tuple[str, ...] = ()  # requirements of its distribution
    shadowed: tuple[str, ...] = ()  # further copies of it, which Python does not import: "1.0 in /a/path"
    error: str = ""  # one line; empty while nothing is wrong
    traceback: str = field(default="", repr=False)
    seconds: float = 0.0  # that it took to be imported and asked
    printed: str = field(default="", repr=False)  # what it wrote to the standard output meanwhile
    offers: dict[str, dict[str, Any]] | None = field(default=None, repr=False)  # kind -> name -> spec, once loaded

    @property
    def status(self) -> str:
        """One of "broken", "loaded" and "not loaded"."""
        return "broken" if self.error else "not loaded" if self.offers is None else "loaded"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip() or self.name


def discover(disabled: Collection[str] = ()) -> list[Plugin]:
    """Return the plugins of all distributions, in an order that no installation changes; nothing is imported.

    Of a distribution that is on the import path twice, the first copy counts, as it does for Python's imports.

    Args:
        disabled: names that are left out.
    """
    copies: dict[str, list[Distribution]] = {}
    for distribution in distributions():
        copies.setdefault(_normal(_identity(distribution)[0]), []).append(distribution)
    found = [plugin for same in copies.values() for plugin in _plugins(same) if plugin.name not in disabled]
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution, plugin.version))


def _plugins(copies: list[Distribution]) -> Iterator[Plugin]:
    """Yield the plugins of a distribution; what cannot be read of it is their error."""
    first, *others = copies
    name, version = _identity(first)
    try:
        if f"[{hookspecs.GROUP}]" not in (first.read_text("entry_points.txt") or ""):
            return
        points = list(dict.fromkeys(first.entry_points.select(group=hookspecs.GROUP)))
    except Exception as error:
        if _mentions_us(first):
            yield _unreadable(name, name, version, error)
        return
    shadowed = tuple(f"{_identity(other)[1]} in {_place(other)}" for other in others if _place(other) != _place(first))
    for point in points:
        try:
            metadata = first.metadata
            if not metadata["Name"] or not metadata["Version"]:
                raise LookupError("METADATA with a name and a version")
            name, version = metadata["Name"], metadata["Version"]
            requires = tuple(first.requires or ())
        except Exception as error:
            yield _unreadable(point.name, name, version, error)
            continue
        yield Plugin(point.name, partial(_import, point), name, version, requires, shadowed)


def _unreadable(plugin: str, name: str, version: str, error: Exception) -> Plugin:
    problem = PluginError(
        f"the metadata of {name} {version} cannot be read ({type(error).__name__}); install it again: "
        f"pip install --force-reinstall {_normal(name)}"
    )
    problem.__cause__ = error

    def load() -> Any:
        raise problem

    return Plugin(plugin, load, name, version)


def _import(point: EntryPoint) -> Any:
    if EntryPoint.pattern.fullmatch(point.value) is None:
        raise PluginError(f"its entry point {point.value!r} is no 'module' or 'module:attribute'")
    return point.load()


def _mentions_us(distribution: Distribution) -> bool:
    """Return whether a file of entry points that cannot be parsed is about a plugin of ours."""
    try:
        raw = (_place(distribution) / "entry_points.txt").read_bytes()
    except OSError:
        return False
    return f"[{hookspecs.GROUP}]".encode() in raw


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Return name and version as the metadata's folder is called, which can always be read."""
    name, _, version = _place(distribution).name.rpartition(".")[0].partition("-")
    return name.replace("_", "-"), version


def _place(distribution: Distribution) -> Path:
    path = getattr(distribution, "_path", None)  # importlib.metadata has no public name for it
    return Path(str(path)) if path is not None else Path(sys.prefix) / "unknown-0.dist-info"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
