"""Plots as inline SVG: the score of single objects against what makes them hard. Colours come from
the page's CSS variables, so that the plots follow its light and dark theme.

Why not matplotlib or Vega: matplotlib 3.11 and what it needs are 77 MB more to install and 0.5 s to
import, two methods with 600 dots are 136 kB of SVG there and 18 kB here, and its colours are fixed;
Vega 6 and Vega-Lite 6 would put 0.77 MB of script into every page, which then draws with them only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from maquette.evaluate.summary import bootstrap_interval

WIDTH = 380
HEIGHT = 260
LEFT = 46
RIGHT = WIDTH - 20
TOP = 14
BOTTOM = HEIGHT - 40
MOST_DOTS = 600  # per method; more only make the page heavy
LEAST = 5  # objects of a bin whose mean is shown


@dataclass(frozen=True, eq=False)
class Axis:
    """One direction of a plot. ``edges``: ends of the bins along it, which hold every value."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    edges: tuple[float, ...] = ()
    log: bool = False
    percent: bool = False  # shares, shown as per cent
    whole: bool = False  # whole numbers, whose dots would hide each other

    def share(self, value: np.ndarray | float) -> np.ndarray:
        """Position in [0, 1], clipped."""
        ends = np.array([self.low, self.high])
        if self.log:
            ends = np.log(ends)
            value = np.log(np.maximum(value, 1e-12))
        return np.clip((value - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)

    def text(self, tick: float) -> str:
        """What stands beside a tick."""
        return f"{100 * tick:g} %" if self.percent else f"{tick:g}".replace("0.", ".")


QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
SIZES = (3e-4, 0.6)  # least and most, of the picture
SIZE = Axis(
    "size: share of the picture",
    *SIZES,
    ticks=(1e-3, 1e-2, 1e-1),
    edges=(-np.inf, *np.exp(np.linspace(np.log(SIZES[0]), np.log(SIZES[1]), 7)[1:-1]), np.inf),
    log=True,
    percent=True,
)
HIDDEN = Axis(
    "hidden by others",
    0.0,
    1.0,
    ticks=QUARTERS,
    edges=(-np.inf, 0.02, 0.15, 0.3, 0.5, np.inf),  # most objects are not hidden at all
    percent=True,
)
COUNT = Axis(
    "objects in the scene",
    1.5,
    12.5,
    ticks=(2, 4, 6, 8, 10, 12),
    edges=(1.5, 3.5, 5.5, 7.5, 9.5, np.inf),
    whole=True,
)
PER_CENT = Axis("object F-score", 0.0, 100.0, ticks=(0, 25, 50, 75, 100))
UNIT = Axis("box IoU", 0.0, 1.0, ticks=QUARTERS)


@dataclass(frozen=True, eq=False)
class Series:
    """The objects of one method."""

    name: str
    x: np.ndarray  # (N,)
    y: np.ndarray  # (N,); nan is left out


def binned(x: np.ndarray, y: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """(K, 4) middle of x, mean of y, lower and upper end of its 95 % bootstrap interval, of every
    bin with enough objects.
    """
    rows = []
    for low, high in itertools.pairwise(edges):
        inside = (x >= low) & (x < high) & ~np.isnan(y)
        if inside.sum() >= LEAST:
            ends = bootstrap_interval(y[inside][:, None], resamples=600)
            (lower,), (upper,) = ends
            rows.append((x[inside].mean(), y[inside].mean(), lower, upper))
    return np.array(rows).reshape(-1, 4)


def plot(series: Sequence[Series], x: Axis, y: Axis) -> str:
    """A scatter of all objects with the mean of each bin and its interval, as an <svg> element;
    method k has class ``s<k>``.
    """
    parts = _grid(x, y)
    for k, one in enumerate(series):
        parts += _dots(one, k, x, y)
    for k, one in enumerate(series):
        parts += _trend(one, k, x, y)
    title = escape(f"{y.label} against {x.label}")
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def _across(x: Axis, value: np.ndarray | float) -> np.ndarray:
    """Pixels from the left of the picture."""
    return LEFT + x.share(value) * (RIGHT - LEFT)


def _up(y: Axis, value: np.ndarray | float) -> np.ndarray:
    """Pixels from the top of the picture."""
    return BOTTOM - y.share(value) * (BOTTOM - TOP)


def _grid(x: Axis, y: Axis) -> list[str]:
    """Lines, numbers and names of both axes."""
    parts = []
    for tick in y.ticks:
        at = float(_up(y, tick))
        ends = f'x1="{LEFT}" x2="{RIGHT}" y1="{at:.1f}" y2="{at:.1f}"'
        parts.append(f'<line class="grid" {ends}/>')
        parts.append(_text("tick", LEFT - 7, f"{at + 4:.1f}", y.text(tick), "end"))
    for tick in x.ticks:
        parts.append(_text("tick", f"{_across(x, tick):.1f}", BOTTOM + 17, x.text(tick)))
    parts.append(_text("label", (LEFT + RIGHT) / 2, HEIGHT - 5, escape(x.label)))
    middle = (TOP + BOTTOM) / 2
    label = _text("label", 11, middle, escape(y.label))
    parts.append(label.replace(">", f' transform="rotate(-90 11 {middle})">', 1))
    return parts


def _text(
    kind: str,
    x: object,
    y: object,
    text: str,
    anchor: str = "middle",
) -> str:
    """Some text at a place."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _dots(
    one: Series,
    k: int,
    x: Axis,
    y: Axis,
) -> list[str]:
    """One path with all objects of a method, thinned to MOST_DOTS."""
    known = np.flatnonzero(~np.isnan(one.x + one.y))
    known = known[:: max(1, -(-len(known) // MOST_DOTS))]
    values = one.x[known]
    if x.whole:
        values = values + np.random.default_rng(0).uniform(-0.28, 0.28, len(known))
    places = zip(_across(x, values), _up(y, one.y[known]))
    path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in places)
    return [f'<path class="dots s{k}" d="{path}"/>'] if path else []


def _trend(
    one: Series,
    k: int,
    x: Axis,
    y: Axis,
) -> list[str]:
    """The means of the bins as a line with marks, their intervals as a band."""
    rows = binned(one.x, one.y, x.edges)
    if len(rows) < 2:
        return []
    middle, mean, low, high = rows.T
    across = _across(x, middle)
    line = _up(y, mean)
    there = list(zip(across, _up(y, high)))
    back = list(zip(across, _up(y, low)))[::-1]
    parts = [f'<polygon class="band s{k}" points="{_points(there + back)}"/>']
    parts.append(f'<polyline class="trend s{k}" points="{_points(zip(across, line))}"/>')
    for a, b, value in zip(across, line, mean):
        title = f"<title>{escape(one.name)}: {value:.3g}</title>"
        place = f'cx="{a:.1f}" cy="{b:.1f}"'
        parts.append(f'<circle class="mark s{k}" {place} r="3">{title}</circle>')
    return parts


def _points(places: Iterable[tuple[float, float]]) -> str:
    """Places as SVG writes them."""
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
