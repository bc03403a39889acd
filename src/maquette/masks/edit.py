"""Editing masks step by step: pure functions from masks to masks, so that a history of versions is
undo and redo.

Between segment (pixels that belong together) and whoever lets people edit. Masks are tuples of
InstanceMask of the photo's size in ascending order of their labels; coordinates are pixels, x to
the right, y down, pixel centres at +0.5. Who gets a pixel that two objects claim: found masks
(boxes, clicks) leave it to the smaller object, painted ones take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maquette.errors import InputError
from maquette.masks.labels import MAX_INSTANCES, Masks
from maquette.masks.propose import (
    Click,
    PhotoMasks,
    Prompts,
    Rectangle,
    check_clicks,
    prompted_masks,
)
from maquette.masks.segment import ByColour, segment_alpha
from maquette.photos.pixels import Size, connected_parts, nearest_inside
from maquette.types import InstanceMask

SPECK_SHARE = 0.01  # of the object; smaller pieces are not parts of their own when it is split

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Edited:
    """The masks after an edit, and the labels that it made or changed."""

    masks: Masks
    changed: tuple[int, ...]


def cut_out_box(
    masks: Masks,
    photo: PhotoMasks,
    box: Rectangle,
    label: int | None = None,
) -> Edited:
    """Make the object in a box (x0, y0, x1, y1), or give the object ``label`` that mask. Raises
    InputError.
    """
    (found,) = prompted_masks(photo, Prompts(boxes=(box,)))
    return _placed(masks, found.mask, label, takes=False)


def click_on(
    masks: Masks,
    photo: PhotoMasks,
    points: Sequence[tuple[float, float, bool]],
    label: int | None = None,
) -> Edited:
    """Change an object by points (x, y, belongs to it), or make a new one of them. Raises
    InputError.
    """
    clicks = tuple(Click(x, y, label or 1, positive) for x, y, positive in points)
    if label is None:
        (found,) = prompted_masks(photo, Prompts(clicks=clicks))
        return _placed(masks, found.mask, None, takes=False)
    check_clicks(clicks, photo.size)
    refined = photo.clicked(clicks, _chosen(masks, label).mask)
    # What a click names is meant, so a point in another object takes that part of it.
    return _placed(masks, refined, label, takes=True)


def paint_stroke(
    masks: Masks,
    size: Size,
    points: Points,
    radius: float,
    label: int | None,
    *,
    erase: bool = False,
) -> Edited:
    """Paint along a line with a round brush of this radius in pixels, or erase; ``size`` is (H, W).
    Raises InputError.
    """
    if not points or not 0 < radius <= max(size):
        raise InputError(
            f"the stroke has {len(points)} points and radius {radius:g}; "
            f"expected a point and a radius up to {max(size)}"
        )
    return _painted(masks, _along(size, points, radius), label, erase)


def paint_polygon(
    masks: Masks,
    size: Size,
    points: Points,
    label: int | None,
    *,
    erase: bool = False,
) -> Edited:
    """Fill the inside of a closed line, or erase it; ``size`` is (H, W). Raises InputError."""
    if len(points) < 3:
        raise InputError(f"the polygon has {len(points)} corners; expected at least 3")
    canvas = np.zeros(size, np.uint8)
    corners = np.array(points, np.float64) - 0.5
    corners = corners.clip(-2.0 * max(size), 3.0 * max(size))
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return _painted(masks, canvas.astype(bool), label, erase)


def merge(masks: Masks, labels: Sequence[int]) -> Edited:
    """Join objects into the first of them, which keeps its label, and a name if any of them has
    one. Raises InputError.
    """
    parts = [_chosen(masks, label) for label in dict.fromkeys(labels)]
    if len(parts) < 2:
        raise InputError(f"merging needs two objects or more, got the labels {list(labels)}")
    whole = np.logical_or.reduce([part.mask for part in parts])
    name = next((part.name for part in parts if part.name), "")
    kept = parts[0].label
    others = [m for m in masks if m.label not in labels]
    return Edited(_ordered([*others, InstanceMask(kept, whole, name)]), (kept,))


def split(masks: Masks, label: int, line: Points | None = None) -> Edited:
    """Divide an object into its separate parts, or along a line; the largest part keeps the label.
    Raises InputError.
    """
    whole = _chosen(masks, label)
    if line is not None and len(line) < 2:
        raise InputError("a line to split along needs two points or more")
    remaining = whole.mask if line is None else whole.mask & ~_along(whole.mask.shape, line, 1.0)
    number, areas = connected_parts(remaining, connectivity=8 if line is None else 4)
    least = SPECK_SHARE * whole.mask.sum()
    parts = [k for k in range(1, len(areas)) if areas[k] >= least]
    if len(parts) < 2:
        said = "is in one part; draw a line across it"
        if line is not None:
            said = "is not divided by this line; draw it across the whole object"
        raise InputError(f"label {label} {said}")
    parts.sort(key=lambda k: -areas[k])
    # pixels of the cut and specks go to the nearest part
    nearest = number[nearest_inside(np.isin(number, parts))]
    owner = np.where(whole.mask, nearest, 0)
    kept = [m for m in masks if m.label != label]
    made = [InstanceMask(label, owner == parts[0], whole.name)]
    for k in parts[1:]:
        made.append(InstanceMask(free_label([*kept, *made]), owner == k, whole.name))
    return Edited(_ordered([*kept, *made]), tuple(m.label for m in made))


def delete(masks: Masks, labels: Sequence[int]) -> Edited:
    """Leave objects out. Raises InputError."""
    gone = {_chosen(masks, label).label for label in labels}
    return Edited(tuple(m for m in masks if m.label not in gone), ())


def rename(masks: Masks, label: int, name: str) -> Edited:
    """Give an object a name; names need not differ. Raises InputError."""
    renamed = replace(_chosen(masks, label), name=name)
    return Edited(tuple(renamed if m.label == label else m for m in masks), (label,))


def reorder(masks: Masks, labels: Sequence[int]) -> Edited:
    """Number the objects 1, 2, 3, ... in this order of their labels, each of which is given once.
    Raises InputError.
    """
    if sorted(labels) != [m.label for m in masks]:
        raise InputError(
            f"the new order {list(labels)} does not have each of the labels "
            f"{[m.label for m in masks]} once"
        )
    numbered = tuple(enumerate(labels, start=1))
    renumbered = tuple(replace(_chosen(masks, label), label=k) for k, label in numbered)
    return Edited(renumbered, tuple(k for k, label in numbered if k != label))


def find_all(photo: PhotoMasks, alpha: np.ndarray | None = None) -> Edited:
    """Find everything, or the opaque parts of a cut-out, alpha (H, W) uint8. Raises InputError."""
    masks = tuple(photo.everything() if alpha is None else segment_alpha(alpha))
    if len(masks) > MAX_INSTANCES:
        raise InputError(
            f"{len(masks)} objects were found and at most {MAX_INSTANCES} are supported; "
            "mark them with boxes"
        )
    return Edited(masks, tuple(m.label for m in masks))


def find_objects(
    image: np.ndarray,
    alpha: np.ndarray | None,
    otherwise: Callable[[], PhotoMasks],
) -> Edited:
    """Find everything in a photo (H, W, 3) uint8: the parts of a cut-out, alpha (H, W) uint8, what
    stands on a plain background, else what whoever looks ``otherwise`` finds. Raises InputError.
    """
    try:
        return find_all(ByColour(image), alpha)
    except InputError:
        if alpha is not None:
            raise
        return find_all(otherwise())


def free_label(masks: Sequence[InstanceMask]) -> int:
    """Return the smallest label that no mask has; InputError when there are as many objects as are
    supported.
    """
    if len(masks) >= MAX_INSTANCES:
        raise InputError(
            f"there are {len(masks)} objects, which is the most that is supported; "
            "delete or merge some"
        )
    taken = {m.label for m in masks}
    return next(label for label in range(1, len(masks) + 2) if label not in taken)


def _along(size: Size, points: Points, radius: float) -> np.ndarray:
    """Mark the pixels (H, W) bool whose centres are no farther than ``radius`` from a line through
    the points.
    """
    area = np.zeros(size, bool)
    corners = np.array(points, np.float64).reshape(-1, 2)
    for start, end in zip(corners, corners[1:] if len(corners) > 1 else corners):
        lowest = np.floor(np.minimum(start, end) - radius)
        highest = np.ceil(np.maximum(start, end) + radius)
        low = lowest.clip(0).astype(int)
        high = highest.clip(0, size[::-1]).astype(int)
        if (high <= low).any():
            continue
        columns, rows = (np.arange(first, last) + 0.5 for first, last in zip(low, high))
        x, y = np.meshgrid(columns - start[0], rows - start[1])
        dx, dy = end - start
        squared_length = max(dx * dx + dy * dy, 1e-12)
        along = ((x * dx + y * dy) / squared_length).clip(0.0, 1.0)
        near = np.hypot(x - along * dx, y - along * dy) <= radius
        area[low[1] : high[1], low[0] : high[0]] |= near
    return area


def _painted(
    masks: Masks,
    area: np.ndarray,
    label: int | None,
    erase: bool,
) -> Edited:
    before = None if label is None else _chosen(masks, label).mask
    if not erase:
        return _placed(masks, area if before is None else before | area, label, takes=True)
    if before is None:
        raise InputError("erasing needs the label of an object; select one")
    return _placed(masks, before & ~area, label, takes=True)


def _placed(
    masks: Masks,
    found: np.ndarray,
    label: int | None,
    *,
    takes: bool,
) -> Edited:
    """Give an object (None = a new one) the pixels ``found``; objects that lose all pixels go."""
    others = [m for m in masks if m.label != label]
    name = "" if label is None else _chosen(masks, label).name
    chosen = free_label(others) if label is None else label
    size = found.sum()
    remaining = []
    for other in others:
        if not (other.mask & found).any():
            remaining.append(other)
        elif takes or other.mask.sum() > size:
            remaining.append(replace(other, mask=other.mask & ~found))
        else:
            found = found & ~other.mask
            remaining.append(other)
    if not found.any() and not takes:
        raise InputError(
            "there is no pixel left that other objects do not have; "
            "delete or erase one of them first"
        )
    kept = [m for m in remaining if m.mask.any()]
    if not found.any():
        return Edited(tuple(kept), ())
    return Edited(_ordered([*kept, InstanceMask(chosen, found, name)]), (chosen,))


def _ordered(masks: Sequence[InstanceMask]) -> Masks:
    return tuple(sorted(masks, key=lambda m: m.label))


def _chosen(masks: Masks, label: int) -> InstanceMask:
    for m in masks:
        if m.label == label:
            return m
    have = ", ".join(str(m.label) for m in masks) or "(none yet)"
    raise InputError(f"no mask has the label {label}; the labels are {have}")
