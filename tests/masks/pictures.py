"""Synthetic photos and masks for the tests of this package."""

import numpy as np

from maquette.types import InstanceMask


def photo(height=48, width=64, seed=0):
    """A smooth colourful gradient with a little noise."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([255 * x / width, 255 * y / height, 128 + 60 * np.sin(x / 9)], axis=-1)
    return np.clip(base + np.random.default_rng(seed).normal(0, 3, base.shape), 0, 255).astype(
        np.uint8
    )


def disc(height, width, x, y, radius):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.hypot(columns + 0.5 - x, rows + 0.5 - y) < radius


def three_masks(height=48, width=64):
    """A disc, a ring (with a hole), and two fragments that touch at a corner; labels 1, 4, 7."""
    ring = disc(height, width, 46, 14, 11) & ~disc(height, width, 46, 14, 5)
    corners = np.zeros((height, width), bool)
    corners[30:36, 30:36] = corners[36:44, 36:50] = True
    return (
        InstanceMask(1, disc(height, width, 14, 20, 10), "red chair"),
        InstanceMask(4, ring, "cup"),
        InstanceMask(7, corners, ""),
    )


def same(a, b, *, names=True):
    """Whether two tuples of masks are equal."""
    return [m.label for m in a] == [m.label for m in b] and all(
        (m.mask == n.mask).all() and (not names or m.name == n.name) for m, n in zip(a, b)
    )
