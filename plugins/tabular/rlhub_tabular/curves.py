"""Q-values as they change, drawn over the iterations of an algorithm. Needs matplotlib, imported only to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE = "#0072B2"


def q_value_curves(
    histories: Mapping[str, tuple[Sequence[int] | NDArray[Any], NDArray[np.float64]]],
    *,
    state: int,
    action: int,
    true_value: float | None = None,
) -> Figure:
    """Draw one Q-value over the iterations of several algorithms, a panel each, with a common scale of values.

    Args:
        histories: title -> (iterations [N], Q-values [N, S, A]), as the callback `tabular/history` holds them.
        state, action: whose value is drawn.
        true_value: a dashed line, with its name beside it in the first panel.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(histories), 4), layout="constrained")
    panels = figure.subplots(1, len(histories), sharey=True, squeeze=False)[0]
    name = f"$Q(s_{{{state}}}, a_{{{action}}})$"
    for axes, (title, (iterations, tables)) in zip(panels, histories.items(), strict=True):
        axes.plot(iterations, tables[:, state, action], color=BLUE, linewidth=2)
        axes.set_title(title, fontsize=13)
        axes.set_xlabel("iterations")
        axes.set_xlim(iterations[0], max(iterations[-1], iterations[0] + 1))
        axes.spines[["top", "right"]].set_visible(False)
        if true_value is not None:
            axes.axhline(true_value, color="black", linestyle="--", linewidth=1)
    panels[0].set_ylabel(f"estimate of {name}")
    if true_value is not None:
        at = (0.98, true_value)
        panels[0].annotate(
            f"true {name}", at, (0, -6), panels[0].get_yaxis_transform(), "offset points", ha="right", va="top"
        )
    return figure
