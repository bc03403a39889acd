"""Telling objects from a plain background: a smooth colour model of the photo's border, tolerant of
soft shadows. Used by segment.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from maquette.errors import InputError
from maquette.photos.pixels import connected_parts, reduced, working_size

WORK_SIDE = 640  # pixels
RIM = 0.04  # of the sides: the border from which the background is learnt
INLIER = 8.0  # Lab units around the model that still count as background while it is fitted
PLAIN_SHARE = 0.6  # of the border that the model must explain
LEAST_CONTRAST = 6.0  # Lab units
SHADOW = 40.0  # lightness by which a soft shadow may darken the background
SHADOW_WEIGHT = 0.25  # of lightness in the distance, on the dark side


def foreground_of_plain_background(image: np.ndarray) -> np.ndarray:
    """Photo (H, W, 3) uint8 -> (H, W) bool, True where something stands on the background. Raises
    InputError when it is not plain.
    """
    height, width = image.shape[:2]
    size = working_size((height, width), WORK_SIDE)
    small = cv2.GaussianBlur(reduced(image, size), (3, 3), 0)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    residual, noise = _residual(lab)
    distance = _distance(residual)
    contrast = max(LEAST_CONTRAST, 5.0 * noise)
    strong = distance > 2.0 * contrast
    weak = distance > contrast
    grown = _touching(weak, strong | _sharp(lab, residual, contrast))
    clean = _cleaned(grown).astype(np.float32)
    return cv2.resize(clean, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5


def _residual(lab: np.ndarray) -> tuple[np.ndarray, float]:
    """Subtract a quadratic surface per channel, fitted to the border without what stands there;
    also its noise level.
    """
    height, width = lab.shape[:2]
    across, down = (np.linspace(-1, 1, side) for side in (width, height))
    x, y = np.meshgrid(across, down)
    terms = (np.ones_like(x), x, y, x * y, x * x, y * y)
    basis = np.stack(terms, axis=-1)
    rim = np.ones((height, width), bool)
    thick = max(2, round(RIM * max(height, width)))
    rim[thick:-thick, thick:-thick] = False
    samples = basis[rim]
    colors = lab[rim]
    # The most common colour of the border starts the fit, so that objects cut off by the photo do
    # not pull it.
    start = _mode(colors)
    inlier = np.linalg.norm(colors - start, axis=1) < 3 * INLIER
    for _ in range(8):
        weights, *_ = np.linalg.lstsq(samples[inlier], colors[inlier], rcond=None)
        error = np.linalg.norm(colors - samples @ weights, axis=1)
        inlier = error < max(INLIER, 2.0 * float(np.median(error[inlier])))
    explained = float((error < 1.5 * INLIER).mean())
    if explained < PLAIN_SHARE:
        raise InputError(
            f"the background is not plain (one colour explains {100 * explained:.0f} % of the "
            "photo's border); use boxes or clicks instead"
        )
    return lab - (basis @ weights), 1.4826 * float(np.median(error[inlier]))


def _mode(colors: np.ndarray) -> np.ndarray:
    bins = np.floor(colors / INLIER).astype(np.int64)
    _, inverse, counts = np.unique(
        bins,
        axis=0,
        return_inverse=True,
        return_counts=True,
    )
    return np.median(colors[inverse.ravel() == counts.argmax()], axis=0)


def _distance(residual: np.ndarray) -> np.ndarray:
    """Distance to the background in Lab units; being darker without another hue counts little, for
    that is what shadows are.
    """
    lightness, a, b = np.moveaxis(residual, -1, 0)
    shadow = (lightness < 0) & (lightness > -SHADOW)
    weighted = np.where(shadow, SHADOW_WEIGHT * lightness, lightness)
    return np.sqrt(weighted**2 + a**2 + b**2)


def _sharp(lab: np.ndarray, residual: np.ndarray, contrast: float) -> np.ndarray:
    """Mark sharp edges of lightness: a grey object on a grey ground has them, a soft shadow has
    not.
    """
    lightness = np.ascontiguousarray(lab[..., 0])
    across = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, scale=0.25)
    down = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, scale=0.25)
    return (np.hypot(across, down) > contrast) & (np.abs(residual[..., 0]) > contrast)


def _touching(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Keep the components of weak or strong evidence that contain strong evidence."""
    index, _ = ndimage.label(weak | strong, structure=np.ones((3, 3)))
    kept = np.unique(index[strong])
    return np.isin(index, kept[kept > 0])


def _cleaned(mask: np.ndarray) -> np.ndarray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel, iterations=2)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel).astype(bool)
    number, areas = connected_parts(ndimage.binary_fill_holes(opened) & ~opened, connectivity=4)
    # A large hole of the background's own colour is a real hole, such as that of a handle; a small
    # one is a highlight.
    small = 1 + np.flatnonzero(areas[1:] < 0.0015 * mask.size)
    return opened | np.isin(number, small)
