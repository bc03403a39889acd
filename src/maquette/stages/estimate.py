"""How good the shape of an object is likely to be: its expected F-score, from what the photo shows.

A silhouette that agrees with its mask says little about the sides that nobody sees. Three things
tell more, all of them known before anything is made: how bulky the visible surface is (much of a
bulky object is hidden behind its front), how much relief it has, and how much of the outline
belongs to nearer objects. ``benchmarks/shape_estimates.py`` measures the linear rule on held-out
scenes and prints its numbers. Where the outline tells the whole shape, these things tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

from maquette.photos.pixels import nearest_inside
from maquette.stages.perceive import Perception
from maquette.types import ShapeEstimate

LEAST_EXTENT = 1e-3  # scene units
TRIM = 0.02  # share of a surface's points at either end that do not count
RIM = 2  # pixels around a mask that belong to its outline
MEAN_F_SCORE = 0.717  # of 290 held-out objects
KNOWN_F_SCORE = 0.88  # of the 32 of 48 held-out scenes whose outlines tell their shape


@dataclass(frozen=True)
class Cue:
    """One thing that tells of a shape: its mean and spread over objects, and what a spread more of
    it adds to the F-score.
    """

    mean: float
    spread: float
    gain: float
    reason: str  # why it speaks against a shape

    def gained(self, value: float) -> float:
        """What a value of it adds to the F-score; the rule was fitted on usual values."""
        spreads = (value - self.mean) / self.spread
        return self.gain * float(np.clip(spreads, -USUAL, USUAL))


BULK = Cue(-1.152, 0.698, -0.080, "it is bulky: much of it is behind what the photo shows")
RELIEF = Cue(0.0186, 0.0187, 0.037, "the photo shows little of its depth")
CUT = Cue(0.069, 0.121, -0.039, "nearer objects hide part of it")
CUES = (BULK, RELIEF, CUT)
USUAL = 2.5  # spreads from its mean, beyond which a cue says no more than there
AGAINST = 0.03  # F-score that a cue takes before it is named as a reason


def shape_estimate(perception: Perception, label: int) -> ShapeEstimate | None:
    """What is to be expected of an object; None when the lifted picture shows nothing of it."""
    found = cues_of(perception, label)
    if found is None:
        return None
    if label in perception.shapes:
        return ShapeEstimate(KNOWN_F_SCORE)
    gains = [cue.gained(value) for cue, value in zip(CUES, found)]
    worst = int(np.argmin(gains))
    reason = CUES[worst].reason if gains[worst] < -AGAINST else ""
    return ShapeEstimate(float(np.clip(MEAN_F_SCORE + sum(gains), 0, 1)), reason)


def cues_of(perception: Perception, label: int) -> tuple[float, float, float] | None:
    """Bulk (log of the visible surface's shortest over its longest extent), relief (spread of its
    log depth), and share of the outline that nearer objects have.
    """
    points = perception.points[perception.picture.labels == label]
    mask = perception.label_map == label
    if len(points) == 0 or not mask.any():
        return None
    low, high = np.quantile(points, [TRIM, 1 - TRIM], axis=0)
    extents = np.maximum(high - low, LEAST_EXTENT)
    relief = float(np.std(np.log(perception.photo_depth[mask])))
    return float(np.log(extents.min() / extents.max())), relief, _cut_share(perception, mask)


def _cut_share(perception: Perception, mask: np.ndarray) -> float:
    """Share of the pixels around a mask (H, W) that show something nearer than it."""
    rim = binary_dilation(mask, iterations=RIM) & ~mask
    ys, xs = np.nonzero(rim & (perception.label_map > 0))
    if len(ys) == 0:
        return 0.0
    # of the object's own surface nearest to each pixel
    depth = perception.photo_depth
    return float(np.sum(depth[ys, xs] < depth[nearest_inside(mask)][ys, xs]) / rim.sum())
