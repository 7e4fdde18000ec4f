"""What is seen of a state: its number, a board with a one in it, coordinates, or a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_gridworld import tiles
from rlhub_gridworld.model import Model
from rlhub_gridworld.options import positive

OBSERVED_TILE_PIXELS = 8  # of a side


class Observer(Protocol):
    """Turns states into observations."""

    @property
    def space(self) -> Space[Any]:
        """The space of a single observation."""
        ...

    def __call__(self, states: NDArray[np.int64]) -> NDArray[Any]:
        """Return a new array of observations [B, ...] of states [B]."""
        ...


def observer(model: Model, observation: str, view_radius: int | None) -> Observer:
    """Return what makes observations of this kind.

    Raises:
        ConfigError: for an unknown kind, and for a view around the agent where the kind has none.
    """
    whole: dict[str, Callable[[Model], Observer]] = {
        "coordinates": Coordinates,
        "image": ImageOfBoard,
        "index": Index,
        "one_hot": OneHot,
    }
    near: dict[str, Callable[[Model, int], Observer]] = {"image": ImageAround, "one_hot": TilesAround}
    if not isinstance(observation, str) or observation not in whole:
        raise ConfigError(f"There is no observation {observation!r}. There are: {', '.join(whole)}.")
    if view_radius is None:
        return whole[observation](model)
    if observation not in near:
        raise ConfigError(
            f"view_radius is for the observations image and one_hot; {observation!r} always tells the whole state. "
            "Leave it out."
        )
    return near[observation](model, positive("view_radius", view_radius, " of tiles"))


class Index:
    """The number of the state."""

    def __init__(self, model: Model) -> None:
        self.space = Discrete(model.states)

    def __call__(self, states: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return [B]."""
        return states.copy()


class OneHot:
    """A board for each set of keys, zeros but for a one where the agent is; all zeros when it is off the board."""

    def __init__(self, model: Model) -> None:
        shape = (model.map.panels, *model.board.shape)
        self._sizes = shape
        self._shape = shape if model.map.keys else shape[1:]
        self._cells = model.cells
        self.space = Box(0, 1, self._shape, np.int32)

    def __call__(self, states: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return [B, rows, columns], with keys [B, panels, rows, columns]."""
        boards = np.zeros((len(states), *self._sizes), np.int32)
        panels, rows, columns = self._cells[states].T
        boards[np.arange(len(states)), panels, rows, columns] = panels >= 0
        return boards.reshape(-1, *self._shape)


class Coordinates:
    """Row, column, and a flag for each key; row and column are -1 off the board."""

    def __init__(self, model: Model) -> None:
        keys = len(model.map.keys)
        off = int(model.rules.off_board == "end")
        sizes = [model.map.height + off, model.map.width + off] + [2] * keys
        self.space = MultiDiscrete(sizes, start=[-off, -off] + [0] * keys)
        panels = np.maximum(model.cells[:, :1], 0)  # off the board no key is held
        self._table = np.concatenate([model.cells[:, 1:], panels >> np.arange(keys) & 1], 1)  # [S, 2 + keys]

    def __call__(self, states: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return [B, 2 + keys]."""
        return self._table[states]


class ImageOfBoard:
    """A picture of the whole board."""

    def __init__(self, model: Model) -> None:
        self._looks, self._cells, self._keys = tiles.looks(model.map), model.cells, model.map.keys
        boards = tiles.paint(self._looks, self._keys, OBSERVED_TILE_PIXELS)  # one a set of keys
        self._boards = boards.reshape(len(boards), -1)  # flat, as numpy copies long rows much faster
        self.space = Box(0, 255, boards.shape[1:], np.uint8)

    def __call__(self, states: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return [B, rows * 8, columns * 8, 3]."""
        panels, rows, columns = self._cells[states].T
        boards = self._boards[np.maximum(panels, 0)]  # off the board no key is held
        pictures: NDArray[np.uint8] = boards.reshape(-1, *self.space.shape)
        tiles.stand(pictures, self._looks[panels, rows, columns], rows, columns, self._keys, OBSERVED_TILE_PIXELS)
        return pictures


class Around:
    """The tiles at most `radius` rows and columns from the agent; beyond the board, and off it, all is wall."""

    def __init__(self, model: Model, radius: int) -> None:
        self._radius, self._cells = radius, model.cells
        margins = ((0, 0), (radius, radius), (radius, radius))
        padded = np.pad(tiles.looks(model.map), margins, constant_values=tiles.WALL)
        self._windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2, (1, 2))

    def _around(self, states: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return [B, 2 radius + 1, 2 radius + 1] how the tiles look."""
        panels, rows, columns = self._cells[states].T
        windows: NDArray[np.uint8] = self._windows[panels, rows, columns]
        windows[panels < 0] = tiles.WALL
        return windows


class ImageAround(Around):
    """A picture of the tiles around the agent, which is in the middle."""

    def __init__(self, model: Model, radius: int) -> None:
        super().__init__(model, radius)
        self._keys = model.map.keys
        side = (2 * radius + 1) * OBSERVED_TILE_PIXELS
        self.space = Box(0, 255, (side, side, 3), np.uint8)

    def __call__(self, states: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return [B, (2 radius + 1) * 8, (2 radius + 1) * 8, 3]."""
        around = self._around(states)
        pictures = tiles.paint(around, self._keys, OBSERVED_TILE_PIXELS)
        middle = np.where(self._cells[states, 0] < 0, -1, self._radius)  # [B]
        tiles.stand(pictures, around[:, self._radius, self._radius], middle, middle, self._keys, OBSERVED_TILE_PIXELS)
        return pictures


class TilesAround(Around):
    """A plane for each kind of tile, ones where the tiles around the agent are of that kind.

    The planes are wall, floor, goal, pit, cliff, one-way up, down, left, right, and for each key the key and its closed
    door. A start, a key that is held and a door that is open look like floor.
    """

    def __init__(self, model: Model, radius: int) -> None:
        super().__init__(model, radius)
        keys = len(model.map.keys)
        plain = [0, 1, 1, *range(2, 9)]  # the plane of each look: a start is floor
        self._plane = np.array(plain + [plane for key in range(keys) for plane in (9 + 2 * key, 10 + 2 * key, 1)])
        self._planes = np.arange(9 + 2 * keys)[:, None, None]
        self.space = Box(0, 1, (9 + 2 * keys, 2 * radius + 1, 2 * radius + 1), np.int32)

    def __call__(self, states: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return [B, planes, 2 radius + 1, 2 radius + 1]."""
        planes: NDArray[np.int32] = (self._plane[self._around(states)][:, None] == self._planes).astype(np.int32)
        return planes
