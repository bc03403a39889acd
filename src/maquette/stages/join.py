"""Solid parts of an object that hang in the air next to the rest, joined with it by bars.

In the flow: a fused field -> this -> a field whose surface is in one piece, as far as the parts are
near each other. A depth map breaks an object where it jumps, a mask where something else stands in
front.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from maquette.geometry.volumes import TRUNCATION

LEAST = 30  # cells; smaller parts are specks
LONGEST = 0.15  # cube sides, of a bar
RADII = (1.25, 4.0)  # cells; between these a bar is as thick as the part at its end
POLE = 4.0  # times as long as wide is a part that goes on along its axis
NEIGHBOURHOOD = 5  # cells around the end, in which that is measured


def joined(field: np.ndarray, may_pass: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A field (R, R, R), negative inside, with a bar from each part to the nearest other one.

    may_pass: cells (N, 3) -> (N,) bool whether a bar may go through there.
    """
    parts, count = ndimage.label(field < 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= LEAST] + 1
    if len(order) < 2:
        return field
    surface = (field < 0) & ~ndimage.binary_erosion(field < 0)
    cells = np.argwhere(surface)
    owner = parts[tuple(cells.T)]
    together = cells[owner == order[0]]
    result = field.copy()
    for part in order[1:]:
        own = cells[owner == part]
        start, end = _along_axis(own, together)
        length = np.linalg.norm(end - start)
        steps = np.linspace(start, end, 2 + int(2 * length))
        if length <= LONGEST * len(field) and may_pass(steps).all():
            _add_bar(result, start, end, _radius(parts == part, np.rint(start).astype(int)))
        together = np.concatenate([together, own])
    return result


def _along_axis(own: np.ndarray, together: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a bar begins and ends, from cells (N, 3) of a part to those of others: a pole goes on
    along its own axis where it meets something there, all else goes the shortest way.
    """
    distance, nearest = cKDTree(together).query(own)
    first = int(distance.argmin())
    start, end = own[first], together[nearest[first]]
    middle = own.mean(0)
    _, extents, axes = np.linalg.svd(own - middle, full_matrices=False)
    axis = axes[0] * np.sign(axes[0] @ (end - middle))
    if extents[0] < POLE * extents[1]:
        return start, end
    tip = middle + axis * ((own - middle) @ axis).max()
    along = (together - tip) @ axis
    aside = np.linalg.norm(together - tip - along[:, None] * axis, axis=1)
    ahead = along[(along > 0) & (aside < RADII[0])]
    return (tip, tip + ahead.min() * axis) if ahead.size else (start, end)


def _radius(part: np.ndarray, cell: np.ndarray) -> float:
    """Half the thickness of a part (R, R, R) bool around one of its cells, within RADII."""
    low = np.maximum(cell - NEIGHBOURHOOD, 0)
    around = tuple(slice(a, b) for a, b in zip(low, cell + NEIGHBOURHOOD + 1))
    inside = ndimage.distance_transform_edt(np.pad(part[around], 1, mode="edge"))
    return float(np.clip(inside.max(), *RADII))


def _add_bar(
    field: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    radius: float,
) -> None:
    """Join a round bar between two cells with a field, in place."""
    reach = int(np.ceil(radius)) + 2
    low = np.maximum(np.minimum(start, end).astype(int) - reach, 0)
    high = np.minimum(np.maximum(start, end).astype(int) + reach + 2, field.shape)
    around = tuple(slice(a, b) for a, b in zip(low, high))
    cells = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    axis = (end - start).astype(np.float64)
    along = (cells - start) @ axis / max(axis @ axis, 1e-9)
    nearest = start + along.clip(0, 1)[..., None] * axis
    distance = np.linalg.norm(cells - nearest, axis=-1) - radius
    bar = (distance / len(field) / TRUNCATION).clip(-1, 1)
    field[around] = np.minimum(field[around], bar)
