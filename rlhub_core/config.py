"""Parameters of algorithms, callbacks, wrappers and environments: declared, parsed, validated, written, documented.

Anything callable with annotated arguments will do; a frozen dataclass whose fields are made by `option` also states the
meaning, unit and range of each. Text from the command line and from TOML is read by the same rules.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import json
import re
import tomllib
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from rlhub_core import schedules
from rlhub_core.errors import ConfigError, did_you_mean, listed

MISSING: Any = dataclasses.MISSING
_MENTION = "object:"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PART = re.compile(rf"(?:^|(?<=,))(?:{_QUOTED}|\([^()]*\)|\[[^\[\]]*\]|[^,])*")  # of key=value,key=value
_ARRAY = "array"  # {"array": [...], "dtype": "float64"} stands for an array


def option(
    default: Any = MISSING,
    meaning: str = "",
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    fixed: str = "",
    imports: bool = False,
) -> Any:
    """Return a dataclass field with its meaning, unit and the closed range of its value (`None` is open).

    `fixed` says why it cannot follow a schedule; `imports`, that a text "module:Class" in it stands for the class.
    """
    documented = {"meaning": meaning, "unit": unit, "minimum": minimum, "maximum": maximum, "fixed": fixed}
    return dataclasses.field(default=default, metadata={**documented, "imports": imports})


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a callable, with what is known about it."""

    name: str
    annotation: Any
    default: Any = MISSING
    meaning: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    fixed: str = ""
    imports: bool = False

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    @property
    def scheduled(self) -> bool:
        """Whether it accepts a schedule."""
        return schedules.Schedule in _alternatives(self.annotation)

    @property
    def live(self) -> bool:
        """Whether it is a function or class, that text can only name."""
        kinds = _alternatives(self.annotation)
        return str not in kinds and any(
            get_origin(kind) is collections.abc.Callable and kind != schedules.Schedule for kind in kinds
        )

    @property
    def counts(self) -> bool:
        """Whether it is a whole number, also where a schedule passes through others."""
        kinds = _alternatives(self.annotation)
        return int in kinds and float not in kinds

    @property
    def type_name(self) -> str:
        """Its type as a reader would write it: "int", "float or schedule"."""
        names = [
            "schedule" if kind == schedules.Schedule else "None" if kind is type(None) else _spelled(kind)
            for kind in _alternatives(self.annotation)
        ]
        return " or ".join(names)

    def check_range(self, number: Any, owner: str) -> None:
        """Raise ConfigError where a number lies outside the range."""
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return
        low, high = self.minimum, self.maximum
        if not ((low is None or number >= low) and (high is None or number <= high)):
            between = f"at least {low}" if high is None else f"at most {high}" if low is None else f"in [{low}, {high}]"
            raise ConfigError(f"{owner}: {self.name} must be {between}, not {number}.")


def parameters(target: Callable[..., Any], skip: int = 0) -> dict[str, Parameter]:
    """Return the parameters of a class or function by name, without the first `skip` positional ones and `**kwargs`."""
    documented = ("meaning", "unit", "minimum", "maximum", "fixed", "imports")
    fields = {
        field.name: {key: field.metadata[key] for key in documented if key in field.metadata}
        for field in (dataclasses.fields(target) if _is_dataclass(target) else ())  # type: ignore[arg-type]
    }
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(target if _is_dataclass(target) else function)  # of a base class in its own module
    except (NameError, TypeError):  # annotations that only a type checker can resolve: accept any value
        hints = {}
    factories: dict[str, Any] = {
        field.name: field.default_factory
        for field in (dataclasses.fields(target) if _is_dataclass(target) else ())  # type: ignore[arg-type]
        if field.default_factory is not MISSING
    }

    def default(p: inspect.Parameter) -> Any:
        if p.name in factories:
            return factories[p.name]()
        return MISSING if p.default is p.empty else p.default

    return {
        name: Parameter(name, hints.get(name, Any), default(p), **fields.get(name, {}))
        for name, p in list(inspect.signature(target).parameters.items())[skip:]
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }


def bind(
    target: Callable[..., Any], given: Mapping[str, Any], owner: str, *, kind: str = "option", skip: int = 0
) -> dict[str, Any]:
    """Return `given` validated and completed with defaults, ready to be passed to `target`.

    Args:
        target: the callable that will take them.
        given: values, or texts that stand for them.
        owner: who is asked, for messages: "deep/dqn".
        kind: what a parameter is called in messages.
        skip: number of leading positional parameters that are not the user's.

    Raises:
        ConfigError: for an unknown or missing name, a wrong type, a value out of range.
    """
    known = parameters(target, skip)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())
    bound: dict[str, Any] = {}
    for name, value in given.items():
        if name in known:
            bound[name] = _validated(known[name], value, owner)
        elif open_ended:
            bound[name] = value
        else:
            hint = did_you_mean(name, known) or f" It has: {listed(known)}."
            raise ConfigError(f"{owner} has no {kind} {name!r}.{hint}")
    for name, parameter in known.items():
        if name not in bound and parameter.required:
            raise ConfigError(f"{owner} needs {kind} {name!r} ({parameter.type_name}).")
        bound.setdefault(name, parameter.default)
    return {name: bound.pop(name) for name in known} | bound


def parse_value(text: str) -> Any:
    """Return what a text stands for: a TOML value, a list of bare texts, a schedule, `none`, or the text itself."""
    if text.lower() in ("none", "null"):
        return None
    try:
        parsed = tomllib.loads(f"value = {_toml_booleans(text)}")
        return parsed["value"] if len(parsed) == 1 else text  # several lines may be several keys
    except (ValueError, RecursionError):  # also for a number of too many digits
        bare = re.fullmatch(r"\[(.+)\]|\((.+)\)", text.strip())
        if bare is None:
            return text
        return [parse_value(part.strip()) for part in _PART.findall(bare[1] or bare[2]) if part.strip()]


def split_name(text: str) -> tuple[str, dict[str, Any]]:
    """Split `name:key=value,key=value` into the name and its arguments.

    The name may itself hold a colon (`module:Class`), and so may a value (`store=http://localhost:5000`); commas inside
    brackets or double quotes do not separate.

    Raises:
        ConfigError: for an argument without a name, or given twice.
    """
    begin = re.search(r":(?=[^:=]*=)", text)
    if begin is None:
        return text, {}
    name, rest = text[: begin.start()], text[begin.end() :]
    arguments = {}
    for part in _PART.findall(rest):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{text!r}: {part!r} is not key=value. Write {name}:key=value,key=value.")
        if key.strip() in arguments:
            raise ConfigError(f"{text!r} gives {key.strip()!r} twice. Leave one of them out.")
        arguments[key.strip()] = parse_value(value.strip())
    return name, arguments


def join_name(name: str, arguments: Mapping[str, Any]) -> str:
    """Write a name with arguments as `split_name` reads it."""
    return name + ":" * bool(arguments) + ",".join(f"{key}={_text(value)}" for key, value in arguments.items())


def plain(value: Any) -> Any:
    """Return a value as TOML can hold it: schedules as text, tuples as lists, classes and functions by name.

    Of any other live object there is a mere mention. Nothing here or anywhere imports what is named.
    """
    if value is None:
        return "none"  # TOML has no null
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size:
        return {_ARRAY: value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufUO":
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if type(value) in schedules.NAMED.values():
        return str(value)
    name = getattr(value, "__qualname__", "<")
    return mention(value) if "<" in name else f"{value.__module__}:{name}"


def as_given(value: Any) -> Any:
    """Return what `plain` wrote as it was given: "none", a text or not, is None, and arrays are arrays again."""
    if isinstance(value, list):
        return [as_given(item) for item in value]
    if isinstance(value, dict) and value.keys() == {_ARRAY, "dtype"}:
        return _array(value[_ARRAY], value["dtype"])
    if isinstance(value, dict):
        return {key: as_given(item) for key, item in value.items()}
    return None if value == "none" else value


def _array(values: Any, dtype: Any) -> Any:
    try:
        kind = np.dtype(dtype)
        if kind.kind not in "biuf":
            raise TypeError(f"{dtype!r} is no dtype of numbers")
        return np.array(values, kind)
    except (ValueError, TypeError, OverflowError, SyntaxError) as error:  # the last: a dtype with a stray comma
        raise ConfigError(f"The recipe writes an array that is none: {error}.") from error


def mentions(value: Any) -> list[str]:
    """Return every mention of a live object in a plain value, however deep."""
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in mentions(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in mentions(item)]
    return [value] if is_mention(value) else []


def mention(thing: Any) -> str:
    """Return what a recipe writes for a live object: its name, which makes nothing."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{_MENTION}{named.__module__}.{named.__qualname__}"


def is_mention(value: Any) -> bool:
    """Return whether a value is the mere mention of a live object."""
    return isinstance(value, str) and value.startswith(_MENTION)


def _validated(parameter: Parameter, value: Any, owner: str) -> Any:
    if value == "none" and type(None) in _alternatives(parameter.annotation):
        return None
    if isinstance(value, str):
        try:
            value = schedules.parse(value) or (parse_value(value) if parameter.scheduled else value)
        except ValueError as error:
            raise ConfigError(f"{owner}: {parameter.name}: {error}.") from error
    if (
        callable(value)
        and type(value) in schedules.NAMED.values()
        and not parameter.scheduled
        and (parameter.annotation is not Any)
    ):
        why = f": {parameter.fixed}" if parameter.fixed else ""
        raise ConfigError(f"{owner}: {parameter.name} cannot follow a schedule{why}; it must be {parameter.type_name}.")
    if parameter.scheduled and callable(value):
        return value
    value = _coerced(parameter, value, owner)
    parameter.check_range(value, owner)
    return value


def _coerced(parameter: Parameter, value: Any, owner: str) -> Any:
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

    kinds = [kind for kind in _alternatives(parameter.annotation) if kind != schedules.Schedule]
    try:
        union: Any = Union[tuple(kinds)]  # noqa: UP007 - built at run time
        adapter: TypeAdapter[Any] = TypeAdapter(union, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):
        return value
    if isinstance(value, str) and str not in kinds:
        several = any(get_origin(kind) in (tuple, list) for kind in kinds) and "," in value and value[0] not in "[("
        value = parse_value(f"[{value}]" if several else value)
    try:
        if isinstance(value, bool) and {int, float} & set(kinds) and bool not in kinds:
            raise TypeError("a truth value is no number")
        return adapter.validate_python(value)
    except (ValidationError, TypeError) as error:
        live = is_mention(value) or (isinstance(value, str) and re.fullmatch(r"[\w.]+:[\w.]+", value))
        hint = " A recipe only names live objects; pass it again." if live else ""
        raise ConfigError(f"{owner}: {parameter.name} must be {parameter.type_name}, not {value!r}.{hint}") from error


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _spelled(kind: Any) -> str:
    if get_origin(kind) is not None and str(kind).startswith("typing.Literal"):
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is collections.abc.Callable:
        return "callable"
    return kind.__name__ if inspect.isclass(kind) and get_origin(kind) is None else str(kind).replace("typing.", "")


def _is_dataclass(target: Any) -> bool:
    return inspect.isclass(target) and dataclasses.is_dataclass(target)


def _toml_booleans(text: str) -> str:
    if text.startswith(('"', "'")):
        return text
    return text.lower() if text in ("True", "False") else text.replace("(", "[").replace(")", "]")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, str) and value != "none" and not _reads_as_itself(value):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)


def _reads_as_itself(text: str) -> bool:
    """Return whether a text needs no quotes among other arguments: "linear(1, 0)", but neither "2024" nor "a,b"."""
    separated = re.search(r'[,"()\[\]]', text) is not None and not schedules.parse(text)
    return not separated and parse_value(text) == text == text.strip()
