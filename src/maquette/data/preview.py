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
    hues = (0.61803 * k % 1.0 for k in range(count))
    colours = [colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues]
    return np.multiply(255, colours).astype(np.uint8)


def truth_strip(view: View) -> list[np.ndarray]:
    """Mask over the darkened image, depth and normals of a view, each (H, W, 3) uint8."""
    labelled = view.instance > 0
    masks = 0.5 * view.image
    colours = palette(max(int(view.instance.max()), 1))[view.instance[labelled] - 1]
    masks[labelled] = 0.35 * view.image[labelled] + 0.65 * colours
    seen = np.isfinite(view.depth)
    nearness = np.zeros(seen.shape, np.float32)
    nearness[seen] = 1.0 / np.maximum(view.depth[seen], 1e-6)
    low, high = np.percentile(nearness[seen], (2, 99)) if seen.any() else (0.0, 1.0)
    share = ((nearness - low) / max(high - low, 1e-9)).clip(0.0, 1.0)
    depth = 255.0 * share[..., None].repeat(3, axis=2)
    normal = np.where(seen[..., None], 127.5 * (view.normal + 1.0), PAPER)
    return [picture.astype(np.uint8) for picture in (masks, depth, normal)]


def contact_sheet(scenes: Sequence[Sequence[View]], columns: int = 2) -> np.ndarray:
    """One strip per scene, ``columns`` of them side by side: its views, then masks, depth and
    normals of the first one; (H, W, 3) uint8.
    """
    pictures = [[view.image for view in views] + truth_strip(views[0]) for views in scenes]
    strips = [_joined(row, axis=1) for row in pictures]
    strips += [np.full_like(strips[0], PAPER)] * (-len(strips) % columns)
    rows = [strips[k : k + columns] for k in range(0, len(strips), columns)]
    return _joined([_joined(row, axis=1) for row in rows], axis=0)


def _joined(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures of one size in a row or column, with a margin."""
    shape = list(pictures[0].shape)
    shape[axis] = MARGIN
    gap = np.full(shape, PAPER, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=axis)
