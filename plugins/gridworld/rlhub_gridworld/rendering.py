"""A world as one looks at it: as text, or as a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_gridworld import tiles
from rlhub_gridworld.maps import DOORS, KEYS
from rlhub_gridworld.model import Model

RENDERED_TILE_PIXELS = 40  # of a side
RENDERING = {"render_modes": ["ansi", "rgb_array"], "render_fps": 8}


def check_render_mode(render_mode: str | None) -> None:
    """Raise ConfigError for a mode that there is not."""
    if render_mode not in (None, "ansi", "rgb_array"):
        raise ConfigError(f"render_mode must be None, 'ansi' or 'rgb_array', not {render_mode!r}.")


def render(model: Model, state: int, render_mode: str) -> str | NDArray[np.uint8]:
    """Return a state as text ("ansi") or as a picture ("rgb_array")."""
    panel, row, column = model.cells[state].tolist()
    agent = None if panel < 0 else (row, column)
    if render_mode == "ansi":
        return text(model, max(panel, 0), agent)
    return tiles.picture(model.map, max(panel, 0), agent, model.rules.wind, RENDERED_TILE_PIXELS)


def text(model: Model, panel: int, agent: tuple[int, int] | None) -> str:
    """Return the map, with @ for the agent, without the keys that are held, and with / for open doors."""
    lines = [[_letter(model, panel, tile) for tile in row] for row in model.map.rows]
    if agent is not None:
        lines[agent[0]][agent[1]] = "@"
    return "".join("".join(line) + "\n" for line in lines)


def _letter(model: Model, panel: int, tile: str) -> str:
    if tile in KEYS + DOORS and model.map.holds(panel, tile):
        return "." if tile in KEYS else "/"
    return tile
