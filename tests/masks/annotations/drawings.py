"""A crate, a ball and a plank as every tool would draw them, on a picture of 320 x 240 pixels."""

import numpy as np

SIZE = (240, 320)
CRATE = [(40, 90), (120, 80), (130, 190), (35, 185)]
PLANK = [(180, 150), (290, 120), (300, 200), (190, 215)]
BALL = ((190, 100), 40)  # centre and radius


def inside(corners):
    """The pixels whose centres lie inside of a convex polygon, by the side of each edge."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    mask = np.ones(SIZE, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
        mask &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0
    return mask


def ball():
    (x0, y0), radius = BALL
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return (x - x0) ** 2 + (y - y0) ** 2 <= radius**2


def same(mask, truth):
    """Whether two masks are apart by the rounding of their outlines only."""
    return (mask != truth).sum() <= 0.02 * truth.sum()
