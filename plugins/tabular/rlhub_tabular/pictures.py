"""Pictures of tables on a world's board, as Pillow images: values, policies, Q-values, visits.

    board = Board.of(env)
    value_map(board, run.algorithm.q_values).save("values.png")

Every function takes tables as the algorithms here hold them, Q-values [S, A] with -inf where an action is impossible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlhub_tabular.board import HEADINGS, NOWHERE, Board

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

Values = NDArray[np.float64]
Colour = tuple[int, int, int]
Range = tuple[float, float]

LONGEST = 880  # pixels of a panel's longer side, about
LARGEST_TILE, SMALLEST_TILE = 72, 4  # pixels
ROOMY = 8  # pixels of a tile that has room for an arrow
LEGIBLE = 42  # pixels of a tile that has room for a number
SMOOTH = 2  # times larger drawn than shown, so that slanted edges are smooth
GAP, MARGIN, HEAD, BAR = (
    24,
    16,
    34,
    84,
)  # pixels between panels, around, above for the title, at the right for the scale
PAPER, INK, WALL, UNKNOWN = (255, 255, 255), (34, 34, 34), (58, 62, 70), (226, 228, 232)
RIM = (255, 60, 60)  # around what is greedy
GOOD, BAD = (0, 114, 178), (213, 94, 0)  # told apart by everybody
ANCHORS = np.array(  # from dark blue to yellow, evenly in perceived lightness
    [
        [68, 1, 84],
        [71, 44, 122],
        [59, 81, 139],
        [44, 113, 142],
        [33, 144, 141],
        [39, 173, 129],
        [92, 200, 99],
        [170, 220, 50],
        [253, 231, 37],
    ]
)


def value_map(
    board: Board, q_values: Values, *, title: str = "", limits: Range | None = None, longest: int = LONGEST
) -> Image:
    """Draw the value of every state as a colour and a number, and the greedy actions as arrows (or as a0, a1, …).

    Args:
        board: where the states stand.
        q_values: [S, A].
        title: a line above.
        limits: the values at the ends of the scale, the least and the greatest there are where None.
        longest: pixels of the longer side of a panel, about.
    """
    values = np.where(np.isfinite(q_values).any(1), q_values.max(1, initial=-np.inf), 0.0)  # [S]
    picture = _Picture(board, _shown(board, values), title, limits, longest)
    for state in picture.states:
        if state not in board.endings:
            picture.tile(state, picture.colour(values[state]))
            greedy = _greedy(q_values[state]) if board.headings and picture.size >= ROOMY else []
            for action in greedy:
                picture.arrow(state, board.headings[action], picture.ink(values[state]), alone=len(greedy) == 1)
    picture.shrink()
    for state in picture.states:
        if state not in board.endings:
            picture.number(state, values[state], picture.ink(values[state]), below=True)
            if not board.headings:
                picture.actions(state, _greedy(q_values[state]), picture.ink(values[state]))
    return picture.finished()


def q_map(
    board: Board, q_values: Values, *, title: str = "", limits: Range | None = None, longest: int = LONGEST
) -> Image:
    """Draw the value of every action as a triangle on its side of the cell; the greedy ones have a rim.

    Where actions are no moves on the board, they are stripes from left to right.

    Args:
        board: where the states stand.
        q_values: [S, A].
        title: a line above.
        limits: the values at the ends of the scale, the least and the greatest there are where None.
        longest: pixels of the longer side of a panel, about.
    """
    shown = q_values[[state for state in _standing(board) if state not in board.endings]]
    picture = _Picture(board, shown[np.isfinite(shown)], title, limits, longest)
    for state in picture.states:
        if state in board.endings:
            continue
        picture.tile(state, UNKNOWN)
        greedy = _greedy(q_values[state])
        for action, value in enumerate(q_values[state]):
            if np.isfinite(value):
                picture.part(state, action, len(q_values[0]), picture.colour(value), rim=action in greedy)
    picture.shrink()
    for state in picture.states:
        if state not in board.endings and board.headings:
            for action, value in enumerate(q_values[state]):
                if np.isfinite(value):
                    picture.number(state, value, picture.ink(value), towards=board.headings[action])
    return picture.finished()


def visit_map(
    board: Board, visits: NDArray[np.int64], *, title: str = "", limits: Range | None = None, longest: int = LONGEST
) -> Image:
    """Draw how often every state was acted in, on a logarithmic scale of colours.

    Args:
        board: where the states stand.
        visits: [S, A] or [S].
        title: a line above.
        limits: the counts at the ends of the scale, 1 and the greatest there is where None.
        longest: pixels of the longer side of a panel, about.
    """
    counts = visits if visits.ndim == 1 else visits.sum(1)  # [S]
    limits = limits or (1.0, max(2.0, float(counts.max())))
    picture = _Picture(board, counts.astype(float), title, limits, longest, logarithmic=True)
    for state in picture.states:
        if state not in board.endings:
            picture.tile(state, picture.colour(counts[state]) if counts[state] else UNKNOWN)
    picture.shrink()
    for state in picture.states:
        if state not in board.endings:
            picture.number(state, counts[state], picture.ink(counts[state]) if counts[state] else INK)
    return picture.finished()


class _Picture:
    """A board being drawn: tiles large and smooth first, then shrunk, then text."""

    def __init__(
        self,
        board: Board,
        values: Values,
        title: str,
        limits: Range | None,
        longest: int,
        *,
        logarithmic: bool = False,
    ) -> None:
        from PIL import Image, ImageDraw

        self.board, self.title, self.logarithmic = board, title, logarithmic
        self.low, self.high = limits or _limits(values)
        self.rows, self.columns = board.walls.shape
        self.size = max(SMALLEST_TILE, min(LARGEST_TILE, longest // max(self.rows, self.columns)))
        self.across = _panels_across(board.panels, self.rows, self.columns)
        self.down = math.ceil(board.panels / self.across)
        self.width = MARGIN * 2 + BAR + self.across * self.columns * self.size + (self.across - 1) * GAP
        self.height = MARGIN * 2 + HEAD + self.down * self.rows * self.size + (self.down - 1) * GAP
        self.scale = SMOOTH
        self.image: Image.Image = Image.new("RGB", (self.width * SMOOTH, self.height * SMOOTH), PAPER)
        self.draw: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)
        self.states = _standing(board)
        for panel in range(board.panels):
            for row, column in np.ndindex(board.walls.shape):
                self._box(self._corner(panel, row, column), WALL if board.walls[row, column] else UNKNOWN)

    def colour(self, value: float) -> Colour:
        """Return the colour of a value."""
        place = self._place(value) * (len(ANCHORS) - 1)
        below = min(int(place), len(ANCHORS) - 2)
        red, green, blue = ANCHORS[below] + (place - below) * (ANCHORS[below + 1] - ANCHORS[below])
        return round(red), round(green), round(blue)

    def ink(self, value: float) -> Colour:
        """Return what can be read on the colour of a value."""
        red, green, blue = self.colour(value)
        return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else PAPER

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

    def actions(self, state: int, actions: Sequence[int], colour: Colour) -> None:
        """Write the names of actions into a cell, above its number."""
        self._text(state, (0.5, 0.36), " ".join(f"a{action}" for action in actions), colour, max(9, self.size // 4))

    def part(self, state: int, action: int, actions: int, colour: Colour, *, rim: bool) -> None:
        """Fill an action's part of a cell: the quarter at one of its sides, or a stripe."""
        if not self.board.headings:
            left, right = (0.02 + 0.96 * edge / actions for edge in (action, action + 1))
            stripe = [(left, 0.02), (right, 0.02), (right, 0.98), (left, 0.98)]
            self._polygon(state, stripe, colour, outline=RIM if rim else PAPER, width=max(1, self.size // 28))
            return
        heading = self.board.headings[action]
        self._polygon(state, [(0.5, 0.5), *_side(heading, 0.5, 0.5)], colour, outline=PAPER)
        if rim and self.size >= 12:
            down, right = HEADINGS[heading]
            inner = [(0.5 + 0.14 * right, 0.5 + 0.14 * down), *_side(heading, 0.42, 0.3)]
            self._polygon(state, inner, None, outline=RIM, width=max(1, self.size // 28))

    def shrink(self) -> None:
        """Bring the image to its size; from here on text is drawn."""
        from PIL import Image, ImageDraw

        best = max(self.board.endings.values(), default=0.0)
        for state, reward in self.board.endings.items():
            if self.board.cells[state, 0] != NOWHERE:
                self.tile(state, _pale(GOOD if reward == best else BAD))
        self.image = self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        self.draw, self.scale = ImageDraw.Draw(self.image), 1
        for state, reward in self.board.endings.items():
            if self.board.cells[state, 0] != NOWHERE:
                self._text(state, (0.5, 0.5), f"{reward:+g}" if reward else "end", INK, self.size // 4)

    def number(
        self, state: int, value: float, colour: Colour, *, below: bool = False, towards: str | None = None
    ) -> None:
        """Write a number into a cell that has room for it: in its middle, below an arrow, or at one of its sides."""
        if self.size < (LEGIBLE if towards is None else LARGEST_TILE - 12):
            return
        down, right = HEADINGS[towards] if towards else (0, 0)
        place = (0.5 + 0.28 * right, (0.8 if below else 0.5) + 0.33 * down)
        self._text(state, place, _short(value), colour, max(9, self.size // (5 if towards is None else 7)))

    def finished(self) -> Image:
        """Return the image with title and scale."""
        if self.title:
            self.draw.text((MARGIN, MARGIN), self.title, INK, font=_font(17), anchor="lt")
        left, top, height = self.width - BAR + 4, MARGIN + HEAD, min(240, self.height - 2 * MARGIN - HEAD)
        for line in range(height):
            share = 1 - line / max(1, height - 1)
            self.draw.rectangle((left, top + line, left + 13, top + line), self.colour(self._value(share)))
        self.draw.text((left + 20, top), _short(self.high), INK, font=_font(12), anchor="lt")
        self.draw.text((left + 20, top + height), _short(self.low), INK, font=_font(12), anchor="ls")
        return self.image

    def _place(self, value: float) -> float:
        """Return where on the scale a value stands, in [0, 1]."""
        low, high, at = self.low, self.high, float(value)
        if self.logarithmic:
            low, high, at = math.log(max(low, 1e-9)), math.log(max(high, 1e-9)), math.log(max(at, 1e-9))
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5

    def _value(self, place: float) -> float:
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + place * (self.high - self.low)

    def _corner(self, panel: int, row: int, column: int) -> tuple[int, int]:
        down, across = divmod(panel, self.across)
        left = MARGIN + across * (self.columns * self.size + GAP) + column * self.size
        return left, MARGIN + HEAD + down * (self.rows * self.size + GAP) + row * self.size

    def _box(self, corner: tuple[int, int], colour: Colour) -> None:
        left, top = corner
        seam = 1 if self.size >= 12 else 0
        box = [left, top, left + self.size - seam, top + self.size - seam]
        begin, end = [edge * self.scale for edge in box[:2]], [edge * self.scale - 1 for edge in box[2:]]
        self.draw.rectangle([*begin, *end], colour)

    def _polygon(
        self,
        state: int,
        points: Sequence[tuple[float, float]],
        fill: Colour | None,
        outline: Colour | None = None,
        width: int = 1,
    ) -> None:
        left, top = self._corner(*self.board.cells[state].tolist())
        corners = [((left + x * self.size) * self.scale, (top + y * self.size) * self.scale) for x, y in points]
        self.draw.polygon(corners, fill, outline, width * self.scale)

    def _text(self, state: int, place: tuple[float, float], text: str, colour: Colour, size: int) -> None:
        if self.size < LEGIBLE:
            return
        left, top = self._corner(*self.board.cells[state].tolist())
        at = (left + place[0] * self.size, top + place[1] * self.size)
        self.draw.text(at, text, colour, font=_font(size), anchor="mm")


def _greedy(q_values: Values) -> list[int]:
    """Return the best actions of a state [A]; none where all are as good."""
    best = q_values.max()
    if not np.isfinite(best):
        return []
    chosen = q_values >= best - 1e-9 * max(1.0, abs(best))
    if chosen[np.isfinite(q_values)].all() and np.isfinite(q_values).sum() > 1:
        return []
    return np.flatnonzero(chosen).tolist()


def _side(heading: str, away: float, half: float) -> list[tuple[float, float]]:
    """Return the ends (x, y) of a line across a cell, so far from its middle and so long to either side."""
    down, right = HEADINGS[heading]
    return [(0.5 + away * right + sign * half * down, 0.5 + away * down + sign * half * right) for sign in (-1, 1)]


def _standing(board: Board) -> list[int]:
    return np.flatnonzero(board.cells[:, 0] != NOWHERE).tolist()


def _shown(board: Board, values: Values) -> Values:
    return values[[state for state in _standing(board) if state not in board.endings]]


def _limits(values: Values) -> Range:
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def _panels_across(panels: int, rows: int, columns: int) -> int:
    """Return how many panels stand side by side, so that all together are about as wide as high."""
    return max(1, min(panels, round(math.sqrt(panels * rows / columns))))


def _short(value: float) -> str:
    """Return a number in about four characters."""
    value = float(value)
    if abs(value) >= 10_000:
        return f"{value / 1000:.0f}k"
    if value == round(value) and abs(value) < 10_000:
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _pale(colour: Colour) -> Colour:
    red, green, blue = (round(255 - (255 - part) * 0.45) for part in colour)
    return red, green, blue


def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont as fonts

    return fonts.load_default(max(8, size))
