"""A small canvas: text, bars, lines and pictures on an array of pixels. Pillow is imported when it is used."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import ImageFont

Pixels = NDArray[np.uint8]  # [height, width, 3]
Colour = tuple[int, int, int]

# Okabe & Ito (2008): told apart by the colour-blind, and in grey
PAPER, INK, MUTED, FAINT = (252, 252, 250), (32, 34, 38), (108, 112, 118), (222, 224, 226)
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


class Canvas:
    """A picture that is drawn on; places are pixels from the left and from the top."""

    def __init__(self, width: int, height: int, paper: Colour = PAPER) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (width, height), paper)
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self) -> Pixels:
        """Return what has been drawn."""
        return np.asarray(self._image)

    def text(self, x: float, y: float, words: str, colour: Colour = INK, size: int = 13, anchor: str = "lm") -> None:
        """Write words; `anchor` says what lies at (x, y), as Pillow does: "lm" is the middle of the left edge."""
        self._draw.text((x, y), words, colour, _font(size), anchor)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self._draw.rectangle((min(left, right), top, max(left, right), bottom), colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: int = 1) -> None:
        """Draw a line through points."""
        if len(points) > 1:
            self._draw.line(points, colour, width, "curve")

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)

    def pointer(self, x: float, y: float, colour: Colour) -> None:
        """Fill a small triangle that points to the right, its tip at (x, y)."""
        self._draw.polygon([(x - 6, y - 4), (x - 6, y + 4), (x, y)], colour)

    def paste(self, picture: Pixels, left: int, top: int) -> None:
        """Lay a picture on the canvas."""
        from PIL import Image

        self._image.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top))


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """Return a picture as large as fits: enlarged by a whole number, or shrunk so that each pixel is a mean."""
    from PIL import Image

    own_height, own_width = picture.shape[:2]
    times = min(width / own_width, height / own_height)
    if times >= 1:
        return picture.repeat(int(times), 0).repeat(int(times), 1)
    size = max(1, round(own_width * times)), max(1, round(own_height * times))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BOX))


def shortened(words: str, most: int) -> str:
    """Return words cut to so many letters."""
    return words if len(words) <= most else words[: most - 1] + "…"


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.load_default(size)
    return font
