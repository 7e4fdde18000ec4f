"""Environments: a name, a class, a factory or an object -> `gymnasium.Env` or `VectorEnv`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import packages_distributions, version
from time import perf_counter
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv

from rlhub_core import config, faults, threads
from rlhub_core.errors import (
    ConfigError,
    EnvironmentContractError,
    EnvironmentFault,
    NotFoundError,
    PluginError,
    TrustError,
    did_you_mean,
    listed,
)
from rlhub_core.hub import Hub, default_hub
from rlhub_core.side_by_side import SideBySide
from rlhub_core.specs import AdapterSpec
from rlhub_core.workers import Workers

Env = gymnasium.Env[Any, Any]
Vec = VectorEnv[Any, Any, Any]
Wrapper = str | Callable[[Env], Env]
SLOW = 1.0  # seconds that an adapter may look at an object before it is warned of

# Ids that are in Gymnasium's registry only since making a plugin's environment has imported what registers them: what
# a bare id means is not to depend on what was made before.
_registered_by_the_way: set[str] = set()


@dataclass(frozen=True)
class EnvironmentSource:
    """All that is needed to make an environment, once or many times.

    Args:
        origin: a name ("CartPole-v1", "atari/Pong-v0", "name:key=value"), a class, a factory, or an environment.
        options: keyword arguments for it.
        wrappers: names (with arguments) or callables, innermost first.
    """

    origin: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    wrappers: Sequence[Wrapper] = ()
    hub: Hub = field(default_factory=default_hub, repr=False)
    from_recipe: bool = False  # then no module is imported for it
    trust: bool = False  # unless its user allowed it

    @classmethod
    def of(
        cls,
        origin: Any,
        options: Mapping[str, Any] | None = None,
        wrappers: Sequence[Wrapper] = (),
        hub: Hub | None = None,
        *,
        from_recipe: bool = False,
        trust: bool = False,
    ) -> EnvironmentSource:
        """Return the source of an origin, with arguments in its name made into options.

        A bare id that Gymnasium does not know is that of the one plugin that offers it: "Pendulum-v0" becomes
        "legacy/Pendulum-v0". A recipe's names stay what they are, and import no module unless `trust` allows it.

        Raises:
            NotFoundError: for a bare id that Gymnasium does not know and several plugins offer.
        """
        if isinstance(origin, EnvironmentSource):
            return origin
        if isinstance(wrappers, str):
            raise ConfigError(f"wrappers must be a list, such as [{wrappers!r}].")
        options, hub = dict(options or {}), hub or default_hub()
        if isinstance(origin, str):
            origin, given = config.split_name(origin)
            options = given | options
            origin = origin if from_recipe else _in_full(origin, hub)
        return cls(origin, options, tuple(wrappers), hub, from_recipe, trust)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"hub": None if self.hub is default_hub() else self.hub}

    def __setstate__(self, state: dict[str, Any]) -> None:  # in another process, which has the same installed
        vars(self).update(state | {"hub": state["hub"] or default_hub()})

    @property
    def name(self) -> str:
        """What a reader calls it: its id where it has one."""
        if isinstance(self.origin, str):
            return self.origin
        spec = None if isinstance(self.origin, type) else getattr(self.origin, "spec", None)
        if spec is not None:
            return str(spec.id)
        return getattr(self.origin, "__name__", type(self.origin).__name__)

    @property
    def is_instance(self) -> bool:
        """Whether it is one live environment, which cannot be made twice."""
        return not isinstance(self.origin, str) and not callable(self.origin)

    @property
    def offered_by(self) -> str:
        """The distribution that it comes from, with its version; "" where it is nobody's."""
        plugin = self.hub.provider(self.origin) if isinstance(self.origin, str) else None
        if plugin is not None:
            return f"{plugin.distribution or plugin.name} {plugin.version}".rstrip()
        origin: Any = self.origin
        if isinstance(origin, str):
            origin = getattr(gymnasium.registry.get(origin.rpartition(":")[2]), "entry_point", None)
        module = origin if isinstance(origin, str) else getattr(origin, "__module__", None) or ""
        distributions = packages_distributions().get(module.partition(":")[0].partition(".")[0], ())
        return f"{distributions[0]} {version(distributions[0])}" if distributions else ""

    def make(self, render_mode: str | None = None) -> Env:
        """Return one new environment (the object itself where it is one).

        Raises:
            NotFoundError: for an unknown id.
            ConfigError: for an option that the environment does not take.
            EnvironmentContractError: for something that is no environment and that no adapter recognises.
        """
        options = self._options(render_mode)
        if isinstance(self.origin, str):
            made = self._checked(lambda: gymnasium.make(self._spec("entry_point"), **options), options)
        elif self.is_instance:
            made = self.origin
        else:
            factory = self.origin
            made = self._checked(lambda: factory(**options), options)
        env = adapt(made, hub=self.hub)
        for wrapper in self.wrappers:
            env = self._wrapped(env, wrapper)
        return env

    def make_vec(self, num_envs: int, vectorization_mode: str | None = None, render_mode: str | None = None) -> Vec:
        """Return `num_envs` environments as one `VectorEnv` whose `reset` honours a `reset_mask`.

        Args:
            num_envs: how many.
            vectorization_mode: "sync", "async" or "vector_entry_point"; the default is a plugin environment's own
                vector implementation where it has one, else "sync". "async:timeout=10" has arguments of `Workers`.
            render_mode: of each environment.

        Raises:
            ConfigError: for a `num_envs` that is no positive integer, or an unknown mode; otherwise as `make`.
            EnvironmentFault: for an environment that cannot be made in a process of its own.
        """
        vec = self._vectorized(num_envs, vectorization_mode, render_mode)
        if vec is not self.origin:
            faults.introduce(vec, self)
        return vec

    def _vectorized(self, num_envs: int, vectorization_mode: str | None, render_mode: str | None) -> Vec:
        check_positive("num_envs", num_envs)
        if isinstance(self.origin, VectorEnv):
            if self.origin.num_envs != num_envs:
                raise ConfigError(f"The vector environment has {self.origin.num_envs} environments, not {num_envs}.")
            if self.wrappers:
                raise ConfigError("Wrappers are for single environments; wrap what the vector environment is made of.")
            return self.origin
        if self.is_instance and num_envs > 1:
            raise ConfigError(
                f"One environment object cannot be {num_envs} environments. Pass its class or a factory, such as "
                f"lambda: {type(self.origin).__name__}(...)."
            )
        if vectorization_mode is None:
            native = isinstance(self.origin, str) and self._offered() and self._spec().vector_entry_point is not None
            vectorization_mode = "vector_entry_point" if native and not self.wrappers else "sync"
        if vectorization_mode == "vector_entry_point":
            options = self._options(render_mode)
            vec: Vec = self._checked(
                lambda: gymnasium.make_vec(self._spec("vector_entry_point"), num_envs, "vector_entry_point", **options),
                options,
            )
            return vec
        makers = [lambda: self.make(render_mode)] * num_envs
        if vectorization_mode == "sync":
            return SideBySide(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
        mode, settings = config.split_name(vectorization_mode)
        if mode != "async":
            raise ConfigError(
                f"There is no vectorization mode {vectorization_mode!r}. There are: async, sync, vector_entry_point."
            )
        bound = config.bind(Workers, settings, "async", skip=1)
        try:
            return Workers([threads.alone(make) for make in makers], **bound)
        except EnvironmentFault as fault:
            fault.locate(self.name, self.offered_by, "construction", num_envs)
            raise

    def _options(self, render_mode: str | None) -> dict[str, Any]:
        """Return the keyword arguments; Gymnasium's limit of None is that of the specification, as if not given."""
        options = dict(self.options) | ({"render_mode": render_mode} if render_mode else {})
        if isinstance(self.origin, str) and options.get("max_episode_steps", 0) is None:
            del options["max_episode_steps"]
        return options

    def _offered(self) -> bool:
        plugin = self.hub.provider(self.origin)
        return plugin is not None

    def _spec(self, needed: str = "") -> EnvSpec:
        """Return the specification; of a plugin's environment, what is `needed` of it is imported, or PluginError."""
        if self._offered():
            spec: EnvSpec = self.hub.find("environment", self.origin)
            if needed:
                self.hub.target("environment", spec, needed)
            return spec
        module, _, name = self.origin.rpartition(":")
        try:
            if module:  # Gymnasium's way to name what registers an environment
                self._import(module)
            return gymnasium.spec(name)
        except ModuleNotFoundError as error:
            raise NotFoundError(f"Environment {self.origin!r} needs the module {error.name!r}. Install it.") from error
        except gymnasium.error.Error as error:
            raise NotFoundError(self._unknown(error)) from error

    def _import(self, module: str) -> None:
        if self.from_recipe and not self.trust and module not in sys.modules:  # nothing runs in one that is imported
            raise TrustError(
                f"The recipe names the environment {self.origin!r}: that imports the module {module!r}, and importing "
                "runs code. Allow it with --trust (in Python trust=True) if you trust whoever made the recipe; or pass "
                f"env={self.origin!r} again."
            )
        import_module(module)

    def _unknown(self, error: Exception) -> str:
        known = [*self.hub.offers("environment"), *gymnasium.registry]
        hint = did_you_mean(self.origin, known, most=3)
        namespace, slash, _ = self.origin.partition("/")
        cure = f" If a package offers it: pip install rlhub-{namespace}." if slash and not hint else ""
        if isinstance(error, gymnasium.error.DeprecatedEnv):
            return f"{error}{hint}"
        return f"No environment is called {self.origin!r}.{hint}{cure} See `rlhub list environments`."

    def _checked(self, make: Callable[[], Any], options: Mapping[str, Any]) -> Any:
        before = set(gymnasium.registry)
        try:
            return make()
        except (TypeError, ValueError, KeyError, AssertionError) as error:
            if not options:  # then it is no option that is at fault
                raise
            given = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise ConfigError(f"{self.name} cannot be made with {given}: {error}") from error
        except gymnasium.error.DependencyNotInstalled as error:
            raise PluginError(f"{self.name} cannot be made: {error}") from error
        finally:
            if isinstance(self.origin, str) and self._offered():
                _registered_by_the_way.update(gymnasium.registry.keys() - before)

    def _wrapped(self, env: Env, wrapper: Wrapper) -> Env:
        if callable(wrapper):
            wrapped: Any = wrapper(env)
            if not isinstance(wrapped, gymnasium.Env):
                name = getattr(wrapper, "__qualname__", repr(wrapper))
                raise EnvironmentContractError(f"The wrapper {name} returned {wrapped!r}, which is no gymnasium.Env.")
            return wrapped
        name, arguments = config.split_name(wrapper)
        target = self.hub.load("wrapper", name)
        bound = config.bind(target, arguments, name, skip=1)
        try:
            made: Env = target(env, **bound)
        except Exception as error:
            raise ConfigError(f"{name} cannot wrap {self.name}: {error}") from error
        return made


def make(origin: Any, *, wrappers: Sequence[Wrapper] = (), hub: Hub | None = None, **options: Any) -> Env:
    """Return a new environment from a name, a class, a factory, or a foreign object.

    Args:
        origin: "atari/Breakout-v0", any Gymnasium id, a class, a factory, an environment, or something to adapt.
        wrappers: names or callables, innermost first.
        hub: where names are looked up (default: everything installed).
        options: keyword arguments of the environment, `render_mode` among them.

    Raises:
        NotFoundError, ConfigError, PluginError, EnvironmentContractError: each says what to do.
    """
    render_mode = options.pop("render_mode", None)
    return EnvironmentSource.of(origin, options, wrappers, hub).make(render_mode)


def make_vec(
    origin: Any,
    num_envs: int = 1,
    *,
    vectorization_mode: str | None = None,
    wrappers: Sequence[Wrapper] = (),
    hub: Hub | None = None,
    **options: Any,
) -> Vec:
    """Return `num_envs` environments as one vector environment; arguments and errors as for `make`.

    Args:
        origin: as for `make`.
        num_envs: how many.
        vectorization_mode: "sync", "async" or "vector_entry_point"; by default a plugin's native vector implementation
            where it offers one, else "sync".
        wrappers: names or callables, innermost first; they need "sync" or "async".
        hub: where names are looked up.
        options: keyword arguments of the environment.
    """
    render_mode = options.pop("render_mode", None)
    return EnvironmentSource.of(origin, options, wrappers, hub).make_vec(num_envs, vectorization_mode, render_mode)


def adapt(thing: Any, *, by: str | None = None, hub: Hub | None = None, **options: Any) -> Env:
    """Return a `gymnasium.Env` for a foreign environment object; a Gymnasium environment is returned untouched.

    Args:
        thing: the object.
        by: the name of an adapter; by default the one that recognises the object.
        hub: where adapters are looked up (default: everything installed).
        options: for the adapter, which it says what they are (`rlhub info ADAPTER`).

    Raises:
        EnvironmentContractError: where no installed adapter recognises it, or more than one does.
        ConfigError: for an option that the adapter does not have.
    """
    if isinstance(thing, gymnasium.Env):
        return thing
    if isinstance(thing, type):
        raise EnvironmentContractError(f"{thing.__qualname__} is a class: adapt an object, {thing.__qualname__}(…).")
    hub = hub or default_hub()
    by = by or _recognised_by(hub, thing)
    adapter = hub.load("adapter", by)
    adapted: Env = adapter(thing, **config.bind(adapter, options, by, skip=1))
    return adapted


def _recognised_by(hub: Hub, thing: Any) -> str:
    """Return the name of the one adapter that recognises an object."""
    adapters = adapters_of(hub, "environment")
    matching = [name for name, spec in adapters.items() if matches(spec, thing)]
    if len(matching) == 1:
        return matching[0]
    what = f"{type(thing).__module__}.{type(thing).__qualname__}"
    if matching:
        raise EnvironmentContractError(
            f"{what} is recognised by {' and '.join(matching)}. Say which: adapt(…, by={matching[0]!r})."
        )
    raise EnvironmentContractError(
        f"{what} is no gymnasium.Env, and no adapter recognises it. {_what_it_lacks(adapters, thing)}"
    )


def _what_it_lacks(adapters: Mapping[str, AdapterSpec], thing: Any) -> str:
    if not adapters:
        return "No adapter is installed. For environments of older libraries: pip install rlhub-legacy."
    lacking = {name: _lacked(spec.lacks, thing) for name, spec in adapters.items() if spec.lacks is not None}
    failed = {name: fault for name, spec in adapters.items() if (fault := _fault_of(spec, thing))}
    others = [name for name in adapters if name not in lacking and name not in failed]
    said = [f"{name} looked for {lacked}" for name, lacked in lacking.items()]
    said += [f"there is also {listed(others)}"] if others else []
    broken = "".join(f" {name} failed when it looked at it: {fault}." for name, fault in failed.items())
    return (f"Not found in it: {'; '.join(said)}." if lacking else f"Adapters: {listed(others)}.") + broken


def _fault_of(spec: AdapterSpec, thing: Any) -> str:
    """Return what an adapter raises that does not say what it looks for, as one line, or nothing."""
    if spec.lacks is not None:
        return ""
    try:
        spec.matches(thing)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _lacked(lacks: Callable[[object], Sequence[str]], thing: Any) -> str:
    try:
        names = lacks(thing)
        return listed(names) if names else "nothing more, but it has what tells another library's"
    except Exception as error:  # it may raise whatever it likes when it is looked at
        return f"attributes, one of which raises {type(error).__name__}: {error}"


def _in_full(name: str, hub: Hub) -> str:
    """Return the full name of a bare id that one plugin offers and Gymnasium does not know, else the name itself."""
    known = name in gymnasium.registry and name not in _registered_by_the_way
    if "/" in name or ":" in name or known:
        return name
    if all(full.partition("/")[2] != name for full in hub.offers("environment")):
        return name
    return str(hub.find("environment", name).id)


def adapters_of(hub: Hub, makes: str) -> dict[str, AdapterSpec]:
    """Return the adapters that make an "environment" or a "callback", by name."""
    return {name: spec for name, spec in hub.offers("adapter").items() if spec.makes == makes}


def matches(spec: AdapterSpec, thing: Any) -> bool:
    """Return whether an adapter recognises a foreign object; warn of one that takes its time."""
    begun = perf_counter()
    try:
        return bool(spec.matches(thing))
    except Exception:  # a foreign object may raise whatever it likes when it is looked at
        return False
    finally:
        took = perf_counter() - begun
        if took > SLOW:
            warnings.warn(
                f"The adapter {spec.name} took {took:.1f} s to look at a {type(thing).__qualname__}; `matches` is to "
                "be cheap. RLHUB_DISABLE leaves its plugin out.",
                stacklevel=3,
            )


def check_positive(name: str, number: Any) -> None:
    """Raise ConfigError unless a number is a positive integer."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigError(f"{name} must be a positive integer, not {number!r}.")
