"""From a click to the region that it means: the level set of geodesic distance with the strongest
outline. Used by segment.

Distance grows along a path by the strength of the colour edges it crosses (Criminisi, Sharp, Blake,
ECCV 2008), so that regions around the click grow up to an edge before they spill over it; of these
nested regions the one whose outline is the sharpest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from maquette.photos.pixels import square

STEP = 0.3  # Lab units: what a pixel costs without any edge
STRONG_EDGE = 12.0  # Lab units per pixel; stronger edges do not count more
LEVELS = 32
# of the picture
LEAST_AREA = 0.0015
MOST_AREA = 0.45
AREA_EXPONENT = 0.1  # a slight preference for the whole over its parts
BORDER_PENALTY = 0.5  # objects rarely end at the border of the photo

Pixel = tuple[int, int]  # (row, column)


def clicked_region(image: np.ndarray, own: Sequence[Pixel], others: Sequence[Pixel]) -> np.ndarray:
    """Find the region (H, W) bool of a small picture (H, W, 3) uint8 that contains ``own`` and is
    nearer to them than to ``others``.
    """
    edges = _edge_strength(image)
    distance = MCP_Geometric(STEP + edges).find_costs(list(own))[0]
    if others:
        foreign = MCP_Geometric(STEP + edges).find_costs(list(others))[0]
        distance[distance >= foreign] = np.inf
    reachable = np.sort(distance[np.isfinite(distance)])
    ranks = np.geomspace(LEAST_AREA * distance.size, MOST_AREA * distance.size, LEVELS)
    reached = reachable[ranks.astype(int).clip(max=len(reachable) - 1)]
    # several clicks on one object are one region
    levels = np.unique(reached.clip(min=_span(edges, own)))
    regions = (ndimage.binary_fill_holes(distance <= level) for level in levels)
    return max(regions, key=lambda region: _outline_score(region, edges))


def _span(edges: np.ndarray, own: Sequence[Pixel]) -> float:
    """Half the longest geodesic step of a way through all clicks: grown so far, their regions
    touch.
    """
    if len(own) < 2:
        return 0.0
    joined = [own[0]]
    longest = 0.0
    remaining = list(own[1:])
    while remaining:
        distance = MCP_Geometric(STEP + edges).find_costs(joined)[0]
        nearest = min(remaining, key=lambda p: distance[p])
        longest = max(longest, 0.5 * float(distance[nearest]))
        joined.append(nearest)
        remaining.remove(nearest)
    return longest


def _edge_strength(image: np.ndarray) -> np.ndarray:
    """Return the colour gradient (H, W) in Lab units per pixel, texture smoothed away."""
    smooth = cv2.bilateralFilter(image, 7, 25, 5).astype(np.float32) / 255
    lab = cv2.GaussianBlur(cv2.cvtColor(smooth, cv2.COLOR_RGB2Lab), (0, 0), 0.8)
    across = cv2.Sobel(lab, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(lab, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.sqrt((across**2 + down**2).sum(-1))


def _outline_score(region: np.ndarray, edges: np.ndarray) -> float:
    binary = region.astype(np.uint8)
    kernel = square(1)
    rim = cv2.dilate(binary, kernel) > cv2.erode(binary, kernel)
    if not rim.any():
        return 0.0
    ends = [0, -1]
    cut_off = float(region[ends].sum()) + float(region[:, ends].sum())
    sharpness = float(np.minimum(edges[rim], STRONG_EDGE).mean())
    wholeness = 1.0 - BORDER_PENALTY * cut_off / (float(rim.sum()) + cut_off)
    return sharpness * float(region.mean()) ** AREA_EXPONENT * wholeness
