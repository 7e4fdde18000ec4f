"""Rows of a ring on disk, each written once: a checkpoint links the files of those before it.

The rows that were added since the last save become files of their own, segments, and a segment never changes. The next
checkpoint takes the earlier ones over as hard links, so every checkpoint is a whole folder that may be copied, moved
and deleted alone, and a checkpoint after n steps writes about n rows. Where a link is not possible (the file system
has none, the earlier checkpoint is gone, its file is not the one that was written) the rows are written from memory
again.

Where files begin and end is decided by how many rows there are when it is saved. Fewer rows than a segment holds stay
open and are written again with the next ones, so the number of files is bounded. Of a ring that has come round, a
segment whose oldest rows were overwritten is kept until all of them are.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhub_core import checkpoint
from rlhub_core.errors import CheckpointError

IN_A_RING = 64  # segments of a full ring, unless they were larger or smaller than these bytes
LEAST_BYTES, MOST_BYTES = 1 << 20, 1 << 26

Arrays: TypeAlias = Mapping[str, NDArray[Any]]  # each [B, length, ...]
Rows: TypeAlias = NDArray[np.int64]  # [B] a number of rows, counted from the first that was ever added


class Segment(NamedTuple):
    """A file of rows."""

    file: str
    start: Rows  # [B]
    end: Rows  # [B]
    identity: tuple[int, ...]  # of the file

    @property
    def size(self) -> int:
        """How many rows it holds, of all environments."""
        return int((self.end - self.start).sum())


class Segments:
    """Writes the rows of one ring, and remembers which files hold those that change no more."""

    def __init__(self) -> None:
        self._closed: list[Segment] = []

    def save(self, folder: Path, name: str, arrays: Arrays, written: Rows, *, changing: int = 1) -> dict[str, Any]:
        """Write what no file holds yet, link the rest, and return what `load` wants to know.

        Args:
            folder: where the files shall be; links are found where it is part of a checkpoint.
            name: how their names begin.
            arrays: [B, length, ...] row r of environment e is `array[e, r % length]`.
            written: [B] rows so far.
            changing: newest rows of each environment that may change still; the others must not, but by being
                overwritten `length` rows later.
        """
        length = _length(arrays)
        oldest = np.maximum(written - length, 0)
        closed = [
            _linked(folder, segment) or _write(folder, name, arrays, np.maximum(segment.start, oldest), segment.end)
            for segment in self._worth_keeping(oldest, written)
        ]
        start = np.maximum(closed[-1].end, oldest) if closed else oldest
        for begin, end in _cuts(start, np.maximum(written - changing, start), _rows_in_a_segment(arrays)):
            closed.append(_write(folder, name, arrays, begin, end))
            start = end
        self._closed = closed
        files = [*closed, _write(folder, name, arrays, start, written)] if (written > start).any() else closed
        none = np.empty((0, len(written)), np.int64)
        return {
            "length": length,
            "written": written,
            "closed": len(closed),
            "segments": [segment.file for segment in files],
            "starts": np.stack([segment.start for segment in files]) if files else none,
            "ends": np.stack([segment.end for segment in files]) if files else none,
        }

    def load(self, folder: Path, index: Mapping[str, Any], arrays: Arrays) -> Rows:
        """Fill the arrays with the rows that `save` wrote and return how many there were [B].

        Raises:
            CheckpointError: where they were of other arrays, or a file is missing, damaged or does not fit.
        """
        self._closed = []
        written, segments = _read_index(folder, index, arrays)
        oldest = np.maximum(written - _length(arrays), 0)
        for segment in segments:
            _fill(arrays, segment, _read(folder, segment, arrays), oldest)
        self._closed = segments[: index["closed"]]
        return written

    def _worth_keeping(self, oldest: Rows, written: Rows) -> list[Segment]:
        """Return the segments that hold rows still there; none where most of what they hold is not."""
        kept = [segment for segment in self._closed if (segment.end > oldest).any()]
        held, needed = sum(segment.size for segment in kept), int((written - oldest).sum())
        return kept if held <= 2 * needed else []


def digest(folder: Path, tree: Any) -> Any:
    """Return a state that holds what `save` returned, with SHA-256 in place of arrays and of all rows.

    Equal states have other files where they were saved at other steps before; so they can be compared.
    """
    if isinstance(tree, np.ndarray):
        return f"{tree.dtype} {tree.shape} {hashlib.sha256(tree.tobytes()).hexdigest()}"
    if isinstance(tree, (list, tuple)):
        return [digest(folder, child) for child in tree]
    if not isinstance(tree, Mapping):
        return tree
    rows = _all_rows(folder, tree) if "segments" in tree else tree
    return {key: digest(folder, child) for key, child in sorted(rows.items())}


def _length(arrays: Arrays) -> int:
    return int(next(iter(arrays.values())).shape[1])


def _rows_in_a_segment(arrays: Arrays) -> int:
    """Return how many rows make a segment, at least."""
    places = math.prod(next(iter(arrays.values())).shape[:2])
    of_a_row = max(1, sum(array.nbytes for array in arrays.values()) // places)
    return max(1, LEAST_BYTES // of_a_row, min(places // IN_A_RING, MOST_BYTES // of_a_row))


def _cuts(start: Rows, end: Rows, size: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield where segments of `size` rows or more begin and end; none where there are fewer rows."""
    pieces = int((end - start).sum()) // size
    bounds = [start + (end - start) * piece // max(1, pieces) for piece in range(pieces + 1)]
    yield from itertools.pairwise(bounds)


def _identity(path: Path) -> tuple[int, ...]:
    """Return what tells a file from any other and from itself when it was changed."""
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _linked(folder: Path, segment: Segment) -> Segment | None:
    """Link a segment from an earlier checkpoint; None where none has it, or links are not to be had."""
    for earlier in checkpoint.beside(folder):
        try:
            if _identity(earlier / segment.file) == segment.identity:
                os.link(earlier / segment.file, folder / segment.file)
                return segment
        except OSError:
            continue
    return None


def _stretches(segment: Segment, oldest: Rows, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield environments, places in their rings and places in the file of rows that stand side by side in both."""
    before = 0
    for env, (start, end) in enumerate(zip(segment.start.tolist(), segment.end.tolist(), strict=True)):
        row = min(end, max(start, int(oldest[env])))
        while row < end:
            place, stop = row % length, min(end, row + length - row % length)
            yield env, slice(place, place + stop - row), slice(before + row - start, before + stop - start)
            row = stop
        before += end - start


def _write(folder: Path, name: str, arrays: Arrays, start: Rows, end: Rows) -> Segment:
    from safetensors.numpy import save_file

    start = np.minimum(start, end)
    path = folder / f"{name}.{int(start.sum()):012d}-{int(end.sum()):012d}.safetensors"
    segment = Segment(path.name, start, end.copy(), ())
    rows = {key: np.empty((segment.size, *array.shape[2:]), array.dtype) for key, array in arrays.items()}
    for env, places, within in _stretches(segment, segment.start, _length(arrays)):
        for key, array in arrays.items():
            rows[key][within] = array[env, places]
    save_file(rows, path)
    return segment._replace(identity=_identity(path))


def _read(folder: Path, segment: Segment, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the rows of a segment [rows, ...], as many of each array as it should hold."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / segment.file
    try:
        found = load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"The rows {path} cannot be read: {error!r}.") from error
    expected = {key: ((segment.size, *array.shape[2:]), array.dtype) for key, array in arrays.items()}
    if {key: (rows.shape, rows.dtype) for key, rows in found.items()} != expected:
        raise CheckpointError(f"The rows {path} are not those of this replay: their shapes or types are others.")
    return found


def _fill(arrays: Arrays, segment: Segment, rows: Arrays, oldest: Rows) -> None:
    """Put rows where they belong, but for those older than the oldest that are there."""
    for env, places, within in _stretches(segment, oldest, _length(arrays)):
        for key, array in arrays.items():
            array[env, places] = rows[key][within]


def _read_index(folder: Path, index: Mapping[str, Any], arrays: Arrays) -> tuple[Rows, list[Segment]]:
    """Return the rows written and the segments that an index names, which hold every row that must be there."""
    envs, length = next(iter(arrays.values())).shape[:2]
    try:
        written, starts, ends = (np.asarray(index[key], np.int64) for key in ("written", "starts", "ends"))
        files, fits = index["segments"], index["length"] == length and written.shape == (envs,)
        fits = fits and starts.shape == ends.shape == (len(files), envs) and 0 <= index["closed"] <= len(files)
        plain = all(isinstance(file, str) and Path(file).name == file for file in files)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"What {folder} says of its segments cannot be read: {error!r}.") from error
    if not fits or not plain or not _complete(written, starts, ends, length):
        raise CheckpointError(f"{folder} does not hold the rows of a ring of {envs} × {length}.")
    try:
        found = [_identity(folder / file) for file in files]
    except OSError as error:
        raise CheckpointError(f"The rows {error.filename} cannot be read: {error.strerror}.") from error
    return written, [Segment(*each) for each in zip(files, starts, ends, found, strict=True)]


def _complete(written: Rows, starts: Rows, ends: Rows, length: int) -> bool:
    """Return whether rows from `starts` to `ends` [segments, B] leave out none that a ring still has."""
    if (starts < 0).any() or (starts > ends).any() or (ends - starts > length).any() or (ends > written).any():
        return False
    reached = np.maximum(written - length, 0)
    for start, end in zip(starts, ends, strict=True):
        if ((start > reached) & (end > reached)).any():
            return False
        reached = np.maximum(reached, end)
    return bool((reached == written).all())


def _all_rows(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays that `load` would fill, by way of those that the first file names."""
    from safetensors.numpy import load_file

    if not index["segments"]:
        return {}
    found, ring = load_file(folder / index["segments"][0]), (len(index["written"]), index["length"])
    arrays = {key: np.zeros((*ring, *rows.shape[1:]), rows.dtype) for key, rows in found.items()}
    written, length = Segments().load(folder, index, arrays), index["length"]
    return {**arrays, "next": written % length, "full": written >= length}  # laps may have been counted or not
