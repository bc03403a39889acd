"""Which places of a photo are of the same object: places vote for the middle of theirs.

In the flow: what the segmenter sees when nobody points at anything (models/segmenter.py) -> this
module -> a plane for each object, at which stages/point.py looks again from near. Voting for a
middle is the generalised Hough transform (Ballard 1981; with learnt ways to the middle: Leibe et
al. 2004, Cheng et al. 2020).
"""

from __future__ import annotations

import cv2
import numpy as np

SPREAD = 0.018  # of the window's side: how far votes for one middle lie from each other
LEAST_CELLS = 12  # that an object has
APART = 0.35  # of the root of the smaller one's area: nearer middles are of one object


def grouped(logits: np.ndarray, ways: np.ndarray) -> list[np.ndarray]:
    """Chances (C, C) float32 of belonging to each object, largest object first.

    logits (C, C) of being of some object; ways (2, C, C): x and y to the middle of that object, in
    shares of the window's side.
    """
    rows, columns = np.nonzero(logits > 0)
    if len(rows) < LEAST_CELLS:
        return []
    cells = len(logits)
    votes = np.stack([columns, rows], axis=1) + cells * ways[:, rows, columns].T
    middles = _middles(votes, cells)
    owner = _nearest(votes, middles)
    middles = _apart(middles, np.bincount(owner, minlength=len(middles)))
    owner = _nearest(votes, middles)
    chances = 1 / (1 + np.exp(-logits))
    planes = []
    for number in np.argsort(-np.bincount(owner, minlength=len(middles))).tolist():
        own = owner == number
        if own.sum() < LEAST_CELLS:
            continue
        plane = np.zeros_like(logits)
        plane[rows[own], columns[own]] = chances[rows[own], columns[own]]
        planes.append(plane)
    return planes


def _middles(votes: np.ndarray, cells: int) -> np.ndarray:
    """(K, 2) x and y, in cells, where votes (N, 2) are densest around."""
    at = np.rint(votes).astype(int).clip(0, cells - 1)
    counts = np.zeros((cells, cells), np.float32)
    np.add.at(counts, (at[:, 1], at[:, 0]), 1.0)
    spread = SPREAD * cells
    density = cv2.GaussianBlur(counts, (0, 0), spread)
    reach = 2 * round(1.5 * spread) + 1
    highest = cv2.dilate(density, np.ones((reach, reach), np.uint8))
    # an object of the least size whose votes agree is still seen
    least = 0.5 * LEAST_CELLS / (2 * np.pi * spread**2)
    rows, columns = np.nonzero((density == highest) & (density >= min(least, density.max())))
    strongest = np.argsort(-density[rows, columns])
    return np.stack([columns, rows], axis=1)[strongest].astype(float)


def _nearest(votes: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """(N,) number of the nearest middle (K, 2) of each vote (N, 2)."""
    return np.linalg.norm(votes[:, None] - middles[None], axis=-1).argmin(1)


def _apart(middles: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Middles (K, 2) without those that lie within a stronger one's object."""
    kept: list[int] = []
    for number in range(len(middles)):
        near = False
        for other in kept:
            size = np.sqrt(min(areas[number], areas[other]))
            near |= np.linalg.norm(middles[number] - middles[other]) < APART * size
        if not near:
            kept.append(number)
    return middles[kept]
