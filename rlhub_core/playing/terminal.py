"""A terminal that shows frames as half-block characters and hears keys."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhub_core.errors import RlhubError
from rlhub_core.playing.drawing import Pixels

HALF = "▀"  # its ink is the upper pixel, its ground the lower one
CUBE = np.array([0, 95, 135, 175, 215, 255])  # levels of xterm's 216 colours
HOLD = 0.25  # s that a key counts as held: a terminal tells of presses and repeats, never of releases
ESCAPES = {"[A": "up", "[B": "down", "[C": "right", "[D": "left", "OA": "up", "OB": "down", "OC": "right", "OD": "left"}
NAMED = {" ": "space", "\r": "enter", "\n": "enter", "\x03": "escape"}
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[0m\x1b[?25h\x1b[?1049l"  # another screen, without a cursor


class Pressed(NamedTuple):
    """What was heard of the keyboard."""

    keys: tuple[str, ...] = ()  # pressed, in order
    held: frozenset[str] = frozenset()  # at the end


class Terminal:
    """Shows frames in a terminal, fitted to its size, and gives it back as it was.

    Args:
        out: of text; standard output unless given.
        keyboard: file descriptor that keys are read from; None: no keys are heard.
        colours: 2**24 or 256; by default what the environment variable COLORTERM promises.

    Raises:
        RlhubError: where `out` is no terminal.
    """

    def __init__(self, out: IO[str] | None = None, keyboard: int | None = None, colours: int | None = None) -> None:
        self._out = sys.stdout if out is None else out
        if not self._out.isatty():
            raise RlhubError(
                "There is neither a display nor a terminal to watch in here. Film it instead: rlhub record RUN."
            )
        self._colours = colours or colours_of(os.environ)
        self._keyboard, self._restore = keyboard, contextlib.ExitStack()
        if keyboard is None and out is None and sys.stdin.isatty():
            self._keyboard = sys.stdin.fileno()
        self._pressed: dict[str, float] = {}
        self._size = (0, 0)
        if self._keyboard is not None:
            self._listen(self._keyboard)
        self._out.write(ENTER)

    def show(self, frame: Pixels, status: str, help: str) -> None:
        """Show a frame [height, width, 3] and below it two lines of text."""
        columns, rows = shutil.get_terminal_size()
        if (columns, rows) != self._size:
            self._out.write("\x1b[2J")
            self._size = columns, rows
        lines = half_blocks(frame, columns, max(1, rows - 2), self._colours)
        lines += [status[:columns], f"\x1b[2m{help[:columns]}\x1b[0m"][: max(0, rows - 1)]
        self._out.write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        self._out.flush()

    def wait(self, seconds: float) -> Pressed:
        """Return the keys that were pressed within some seconds, and those that count as held."""
        end, keys = time.monotonic() + seconds, []
        while True:
            left = max(0.0, end - time.monotonic())
            if self._keyboard is None:
                time.sleep(left)
            elif select.select([self._keyboard], [], [], left)[0]:
                data = os.read(self._keyboard, 1024)
                now = time.monotonic()
                heard = key_names(data.decode(errors="ignore")) if data else ["escape"]  # it is gone
                keys += heard
                self._pressed |= dict.fromkeys(heard, now)
            now = time.monotonic()
            if now >= end:
                held = frozenset(key for key, when in self._pressed.items() if now - when < HOLD)
                return Pressed(tuple(keys), held)

    def close(self) -> None:
        """Show again what was there before."""
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._out.write(LEAVE)
            self._out.flush()
        self._restore.close()

    def _listen(self, keyboard: int) -> None:
        """Hear keys at once, without their being echoed; Ctrl-C stays what it is."""
        import termios
        import tty

        before = termios.tcgetattr(keyboard)
        self._restore.callback(termios.tcsetattr, keyboard, termios.TCSADRAIN, before)
        tty.setcbreak(keyboard)


def colours_of(environment: Mapping[str, str]) -> int:
    """Return how many colours a terminal promises to show."""
    return 2**24 if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit") else 256


def key_names(text: str) -> list[str]:
    """Return the keys that a terminal's text stands for: arrows are escape sequences."""
    names = []
    while text:
        if text[0] == "\x1b":
            known = ESCAPES.get(text[1:3])
            if known is None and len(text) > 1 and text[1] in "[O":  # of a key that nobody asks for
                end = next((place for place in range(2, len(text)) if "@" <= text[place] <= "~"), len(text) - 1)
                text = text[end + 1 :]
                continue
            names.append(known or "escape")
            text = text[3:] if known else text[1:]
        else:
            names.append(NAMED.get(text[0], text[0].lower()))
            text = text[1:]
    return names


def half_blocks(frame: Pixels, columns: int, rows: int, colours: int = 2**24) -> list[str]:
    """Return a frame as lines of half blocks, each of two pixels, one above the other.

    Args:
        frame: uint8 [height, width, 3].
        columns: characters that a line may have.
        rows: lines that there may be.
        colours: 2**24, or 256 of xterm's palette.
    """
    pixels = _fitted(frame, columns, 2 * rows)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    codes = _palette(pixels) if colours == 256 else pixels
    lines = []
    for upper, lower in zip(codes[::2], codes[1::2], strict=True):
        line, before = "", (None, None)
        for ink, ground in zip(upper.tolist(), lower.tolist(), strict=True):
            line += _colour(ink, ground, before) + HALF
            before = ink, ground
        lines.append(line + "\x1b[0m")
    return lines


def _colour(ink: Any, ground: Any, before: tuple[Any, Any]) -> str:
    """Return what changes the colours to these; nothing for those that are in force."""
    codes = []
    for place, colour, was in ((38, ink, before[0]), (48, ground, before[1])):
        if colour != was:
            codes.append(
                f"{place};5;{colour}" if isinstance(colour, int) else f"{place};2;" + ";".join(map(str, colour))
            )
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _palette(pixels: Pixels) -> NDArray[np.int64]:
    """Return the nearest of xterm's 240 fixed colours [height, width], of its cube or of its greys."""
    wide = pixels.astype(np.int64)
    levels = np.abs(wide[..., None] - CUBE).argmin(-1)  # [height, width, 3]
    grey = np.clip((wide.mean(-1) - 8 + 5) // 10, 0, 23).astype(np.int64)  # [height, width] of 8, 18, …, 238
    from_cube = ((CUBE[levels] - wide) ** 2).sum(-1)
    from_grey = (((8 + 10 * grey)[..., None] - wide) ** 2).sum(-1)
    nearest: NDArray[np.int64] = np.where(from_grey < from_cube, 232 + grey, 16 + levels @ np.array([36, 6, 1]))
    return nearest


def _fitted(frame: Pixels, width: int, height: int) -> Pixels:
    """Return a frame as large as fits, each new pixel the mean of what it covers."""
    from PIL import Image

    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, resampling))
