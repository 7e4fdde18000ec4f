"""Pictures of tables on a world's board, as Pillow images: values, policies, Q-values, visits.

    board = Board.of(env)
    value_map(board, run.algorithm.q_values).save("values.png")

Every function takes tables as the algorithms here hold them, Q-values [S, A] with -inf where an action is impossible.
Where training has diverged, what is no number is drawn as unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlhub_tabular.board import Board
from rlhub_tabular.canvas import INK, LONGEST, ROOMY, UNKNOWN, Canvas, Range, Scale

if TYPE_CHECKING:
    from PIL.Image import Image

Values = NDArray[np.float64]


def value_map(
    board: Board, q_values: Values, *, title: str = "", limits: Range | None = None, longest: int = LONGEST
) -> Image:
    """Draw the value of every state as a colour and a number, and the greedy actions as arrows (or as a0, a1, …).

    Args:
        board: where the states stand.
        q_values: [S, A].
        title: a line above.
        limits: the values at the ends of the scale, the least and the greatest there are where None.
        longest: pixels of the longer side, about.
    """
    q_values = np.asarray(q_values, float)
    values = np.max(q_values, 1, initial=-np.inf, where=np.isfinite(q_values))  # [S]
    known = [state for state in board.standing if np.isfinite(values[state])]
    canvas = Canvas(board, title, Scale.of(values[known], limits), longest)
    for state in board.standing:
        canvas.tile(state, canvas.scale.colour(values[state]) if state in known else UNKNOWN)
    for state in known:
        greedy = _greedy(q_values[state]) if board.headings and canvas.size >= ROOMY else []
        for action in greedy:
            ink = canvas.scale.ink(values[state])
            canvas.arrow(state, board.headings[action], ink, alone=len(greedy) == 1)
    canvas.shrink()
    for state in known:
        ink = canvas.scale.ink(values[state])
        canvas.number(state, values[state], ink, below=True)
        if not board.headings:
            canvas.actions(state, _greedy(q_values[state]), ink)
    return canvas.finished()


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
        longest: pixels of the longer side, about.
    """
    q_values = np.asarray(q_values, float)
    canvas = Canvas(board, title, Scale.of(q_values[board.standing], limits), longest)
    for state in board.standing:
        canvas.tile(state, UNKNOWN)
        greedy = _greedy(q_values[state])
        for action, value in _finite(q_values[state]):
            canvas.part(state, action, q_values.shape[1], canvas.scale.colour(value), rim=action in greedy)
    canvas.shrink()
    for state in board.standing:
        for action, value in _finite(q_values[state]):
            if board.headings:
                canvas.number(state, value, canvas.scale.ink(value), towards=board.headings[action])
    return canvas.finished()


def visit_map(
    board: Board, visits: NDArray[np.int64], *, title: str = "", limits: Range | None = None, longest: int = LONGEST
) -> Image:
    """Draw how often every state was acted in, on a logarithmic scale of colours.

    Args:
        board: where the states stand.
        visits: [S, A] or [S].
        title: a line above.
        limits: the counts at the ends of the scale, 1 and the greatest there is where None.
        longest: pixels of the longer side, about.
    """
    counts = visits if visits.ndim == 1 else visits.sum(1)  # [S]
    limits = limits or (1.0, max(2.0, float(counts.max())))
    canvas = Canvas(board, title, Scale(*limits, logarithmic=True), longest)
    for state in board.standing:
        canvas.tile(state, canvas.scale.colour(counts[state]) if counts[state] else UNKNOWN)
    canvas.shrink()
    for state in board.standing:
        canvas.number(state, counts[state], canvas.scale.ink(counts[state]) if counts[state] else INK)
    return canvas.finished()


def _greedy(q_values: Values) -> list[int]:
    """Return the best actions of a state [A]; none where all are as good."""
    finite = np.isfinite(q_values)
    if not finite.any():
        return []
    best = q_values[finite].max()
    chosen = finite & (q_values >= best - 1e-9 * max(1.0, abs(best)))
    return [] if chosen[finite].all() and finite.sum() > 1 else np.flatnonzero(chosen).tolist()


def _finite(q_values: Values) -> list[tuple[int, Any]]:
    return [(action, value) for action, value in enumerate(q_values) if np.isfinite(value)]
