"""A loss curve as a PNG, without a plotting library: enough to see whether a run learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maquette.output import atomic_write

_SIZE = (900, 480)
_BOX = (70, 40, 880, 430)  # left, top, right, bottom of the axes


def write_loss_plot(path: str | Path, rows: list[dict[str, float]]) -> None:
    """Plot ``loss`` over ``step`` on a logarithmic axis: every logged value thin, the running
    median thick.
    """
    points = np.array([(r["step"], r["loss"]) for r in rows if r.get("loss", 0) > 0])
    image = Image.new("RGB", _SIZE, (250, 250, 248))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14)
    draw.text((_BOX[0], 12), "training loss (log scale)", fill=(40, 40, 40), font=font)
    if len(points) >= 2:
        logs = np.log10(points[:, 1])
        low = np.floor(10 * logs.min()) / 10
        high = np.ceil(10 * logs.max()) / 10 + 1e-6
        x = _BOX[0] + (points[:, 0] - points[0, 0]) / max(np.ptp(points[:, 0]), 1) * (
            _BOX[2] - _BOX[0]
        )
        to_y = lambda v: _BOX[3] - (v - low) / (high - low) * (_BOX[3] - _BOX[1])  # noqa: E731
        for tick in np.linspace(low, high, 5):
            draw.line([(_BOX[0], to_y(tick)), (_BOX[2], to_y(tick))], fill=(225, 225, 222))
            draw.text((8, to_y(tick) - 8), f"{10**tick:.3g}", fill=(90, 90, 90), font=font)
        draw.line(list(zip(x, to_y(logs))), fill=(180, 200, 230))
        half = max(1, len(logs) // 40)
        smooth = [np.median(logs[max(0, i - half) : i + half + 1]) for i in range(len(logs))]
        draw.line(list(zip(x, to_y(np.array(smooth)))), fill=(30, 90, 180), width=3)
        draw.text(
            (_BOX[2] - 150, _BOX[3] + 14),
            f"step {int(points[-1, 0]):,}",
            fill=(90, 90, 90),
            font=font,
        )
        draw.text((_BOX[0], _BOX[3] + 14), f"{int(points[0, 0]):,}", fill=(90, 90, 90), font=font)
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")
