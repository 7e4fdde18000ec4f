"""A board being drawn: tiles, arrows, triangles and numbers on it, and the scale of colours beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlhub_tabular.board import HEADINGS, NOWHERE, Board

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

Colour = tuple[int, int, int]
Range = tuple[float, float]

LONGEST = 1_100  # pixels of a picture's longer side, about
LARGEST_TILE, SMALLEST_TILE = 72, 4  # pixels
ROOMY = 8  # pixels of a tile that has room for an arrow
LEGIBLE = 42  # pixels of a tile that has room for a number
SMOOTH = 2  # times larger drawn than shown, so that slanted edges are smooth
MARGIN, GAP = 16, 24  # pixels around all, and between panels
HEAD, BAR = 34, 84  # pixels for the title above, and for the scale at the right
PAPER, INK, WALL, UNKNOWN = (255, 255, 255), (34, 34, 34), (58, 62, 70), (226, 228, 232)
RIM = (255, 60, 60)  # around what is greedy
GOAL, OTHER_END = (140, 192, 220), (236, 182, 140)  # told apart by everybody
ANCHORS = np.array(  # from dark blue to yellow, evenly in perceived lightness
    [
        *((68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141)),
        *((39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37)),
    ]
)


@dataclass(frozen=True)
class Scale:
    """Numbers as colours.

    Args:
        low, high: the numbers at its ends.
        logarithmic: equal ratios, not differences, are equal steps.
    """

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Any, limits: Range | None) -> Scale:
        """Return the scale with these limits, or of all finite values where there are none."""
        finite = np.asarray(values)[np.isfinite(values)]
        if limits is None:
            limits = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        return cls(*limits)

    def place(self, value: float) -> float:
        """Return where on the scale a number stands, in [0, 1]."""
        low, high, at = self.low, self.high, float(value)
        if self.logarithmic:
            low, high, at = (math.log(max(number, 1e-9)) for number in (low, high, at))
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5

    def value(self, place: float) -> float:
        """Return the number at a place in [0, 1]."""
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + place * (self.high - self.low)

    def colour(self, value: float) -> Colour:
        """Return the colour of a number."""
        place = self.place(value) * (len(ANCHORS) - 1)
        below = min(int(place), len(ANCHORS) - 2)
        red, green, blue = ANCHORS[below] + (place - below) * (ANCHORS[below + 1] - ANCHORS[below])
        return round(red), round(green), round(blue)

    def ink(self, value: float) -> Colour:
        """Return what can be read on the colour of a number."""
        red, green, blue = self.colour(value)
        return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else PAPER


class Canvas:
    """A board being drawn: tiles, large and smooth, first; then it is shrunk; then text.

    Args:
        board: where the states stand.
        title: a line above.
        scale: of the numbers.
        longest: pixels of the longer side, about.
    """

    def __init__(self, board: Board, title: str, scale: Scale, longest: int) -> None:
        from PIL import Image, ImageDraw

        self.board, self.title, self.scale = board, title, scale
        self.rows, self.columns = board.walls.shape
        self.across = _panels_across(board.panels, self.rows, self.columns)
        self.down = math.ceil(board.panels / self.across)
        room = min(
            (longest - (panels - 1) * GAP) // (panels * tiles)
            for panels, tiles in ((self.down, self.rows), (self.across, self.columns))
        )
        self.size = max(SMALLEST_TILE, min(LARGEST_TILE, room))  # pixels of a tile
        width = MARGIN * 2 + BAR + self.across * self.columns * self.size + (self.across - 1) * GAP
        self.width = max(width, math.ceil(_font(17).getlength(title)) + 2 * MARGIN)
        self.height = MARGIN * 2 + HEAD + self.down * self.rows * self.size + (self.down - 1) * GAP
        self.enlarged = SMOOTH
        self.image = Image.new("RGB", (self.width * SMOOTH, self.height * SMOOTH), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self._draw_floor()

    def tile(self, state: int, colour: Colour) -> None:
        """Fill a state's cell."""
        self._box(self._corner(*self.board.cells[state].tolist()), colour)

    def arrow(self, state: int, heading: str, colour: Colour, *, alone: bool) -> None:
        """Draw an arrow from a cell's middle towards a side, or in its middle where it is the only one."""
        tip, neck, tail = (0.2, 0.04, -0.2) if alone else (0.36, 0.2, 0.0)
        half = [(tip, 0.0), (neck, 0.1), (neck, 0.03), (tail, 0.03)]  # along, aside
        shape = half + [(along, -aside) for along, aside in reversed(half[1:])]
        down, right = HEADINGS[heading]
        lifted = 0.14 if self.size >= LEGIBLE else 0.0  # the number stands below
        points = [
            (0.5 + along * right + aside * down, 0.5 - lifted + (along * down + aside * right) * (1 - 2 * lifted))
            for along, aside in shape
        ]
        self._polygon(state, points, colour)

    def part(self, state: int, action: int, actions: int, colour: Colour, *, rim: bool) -> None:
        """Fill an action's part of a cell: the quarter at one of its sides, or a stripe."""
        width = max(1, self.size // 28)
        if not self.board.headings:
            left, right = (0.02 + 0.96 * edge / actions for edge in (action, action + 1))
            stripe = [(left, 0.02), (right, 0.02), (right, 0.98), (left, 0.98)]
            self._polygon(state, stripe, colour, RIM if rim else PAPER, width)
            return
        heading = self.board.headings[action]
        self._polygon(state, [(0.5, 0.5), *_side(heading, 0.5, 0.5)], colour, PAPER if self.size >= ROOMY else None)
        if rim and self.size >= 12:
            down, right = HEADINGS[heading]
            inner = [(0.5 + 0.14 * right, 0.5 + 0.14 * down), *_side(heading, 0.42, 0.3)]
            self._polygon(state, inner, None, RIM, width)

    def shrink(self) -> None:
        """Bring the image to its size; from here on text is drawn."""
        from PIL import Image, ImageDraw

        self.image = self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        self.draw, self.enlarged = ImageDraw.Draw(self.image), 1
        for state, reward in self._endings():
            self._text(state, (0.5, 0.5), f"{reward:+g}" if reward else "end", INK, self.size // 4)

    def actions(self, state: int, actions: Sequence[int], colour: Colour) -> None:
        """Write the names of actions into a cell, above its number."""
        self._text(state, (0.5, 0.36), " ".join(f"a{action}" for action in actions), colour, max(9, self.size // 4))

    def number(
        self, state: int, value: float, colour: Colour, *, below: bool = False, towards: str | None = None
    ) -> None:
        """Write a number into a cell that has room for it: in its middle, below an arrow, or at one of its sides."""
        if towards is not None and self.size < LARGEST_TILE - 12:
            return
        down, right = HEADINGS[towards] if towards else (0, 0)
        place = (0.5 + 0.28 * right, (0.8 if below else 0.5) + 0.33 * down)
        self._text(state, place, _short(value), colour, max(9, self.size // (5 if towards is None else 7)))

    def finished(self) -> Image.Image:
        """Return the image with title and scale."""
        if self.title:
            self.draw.text((MARGIN, MARGIN), self.title, INK, font=_font(17), anchor="lt")
        left, top, height = self.width - BAR + 4, MARGIN + HEAD, min(240, self.height - 2 * MARGIN - HEAD)
        for line in range(height):
            value = self.scale.value(1 - line / max(1, height - 1))
            self.draw.rectangle((left, top + line, left + 13, top + line), self.scale.colour(value))
        self.draw.text((left + 20, top), _short(self.scale.high), INK, font=_font(12), anchor="lt")
        self.draw.text((left + 20, top + height), _short(self.scale.low), INK, font=_font(12), anchor="ls")
        return self.image

    def _draw_floor(self) -> None:
        for panel in range(self.board.panels):
            for row, column in np.ndindex(self.rows, self.columns):
                self._box(self._corner(panel, row, column), WALL if self.board.walls[row, column] else UNKNOWN)
        for state, _ in self._endings():
            self.tile(state, GOAL if state in self.board.goals else OTHER_END)

    def _endings(self) -> list[tuple[int, float]]:
        return [item for item in self.board.endings.items() if self.board.cells[item[0], 0] != NOWHERE]

    def _corner(self, panel: int, row: int, column: int) -> tuple[int, int]:
        down, across = divmod(panel, self.across)
        left = MARGIN + across * (self.columns * self.size + GAP) + column * self.size
        return left, MARGIN + HEAD + down * (self.rows * self.size + GAP) + row * self.size

    def _box(self, corner: tuple[int, int], colour: Colour) -> None:
        left, top = corner
        side = self.size - (1 if self.size >= 12 else 0)  # less a seam
        begin = (left * self.enlarged, top * self.enlarged)
        self.draw.rectangle((*begin, begin[0] + side * self.enlarged - 1, begin[1] + side * self.enlarged - 1), colour)

    def _polygon(
        self,
        state: int,
        points: Sequence[tuple[float, float]],
        fill: Colour | None,
        outline: Colour | None = None,
        width: int = 1,
    ) -> None:
        left, top = self._corner(*self.board.cells[state].tolist())
        corners = [((left + x * self.size) * self.enlarged, (top + y * self.size) * self.enlarged) for x, y in points]
        self.draw.polygon(corners, fill, outline, width * self.enlarged)

    def _text(self, state: int, place: tuple[float, float], text: str, colour: Colour, size: int) -> None:
        if self.size < LEGIBLE:
            return
        left, top = self._corner(*self.board.cells[state].tolist())
        at = (left + place[0] * self.size, top + place[1] * self.size)
        self.draw.text(at, text, colour, font=_font(size), anchor="mm")


def _side(heading: str, away: float, half: float) -> list[tuple[float, float]]:
    """Return the ends (x, y) of a line across a cell, so far from its middle and so long to either side."""
    down, right = HEADINGS[heading]
    return [(0.5 + away * right + sign * half * down, 0.5 + away * down + sign * half * right) for sign in (-1, 1)]


def _panels_across(panels: int, rows: int, columns: int) -> int:
    """Return how many panels stand side by side, so that all together are about as wide as high, gaps included."""
    return max(1, min(panels, round(math.sqrt(panels * (rows + 1) / (columns + 1)))))


def _short(value: float) -> str:
    """Return a number in about four characters."""
    value = float(value)
    if abs(value) >= 10_000:
        return f"{value / 1000:.0f}k"
    if value == round(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont as fonts

    return fonts.load_default(max(8, size))
