"""What holds in a world beside its map: chance, wind and rewards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhub_core import ConfigError
from rlhub_gridworld.options import is_real, is_whole

BORDERS = ("block", "end")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The options of every world; the reward of a step is that of where it leads.

    Raises:
        ConfigError: where a value makes no sense.
    """

    slip: float = 0.0  # probability that one of the two perpendicular directions, half each, replaces the action
    wind: tuple[int, ...] | None = None  # [columns] tiles upward (negative: downward), by the column a step starts in
    step_reward: float = 0.0
    goal_reward: float = 1.0
    pit_reward: float = -1.0
    cliff_reward: float = -100.0
    off_board: str = "block"  # leaving the board does nothing, or is the "end" of the episode
    off_board_reward: float = -1.0
    start: str | tuple[int, int] = "S"  # the tiles S, "anywhere" that is floor, or one (row, column)
    allow_unreachable: bool = False  # whether there may be no way to a goal, or no goal

    def __post_init__(self) -> None:
        if not is_real(self.slip) or not 0 <= self.slip <= 1:
            raise ConfigError(f"slip must be a probability in [0, 1], not {self.slip!r}.")
        wind: Any = self.wind
        if wind is not None and not (isinstance(wind, tuple) and all(map(is_whole, wind))):
            given = list(wind) if isinstance(wind, tuple) else wind
            raise ConfigError(f"wind must be a whole number of tiles for each column, not {given!r}.")
        for name in ("step_reward", "goal_reward", "pit_reward", "cliff_reward", "off_board_reward"):
            reward = getattr(self, name)
            if not is_real(reward) or not math.isfinite(reward):
                raise ConfigError(f"{name} must be a finite number, not {reward!r}.")
        if self.off_board not in BORDERS:
            raise ConfigError(f"off_board must be 'block' or 'end', not {self.off_board!r}.")
        if self.start not in ("S", "anywhere") and not _is_place(self.start):
            raise ConfigError(f"start must be 'S', 'anywhere' or a (row, column), not {self.start!r}.")
        if not isinstance(self.allow_unreachable, bool):
            raise ConfigError(f"allow_unreachable must be true or false, not {self.allow_unreachable!r}.")

    @classmethod
    def of(cls, **options: Any) -> Rules:
        """Return the rules, with lists, as recipes have them, and arrays made into tuples."""
        return cls(**{name: _plain(value) for name, value in options.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _is_place(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_whole, value))
