"""Contact sheets: many views and their truth in one picture, for people who want to see what a
network is trained on.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from maquette.data.views import View

MARGIN = 4  # pixels between pictures
PAPER = 250


def palette(count: int) -> np.ndarray:
    """(count, 3) uint8 well separated colours: hues by the golden ratio."""
    return np.array(
        [np.multiply(255, colorsys.hsv_to_rgb(0.61803 * k % 1.0, 0.75, 0.95)) for k in range(count)]
    ).astype(np.uint8)


def truth_strip(view: View) -> list[np.ndarray]:
    """Mask over the darkened image, depth and normals of a view, each (H, W, 3) uint8."""
    colours = np.concatenate([[[0, 0, 0]], palette(max(int(view.instance.max()), 1))])
    masks = np.where(
        view.instance[..., None] > 0,
        0.35 * view.image + 0.65 * colours[view.instance],
        0.5 * view.image,
    )
    seen = np.isfinite(view.depth)
    inverse = np.where(seen, 1.0 / np.maximum(np.where(seen, view.depth, 1.0), 1e-6), 0.0)
    low, high = np.percentile(inverse[seen], (2, 99)) if seen.any() else (0.0, 1.0)
    depth = (
        np.clip((inverse - low) / max(high - low, 1e-9), 0.0, 1.0)[..., None].repeat(3, axis=2)
        * 255.0
    )
    normal = np.where(seen[..., None], 127.5 * (view.normal + 1.0), PAPER)
    return [picture.astype(np.uint8) for picture in (masks, depth, normal)]


def contact_sheet(scenes: Sequence[Sequence[View]], columns: int = 2) -> np.ndarray:
    """One strip per scene, ``columns`` of them side by side: its views, then masks, depth and
    normals of the first one; (H, W, 3) uint8.
    """
    strips = [_joined([v.image for v in views] + truth_strip(views[0]), axis=1) for views in scenes]
    blank = np.full_like(strips[0], PAPER)
    strips += [blank] * (-len(strips) % columns)
    return _joined(
        [_joined(strips[k : k + columns], axis=1) for k in range(0, len(strips), columns)], axis=0
    )


def _joined(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures of one size in a row or column, with a margin."""
    shape = list(pictures[0].shape)
    shape[axis] = MARGIN
    gap = np.full(shape, PAPER, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=axis)
