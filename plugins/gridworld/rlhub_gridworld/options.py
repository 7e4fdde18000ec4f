"""Options: written once with their defaults, wherever they are taken, and what is asked of numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from numbers import Integral, Real
from typing import Any

from rlhub_core import ConfigError
from rlhub_core.config import parameters
from rlhub_core.errors import did_you_mean, listed

Init = Callable[..., None]


def takes(source: Callable[..., Any]) -> Callable[[Init], Init]:
    """Let the `**options` of an `__init__` be the keyword-only parameters of a source.

    Its signature lists them, so that whoever reads that (`rlhub info` does) sees each with its type and default, and a
    name that it does not list is refused with a ConfigError.
    """
    types = {name: parameter.annotation for name, parameter in parameters(source).items()}
    more = [p.replace(annotation=types[p.name]) for p in _listed(source) if p.kind is p.KEYWORD_ONLY]

    def taking(init: Init) -> Init:
        own = [p for p in _listed(init) if p.kind is not p.VAR_KEYWORD]
        known = [p.name for p in own[1:] + more]

        @wraps(init)
        def checked(self: Any, *args: Any, **given: Any) -> None:
            for name in given:
                if name not in known:
                    hint = did_you_mean(name, known) or f" It has: {listed(known, len(known))}."
                    raise ConfigError(f"This world has no option {name!r}.{hint}")
            init(self, *args, **given)

        checked.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        checked.__annotations__ = init.__annotations__ | {p.name: p.annotation for p in more}
        return checked

    return taking


def is_real(value: object) -> bool:
    """Return whether a value is a number, numpy's included; a truth value is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, numpy's included; a truth value is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def positive(name: str, value: Any, more: str = "") -> int:
    """Return a positive whole number, or raise ConfigError; `more` is what its message adds to that."""
    if not is_whole(value) or value < 1:
        raise ConfigError(f"{name} must be a positive whole number{more}, not {value!r}.")
    return int(value)


def _listed(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())
