"""A loss curve as a PNG, without a plotting library: enough to see whether a run learns."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maquette.output import atomic_write
from maquette.types import StrPath

_SIZE = (900, 480)
_LEFT, _TOP, _RIGHT, _BOTTOM = (70, 40, 880, 430)  # of the axes
_TICKS = 5
_TEXT = (90, 90, 90)


def write_loss_plot(path: StrPath, rows: list[dict[str, float]]) -> None:
    """Plot ``loss`` over ``step`` on a logarithmic axis: every logged value thin, the running
    median thick.
    """
    logged = [row for row in rows if row.get("loss", 0) > 0]
    points = np.array([(row["step"], row["loss"]) for row in logged])
    image = Image.new("RGB", _SIZE, (250, 250, 248))
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(size=14)
    draw.text((_LEFT, 12), "training loss (log scale)", fill=(40, 40, 40))
    if len(points) >= 2:
        _draw_curve(draw, points[:, 0], np.log10(points[:, 1]))
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def _draw_curve(draw: ImageDraw.ImageDraw, steps: np.ndarray, logs: np.ndarray) -> None:
    """Axes and curve of logarithms of losses (N,) over steps (N,)."""
    lowest = np.floor(10 * logs.min()) / 10
    limits = (lowest, np.ceil(10 * logs.max()) / 10 + 1e-6)
    for tick in np.linspace(*limits, _TICKS).tolist():
        y = float(np.interp(tick, limits, (_BOTTOM, _TOP)))
        draw.line([(_LEFT, y), (_RIGHT, y)], fill=(225, 225, 222))
        draw.text((8, y - 8), f"{10**tick:.3g}", fill=_TEXT)
    span = (steps[0], max(steps[-1], steps[0] + 1))
    x = np.interp(steps, span, (_LEFT, _RIGHT)).tolist()
    curves = ((logs, (180, 200, 230), 1), (_running_median(logs), (30, 90, 180), 3))
    for curve, colour, width in curves:
        y = np.interp(curve, limits, (_BOTTOM, _TOP))
        draw.line(list(zip(x, y.tolist())), fill=colour, width=width)
    draw.text((_RIGHT - 150, _BOTTOM + 14), f"step {int(steps[-1]):,}", fill=_TEXT)
    draw.text((_LEFT, _BOTTOM + 14), f"{int(steps[0]):,}", fill=_TEXT)


def _running_median(values: np.ndarray) -> np.ndarray:
    """(N,) median of a fortieth of the values (N,) to either side of each."""
    half = max(1, len(values) // 40)
    starts = np.maximum(np.arange(len(values)) - half, 0)
    ends = np.arange(len(values)) + half + 1
    return np.array([np.median(values[start:end]) for start, end in zip(starts, ends)])
