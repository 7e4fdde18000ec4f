"""What a plugin states it offers, as light data: names, one line each, and `"module:attribute"` targets.

Environments have Gymnasium's own `EnvSpec` for this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from gymnasium import Space


@dataclass(frozen=True)
class AlgorithmSpec:
    """An algorithm on offer.

    `observation_spaces` and `action_spaces` name the Gymnasium space classes it accepts, so that what fits what can be
    told without importing it. `presets` points to a TOML file inside a package, `"package:file.toml"`.

    An algorithm that `plans` computes from an environment's model: it takes no env step, its steps are sweeps over all
    states, and it ends by itself. `advice` is one sentence for who has another observation space.
    """

    name: str  # "deep/dqn"
    entry_point: str  # "rlhub_deep.dqn:DQN"
    description: str  # one line
    action_spaces: tuple[str, ...]
    observation_spaces: tuple[str, ...] = ("Box",)
    exact_resume: bool = True
    presets: str | None = None
    plans: bool = False
    advice: str = ""

    def misfit(self, observation_space: Space[Any], action_space: Space[Any]) -> str | None:
        """Return why the spaces do not fit ("a Box action space"), or None where they do."""
        for kind, space, accepted in (
            ("action", action_space, self.action_spaces),
            ("observation", observation_space, self.observation_spaces),
        ):
            if not {base.__name__ for base in type(space).__mro__} & set(accepted):
                return f"a {' or '.join(accepted)} {kind} space"
        return None


@dataclass(frozen=True)
class AdapterSpec:
    """A way to make foreign environment objects into `gymnasium.Env`, or foreign callbacks into `Callback`.

    `matches` is a cheap duck-typing test; `entry_point` is called with the object (and the options of `adapt`) and
    returns what the adapter `makes`. `lacks` names what was looked for in an object and not found, for the error that
    says why nothing recognises it.
    """

    name: str
    entry_point: str
    matches: Callable[[object], bool]
    description: str
    makes: Literal["environment", "callback"] = "environment"
    lacks: Callable[[object], Sequence[str]] | None = None


@dataclass(frozen=True)
class WrapperSpec:
    """A wrapper of single environments, by name; its target is called as `target(env, **arguments)`."""

    name: str
    entry_point: str
    description: str


@dataclass(frozen=True)
class CallbackSpec:
    """A callback, by name; its target is called as `target(**arguments)`."""

    name: str
    entry_point: str
    description: str


@dataclass(frozen=True)
class CommandSpec:
    """A command of the command line: `maze/solve` is called as `rlhub solve-maze`.

    Its target is a function whose annotated arguments say what it takes, as Typer reads them, and whose docstring is
    its help. The module should import nothing heavy before the function is called.
    """

    name: str  # "maze/solve"
    entry_point: str
    description: str

    @property
    def typed(self) -> str:
        """What a user types: "solve-maze"."""
        namespace, _, verb = self.name.partition("/")
        return f"{verb}-{namespace}"


def load_target(entry_point: str) -> Any:
    """Import and return what a `"module:attribute"` string names.

    Raises:
        ImportError, AttributeError: where there is no such module or attribute.
    """
    module, _, attribute = entry_point.partition(":")
    target: Any = import_module(module)
    for name in attribute.split("."):
        target = getattr(target, name)
    return target
