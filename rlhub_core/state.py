"""Nested arrays and plain values <-> one safetensors file and one JSON file. Nothing read here ever runs code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlhub_core import artefacts
from rlhub_core.errors import ArtefactError, CheckpointError
from rlhub_core.memory import available_memory

_ARRAY = "$array"  # {"$array": "path/in/safetensors"} stands for an array
_TUPLE = "$tuple"  # {"$tuple": [...]} stands for a tuple
_LARGEST_HEADER = 64 * artefacts.MIB  # bytes of a safetensors file that say what arrays it holds


def save(folder: Path, name: str, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, arrays, numbers, strings and None as `name.json` and `name.safetensors`.

    Raises:
        TypeError: for anything else in the tree, naming where it stands, and for what `load` would not read: too many
            plain values or arrays, too deep a tree, half a character, a number of a thousand digits.
    """
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    plain = _flatten(tree, "", arrays)
    try:
        written = json.dumps(artefacts.checked(plain), indent=1)
    except (ValueError, RecursionError) as error:
        raise TypeError(f"The state {name} cannot be saved: {error}.") from error
    if len(written) > artefacts.LARGEST_JSON:  # it is ASCII
        raise TypeError(f"The state {name} holds {len(written):,} characters of plain values: put numbers into arrays.")
    (folder / f"{name}.json").write_text(written)
    if arrays:
        save_file(arrays, folder / f"{name}.safetensors")
        if _header(folder / f"{name}.safetensors") > _LARGEST_HEADER:
            raise TypeError(f"The state {name} holds {len(arrays):,} arrays: put them into fewer, larger ones.")


def load(folder: Path, name: str) -> Any:
    """Return the tree that `save` wrote.

    Raises:
        CheckpointError: where it is missing or damaged.
    """
    path = folder / f"{name}.json"
    try:
        plain = artefacts.json_file(path)
        arrays = _arrays(path.with_suffix(".safetensors"))
        tree = _unflatten(plain, arrays)
    except (OSError, ValueError, LookupError, TypeError, ArtefactError) as error:
        raise CheckpointError(f"The state {path} cannot be read: {str(error) or type(error).__name__}") from error
    if arrays:
        raise CheckpointError(f"The state {path} cannot be read: nothing in it mentions the array {min(arrays)!r}.")
    return tree


def same_kind(saved: Any, like: Any, where: str) -> Any:
    """Return what was saved, once it is of the same type as what it replaces, arrays of the same shape and dtype.

    Raises:
        CheckpointError: where it is not, naming where it stands.
    """
    if isinstance(like, np.ndarray):
        fits = isinstance(saved, (np.ndarray, np.generic)) and (saved.dtype, saved.shape) == (like.dtype, like.shape)
    else:
        fits = type(saved) is type(like)
    if not fits:
        raise CheckpointError(f"{where} must be {_kind(like)}; the checkpoint has {_kind(saved)}.")
    return saved


def whole(saved: Any, where: str, most: int = 2**63 - 1) -> int:
    """Return what was saved, once it is a number that counts something.

    Raises:
        CheckpointError: where it is not.
    """
    if type(saved) is not int or not 0 <= saved <= most:
        raise CheckpointError(f"{where} must be a whole number from 0 on; the checkpoint has {saved!r}.")
    return saved


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a safetensors file by name, none where there is no such file.

    Raises:
        ValueError: for a damaged one, or one that does not fit into memory.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        header, size = _header(path), path.stat().st_size
    except FileNotFoundError:
        return {}
    if header > min(size - 8, _LARGEST_HEADER):
        raise ValueError(f"{path.name} says that its header has {header:,} bytes")
    free = available_memory()
    if size > free:
        raise ValueError(f"{path.name} has {size:,} bytes; {free:,} bytes of memory are free")
    try:
        return load_file(path)
    except (SafetensorError, MemoryError, OverflowError, AttributeError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _header(path: Path) -> int:
    """Return how many bytes a safetensors file says that its header has."""
    with artefacts.regular(path) as file:
        return int.from_bytes(file.read(8), "little")


def _flatten(node: Any, where: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(node, (np.ndarray, np.generic)):
        array = np.array(node, order="C", copy=None)  # safetensors writes memory order: it must be C
        if array.dtype.hasobject or array.dtype.kind in "USMmV":
            raise TypeError(f"The state at {where or '/'} is an array of {array.dtype}, which cannot be saved.")
        arrays[where or "/"] = array
        return {_ARRAY: where or "/"}
    if isinstance(node, Mapping):
        if not all(isinstance(key, str) and not key.startswith("$") for key in node):
            raise TypeError(f"The state at {where or '/'} has keys that are no plain strings: {list(node)[:5]}.")
        return {key: _flatten(child, f"{where}/{_escaped(key)}", arrays) for key, child in node.items()}
    if isinstance(node, (list, tuple)):
        children = [_flatten(child, f"{where}/{index}", arrays) for index, child in enumerate(node)]
        return {_TUPLE: children} if isinstance(node, tuple) else children
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"The state at {where or '/'} is a {type(node).__name__}, which cannot be saved.")


def _escaped(key: str) -> str:
    """Return a key as a JSON Pointer writes it (RFC 6901), so that no two places share a name."""
    return key.replace("~", "~0").replace("/", "~1")


def _unflatten(node: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(node, dict):
        if node.keys() == {_ARRAY}:
            return arrays.pop(str(node[_ARRAY]))  # each is mentioned once
        if node.keys() == {_TUPLE} and isinstance(node[_TUPLE], list):
            return tuple(_unflatten(child, arrays) for child in node[_TUPLE])
        if any(key.startswith("$") for key in node):
            raise ValueError(f"its keys {sorted(node)[:5]} stand for nothing")
        return {key: _unflatten(child, arrays) for key, child in node.items()}
    if isinstance(node, list):
        return [_unflatten(child, arrays) for child in node]
    return node
