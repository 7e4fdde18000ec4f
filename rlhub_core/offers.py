"""Asks a plugin's module what it offers, and checks every answer: a plugin may say whatever it likes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import pluggy
from gymnasium.envs.registration import EnvSpec

from rlhub_core import hookspecs
from rlhub_core.errors import PluginError, did_you_mean, listed
from rlhub_core.specs import AdapterSpec, AlgorithmSpec, CallbackSpec, CommandSpec, WrapperSpec

KINDS: dict[str, tuple[str, type[Any]]] = {  # kind -> hook, what it yields
    "environment": ("rlhub_environments", EnvSpec),
    "algorithm": ("rlhub_algorithms", AlgorithmSpec),
    "callback": ("rlhub_callbacks", CallbackSpec),
    "wrapper": ("rlhub_wrappers", WrapperSpec),
    "adapter": ("rlhub_adapters", AdapterSpec),
    "command": ("rlhub_commands", CommandSpec),
}
HOOKS = dict(KINDS.values())
MOST = 100_000  # offers of a kind: a hook that never ends must not hang whoever lists
TARGET = re.compile(r"[\w.]+:[\w.]+")


def ask(name: str, module: Any) -> dict[str, dict[str, Any]]:
    """Register a plugin module with pluggy, call each of its hooks and return kind -> name -> spec, checked.

    Raises:
        PluginError: for hooks that do not exist or are not marked, and for answers that cannot be used; whatever the
            plugin itself raises is passed on.
    """
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = re.search(r"unknown hook '(\w+)'", str(error))
        hint = did_you_mean(unknown[1], HOOKS) if unknown else ""
        raise PluginError(f"{error}.{hint} The hooks are {listed(HOOKS)}") from error
    marked = {caller.name for caller in manager.get_hookcallers(module) or ()}
    forgotten = [hook for hook in HOOKS if hook not in marked and callable(getattr(module, hook, None))]
    if forgotten:
        raise PluginError(f"{forgotten[0]} is not marked; write @rlhub_core.hookimpl above it")
    if not marked:
        raise PluginError(f"its entry point names {_told(module)}, which implements no hook of {listed(HOOKS)}")
    return {
        kind: _checked(name, kind, (impl.function for impl in getattr(manager.hook, hook).get_hookimpls()))
        for kind, (hook, _) in KINDS.items()
    }


def target_fault(kind: str, target: Any) -> str:
    """Return why what a name leads to cannot be what it is said to be, or nothing."""
    if not callable(target):
        return f"names {_told(target)}, which cannot be called"
    if kind != "algorithm":
        return ""
    if not isinstance(target, type):
        return f"names {_told(target)}, which is no class of algorithms"
    lacking = [part for part in ("Config", "train", "actor", "save", "load") if not hasattr(target, part)]
    return f"names {target.__qualname__}, which is no algorithm: it lacks {listed(lacking)}" if lacking else ""


def _checked(name: str, kind: str, hooks: Iterable[Callable[[], Any]]) -> dict[str, Any]:
    hook, expected = KINDS[kind]
    offers: dict[str, Any] = {}
    for function in hooks:
        given = function()
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise PluginError(f"{hook} gave {_told(given)}, not {expected.__name__}s one after another")
        for spec in islice(given, MOST + 1):
            full = _full_name(name, hook, expected, spec)
            if full in offers:
                raise PluginError(f"it offers {full!r} twice")
            offers[full] = spec
        if len(offers) > MOST:
            raise PluginError(f"{hook} gives more than {MOST:,} offers, perhaps without end")
    return offers


def _full_name(name: str, hook: str, expected: type[Any], spec: Any) -> str:
    """Return what an offer is called, once it is one."""
    if not isinstance(spec, expected):
        raise PluginError(f"{hook} gave a {type(spec).__name__}, not {expected.__name__}: {_shown(spec)}")
    full = spec.id if isinstance(spec, EnvSpec) else spec.name
    if not isinstance(full, str):
        raise PluginError(f"{hook} gave a name that is no text: {_shown(full)}")
    if not full.startswith(f"{name}/"):
        raise PluginError(f"it offers {full!r}, outside its namespace; call it '{name}/{full.split('/')[-1]}'")
    if not re.fullmatch(r"[^\s:=,]+", full[len(name) + 1 :]):
        raise PluginError(f"it offers {full!r}; a name is not empty and has no spaces, colons, commas or equals signs")
    fault = _fault(spec)
    if fault:
        raise PluginError(f"{full!r} {fault}")
    return full


def _fault(spec: Any) -> str:
    """Return what is wrong with the fields of an offer, or nothing."""
    targets = [spec.entry_point]
    if isinstance(spec, EnvSpec):
        targets = [each for each in (spec.entry_point, spec.vector_entry_point) if each is not None]
        targets = [each for each in targets if not callable(each)]
    elif not isinstance(spec.description, str):
        return f"must have a text as description, not {_shown(spec.description)}"
    for target in targets:
        if not isinstance(target, str) or not TARGET.fullmatch(target):
            return f"must have an entry point 'module:attribute', not {_shown(target)}"
    if isinstance(spec, AlgorithmSpec):
        spaces = (spec.action_spaces, spec.observation_spaces)
        if not all(isinstance(names, tuple) and all(isinstance(each, str) for each in names) for names in spaces):
            return "must state its spaces as tuples of names, such as ('Discrete',)"
        if not (spec.presets is None or (isinstance(spec.presets, str) and ":" in spec.presets)):
            return f"must name its presets as 'package:file.toml', not {_shown(spec.presets)}"
    if isinstance(spec, AdapterSpec):
        matches: Any = spec.matches
        if not callable(matches):
            return f"must have a function as matches, not {_shown(matches)}"
        if spec.makes not in ("environment", "callback"):
            return f"makes {_shown(spec.makes)}; an adapter makes 'environment' or 'callback'"
    return ""


def _told(thing: Any) -> str:
    return "None" if thing is None else f"a {type(thing).__name__} ({_shown(thing)})"


def _shown(thing: Any) -> str:
    """Return a thing as one short line, also one that objects to being shown."""
    try:
        text = " ".join(repr(thing).split())
    except Exception:
        return f"a {type(thing).__name__} that cannot be shown"
    return text if len(text) <= 80 else f"{text[:79]}…"
