"""What each object of a photo stands on: another object, the ground, or what nobody can see.

In the flow: part of ``perceive``, from masks and a rough depth map whose objects are in their
estimated boxes but not on a common ground yet. An object stands on what its mask shows below its
lower edge, if that also goes on beside its foot and is about as far away; a table's top that the
object's depth fits on is evidence, an occluder that is nearer is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from maquette.stages.frame import (
    CONTACT_TOLERANCE,
    DepthPicture,
    bottom_height,
    ground_factors,
    shown_labels,
)
from maquette.types import GROUND, Support

FEW_PIXELS = 12  # a smaller mask says nothing
FOOT = 0.25  # of a mask's height: how far up its lower edge is a foot
BELOW = np.arange(1, 5)  # pixels under the lower edge that are looked at
BESIDE = np.array([2, 3, 5])  # pixels left and right of the mask that are looked at
GROUND_SHARE = 0.5  # of the pixels below, for an object that stands on the ground
UNKNOWN = Support(None, 0.0)


@dataclass(frozen=True, eq=False)
class _Foot:
    """Where a mask ends below."""

    label: int
    contact: np.ndarray  # (N, 2) rows and columns of its lowest pixels
    below: np.ndarray  # (M, 2) pixels under them
    beside: np.ndarray  # (K, 2) pixels left and right of its lowest third
    reaches_edge: bool  # of the photo: what it stands on is not in it


@dataclass(frozen=True)
class _Evidence:
    """How an object's foot and a possible supporter lie to each other."""

    share: float  # of the pixels below the foot that are the supporter
    ground: float  # that are no object
    side: float  # of the pixels beside the foot that are the supporter
    behind: float  # log depth of the supporter below the foot over that of the foot
    height: float  # of the supporter's surface there, 0 to 1 of its own height
    inside_x: float  # how far the landed object's middle lies in the supporter's plan, below 0: out
    inside_z: float

    def is_surrounded(self) -> bool:
        """Little but the supporter is seen under the object."""
        fits = self.share >= 0.6 and self.ground <= 0.2 and self.side >= 0.35
        near = -0.07 <= self.behind <= 0.12 and self.height >= 0.5
        return fits and near and self.inside_x > 0.03 and self.inside_z > -0.2

    def is_backed(self) -> bool:
        """Other objects hide a part of what is under it; the rest is the supporter."""
        fits = self.share >= 0.25 and self.share >= 0.9 * (self.share + self.ground)
        near = -0.05 <= self.behind <= 0.25 and self.height >= 0.3
        plan = self.inside_x > 0.08 and self.inside_z > -0.15
        return fits and self.side >= 0.6 and near and plan


def find_supports(seen: DepthPicture, boxes: Mapping[int, np.ndarray]) -> dict[int, Support]:
    """What every shown label stands on; boxes: label -> (2, 3) as estimated.

    The confidence is the share of the pixels below the visible foot that agree.
    """
    points = seen.points
    labels = shown_labels(seen.picture)
    factors = ground_factors(seen)
    found = {}
    for label in labels:
        foot = _foot(seen, label)
        if foot is None:
            found[label] = UNKNOWN
            continue
        evidence = {
            other: _evidence(seen, points, foot, other, boxes)
            for other in np.unique(_at(seen.picture.labels, foot.below))
            if other not in (0, label)
        }
        found[label] = _verdict(seen, foot, evidence, factors.get(label))
    return without_cycles(found)


def known_supports(supports: Mapping[int, Support], labels: Collection[int]) -> dict[int, Support]:
    """The supports of those instances that were made; an object that was not supports nothing."""
    return {
        label: UNKNOWN if isinstance(support.on, int) and support.on not in labels else support
        for label, support in sorted(supports.items())
        if label in labels
    }


def without_cycles(supports: Mapping[int, Support]) -> dict[int, Support]:
    """The supports, with nothing known of objects that would stand on themselves."""
    return {
        label: UNKNOWN if _leads_back(label, supports) else support
        for label, support in supports.items()
    }


def _leads_back(label: int, supports: Mapping[int, Support]) -> bool:
    at = label
    for _ in supports:
        on = supports[at].on if at in supports else None
        if not isinstance(on, int):
            return False
        if on == label:
            return True
        at = on
    return False


def _verdict(
    seen: DepthPicture,
    foot: _Foot,
    evidence: Mapping[int, _Evidence | None],
    ground_factor: float | None,
) -> Support:
    fitting = {
        other: found.share
        for other, found in evidence.items()
        if found is not None and (found.is_surrounded() or found.is_backed())
    }
    if fitting:
        best = max(fitting, key=lambda other: fitting[other])
        return Support(int(best), round(fitting[best], 3))
    ground = float((_at(seen.picture.labels, foot.below) == 0).mean())
    stands = ground >= GROUND_SHARE and not foot.reaches_edge
    if stands and ground_factor is not None and abs(ground_factor) < CONTACT_TOLERANCE:
        return Support(GROUND, round(ground, 3))
    return UNKNOWN


def _foot(seen: DepthPicture, label: int) -> _Foot | None:
    own = seen.picture.labels == label
    if np.count_nonzero(own) < FEW_PIXELS:
        return None
    rows, columns = np.nonzero(own)
    top = int(rows.min())
    bottom = int(rows.max())
    lowest = np.full(own.shape[1], -1)
    np.maximum.at(lowest, columns, rows)
    is_foot = lowest >= bottom - FOOT * (bottom - top)
    contact = np.stack([lowest[is_foot], np.flatnonzero(is_foot)], axis=1)
    under = contact[:, None] + np.stack([BELOW, np.zeros_like(BELOW)], axis=1)
    below = _within(seen, under.reshape(-1, 2))
    lowest_third = np.unique(rows[rows >= bottom - (bottom - top) / 3])
    ends = np.array([[r, *columns[rows == r][[0, -1]]] for r in lowest_third])
    beside = [
        np.stack([ends[:, 0], ends[:, side] + sign * step], axis=1)
        for side, sign in ((1, -1), (2, 1))
        for step in BESIDE
    ]
    inside = _within(seen, np.concatenate(beside))
    photo_bottom = int(np.flatnonzero(seen.picture.inside.any(1)).max())
    if not len(below) or not len(inside):
        return None  # the photo ends there
    return _Foot(label, contact, below, inside, bottom >= photo_bottom)


def _within(seen: DepthPicture, pixels: np.ndarray) -> np.ndarray:
    """Those of the pixels (N, 2) that are of the photo."""
    fits = ((pixels >= 0) & (pixels < len(seen.picture.labels))).all(1)
    pixels = pixels[fits]
    return pixels[_at(seen.picture.inside, pixels)]


def _at(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return values[pixels[:, 0], pixels[:, 1]]


def _evidence(
    seen: DepthPicture,
    points: np.ndarray,
    foot: _Foot,
    other: int,
    boxes: Mapping[int, np.ndarray],
) -> _Evidence | None:
    """None when the supporter's surface is not below the eye, so that nobody sees it from above."""
    labels = seen.picture.labels
    eye = seen.camera.position
    under = _at(labels, foot.below)
    on_other = foot.below[under == other]
    other_points = points[labels == other]
    own_points = points[labels == foot.label]
    top = float(np.median(_at(points, on_other)[:, 1]))
    bottom = bottom_height(own_points)
    if top >= eye[1] or bottom >= eye[1]:
        return None
    factor = (eye[1] - top) / (eye[1] - bottom)
    landed = eye + factor * (own_points - eye)
    low, high = np.quantile(other_points, [0.02, 0.98], axis=0)
    size = np.maximum(high - low, 1e-9)
    depth = factor * float(np.ptp(boxes[foot.label][:, 2])) if foot.label in boxes else 0.0
    own_low, own_high = np.quantile(landed, [0.02, 0.98], axis=0)
    middle_x = (own_low[0] + own_high[0]) / 2
    middle_z = float(np.quantile(landed[:, 2], 0.95)) - depth / 2
    distance = np.log(seen.depth)
    behind = _at(distance, on_other).mean() - _at(distance, foot.contact).mean()
    return _Evidence(
        share=float((under == other).mean()),
        ground=float((under == 0).mean()),
        side=float((_at(labels, foot.beside) == other).mean()),
        behind=float(behind),
        height=float((top - low[1]) / size[1]),
        inside_x=float(min(middle_x - low[0], high[0] - middle_x) / size[0]),
        inside_z=float(min(middle_z - low[2], high[2] - middle_z) / size[2]),
    )
