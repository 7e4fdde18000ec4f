"""Line charts as inline SVG that any width suits: lines are stretched, texts stand beside them as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from rlhub_core.reporting.curves import Curve, Values
from rlhub_core.reporting.markup import data, h

SIZE = 1000.0  # of the drawing, whatever its size on the screen
MOST = 500  # points of a line
MOST_DOTS = 700  # single episodes
DASHES = ("", "7 3", "2 3", "8 3 2 3")
COLOURS = 7  # that the style sheet knows
SI = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def chart(
    title: str, curves: Sequence[Curve], looks: Sequence[int], *, unit: str = "environment steps", legend: bool = True
) -> Element:
    """Return a figure with a line for each curve.

    Args:
        title: what is drawn.
        curves: what is drawn over their x; at least one has a value or an evaluation.
        looks: of each curve, the number of its colour and dashes.
        unit: of x.
        legend: say which line is which.
    """
    (left, right), (low, high) = _ranges(curves)

    def place(x: Any, y: Any) -> tuple[Values, Values]:
        across = (np.asarray(x, float) - left) / (right - left) * SIZE
        return across, (high - np.asarray(y, float)) / (high - low) * SIZE

    drawn = [_line(curve, look, place) for curve, look in zip(curves, looks, strict=True)]
    ticks_x, ticks_y = ticks(left, right, 5), ticks(low, high, 4)
    across, up = place(ticks_x, [low])[0] / SIZE * 100, place([left], ticks_y)[1] / SIZE * 100
    grid = "".join(f"M0 {y * 10:.1f}H{SIZE:.0f}" for y in up) + "".join(f"M{x * 10:.1f} 0V{SIZE:.0f}" for x in across)
    drawing = h(
        "svg",
        h("path", d=grid, class_="grid"),
        drawn,
        viewBox=f"0 0 {SIZE:.0f} {SIZE:.0f}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{title}. {_summary(curves)}",
    )
    labels = [
        *(h("span", short(tick), class_="y tick", style=f"top:{y:.2f}%") for tick, y in zip(ticks_y, up, strict=True)),
        *(h("span", short(t), class_="x tick", style=f"left:{x:.2f}%") for t, x in zip(ticks_x, across, strict=True)),
    ]
    values = {
        "x": [left, right],
        "y": [low, high],
        "unit": unit,
        "lines": [_values(curve, look) for curve, look in zip(curves, looks, strict=True)],
    }
    return h(
        "figure",
        h("figcaption", title),
        h("div", h("div", drawing, labels, class_="plot", data_title=title), class_="chart"),
        h("p", unit, class_="unit"),
        legend_of([curve.label for curve in curves], looks) if legend else None,
        data(values),
    )


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two ends, about so many."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def short(value: float) -> str:
    """Return a number as a tick says it: 20k, 0.5, 1.2e-05."""
    for size, suffix in SI:
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def _ranges(curves: Sequence[Curve]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ends of both axes: x from 0, y with a little room."""
    x: list[float] = [0.0]
    y: list[float] = []
    for curve in curves:
        x += [*curve.x.tolist(), *(point.x for point in curve.evaluations)]
        for part in (curve.means, curve.low, curve.high, curve.values if _has_dots(curve) else None):
            y += [] if part is None else part.tolist()
        y += [end for point in curve.evaluations for end in (point.low, point.high, point.mean)]
    low, high = min(y), max(y)
    alike = high - low <= 1e-9 * max(abs(low), abs(high))  # but for the rounding of means
    room = (abs(high) * 0.05 or 1.0) if alike else (high - low) * 0.05
    return (0.0, max(x) or 1.0), (low - room, high + room)


def _line(curve: Curve, look: int, place: Any) -> Element:
    """Return everything that is drawn of one curve."""
    parts: list[Element | None] = []
    at = _some(len(curve.x), MOST)
    x = curve.x[at]
    if _has_dots(curve):
        some = _some(len(curve.x), MOST_DOTS)
        parts.append(h("path", d=_dots(*place(curve.x[some], curve.values[some])), class_="dots"))
    if curve.low is not None and curve.high is not None and len(x):
        there, back = place(x, curve.high[at]), place(x[::-1], curve.low[at][::-1])
        parts.append(h("path", d=_path(*there) + "L" + _path(*back)[1:] + "Z", class_="band"))
    if len(x):
        drawn = place(x, curve.means[at])
        dashes = DASHES[look % len(DASHES)] or None
        path = _path(*drawn) if len(x) > 1 else _dots(*drawn)
        parts.append(h("path", d=path, class_="line", stroke_dasharray=dashes))
    if curve.evaluations:
        where = [point.x for point in curve.evaluations]
        middle = place(where, [point.mean for point in curve.evaluations])
        low, high = (place(where, [getattr(point, end) for point in curve.evaluations])[1] for end in ("low", "high"))
        stems = "".join(f"M{x:.1f} {a:.1f}V{b:.1f}" for x, a, b in zip(middle[0], low, high, strict=True))
        parts += [h("path", d=stems, class_="interval"), h("path", d=_dots(*middle), class_="halo")]
        parts.append(h("path", d=_dots(*middle), class_="evaluation"))
    return h("g", parts, class_=f"c{look % COLOURS}")


def _has_dots(curve: Curve) -> bool:
    return curve.window > 1 and curve.seeds == 1


def _some(count: int, most: int) -> Any:
    """Return the indices of at most so many of `count`, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, int)


def _path(x: Values, y: Values) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _dots(x: Values, y: Values) -> str:
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(np.atleast_1d(x), np.atleast_1d(y), strict=True))


def _values(curve: Curve, look: int) -> dict[str, Any]:
    """Return the numbers that are told where a reader points."""
    at = _some(len(curve.x), MOST)
    told: dict[str, Any] = {"label": curve.label, "look": look % COLOURS}
    told |= {"x": _rounded(curve.x[at]), "y": _rounded(curve.means[at])}
    if curve.low is not None and curve.high is not None:
        told |= {"low": _rounded(curve.low[at]), "high": _rounded(curve.high[at])}
    told["points"] = [_rounded(np.array([p.x, p.mean, p.low, p.high])) for p in curve.evaluations]
    return told


def _rounded(values: Values) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]


def legend_of(labels: Sequence[str], looks: Sequence[int]) -> Element:
    """Return which line is which."""
    return h("ul", [_entry(label, look) for label, look in zip(labels, looks, strict=True)], class_="legend")


def _entry(label: str, look: int) -> Element:
    dashes = DASHES[look % len(DASHES)] or None
    sample = h("path", d="M0 5H34", class_="line", stroke_dasharray=dashes)
    return h("li", h("svg", sample, width=34, height=10, aria_hidden="true", class_=f"c{look % COLOURS}"), label)


def _summary(curves: Sequence[Curve]) -> str:
    """Return in words what a line shows, for who cannot see it."""
    said = []
    for curve in curves:
        if len(curve.x):
            begin, end, peak = (short(float(f"{v:.4g}")) for v in (curve.means[0], curve.means[-1], curve.means.max()))
            said.append(f"{curve.label}: from {begin} to {end}, highest {peak}.")
        elif curve.evaluations:
            said.append(f"{curve.label}: {len(curve.evaluations)} evaluations, last {curve.evaluations[-1].mean:.4g}.")
    return " ".join(said)
