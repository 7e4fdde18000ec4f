"""Videos inside a page, as data: smaller where they must be, left out where even that is too large."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from xml.etree.ElementTree import Element

from rlhub_core.reporting.markup import h

TYPES = {".gif": "image/gif", ".mp4": "video/mp4", ".webm": "video/webm"}
BEST = ", the best so far"
SMALLER = ((320, 2), (240, 4), (160, 8))  # pixels of the longer side, one frame in so many


def videos_of(folder: Path) -> list[Path]:
    """Return the videos of a run, those of the latest steps first."""
    found = (path for path in (folder / "videos").glob("*") if path.suffix.lower() in TYPES and path.is_file())
    return sorted(found, key=lambda path: (_step(path) or 0, path.name), reverse=True)


def embedded(path: Path, shown: str, room: int) -> tuple[Element, int]:
    """Return a video as an element of a page, or a note that it was too large, and the characters that it takes.

    Args:
        path: of the video.
        shown: what it shows, for who cannot see it.
        room: characters that are left.
    """
    step = _step(path)
    title = path.name if step is None else f"After {step:,} steps{BEST * path.stem.startswith('best')}"
    alternative = f"{shown}. {title}."
    for content, note in _versions(path, room):
        text = base64.b64encode(content).decode()
        if len(text) <= room:
            return _element(path, title, alternative, text, note), len(text)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    return h("p", f"{title}: left out, so that this page stays small ({size}): {path}", class_="note"), 0


def _versions(path: Path, room: int) -> Iterator[tuple[bytes, str]]:
    """Yield the video, or smaller ones from the largest on, each with a note of what was done."""
    if path.stat().st_size * 4 / 3 <= room:
        yield path.read_bytes(), ""
    elif path.suffix.lower() == ".gif" and room > 0 and find_spec("PIL") is not None:
        from PIL.Image import DecompressionBombError

        with contextlib.suppress(OSError, ValueError, SyntaxError, DecompressionBombError):  # of what is no picture
            for side, every in SMALLER:
                yield _shrunk(path, side, every), f"Made smaller: one frame in {every}."


def _shrunk(path: Path, side: int, every: int) -> bytes:
    from PIL import Image, ImageSequence

    buffer = io.BytesIO()
    with Image.open(path) as film:
        frames: list[Image.Image] = []
        durations: list[int] = []
        for index, frame in enumerate(ImageSequence.Iterator(film)):
            if index % every:
                durations[-1] += frame.info.get("duration", 50)
                continue
            small = frame.convert("RGB")
            small.thumbnail((side, side))
            frames.append(small.quantize(64, dither=Image.Dither.NONE))
            durations.append(frame.info.get("duration", 50))
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()


def _element(path: Path, title: str, alternative: str, text: str, note: str) -> Element:
    source = f"data:{TYPES[path.suffix.lower()]};base64,{text}"
    if path.suffix.lower() == ".gif":
        film = h("img", src=source, alt=alternative)
    else:
        film = h("video", h("source", src=source), controls=True, loop=True, muted=True, aria_label=alternative)
    said = h("p", note, class_="note") if note else None
    return h("details", h("summary", title), film, said, open=True, class_="video")


def _step(path: Path) -> int | None:
    found = re.search(r"(?:steps?|evaluation|best)[-_]?(\d+)", path.stem)
    return int(found.group(1)) if found else None
