"""A world written as text, one character a tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rlhub_core import ConfigError

Place = tuple[int, int]  # row, column

KEYS = "abcdef"
DOORS = KEYS.upper()
ONE_WAY = "^v<>"  # in the order of the actions: up, down, left, right
LEGEND = (
    "# wall, . or space floor, S start, G goal, O pit, x cliff, ^ v < > one-way, "
    f"{KEYS[0]}-{KEYS[-1]} keys, {DOORS[0]}-{DOORS[-1]} doors"
)
_KNOWN = "#.SGOx" + ONE_WAY + KEYS + DOORS


@dataclass(frozen=True)
class Map:
    """The tiles of a world; rows and columns are counted from 0, downwards and to the right."""

    rows: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.rows or not self.rows[0]:
            raise ConfigError(f"The map is empty. Its tiles are: {LEGEND}.")
        for number, row in enumerate(self.rows):
            if len(row) != self.width:
                raise ConfigError(
                    f"The rows of the map are of unequal length: row {number} (counted from 0) has {len(row)} tiles, "
                    f"row 0 has {self.width}."
                )
        for place, tile in self:
            if tile not in _KNOWN:
                raise ConfigError(f"The map has {tile!r} at {at(place)}; its tiles are: {LEGEND}.")
        tiles = set("".join(self.rows))
        for key, door in zip(KEYS, DOORS, strict=True):
            if key in tiles and door not in tiles:
                raise ConfigError(f"The map has the key {key!r} and no door {door!r} for it. Write both or neither.")
            if door in tiles and key not in tiles:
                raise ConfigError(f"The map has the door {door!r} and no key {key!r} to it. Write both or neither.")

    @classmethod
    def parse(cls, text: str | Sequence[str]) -> Map:
        """Return the map that a text with a line (or a part between two "/") for each row, or a list of rows, draws.

        The indent that all lines of a text share is none of it, nor are empty lines above and below.

        Raises:
            ConfigError: for a character that is no tile, rows of unequal length, a key without a door or the reverse.
        """
        rows = _lines(text) if isinstance(text, str) else text
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, str) for row in rows):
            raise ConfigError(f"A map is a text or a list of rows, not {text!r}.")
        return cls(tuple(row.replace(" ", ".") for row in rows))

    def __getitem__(self, place: Place) -> str:
        return self.rows[place[0]][place[1]]

    def __iter__(self) -> Iterator[tuple[Place, str]]:
        for row, tiles in enumerate(self.rows):
            for column, tile in enumerate(tiles):
                yield (row, column), tile

    def __contains__(self, place: Place) -> bool:
        return 0 <= place[0] < self.height and 0 <= place[1] < self.width

    @property
    def height(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.rows[0])

    @cached_property
    def keys(self) -> str:
        """The keys, in the order of the alphabet: the i-th is bit i of a panel."""
        tiles = set("".join(self.rows))
        return "".join(key for key in KEYS if key in tiles)

    @property
    def panels(self) -> int:
        """How many sets of keys can be held."""
        return 1 << len(self.keys)

    def places(self, tile: str) -> list[Place]:
        """Return where a tile is, row by row."""
        return [place for place, here in self if here == tile]

    def holds(self, panel: int, letter: str) -> bool:
        """Return whether the key of this letter, in either case, is held in a panel."""
        return bool(panel >> self.keys.index(letter.lower()) & 1)

    def taking(self, panel: int, key: str) -> int:
        """Return the panel that a key leads to."""
        return panel | 1 << self.keys.index(key)


def _lines(text: str) -> list[str]:
    lines = text.replace("/", "\n").splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines).strip("\n").split("\n")


def at(place: Place) -> str:
    """Return a place as a message writes it."""
    return f"row {place[0]}, column {place[1]} (counted from 0)"
