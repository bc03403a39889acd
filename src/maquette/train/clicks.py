"""Someone who points at objects, simulated: where the next click goes, and boxes drawn by hand.

Used by train/segmentation.py, and by whoever measures segmenters: the protocol is the usual one of
interactive segmentation. The next click goes to the middle of the larger of two errors, what is
missing and what is too much (K. Sofiiuk et al., "Reviving iterative training with mask guidance",
2021).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from maquette.geometry.boxes import PixelBox


class NextClick(NamedTuple):
    """A click on a pixel; positive when it belongs to the object."""

    row: int
    column: int
    positive: bool


def next_click(
    truth: np.ndarray,
    found: np.ndarray,
    counts: np.ndarray | None = None,
    rng: Generator | None = None,
) -> NextClick | None:
    """Where to click so that a found mask (H, W) bool becomes the true one; None when it is.

    counts: (H, W) bool pixels that can be clicked on, all by default. With ``rng`` any pixel that
    is at least half as deep inside the error as its middle.
    """
    errors = [truth & ~found, found & ~truth]
    depths = [_depth(error if counts is None else error & counts) for error in errors]
    positive = depths[0].max() >= depths[1].max()
    depth = depths[0] if positive else depths[1]
    if not depth.max():
        return None
    place = int(depth.argmax())
    if rng is not None:
        place = int(rng.choice(np.flatnonzero(depth >= 0.5 * depth.max())))
    row, column = divmod(place, depth.shape[1])
    return NextClick(row, column, bool(positive))


def _depth(area: np.ndarray) -> np.ndarray:
    """(H, W) how deep each pixel is inside of an area; the picture's border is an edge, too."""
    padded = np.pad(area.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]


def drawn_box(
    box: PixelBox, rng: Generator, spread: float = 0.05
) -> tuple[float, float, float, float]:
    """A box as a person draws it: each side moved by a normal share of the box's size."""
    left, top, right, bottom = box
    sides = np.array([right - left, bottom - top] * 2)
    moved = np.array(box) + spread * sides * rng.standard_normal(4)
    x0, y0, x1, y1 = moved.tolist()
    return x0, y0, x1, y1
