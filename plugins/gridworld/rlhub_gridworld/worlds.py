"""Worlds whose map is made from options."""

from __future__ import annotations

from typing import Any

from rlhub_gridworld import layouts
from rlhub_gridworld.options import takes
from rlhub_gridworld.single import GridWorld
from rlhub_gridworld.vector import GridWorldVector


class Empty(GridWorld):
    """A room of height × width tiles; `options` are those of `GridWorld`."""

    @takes(GridWorld)
    def __init__(self, height: int = 6, width: int = 6, **options: Any) -> None:
        super().__init__(layouts.empty(height, width), **options)


class EmptyVector(GridWorldVector):
    """A batch of `Empty`."""

    @takes(GridWorldVector)
    def __init__(self, num_envs: int = 1, height: int = 6, width: int = 6, **options: Any) -> None:
        super().__init__(num_envs, layouts.empty(height, width), **options)


class Maze(GridWorld):
    """A perfect maze of height × width places, always the one of `layout_seed`; `options` are those of `GridWorld`."""

    @takes(GridWorld)
    def __init__(self, height: int = 6, width: int = 6, layout_seed: int = 0, **options: Any) -> None:
        super().__init__(layouts.maze(height, width, layout_seed), **options)


class MazeVector(GridWorldVector):
    """A batch of `Maze`, all of them the same one."""

    @takes(GridWorldVector)
    def __init__(
        self, num_envs: int = 1, height: int = 6, width: int = 6, layout_seed: int = 0, **options: Any
    ) -> None:
        super().__init__(num_envs, layouts.maze(height, width, layout_seed), **options)
