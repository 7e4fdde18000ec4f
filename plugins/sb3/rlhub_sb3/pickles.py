"""Reads pickles as data: nothing in them is imported, called or run.

A pickle is a program for a small stack machine (the opcodes are documented in the standard library's `pickletools`).
Here it is carried out without its two dangerous instructions: a name stays a name (`Named`), and a call stays a note of
the call (`Made`). What torch and Stable-Baselines3 write can be read from these; a malicious file gives nothing but odd
notes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DEEPEST = 100  # levels; Stable-Baselines3 writes a dozen
MOST = 5_000_000  # values that a pickle may describe, counted wherever they are mentioned


class UnreadableError(Exception):
    """A pickle that is damaged, or that holds something which cannot be read as data."""


class Named(NamedTuple):
    """A class or function by its name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


@dataclass(eq=False)
class Made:
    """What a call would have made, and what was put into it."""

    maker: Any  # mostly a Named
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    appended: list[Any] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The maker's name without its module, or ""."""
        return self.maker.name if isinstance(self.maker, Named) else ""


class Persistent(NamedTuple):
    """A mention of something kept beside the pickle."""

    mention: Any


def read(pickled: bytes) -> Any:
    """Return what a pickle describes.

    Raises:
        UnreadableError: for a damaged one, or one with an instruction that no known writer uses.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "STOP":
                return check_depth(machine.stack.pop())
            machine.do(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error
    raise UnreadableError("it ends too early")


def check_depth(tree: Any) -> Any:
    """Return a tree that is no deeper and no larger than what follows it by calling itself can bear.

    Raises:
        UnreadableError: for a deeper one, one that holds itself, or one that mentions its parts too often.
    """
    level, total = {id(tree): (tree, 1)}, 0  # each object once, with how often it is mentioned
    for _ in range(DEEPEST):
        below: dict[int, tuple[Any, int]] = {}
        for node, times in level.values():
            total += times
            for child in _children(node):
                below[id(child)] = child, times + below.get(id(child), (child, 0))[1]
        if total > MOST:
            raise UnreadableError(f"it describes more than {MOST:,} values")
        if not below:
            return tree
        level = below
    raise UnreadableError(f"it is more than {DEEPEST} levels deep")


def _key(value: Any) -> Any:
    """Return what may be a key; Python's hash of what is nested deep ends the process."""
    parts = value if isinstance(value, (tuple, frozenset)) and not isinstance(value, Named) else (value,)
    if not all(part is None or isinstance(part, (bool, int, float, str, bytes, Named)) for part in parts):
        raise UnreadableError("a key that is no text or number")
    return value


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, Made):
        return (node.maker, *node.arguments, node.state, *node.items.values(), *node.appended)
    if isinstance(node, dict):
        return (*node.keys(), *node.values())
    return node if isinstance(node, (list, tuple, set, frozenset)) else ()


def numbers(made: Any) -> NDArray[Any]:
    """Return the array or number that numpy has pickled.

    Raises:
        UnreadableError: where it is none.
    """
    if not (isinstance(made, Made) and isinstance(made.maker, Named) and made.maker.module.split(".")[0] == "numpy"):
        raise UnreadableError("no array of numpy")
    try:
        parts = list(made.state if made.kind == "_reconstruct" else made.arguments)
        raw = [bytes(part) for part in parts if isinstance(part, (bytes, bytearray))]
        kinds = [_dtype(part) for part in parts if isinstance(part, Made) and part.kind == "dtype"]
        shapes = [part for part in parts if isinstance(part, tuple) and all(isinstance(size, int) for size in part)]
        columns_first = "F" in parts or any(part is True for part in parts)  # as arrays in and beside a buffer say it
        flat = np.frombuffer(raw[-1], kinds[-1])
        return flat.reshape(shapes[-1] if shapes else (), order="F" if columns_first else "C")
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise UnreadableError(f"no array of numbers: {error}") from error


def number(tree: Any) -> Any:
    """Return a plain number or text as it is, and numpy's as Python's.

    Raises:
        UnreadableError: for anything else.
    """
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    array = numbers(tree)
    if array.ndim:
        raise UnreadableError("several numbers")
    return array.item()


def _dtype(made: Made) -> np.dtype[Any]:
    """Return the kind of an array's numbers, with the order of bytes that its pickle says."""
    kind: np.dtype[Any] = np.dtype(made.arguments[0])
    return kind.newbyteorder(made.state[1]) if made.state and made.state[1] in "<>" else kind


class _Machine:
    """The stack machine, with a stack of the stacks that marks have put aside."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._aside: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Carry out one instruction.

        Raises:
            UnreadableError: for one that is not known here.
        """
        if name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in LITERALS:
            self.stack.append(argument)
        elif name in TUPLES:
            size = TUPLES[name]
            self.stack[len(self.stack) - size :] = [tuple(self.stack[len(self.stack) - size :])]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[int(argument)])
        elif name not in ("PROTO", "FRAME"):
            act: Callable[[Any], None] | None = getattr(self, f"_{name.lower()}", None)
            if act is None:
                raise UnreadableError(f"the instruction {name}")
            act(argument)

    def _since_mark(self) -> list[Any]:
        above, self.stack = self.stack, self._aside.pop()
        return above

    def _mark(self, _: Any) -> None:
        self._aside.append(self.stack)
        self.stack = []

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def _tuple(self, _: Any) -> None:
        values = self._since_mark()  # which changes the stack
        self.stack.append(tuple(values))

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self._extend([value])

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        into = self.stack[-1]
        (into.appended if isinstance(into, Made) else into).extend(values)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _setitems(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, flat: list[Any]) -> None:
        into = self.stack[-1]
        keys = map(_key, flat[::2])
        (into.items if isinstance(into, Made) else into).update(zip(keys, flat[1::2], strict=True))

    def _additems(self, _: Any) -> None:
        values = self._since_mark()
        self.stack[-1].update(map(_key, values))

    def _frozenset(self, _: Any) -> None:
        values = self._since_mark()
        self.stack.append(frozenset(map(_key, values)))

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _global(self, argument: str) -> None:
        self.stack.append(Named(*argument.split(" ", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Named(str(module), str(name)))

    def _reduce(self, _: Any) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self.stack.append(Made(maker, tuple(arguments)))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        named, arguments, maker = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(Made(maker, tuple(arguments), items=dict(named)))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state

    def _binpersid(self, _: Any) -> None:
        self.stack.append(Persistent(self.stack.pop()))


CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set,
}  # fmt: skip
LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "INT", "LONG", "FLOAT", "UNICODE",
}  # fmt: skip
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
