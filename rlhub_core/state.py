"""Nested arrays and plain values <-> one safetensors file and one JSON file. Nothing read here ever runs code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlhub_core.errors import CheckpointError

_ARRAY = "$array"  # {"$array": "path/in/safetensors"} stands for an array
_TUPLE = "$tuple"  # {"$tuple": [...]} stands for a tuple


def save(folder: Path, name: str, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, arrays, numbers, strings and None as `name.json` and `name.safetensors`.

    Raises:
        TypeError: for anything else in the tree, naming where it stands.
    """
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    plain = _flatten(tree, "", arrays)
    (folder / f"{name}.json").write_text(json.dumps(plain, indent=1))
    if arrays:
        save_file(arrays, folder / f"{name}.safetensors")


def load(folder: Path, name: str) -> Any:
    """Return the tree that `save` wrote.

    Raises:
        CheckpointError: where it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / f"{name}.json"
    try:
        plain = json.loads(path.read_text())
        packed = path.with_suffix(".safetensors")
        arrays = load_file(packed) if packed.exists() else {}
        return _unflatten(plain, arrays)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"The state {path} cannot be read: {error!r}.") from error


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
        if _ARRAY in node:
            return arrays[node[_ARRAY]]
        if _TUPLE in node:
            return tuple(_unflatten(child, arrays) for child in node[_TUPLE])
        return {key: _unflatten(child, arrays) for key, child in node.items()}
    if isinstance(node, list):
        return [_unflatten(child, arrays) for child in node]
    return node
