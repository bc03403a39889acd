"""One object's mask from what is known of some pixels: GrabCut, coarse first and then along the
outline. Used by segment.

GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) through OpenCV. A state (H, W) uint8 holds what
is known of each pixel: cv2.GC_BGD and cv2.GC_FGD for certain, cv2.GC_PR_BGD and cv2.GC_PR_FGD
probably.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from maquette.photos.pixels import (
    connected_parts,
    disc,
    grown,
    large_parts,
    reduced,
    resize_mask,
    square,
    working_size,
)

COARSE_SIDE = 320  # pixels; GrabCut takes well under a second
FINE_SIDE = 1000  # pixels; beyond, the outline is enlarged
LEAST_PART = 0.05  # of the object's largest part; smaller ones are noise
REACH = 0.06  # of a mask's size (root of its area): how far its outline may be moved
SMALL_HOLE = 0.01  # of the object; smaller ones are closed


def grabcut(
    image: np.ndarray, state: np.ndarray, keep: Sequence[tuple[float, float]] = ()
) -> np.ndarray:
    """Cut the object out of a picture (H, W, 3) uint8 -> (H, W) bool. Of its parts, those at the
    points ``keep`` (x, y) stay, or without any the large ones.
    """
    mask = resize_mask(_iterated(image, state, COARSE_SIDE, iterations=5), state.shape)
    if max(state.shape) > COARSE_SIDE and mask.any():
        mask = _refined(image, state, mask)
    return _main_parts(mask, keep)


def undecided(mask: np.ndarray) -> np.ndarray:
    """The state (H, W) uint8 in which a mask is a guess."""
    return np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)


def _refined(image: np.ndarray, state: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Decide a band along the outline of a coarse mask once more, at a finer scale."""
    kernel = disc(max(3, round(2.5 * max(state.shape) / COARSE_SIDE)))
    binary = mask.astype(np.uint8)
    inside = cv2.erode(binary, kernel, borderType=cv2.BORDER_REPLICATE) == 1
    refined = undecided(mask)
    refined[~grown(mask, kernel) | (state == cv2.GC_BGD)] = cv2.GC_BGD
    refined[inside | (state == cv2.GC_FGD)] = cv2.GC_FGD
    fine = _iterated(image, refined, FINE_SIDE, iterations=1).astype(np.float32)
    return cv2.resize(fine, state.shape[::-1], interpolation=cv2.INTER_LINEAR) >= 0.5


def held_to_edges(
    image: np.ndarray,
    mask: np.ndarray,
    yes: np.ndarray,
    no: np.ndarray,
) -> np.ndarray:
    """A mask (H, W) bool of a picture (H, W, 3) uint8 whose outline GrabCut moves to the colours'
    edges near it; the pixels ``yes`` and ``no`` (H, W) bool are certain.
    """
    reach = max(3, round(REACH * np.sqrt(mask.sum())))
    kernel = square(reach)
    state = undecided(mask)
    state[~grown(mask, kernel)] = cv2.GC_BGD
    state[cv2.erode(mask.astype(np.uint8), kernel) > 0] = cv2.GC_FGD
    state[yes] = cv2.GC_FGD
    state[no] = cv2.GC_BGD
    return _iterated(image, state, max(mask.shape), iterations=1)


def _iterated(
    image: np.ndarray,
    state: np.ndarray,
    side: int,
    iterations: int,
) -> np.ndarray:
    """Run GrabCut on a picture whose longer side is reduced to ``side`` -> (h, w) bool."""
    size = working_size(state.shape, side)
    small = np.ascontiguousarray(reduced(image, size))
    # always another array: GrabCut writes into it
    state = cv2.resize(state, size[::-1], interpolation=cv2.INTER_NEAREST)
    foreground = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    if foreground.sum() < 8 or (~foreground).sum() < 8:  # no colours to learn from
        return foreground
    cv2.setRNGSeed(0)  # GrabCut draws the first colour clusters at random
    colours = (np.zeros((1, 65)), np.zeros((1, 65)))  # models of background and foreground
    nowhere = (0, 0, 0, 0)  # the mask says where to begin, not a box
    cv2.grabCut(small, state, nowhere, *colours, iterations, cv2.GC_INIT_WITH_MASK)
    return (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)


def _main_parts(mask: np.ndarray, keep: Sequence[tuple[float, float]]) -> np.ndarray:
    """Smooth the outline, keep the largest part, those of comparable size and those under a click,
    and close small holes.
    """
    kernel = disc(max(1, round(max(mask.shape) / 500)))
    smooth = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)
    number, areas = connected_parts(smooth if smooth.any() else mask)
    if len(areas) == 1:
        return mask
    clicked = {number[int(y), int(x)] for x, y in keep} - {0}
    large = large_parts(areas, LEAST_PART)
    parts = np.isin(number, list(clicked) or large)
    number, areas = connected_parts(ndimage.binary_fill_holes(parts) & ~parts, connectivity=4)
    small = 1 + np.flatnonzero(areas[1:] < SMALL_HOLE * parts.sum())
    return parts | np.isin(number, small)
