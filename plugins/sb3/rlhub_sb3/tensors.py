"""Reads what `torch.save` wrote as data: pickles of calls that make tensors, beside the bytes of their numbers."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from rlhub_sb3.pickles import Made, Named, Persistent, UnreadableError, read

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError, EOFError, RuntimeError)
ROOM, MOST_RATIO = 2**26, 10  # bytes, and times its own size, that a zip may unpack to
STORAGES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16, "LongStorage": np.int64,
    "IntStorage": np.int32, "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}  # fmt: skip


def tensors(saved: bytes) -> Any:
    """Return the dicts, lists and tensors that `torch.save` wrote.

    Raises:
        UnreadableError: for anything else in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(saved)) as archive:
            names = check_sizes(archive, len(saved))
            (described,) = (name for name in names if name.endswith("/data.pkl"))
            folder = described.removesuffix("data.pkl")
            order = f"{folder}byteorder"
            if order in names and archive.read(order) != b"little":
                raise UnreadableError("its numbers are big-endian")
            return _resolved(read(archive.read(described)), lambda key: archive.read(f"{folder}data/{key}"))
    except (zipfile.BadZipFile, zlib.error, *DAMAGE) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def check_sizes(archive: zipfile.ZipFile, packed: int) -> list[str]:
    """Return the names in a zip of so many bytes, once it is sure that unpacking it fills no memory.

    Stable-Baselines3 and torch compress nothing; who has compressed their zips since has not made much of weights.

    Raises:
        UnreadableError: for a zip that unpacks to far more than it is, or that holds a name twice.
    """
    names, size = archive.namelist(), sum(member.file_size for member in archive.infolist())
    if size > ROOM + MOST_RATIO * packed:
        raise UnreadableError(f"{packed:,} bytes that unpack to {size:,}")
    if len(set(names)) < len(names):
        raise UnreadableError("a name that is there twice")
    return names


def _resolved(tree: Any, stored: Callable[[str], bytes]) -> Any:
    """Return what torch has saved, with tensors for the calls that make them."""
    if isinstance(tree, Made):
        if tree.maker == Named("torch._utils", "_rebuild_tensor_v2"):
            return _tensor(*tree.arguments[:4], stored=stored)
        if tree.maker == Named("torch._utils", "_rebuild_parameter"):
            return _resolved(tree.arguments[0], stored)
        if tree.maker == Named("collections", "OrderedDict") and not any(tree.arguments):
            return {key: _resolved(value, stored) for key, value in tree.items.items()}
    elif isinstance(tree, dict):
        return {key: _resolved(value, stored) for key, value in tree.items()}
    elif isinstance(tree, (list, tuple)) and not isinstance(tree, (Named, Persistent)):
        return type(tree)(_resolved(value, stored) for value in tree)
    elif tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise UnreadableError(f"{tree.maker if isinstance(tree, Made) else tree}, which is no tensor")


def _tensor(
    storage: Persistent, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *, stored: Callable[[str], bytes]
) -> th.Tensor:
    _, kind, key, _, count = storage.mention
    if kind.name not in STORAGES:
        raise UnreadableError(f"numbers of {kind}")
    flat: NDArray[Any] = np.frombuffer(stored(key), STORAGES[kind.name])
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if len(flat) != count or min(offset, *size, *stride, 0) < 0 or (0 not in size and last >= count):
        raise UnreadableError("a tensor that reaches beyond its storage")
    if math.prod(size) > count:  # in memory it would be larger than in the file
        raise UnreadableError("a tensor of more numbers than its storage")
    steps = tuple(step * flat.itemsize for step in stride)
    return th.tensor(np.lib.stride_tricks.as_strided(flat[offset:], size, steps).copy())
