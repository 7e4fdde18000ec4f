"""From names to the live parts of a run, and back to what a recipe can hold."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from rlhub_core import config
from rlhub_core.callbacks import Checkpoint
from rlhub_core.envs import EnvironmentSource
from rlhub_core.errors import ConfigError, RunError, SpaceError, listed, squeezed
from rlhub_core.experiment import Experiment
from rlhub_core.hub import Hub
from rlhub_core.protocol import Algorithm, Callback
from rlhub_core.specs import AlgorithmSpec


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


# from names to parts and back


def find_parts(experiment: Experiment, hub: Hub, live: Mapping[str, Any]) -> Parts:
    """Return the parts that a recipe names, live objects in the places where it only mentions one.

    Args:
        experiment: the recipe.
        hub: where names are looked up.
        live: "algorithm", "env", "callbacks", "wrappers", "config": what was passed again, None where nothing was.

    Raises:
        RunError: where a live object was not passed again.
    """
    missing = [part for argument, part in experiment.mentions() if live.get(argument) is None]
    if missing:
        raise RunError(f"The recipe only mentions these live objects; pass them again: {listed(missing)}.")
    algorithm, env = live.get("algorithm"), live.get("env")
    wrappers = _filled(experiment.wrappers, live.get("wrappers"))
    callbacks = _filled(experiment.callbacks, live.get("callbacks"))
    return Parts(
        EnvironmentSource.of(
            experiment.environment if env is None else env, experiment.environment_options, wrappers, hub
        ),
        find_algorithm(hub, experiment.algorithm if algorithm is None else algorithm)[1],
        make_callbacks(hub, callbacks)[0],
        hub,
    )


def _filled(written: Sequence[str], given: Sequence[Any] | None) -> list[Any]:
    """Return what a recipe wrote, the objects among `given` in the places where it only mentions one."""
    objects = [thing for thing in given or () if not isinstance(thing, str)]
    return [objects.pop(0) if config.is_mention(text) and objects else text for text in written]


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
    made: list[Callback] = []
    written: list[str] = []
    for callback in given:
        if isinstance(callback, str):
            name, arguments = config.split_name(callback)
            spec = hub.find("callback", name)
            target = hub.load("callback", spec.name)
            made.append(target(**config.bind(target, arguments, spec.name)))
            written.append(config.join_name(spec.name, arguments))
        elif isinstance(callback, Callback):
            made.append(callback)
            written.append(_as_written(hub, callback))
        else:
            raise ConfigError(f"{callback!r} is no callback: pass a name or an rlhub_core.Callback object.")
    return tuple(made), tuple(written)


def _as_written(hub: Hub, callback: Callback) -> str:
    """Return the name and arguments of a callback object whose class is on offer, else a mere mention."""
    target = f"{type(callback).__module__}:{type(callback).__qualname__}"
    for name, spec in hub.offers("callback").items():
        if spec.entry_point == target and dataclasses.is_dataclass(type(callback)):
            arguments = {
                field.name: getattr(callback, field.name)
                for field in dataclasses.fields(callback)  # type: ignore[arg-type]
                if field.init and getattr(callback, field.name) != field.default
            }
            return config.join_name(name, arguments)
    return config.mention(callback)


def names_checkpoint(callback: Any) -> bool:
    """Return whether a callback, by name or as an object, is `core/checkpoint`."""
    return isinstance(callback, Checkpoint) or (
        isinstance(callback, str) and config.split_name(callback)[0] == "core/checkpoint"
    )


def as_mapping(given: Any) -> dict[str, Any]:
    """Return hyper-parameters given as a mapping, as a `Config`, or not at all, as a dict."""
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    return dict(given or {})


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
        raise SpaceError(
            f"{algorithm} needs {misfit}; {environment} has {has}. Algorithms that fit: {listed(fitting)}."
        )


def algorithm_spec(hub: Hub, name: str) -> AlgorithmSpec | None:
    """Return the spec of a named algorithm; None for a live object."""
    return None if name.startswith("object:") else hub.find("algorithm", name)
