"""Plots as inline SVG: the score of single objects against what makes them hard. Colours come from
the page's CSS variables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from maquette.evaluate.summary import bootstrap_interval

WIDTH = 380
HEIGHT = 260
LEFT = 46
RIGHT = 20
TOP = 14
BOTTOM = 40
MOST_DOTS = 600  # per method; more only make the page heavy


@dataclass(frozen=True, eq=False)
class Axis:
    """One direction of a plot."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def share(self, value: np.ndarray) -> np.ndarray:
        """Position in [0, 1], clipped."""
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        scaled = np.log(np.maximum(value, 1e-12)) if self.log else np.asarray(value, np.float64)
        return np.clip((scaled - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)


SIZE = Axis(
    "size: share of the picture",
    3e-4,
    0.6,
    ((1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %")),
    log=True,
)
HIDDEN = Axis(
    "hidden by others",
    0.0,
    1.0,
    ((0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")),
)
COUNT = Axis("objects in the scene", 1.5, 12.5, tuple((float(k), str(k)) for k in range(2, 13, 2)))
PER_CENT = Axis(
    "object F-score",
    0.0,
    100.0,
    ((0.0, "0"), (25.0, "25"), (50.0, "50"), (75.0, "75"), (100.0, "100")),
)
UNIT = Axis(
    "box IoU", 0.0, 1.0, ((0.0, "0"), (0.25, ".25"), (0.5, ".5"), (0.75, ".75"), (1.0, "1"))
)


@dataclass(frozen=True, eq=False)
class Series:
    """The objects of one method."""

    name: str
    x: np.ndarray  # (N,)
    y: np.ndarray  # (N,); nan is left out


def binned(
    x: np.ndarray, y: np.ndarray, edges: np.ndarray, least: int = 5
) -> list[tuple[float, float, float, float]]:
    """(middle of x, mean of y, lower and upper end of its 95 % bootstrap interval) of every bin
    with at least ``least`` objects.
    """
    rows = []
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (x >= low) & (x < high) & ~np.isnan(y)
        if inside.sum() >= least:
            ends = bootstrap_interval(y[inside][:, None], resamples=600)
            rows.append(
                (
                    float(x[inside].mean()),
                    float(y[inside].mean()),
                    float(ends[0][0]),
                    float(ends[1][0]),
                )
            )
    return rows


def edges_of(axis: Axis, bins: int = 6) -> np.ndarray:
    """Ends of the bins along an axis; whole numbers for counts."""
    if axis is COUNT:
        return np.array([1.5, 3.5, 5.5, 7.5, 9.5, np.inf])
    if axis is HIDDEN:
        return np.array(
            [-np.inf, 0.02, 0.15, 0.3, 0.5, np.inf]
        )  # most objects are not hidden at all
    ends = np.log([axis.low, axis.high]) if axis.log else np.array([axis.low, axis.high])
    edges = np.linspace(*ends, bins + 1)
    edges = np.exp(edges) if axis.log else edges
    edges[0] = -np.inf
    edges[-1] = np.inf
    return edges


def plot(series: Sequence[Series], x: Axis, y: Axis) -> str:
    """A scatter of all objects with the mean of each bin and its interval, as an <svg> element;
    method k has class ``s<k>``.
    """
    parts = [*_grid(x, y), *(part for k, one in enumerate(series) for part in _dots(one, k, x, y))]
    parts += [part for k, one in enumerate(series) for part in _trend(one, k, x, y)]
    title = escape(f"{y.label} against {x.label}")
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>{"".join(parts)}</svg>'


def _at(x: Axis, y: Axis, px: np.ndarray, py: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return LEFT + x.share(px) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y.share(py) * (
        HEIGHT - TOP - BOTTOM
    )


def _grid(x: Axis, y: Axis) -> list[str]:
    parts = []
    for value, text in y.ticks:
        at = float(_at(x, y, np.array(x.low), np.array(value))[1])
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for value, text in x.ticks:
        at = float(_at(x, y, np.array(value), np.array(y.low))[0])
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{text}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="label" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x.label)}</text>'
    )
    at = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" x="11" y="{at}" text-anchor="middle" transform="rotate(-90 11 {at})">{escape(y.label)}</text>'
    )
    return parts


def _dots(one: Series, k: int, x: Axis, y: Axis) -> list[str]:
    known = np.flatnonzero(~np.isnan(one.x) & ~np.isnan(one.y))
    known = known[:: max(1, -(-len(known) // MOST_DOTS))]
    spread = (
        np.random.default_rng(0).uniform(-0.28, 0.28, len(known)) if x is COUNT else 0.0
    )  # whole numbers would hide each other
    px, py = _at(x, y, one.x[known] + spread, one.y[known])
    path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(px, py))
    return [f'<path class="dots s{k}" d="{path}"/>'] if path else []


def _trend(one: Series, k: int, x: Axis, y: Axis) -> list[str]:
    rows = binned(one.x, one.y, edges_of(x))
    if len(rows) < 2:
        return []
    middle, mean, low, high = (np.array(values) for values in zip(*rows))
    px, top = _at(x, y, middle, high)
    bottom = _at(x, y, middle, low)[1]
    line = _at(x, y, middle, mean)[1]
    band = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*zip(px, top), *zip(px[::-1], bottom[::-1])])
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, line))
    marks = "".join(
        f'<circle class="mark s{k}" cx="{a:.1f}" cy="{b:.1f}" r="3"><title>{escape(one.name)}: {value:.3g}</title></circle>'
        for a, b, value in zip(px, line, mean)
    )
    return [
        f'<polygon class="band s{k}" points="{band}"/>',
        f'<polyline class="trend s{k}" points="{points}"/>',
        marks,
    ]
