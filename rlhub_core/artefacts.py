"""Files that others may have made: opened only where they are regular, read as data, within limits.

Whatever is read from a run folder, a checkpoint or a recipe comes through here. The limits lie far above what rlhub
writes; they bound the memory and the time that a hostile file can cost.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rlhub_core.errors import ArtefactError

MIB = 2**20
LARGEST_JSON = 256 * MIB  # bytes
LARGEST_TOML = 16 * MIB
LARGEST_RECORDS = 1024 * MIB
LONGEST_LINE = 16 * MIB
DEEPEST = 64  # levels of lists and tables
_DEEP_KEY = re.compile(  # a.b.c… of more than DEEPEST parts, for which tomllib takes quadratic time and memory
    rf"""(?<![\w-])(?:(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){{{DEEPEST}}}"""
)
LONGEST_NUMBER = 1_000  # digits of a whole number; a generator's state has 39
_LARGEST_NUMBER = 10**LONGEST_NUMBER


def check_folder(folder: Path) -> None:
    """Raise ArtefactError where a run folder holds a link that leads out of it, or what is neither file nor folder.

    Without this a run of somebody else's could have files written, cut or deleted wherever its links point to.
    """
    top = Path(os.path.realpath(folder))
    waiting = [top]
    while waiting:
        inside = waiting.pop()
        gone = (FileNotFoundError,) if inside != top else ()  # a run that is being trained deletes checkpoints
        with contextlib.suppress(*gone), _readable(inside), os.scandir(inside) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if not Path(os.path.realpath(entry.path)).is_relative_to(top):
                        raise ArtefactError(
                            f"{entry.path} is a symbolic link that leads out of the run {folder}: it is not followed. "
                            "Put what it points to in its place."
                        )
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise ArtefactError(f"{entry.path} is no regular file: no run has such a thing. Remove it.")


@contextlib.contextmanager
def regular(path: Path, most: int | None = None, *, follow: bool = False) -> Iterator[IO[bytes]]:
    """Open a regular file for reading.

    A device or a pipe is never waited for. FileNotFoundError is raised as it is.

    Args:
        path: of the file.
        most: bytes that it may have.
        follow: whether it may be a symbolic link, as what a user named himself may be.

    Raises:
        ArtefactError: for anything but a regular file, and for a larger one.
    """
    with _readable(path):
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise ArtefactError(f"{path} is no regular file, so it is not read.")
    with open(handle, "rb") as file:
        if most is not None and facts.st_size > most:
            raise ArtefactError(f"{path} has {facts.st_size:,} bytes; at most {most:,} are read.")
        yield file


def text(path: Path, most: int = LARGEST_JSON, *, follow: bool = False) -> str:
    """Return the text of a regular file in UTF-8.

    Raises:
        ArtefactError: as `regular`, and for other bytes.
    """
    with regular(path, most, follow=follow) as file, _readable(path):
        return file.read().decode()


def json_file(path: Path, most: int = LARGEST_JSON) -> Any:
    """Return what a JSON file holds.

    Raises:
        ArtefactError: as `json_text`.
    """
    return json_text(text(path, most), path)


def json_text(written: str, path: Path) -> Any:
    """Return what a JSON text from a file holds.

    Raises:
        ArtefactError: where it is none, gives a key twice, is too deep, or holds numbers or texts that nothing can use.
    """
    with _readable(path):
        return checked(json.loads(written, object_pairs_hook=_once, parse_int=_whole))


def toml_file(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds; it may be a link, because a user names it.

    Raises:
        ArtefactError: as `json_text`.
    """
    written = text(path, LARGEST_TOML, follow=True)
    with _readable(path, "is not valid TOML"):
        if _DEEP_KEY.search(written):
            raise ValueError(f"a key has more than {DEEPEST} parts")
        parsed: dict[str, Any] = checked(tomllib.loads(written))
        return parsed


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file of records, without a last one that is being written, or was torn by a kill.

    Raises:
        ArtefactError: as `regular`, and for a line that is too long or no text.
    """
    with regular(path, LARGEST_RECORDS) as file, _readable(path):
        while line := file.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                if len(line) == LONGEST_LINE:
                    raise ArtefactError(f"{path} has a line of more than {LONGEST_LINE:,} bytes.")
                return
            yield line[:-1].decode()


@contextlib.contextmanager
def _readable(path: Path, fault: str = "cannot be read") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        link = " (a symbolic link)" if error.errno == errno.ELOOP else ""
        raise ArtefactError(f"{path} {fault}: {error.strerror}{link}.") from error
    except RecursionError as error:
        raise ArtefactError(f"{path} {fault}: it is more than {DEEPEST} levels deep.") from error
    except ValueError as error:  # also of bytes that are no text, and of NUL in a name
        raise ArtefactError(f"{path} {fault}: {error}.") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"it gives {twice!r} twice")
    return table


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    return int(digits)


def checked(tree: Any) -> Any:
    """Return a parsed tree that is neither too deep for what follows it by calling itself, nor holds broken texts.

    Raises:
        ValueError: for any other.
    """
    level = [tree]
    for _ in range(DEEPEST):
        for node in level:
            if isinstance(node, str) and not node.isascii():
                node.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair
            elif isinstance(node, int) and abs(node) >= _LARGEST_NUMBER:
                raise ValueError(f"it holds a number of more than {LONGEST_NUMBER:,} digits")
        tables = [node for node in level if isinstance(node, dict)]
        level = [child for node in level if isinstance(node, list) for child in node]
        level += [child for table in tables for child in (*table.keys(), *table.values())]
        if not level:
            return tree
    raise ValueError(f"it is more than {DEEPEST} levels deep")
