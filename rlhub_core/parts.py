"""From names to the live parts of a run, and back to what a recipe can hold."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

from rlhub_core import config
from rlhub_core.envs import EnvironmentSource, adapters_of, matches
from rlhub_core.errors import ConfigError, RunError, SpaceError, TrustError, listed, squeezed
from rlhub_core.experiment import Experiment
from rlhub_core.hub import Hub
from rlhub_core.protocol import Algorithm, Callback
from rlhub_core.specs import AlgorithmSpec, load_target


@dataclass(frozen=True)
class Parts:
    """The live objects that a recipe names, or that were passed instead of names."""

    environment: EnvironmentSource
    algorithm: Any  # the class, or an algorithm made by the user
    callbacks: tuple[Callback, ...]
    hub: Hub

    @property
    def makes_algorithm(self) -> bool:
        """Whether the algorithm is yet to be made, from a class."""
        return isinstance(self.algorithm, type)


def find_parts(experiment: Experiment, hub: Hub, live: Mapping[str, Any], *, trust: bool = False) -> Parts:
    """Return the parts that a recipe names, live objects in the places where it only mentions one.

    Args:
        experiment: the recipe.
        hub: where names are looked up.
        live: "algorithm", "env", "callbacks", "wrappers", "config": what was passed again, None where nothing was.
        trust: whether the module of an environment `module:Env-v0` may be imported.

    Raises:
        RunError: where a live object was not passed again.
    """
    missing = [part for argument, part in experiment.mentions() if live.get(argument) is None]
    if missing:
        raise RunError(f"The recipe only mentions these live objects; pass them again: {listed(missing)}.")
    algorithm, env = live.get("algorithm"), live.get("env")
    options = {name: value for name, value in experiment.environment_options.items() if not config.mentions(value)}
    wrappers = _filled(experiment.wrappers, live.get("wrappers") or (), config.mention)
    callbacks = _filled(experiment.callbacks, live.get("callbacks") or (), partial(_as_written, hub))
    origin = experiment.environment if env is None else env
    source = EnvironmentSource.of(origin, options, wrappers, hub, from_recipe=env is None, trust=trust)
    return Parts(
        source,
        find_algorithm(hub, experiment.algorithm if algorithm is None else algorithm)[1],
        make_callbacks(hub, callbacks)[0],
        hub,
    )


def _filled(written: Sequence[str], given: Sequence[Any], write: Callable[[Any], str]) -> list[Any]:
    """Return what a recipe wrote, each of the objects given again in the place where the recipe writes it.

    Raises:
        RunError: for an object that the recipe has no place for, or a place that was not filled.
    """
    filled: list[Any] = list(written)
    for thing in given:
        text = thing if isinstance(thing, str) else write(thing)
        if text not in filled:  # what a script wrote as __main__.One is module.One where it is imported
            alike = (other for other in filled if config.is_mention(other) and _last(other) == _last(text))
            text = next(alike, text) if config.is_mention(text) else text
        if text not in filled:
            raise RunError(f"The recipe has no {text}. A resumed run goes on with what it has: {listed(written)}.")
        if not isinstance(thing, str):
            filled[filled.index(text)] = thing
    missing = [thing for thing in filled if config.is_mention(thing)]
    if missing:
        raise RunError(f"The recipe only mentions these live objects; pass them again: {listed(missing)}.")
    return filled


def _last(mention: str) -> str:
    return mention.rpartition(".")[2]


def with_live_values(experiment: Experiment, given: Mapping[str, Any] | None) -> Experiment:
    """Return a recipe with the live hyper-parameters that it could only mention or name.

    Raises:
        ConfigError: for any other hyper-parameter: a resumed run goes on with those of its recipe.
    """
    for name in given or ():
        value = experiment.hyper_parameters.get(name)
        if not (config.mentions(value) or (isinstance(value, str) and ":" in value)):
            raise ConfigError(f"config: {name} is {value!r} in the recipe, and a run goes on with its recipe.")
    return replace(experiment, hyper_parameters={**experiment.hyper_parameters, **(given or {})})


def with_named_code(experiment: Experiment, algorithm: Any, *, trust: bool) -> Experiment:
    """Return a recipe with the functions and classes in place that its hyper-parameters name as "module:attribute".

    Args:
        experiment: the recipe, with what was passed again.
        algorithm: the class, which says what may be named.
        trust: whether they may be imported. An installed module is no safer than another: `os:system` is a function.

    Raises:
        TrustError: where they may not.
        ConfigError: where they cannot.
    """
    if not isinstance(algorithm, type):
        return experiment
    known = config.parameters(algorithm.Config)  # type: ignore[attr-defined]
    given = {name: value for name, value in experiment.hyper_parameters.items() if name in known}
    named = {name: value for name, value in given.items() if known[name].live and _names_code(value)}
    if named and not trust:
        told = listed(f"{name}={value!r}" for name, value in named.items())
        raise TrustError(
            f"The recipe names code, {told}: it is not imported, because it could do anything. Allow it with --trust "
            "(in Python trust=True) if you trust whoever made the recipe; or pass it again: config={…}."
        )
    if trust:
        named |= {name: value for name, value in given.items() if known[name].imports}
    named = {name: _loaded(name, value) for name, value in named.items()}
    return replace(experiment, hyper_parameters={**experiment.hyper_parameters, **named})


def _names_code(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.]+:[\w.]+", value) is not None


def _loaded(name: str, value: Any) -> Any:
    """Return a value with each "module:attribute" in it imported, however deep."""
    if isinstance(value, Mapping):
        return {key: _loaded(name, child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_loaded(name, child) for child in value]
    if not _names_code(value):
        return value
    try:
        return load_target(value)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{name}: {value!r} cannot be imported: {error}. Is its folder installed, or on PYTHONPATH?"
        ) from error


def find_algorithm(hub: Hub, algorithm: Any) -> tuple[str, Any, AlgorithmSpec | None]:
    """Return the name a recipe writes, the class (or the user's object), and the spec where it is on offer.

    Raises:
        ConfigError: for something that is no algorithm; NotFoundError, PluginError as `Hub.load`.
    """
    if isinstance(algorithm, str):
        spec = hub.find("algorithm", algorithm)
        return spec.name, hub.load("algorithm", spec.name), spec
    if isinstance(algorithm, type) and not hasattr(algorithm, "Config"):
        raise ConfigError(f"{algorithm.__qualname__} is no algorithm: it has no Config, a frozen dataclass.")
    if not isinstance(algorithm, type) and not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"{algorithm!r} is no algorithm: pass a name, a class with Config, train, actor, save and load, "
            "or an object of one."
        )
    return config.mention(algorithm), algorithm, None


def make_callbacks(hub: Hub, given: Sequence[Any]) -> tuple[tuple[Callback, ...], tuple[str, ...]]:
    """Return callbacks as objects, and as the recipe writes them."""
    if isinstance(given, str):
        raise ConfigError(f"callbacks must be a list, such as [{given!r}].")
    made: list[Callback] = []
    written: list[str] = []
    for callback in given:
        if isinstance(callback, str):
            name, arguments = config.split_name(callback)
            spec = hub.find("callback", name)
            target = hub.load("callback", spec.name)
            made.append(target(**config.bind(target, arguments, spec.name)))
            written.append(config.join_name(spec.name, arguments))
        else:
            made.append(callback if isinstance(callback, Callback) else _adapted(hub, callback))
            written.append(_as_written(hub, callback))
    return tuple(made), tuple(written)


def _adapted(hub: Hub, thing: Any) -> Callback:
    """Return a callback for a foreign one that an installed adapter recognises."""
    if isinstance(thing, type):
        hint = f"make one: {thing.__name__}(…)" if issubclass(thing, Callback) else "pass an object of a callback class"
        raise ConfigError(f"{thing!r} is no callback: {hint}.")
    matching = [name for name, spec in adapters_of(hub, "callback").items() if matches(spec, thing)]
    if len(matching) == 1:
        adapted: Callback = hub.load("adapter", matching[0])(thing)
        return adapted
    if matching:
        raise ConfigError(f"{thing!r} is recognised by {' and '.join(matching)}. Adapt it with one of them.")
    raise ConfigError(f"{thing!r} is no callback: pass a name or an rlhub_core.Callback object.")


def _as_written(hub: Hub, callback: Any) -> str:
    """Return the name and arguments of a callback object whose class is on offer, else a mere mention."""
    target = f"{type(callback).__module__}:{type(callback).__qualname__}"
    for name, spec in hub.offers("callback").items():
        if spec.entry_point == target and dataclasses.is_dataclass(type(callback)):
            arguments = {
                field.name: getattr(callback, field.name)
                for field in dataclasses.fields(callback)
                if field.init and getattr(callback, field.name) != field.default
            }
            return config.join_name(name, arguments)
    return config.mention(callback)


def as_mapping(given: Any) -> dict[str, Any]:
    """Return hyper-parameters given as a mapping, as a `Config`, or not at all, as a dict."""
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    if isinstance(given, str):
        raise ConfigError(f"config holds hyper-parameters, by name; a preset is chosen by preset={given!r}.")
    return dict(given or {})


def imported(algorithm: Any, given: Any) -> dict[str, Any]:
    """Return hyper-parameters as a user gave them, "module:attribute" imported where a function or class is wanted.

    Only for what a user says: for those in a recipe there is `with_named_code`.

    Raises:
        ConfigError: for a module or attribute that is not there.
    """
    known = config.parameters(algorithm.Config) if hasattr(algorithm, "Config") else {}
    values = as_mapping(given)
    for name, value in values.items():
        if name in known and known[name].live and _names_code(value):
            values[name] = _loaded(name, value)
    return values


def presets(spec: AlgorithmSpec | None) -> dict[str, Any]:
    """Return the presets an algorithm ships: name -> environment -> settings."""
    if spec is None or spec.presets is None:
        return {}
    package, _, file = spec.presets.partition(":")
    return tomllib.loads(files(package).joinpath(file).read_text())


def check_fit(hub: Hub, algorithm: str, observation_space: Any, action_space: Any, environment: str) -> None:
    """Raise SpaceError where an algorithm does not accept the spaces, naming those that do."""
    spec = algorithm_spec(hub, algorithm)
    misfit = spec and spec.misfit(observation_space, action_space)
    if misfit:
        space = observation_space if misfit.endswith("observation space") else action_space
        has = squeezed(space)
        fitting = [
            name for name, other in hub.offers("algorithm").items() if not other.misfit(observation_space, action_space)
        ]
        advice = f" {spec.advice}" if spec and spec.advice and misfit.endswith("observation space") else ""
        raise SpaceError(
            f"{algorithm} needs {misfit}; {environment} has {has}.{advice} Algorithms that fit: {listed(fitting)}."
        )


def algorithm_spec(hub: Hub, name: str) -> AlgorithmSpec | None:
    """Return the spec of a named algorithm; None for a live object."""
    return None if config.is_mention(name) else hub.find("algorithm", name)
