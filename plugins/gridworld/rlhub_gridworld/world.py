"""What a single world and a batch of it have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from rlhub_gridworld.maps import Map
from rlhub_gridworld.model import HEADINGS, Model, Transitions, compiled
from rlhub_gridworld.observations import observer
from rlhub_gridworld.options import takes
from rlhub_gridworld.rendering import check_render_mode
from rlhub_gridworld.rules import Rules


class World:
    """A world drawn as a map; `Rules` says what most of its keywords mean.

    Attributes:
        P: the model, `P[state][action] = [(probability, next_state, reward, terminated), …]`.
        cells: [S, 3] panel (set of keys held), row and column of each state, -1 off the board.
        board: [rows, columns] bool, true for walls.
        headings: where each action leads, in words.
    """

    headings = HEADINGS

    @takes(Rules)
    def __init__(
        self,
        map: str | Sequence[str],
        *,
        observation: str = "index",
        view_radius: int | None = None,
        render_mode: str | None = None,
        **rules: Any,
    ) -> None:
        """Build it; raises ConfigError where a value makes no sense."""
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self._model: Model = compiled(Map.parse(map), Rules.of(**rules))
        self._observe = observer(self._model, observation, view_radius)
        self.cells, self.board = self._model.cells, self._model.board

    @cached_property
    def P(self) -> Transitions:
        """The model: `P[state][action] = [(probability, next_state, reward, terminated), …]`."""
        return self._model.transitions()
