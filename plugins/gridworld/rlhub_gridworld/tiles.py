"""Pictures of tiles, and boards made of them; drawn large and made small, so that edges are smooth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rlhub_gridworld.maps import DOORS, KEYS, Map

Colour = tuple[int, int, int]

WALL, FLOOR, START, GOAL, PIT, CLIFF, UP, DOWN, LEFT, RIGHT, FIRST_KEY = range(11)  # how a tile looks
LOOKS = dict(zip("#.SGOx^v<>", range(FIRST_KEY), strict=True))
CLOSED, OPEN = 1, 2  # a key is FIRST_KEY + 3 i, its door that and one of these

_SMOOTH = 4  # times as large is a tile drawn
_FLOOR, _LINE = (250, 248, 243), (226, 221, 210)
_WALL, _WALL_LINE = (52, 61, 75), (61, 71, 87)
_GOAL, _START, _ARROW, _WIND = (38, 153, 92), (172, 190, 214), (120, 132, 150), (150, 190, 226)
_PIT, _PIT_DEEP, _LAVA, _FLAME = (140, 128, 140), (24, 19, 30), (214, 76, 48), (246, 160, 66)
_AGENT, _AGENT_EDGE = (41, 98, 214), (255, 255, 255)
_LETTERS = ((224, 162, 8), (190, 56, 142), (16, 142, 142), (230, 112, 52), (110, 80, 190), (140, 92, 44))  # a to f


def looks(map: Map) -> NDArray[np.uint8]:
    """Return [panels, rows, columns] how each tile looks with each set of keys: a key that is held lies nowhere."""
    return np.array(
        [[[_look(map, panel, tile) for tile in row] for row in map.rows] for panel in range(map.panels)], np.uint8
    )


def _look(map: Map, panel: int, tile: str) -> int:
    if tile in KEYS:
        return FLOOR if map.holds(panel, tile) else FIRST_KEY + 3 * map.keys.index(tile)
    if tile in DOORS:
        opened = OPEN if map.holds(panel, tile) else CLOSED
        return FIRST_KEY + 3 * map.keys.index(tile.lower()) + opened
    return LOOKS[tile]


def paint(seen: NDArray[np.uint8], keys: str, pixels: int) -> NDArray[np.uint8]:
    """Return pictures [B, rows * pixels, columns * pixels, 3] of boards.

    Args:
        seen: [B, rows, columns] how the tiles look.
        keys: the letters of the keys.
        pixels: of a tile's side.
    """
    batch, height, width = seen.shape
    flat = _pictures(keys, pixels)[0].reshape(-1, pixels * pixels * 3)  # numpy copies long rows much faster
    tiles = flat[seen].reshape(*seen.shape, pixels, pixels, 3)
    return tiles.swapaxes(2, 3).reshape(batch, height * pixels, width * pixels, 3)


def stand(
    pictures: NDArray[np.uint8],
    under: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    keys: str,
    pixels: int,
) -> None:
    """Draw the agent into pictures [B, …] of boards.

    Args:
        pictures: as `paint` made them.
        under: [B] how the tile looks on which it stands.
        rows: [B] where it stands; negative where it is not there.
        columns: [B] where it stands.
        keys: the letters of the keys.
        pixels: of a tile's side.
    """
    batch, height, width, _ = pictures.shape
    tiles = pictures.reshape(batch, height // pixels, pixels, width // pixels, pixels, 3)  # the same memory
    there = np.flatnonzero(rows >= 0)
    tiles[there, rows[there], :, columns[there]] = _pictures(keys, pixels)[1][under[there]]


def picture(
    map: Map, panel: int, agent: tuple[int, int] | None, wind: Sequence[int] | None, pixels: int
) -> NDArray[np.uint8]:
    """Return a picture [rows * pixels, columns * pixels, 3] of a world, with its wind, as one looks at it."""
    board = Image.fromarray(paint(looks(map)[panel][None], map.keys, pixels)[0])
    for column, strength in enumerate(wind or ()):
        for row in range(map.height) if strength else ():
            if map[row, column] in ".S":
                board.paste(_WIND, (column * pixels, row * pixels), _chevrons(strength, pixels))
    if agent is not None:
        disc = _agent(pixels)
        board.paste(disc, (agent[1] * pixels, agent[0] * pixels), disc)
    return np.asarray(board)


@lru_cache(maxsize=16)
def _pictures(keys: str, pixels: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return every tile [looks, pixels, pixels, 3], without and with the agent on it."""
    plain = [_small(_drawn(look, keys, pixels * _SMOOTH), pixels) for look in range(FIRST_KEY + 3 * len(keys))]
    disc = _agent(pixels)
    occupied = [Image.composite(disc.convert("RGB"), tile, disc.getchannel("A")) for tile in plain]
    return np.stack([np.asarray(tile) for tile in plain]), np.stack([np.asarray(tile) for tile in occupied])


@lru_cache(maxsize=16)
def _agent(pixels: int) -> Image.Image:
    large = Image.new("RGBA", (pixels * _SMOOTH,) * 2, (*_AGENT, 0))
    pen = ImageDraw.Draw(large)
    pen.ellipse(_box(large, 0.2), fill=(*_AGENT_EDGE, 255))
    pen.ellipse(_box(large, 0.24), fill=(*_AGENT, 255))
    return _small(large, pixels)


@lru_cache(maxsize=16)
def _chevrons(strength: int, pixels: int) -> Image.Image:
    """Return a mask of as many arrowheads as the wind is strong, three at most."""
    large = Image.new("L", (pixels * _SMOOTH,) * 2, 0)
    pen, count = ImageDraw.Draw(large), min(abs(strength), 3)
    for middle in (0.5 + 0.2 * (i - (count - 1) / 2) for i in range(count)):
        tip = -0.09 if strength > 0 else 0.09
        corners = [(0.32, middle - tip), (0.5, middle + tip), (0.68, middle - tip)]
        pen.line(_points(large, corners), fill=200, width=_width(large, 0.06), joint="curve")
    return _small(large, pixels)


def _drawn(look: int, keys: str, size: int) -> Image.Image:
    tile = Image.new("RGB", (size, size), _FLOOR)
    pen = ImageDraw.Draw(tile)
    if look == WALL:
        pen.rectangle((0, 0, size - 1, size - 1), fill=_WALL, outline=_WALL_LINE, width=_width(tile, 0.02))
        return tile
    pen.rectangle((0, 0, size - 1, size - 1), outline=_LINE, width=_width(tile, 0.02))
    if look == START:
        pen.rounded_rectangle(_box(tile, 0.14), size * 0.16, outline=_START, width=_width(tile, 0.07))
    elif look == GOAL:
        _goal(tile, pen)
    elif look == PIT:
        pen.ellipse(_box(tile, 0.1), fill=_PIT)
        pen.ellipse(_box(tile, 0.17), fill=_PIT_DEEP)
    elif look == CLIFF:
        _cliff(tile, pen)
    elif look in (UP, DOWN, LEFT, RIGHT):
        _arrow(tile, pen, quarter_turns={UP: 0, RIGHT: 1, DOWN: 2, LEFT: 3}[look])
    elif look >= FIRST_KEY:
        number, part = divmod(look - FIRST_KEY, 3)
        (_key, _closed, _open)[part](tile, pen, _LETTERS[KEYS.index(keys[number])])
    return tile


def _goal(tile: Image.Image, pen: ImageDraw.ImageDraw) -> None:
    pen.rounded_rectangle(_box(tile, 0.08), tile.width * 0.14, fill=_GOAL)
    turns = np.pi * (np.arange(10) / 5 - 0.5)
    radii = np.where(np.arange(10) % 2, 0.13, 0.31)
    star = [(0.5 + float(r * np.cos(t)), 0.52 + float(r * np.sin(t))) for r, t in zip(radii, turns, strict=True)]
    pen.polygon(_points(tile, star), fill=_FLOOR)


def _cliff(tile: Image.Image, pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((0, 0, tile.width, tile.width), fill=_LAVA)
    for top in (0.22, 0.5, 0.78):
        wave = [(x / 4, top + (0.06 if x % 2 else -0.06)) for x in range(5)]
        pen.line(_points(tile, wave), fill=_FLAME, width=_width(tile, 0.08), joint="curve")


def _arrow(tile: Image.Image, pen: ImageDraw.ImageDraw, quarter_turns: int) -> None:
    corners = [(0.5, 0.16), (0.8, 0.5), (0.61, 0.5), (0.61, 0.84), (0.39, 0.84), (0.39, 0.5), (0.2, 0.5)]
    for _ in range(quarter_turns):
        corners = [(1 - y, x) for x, y in corners]
    pen.polygon(_points(tile, corners), fill=_ARROW)


def _key(tile: Image.Image, pen: ImageDraw.ImageDraw, colour: Colour) -> None:
    width = _width(tile, 0.1)
    pen.line(_points(tile, [(0.4, 0.5), (0.88, 0.5)]), fill=colour, width=width)
    pen.line(_points(tile, [(0.83, 0.5), (0.83, 0.69)]), fill=colour, width=width)
    pen.line(_points(tile, [(0.67, 0.5), (0.67, 0.64)]), fill=colour, width=width)
    pen.ellipse([tile.width * part for part in (0.12, 0.31, 0.5, 0.69)], outline=colour, width=_width(tile, 0.11))


def _closed(tile: Image.Image, pen: ImageDraw.ImageDraw, colour: Colour) -> None:
    pen.rectangle((0, 0, tile.width, tile.width), fill=_WALL)
    pen.rounded_rectangle(_box(tile, 0.09), tile.width * 0.08, fill=colour)
    pen.ellipse([tile.width * part for part in (0.41, 0.33, 0.59, 0.51)], fill=_WALL)
    pen.polygon(_points(tile, [(0.5, 0.4), (0.59, 0.7), (0.41, 0.7)]), fill=_WALL)


def _open(tile: Image.Image, pen: ImageDraw.ImageDraw, colour: Colour) -> None:
    pen.rectangle((0, 0, tile.width, tile.width), fill=_WALL)
    pen.rounded_rectangle(_box(tile, 0.09), tile.width * 0.08, fill=_FLOOR, outline=colour, width=_width(tile, 0.09))


def _small(large: Image.Image, pixels: int) -> Image.Image:
    return large.resize((pixels, pixels), Image.Resampling.BOX)


def _box(tile: Image.Image, margin: float) -> list[float]:
    return [tile.width * margin] * 2 + [tile.width * (1 - margin) - 1] * 2


def _points(tile: Image.Image, corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * tile.width, y * tile.width) for x, y in corners]


def _width(tile: Image.Image, part: float) -> int:
    return max(1, round(tile.width * part))
