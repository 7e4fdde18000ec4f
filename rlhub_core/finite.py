"""Whether what an algorithm has saved is finite: a checkpoint of NaN is worth less than none."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhub_core.errors import NonFiniteError

MOST_NAMED = 3  # arrays in a message
REPLAY = "replay"  # files whose name begins so hold what was seen, not what was learnt


class Flaw(NamedTuple):
    """A place where numbers are not finite."""

    place: str  # "policy/network/weights": file, then where it stands in it
    number: float  # the first of them
    places: int  # that are so
    size: int

    def __str__(self) -> str:
        """Return it as a message says it."""
        several = f" in {self.places:,} of {self.size:,} places" if self.size > 1 else ""
        return f"{self.place} is {self.number:g}{several}"


def check_saved(folder: Path, may_be_infinite: Collection[str] = ()) -> None:
    """Look at every array of floats below a folder, and for NaN in its JSON files.

    Args:
        folder: that an algorithm has saved in, as safetensors and JSON.
        may_be_infinite: patterns of places ("learner/q") that may hold infinities, but no NaN. Numbers in JSON may
            always be infinite: many a search for the best begins at -inf.

    Raises:
        NonFiniteError: naming the first places.
    """
    flaws = list(_flaws(folder, may_be_infinite))
    if flaws:
        more = f", and {len(flaws) - MOST_NAMED} more" if len(flaws) > MOST_NAMED else ""
        raise NonFiniteError(
            f"what it has learnt is not finite: {', '.join(map(str, flaws[:MOST_NAMED]))}{more}",
            found={flaw.place: np.float64(flaw.number) for flaw in flaws},
        )


def arrays(folder: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield place and content of every array of floats below a folder, those of a replay aside."""
    from safetensors import deserialize, safe_open

    for path in _files(folder, "safetensors"):
        with safe_open(path, "np") as file:
            kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 # it is no dict
            for key, kind in kinds.items():
                if kind in ("F16", "F32", "F64"):
                    yield _place(folder, path, key), file.get_tensor(key)
        if "BF16" in kinds.values():  # which numpy does not know: the upper half of a float32
            for key, tensor in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
                if tensor["dtype"] == "BF16":
                    halves = np.frombuffer(bytes(tensor["data"]), np.uint16)
                    yield _place(folder, path, key), (halves.astype(np.uint32) << 16).view(np.float32)


def _flaws(folder: Path, may_be_infinite: Collection[str]) -> Iterator[Flaw]:
    for place, array in arrays(folder):
        infinite = any(fnmatch(place, pattern) for pattern in may_be_infinite)
        bad = np.isnan(array) if infinite else ~np.isfinite(array)
        if bad.any():
            yield Flaw(place, float(array[bad].flat[0]), int(np.count_nonzero(bad)), array.size)
    for path in _files(folder, "json"):
        text = path.read_text()
        if "NaN" in text:
            for where, number in _numbers(json.loads(text), ""):
                if math.isnan(number):
                    yield Flaw(_place(folder, path, where), number, 1, 1)


def _files(folder: Path, kind: str) -> list[Path]:
    found = (path.relative_to(folder) for path in folder.rglob(f"*.{kind}"))
    return sorted(folder / path for path in found if not any(part.startswith(REPLAY) for part in path.parts))


def _place(folder: Path, path: Path, key: str) -> str:
    return f"{path.relative_to(folder).with_suffix('').as_posix()}/{key.removeprefix('/')}".rstrip("/")


def _numbers(node: Any, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, float):
        yield where, node
    elif isinstance(node, Mapping):
        for key, child in node.items():
            yield from _numbers(child, f"{where}/{key}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _numbers(child, f"{where}/{index}")
