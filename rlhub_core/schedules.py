"""Hyper-parameters that change with the env step: a number, one of these, or any callable of the step.

On the command line and in a recipe a schedule is written as a call: `linear(1.0, 0.05, 100000)`.
"""

from __future__ import annotations

import ast
import math
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T", int, float)
C = TypeVar("C", bound=Any)

Schedule: TypeAlias = Callable[[int], float]
Scheduled: TypeAlias = T | Schedule
"""The annotation of a hyper-parameter that may be scheduled: `learning_rate: Scheduled[float]`."""


def value(hyper_parameter: Any, step: int) -> Any:
    """Return the value in force at an env step: the number itself, or what its schedule says."""
    return hyper_parameter(step) if callable(hyper_parameter) else hyper_parameter


def whole(hyper_parameter: Any, step: int) -> int:
    """Return the value in force at an env step of a hyper-parameter that counts something, rounded."""
    number: float = value(hyper_parameter, step)
    return round(number)


class _Written:
    """Written as the call that makes it, with trailing `None`s left out."""

    def __str__(self) -> str:
        values = list(astuple(self))  # type: ignore[call-overload]
        while values and values[-1] is None:
            values.pop()
        return f"{type(self).__name__.lower()}({', '.join(map(repr, values))})"


@dataclass(frozen=True)
class Linear(_Written):
    """From `start` to `end` over so many env steps (the whole run where None), then `end`."""

    start: float
    end: float
    over: int | None = None  # env steps

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * _fraction(self, step)


@dataclass(frozen=True)
class Cosine(_Written):
    """From `start` to `end` along half a cosine over so many env steps (the whole run where None), then `end`."""

    start: float
    end: float
    over: int | None = None  # env steps

    def __call__(self, step: int) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * _fraction(self, step))) / 2


@dataclass(frozen=True)
class Exponential(_Written):
    """`start` times `decay` every `per` env steps, but never below `end`."""

    start: float
    decay: float
    per: int = 1  # env steps
    end: float = 0.0

    def __call__(self, step: int) -> float:
        return float(max(self.end, self.start * self.decay ** (step / self.per)))


@dataclass(frozen=True)
class Piecewise(_Written):
    """Constant between boundaries: `values[i]` before `boundaries[i]`, the last value after all of them."""

    boundaries: tuple[int, ...]  # env steps, rising
    values: tuple[float, ...]  # one more than boundaries

    def __post_init__(self) -> None:
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(self.boundaries):
            raise ValueError("piecewise needs rising boundaries and one value more than boundaries")

    def __call__(self, step: int) -> float:
        return self.values[bisect_right(self.boundaries, step)]


NAMED: dict[str, Any] = {kind.__name__.lower(): kind for kind in (Linear, Cosine, Exponential, Piecewise)}
_CALL = re.compile(rf"\s*({'|'.join(NAMED)})\s*\(.{{,100000}}$", re.DOTALL)


def parse(text: str) -> Any | None:
    """Return the schedule that a text like `linear(1.0, 0.05, over=100000)` writes, or None if it is no such call.

    Raises:
        ValueError: for a call of a known schedule with arguments that it does not take.
    """
    if not _CALL.match(text):  # nothing else is given to Python's parser
        return None
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last three: NUL, and what is too deep for it
        return None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in NAMED):
        return None
    kind = NAMED[call.func.id]
    try:
        schedule = kind(
            *(ast.literal_eval(node) for node in call.args),
            **{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords},
        )
        schedule(0 if getattr(schedule, "over", 1) is None else 1)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        takes = ", ".join(field.name for field in fields(kind))
        raise ValueError(f"{text!r} is not a schedule: {call.func.id} takes numbers ({takes})") from error
    return schedule


def resolve(hyper_parameter: Any, total_steps: int) -> Any:
    """Return the schedule with `over` set to the whole run where it was left open; anything else as it is."""
    return replace(hyper_parameter, over=total_steps) if is_open(hyper_parameter) else hyper_parameter


def is_open(hyper_parameter: Any) -> bool:
    """Return whether it is a schedule that waits to be told how long the run is."""
    return isinstance(hyper_parameter, (Linear, Cosine)) and hyper_parameter.over is None


def resolved(config: C, total_steps: int) -> C:
    """Return a `Config` with every schedule that was left open set to the whole run."""
    values = {field.name: resolve(getattr(config, field.name), total_steps) for field in fields(config)}
    return replace(config, **values)


def _fraction(schedule: Linear | Cosine, step: int) -> float:
    if schedule.over is None:
        if step == 0:
            return 0.0
        raise ValueError(f"{schedule} has no length yet: give `over`, or use it in a run")
    return min(1.0, max(0.0, step / max(1, schedule.over)))
