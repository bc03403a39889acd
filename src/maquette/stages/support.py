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
    ObjectBoxes,
    bottom_height,
    ground_factors,
    shown_labels,
)
from maquette.types import GROUND, Support

FEW_PIXELS = 12  # a smaller mask says nothing
FOOT = 0.25  # of a mask's height: how far up its lower edge is a foot
BELOW = np.arange(1, 5)  # pixels under the lower edge that are looked at
BESIDE = np.array([2, 3, 5])  # pixels left and right of the mask that are looked at
AROUND = 0.6  # of the pixels beside a foot, for what goes on around it
GROUND_SHARE = 0.5  # of the pixels below, for an object that stands on the ground
UNKNOWN = Support(None, 0.0)
# Where a foot is hidden: logs of how far below the eye the box ends, and what is seen of the
# object, over how far the ground is below it; tuned on 64 scenes, held to 48 others
ON_GROUND = -0.1
SEEN_ABOVE = -0.25
BARE = 0.7  # of the pixels below a foot, ground: then the box may end a little higher
NEARLY_ON_GROUND = -0.2
RAISED = -0.3
MOST_BELOW = 0.7  # of the pixels below a raised foot, for what it stands on
AT_TOP = 0.96  # of that one's height, where the foot is
TINY = 1e-3  # scene units
LIKELY = 0.5  # confidence in what only the boxes tell, at most


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
        """Little but the supporter is seen under the object. What hides a foot is nearer than it,
        but is not seen on both sides of it; a supporter that is may be estimated too near.
        """
        fits = self.share >= 0.6 and self.ground <= 0.2 and self.side >= 0.35
        nearest = -0.25 if self.side >= AROUND else -0.07
        near = nearest <= self.behind <= 0.12 and self.height >= 0.5
        return fits and near and self.inside_x > 0.03 and self.inside_z > -0.2

    def is_backed(self) -> bool:
        """Other objects hide a part of what is under it; the rest is the supporter."""
        fits = self.share >= 0.25 and self.share >= 0.9 * (self.share + self.ground)
        near = -0.05 <= self.behind <= 0.25 and self.height >= 0.3
        plan = self.inside_x > 0.08 and self.inside_z > -0.15
        return fits and self.side >= 0.6 and near and plan

    def is_below(self) -> bool:
        """The object's middle is above the supporter, which it may reach beyond; what is only in
        front of an object that stands behind it is not below that one's middle.
        """
        fits = self.share >= 0.4 and self.side >= 0.2 and self.behind >= -0.2
        return fits and self.inside_x > -0.15 and self.inside_z > 0.1


def find_supports(seen: DepthPicture, boxes: ObjectBoxes) -> dict[int, Support]:
    """What every shown label stands on; boxes: label -> (2, 3) as estimated.

    The confidence is the share of the pixels below the visible foot that agree.
    """
    feet = {label: _foot(seen, label) for label in shown_labels(seen.picture)}
    points = seen.points
    found = dict.fromkeys(feet, UNKNOWN)
    on_ground = {}
    for label, foot in feet.items():
        if foot is None:
            continue
        below = _at(seen.picture.labels, foot.below)
        share = float((below == 0).mean())
        others = set(below.tolist()) - {0, label}
        supporter = _supporter(seen, points, foot, others, boxes)
        if supporter is not None:
            found[label] = supporter
        elif share >= GROUND_SHARE and not foot.reaches_edge:
            on_ground[label] = Support(GROUND, round(share, 3))
    factors = ground_factors(seen, on_ground)
    for label, support in on_ground.items():
        # the only one of them has nothing to disagree with
        if len(on_ground) == 1 or abs(factors.get(label, np.inf)) < CONTACT_TOLERANCE:
            found[label] = support
    return without_cycles(found)


def likely_supports(
    seen: DepthPicture,
    boxes: ObjectBoxes,
    sure: Mapping[int, Support],
) -> dict[int, Support]:
    """The supports, and what the boxes tell where a foot is hidden or its depth belies it: a box
    that ends near the common ground stands there, and one that ends well above it on the top that
    most of the pixels below show. ``seen`` and ``boxes``: as ``find_supports`` got them.
    """
    eye = seen.camera.position[1]
    points = seen.points
    lows = {label: bottom_height(points[seen.picture.labels == label]) for label in sure}
    ground = [lows[label] for label, support in sure.items() if support.on == GROUND]
    found = dict(sure)
    for label, support in sure.items():
        if support.on is None and label in boxes and ground:
            ends = np.array([boxes[label][0, 1], lows[label]])
            reaches = np.maximum(eye - ends, TINY) / max(eye - np.median(ground), TINY)
            found[label] = _likely(seen, points, _foot(seen, label), np.log(reaches), boxes)
    return without_cycles(found)


def _likely(
    seen: DepthPicture,
    points: np.ndarray,
    foot: _Foot | None,
    reaches: np.ndarray,
    boxes: ObjectBoxes,
) -> Support:
    """``reaches``: logs of how far the box, and what is seen, reach down, over the ground."""
    box, shown = reaches
    below = np.zeros(0, int) if foot is None else _at(seen.picture.labels, foot.below)
    counts = np.bincount(below, minlength=1)
    is_bare = 0 < BARE * below.size <= counts[0]
    counts[0] = 0
    other = int(counts.argmax())
    evidence = None
    if foot is not None and other not in (0, foot.label):
        evidence = _evidence(seen, points, foot, other, boxes.get(foot.label))
    if evidence is not None and evidence.is_below():
        return Support(other, LIKELY)
    if (box > ON_GROUND and shown > SEEN_ABOVE) or (is_bare and box > NEARLY_ON_GROUND):
        return Support(GROUND, LIKELY)
    is_raised = box < RAISED and shown < RAISED  # what hides a foot says nothing of what is below
    if evidence is None or evidence.share < MOST_BELOW or evidence.height < AT_TOP or not is_raised:
        return UNKNOWN
    return Support(other, LIKELY)


def _supporter(
    seen: DepthPicture,
    points: np.ndarray,
    foot: _Foot,
    others: Collection[int],
    boxes: ObjectBoxes,
) -> Support | None:
    """The object below a foot of which most is seen, among those that fit."""
    shares = {}
    for other in sorted(others):
        evidence = _evidence(seen, points, foot, other, boxes.get(foot.label))
        if evidence is not None and (evidence.is_surrounded() or evidence.is_backed()):
            shares[other] = evidence.share
    if not shares:
        return None
    best = max(shares, key=lambda other: shares[other])
    return Support(best, round(shares[best], 3))


def known_supports(supports: Mapping[int, Support], labels: Collection[int]) -> dict[int, Support]:
    """The supports of those instances that were made; an object that was not supports nothing."""
    found = {}
    for label in sorted(supports.keys() & set(labels)):
        support = supports[label]
        is_lost = isinstance(support.on, int) and support.on not in labels
        found[label] = UNKNOWN if is_lost else support
    return found


def ground_under(seen: DepthPicture, supports: Mapping[int, Support]) -> dict[int, float]:
    """Label -> the height (scene frame) of the ground under an object that stands on it: the common
    one, or where the object's own visible surface ends below that.
    """
    points = seen.points
    half = 0.5 / float(seen.camera.focal * seen.picture.scale)  # points are of pixels' centres
    lows = {}
    for label in supports:
        own = seen.picture.labels == label
        lows[label] = bottom_height(points[own]) - half * float(np.median(seen.depth[own]))
    standing = [label for label, support in supports.items() if support.on == GROUND]
    sure = [lows[label] for label in standing if supports[label].confidence > LIKELY]
    if not sure:
        return {}
    ground = float(np.median(sure))
    return {label: min(ground, lows[label]) for label in standing}


def without_cycles(supports: Mapping[int, Support]) -> dict[int, Support]:
    """The supports, with nothing known of objects that would stand on themselves."""
    return {
        label: UNKNOWN if _leads_back(label, supports) else support
        for label, support in supports.items()
    }


def _leads_back(label: int, supports: Mapping[int, Support]) -> bool:
    """Whether an object stands, over others, on itself."""
    at = label
    for _ in supports:
        on = supports.get(at, UNKNOWN).on
        if not isinstance(on, int):
            return False
        if on == label:
            return True
        at = on
    return False


def _foot(seen: DepthPicture, label: int) -> _Foot | None:
    own = seen.picture.labels == label
    if np.count_nonzero(own) < FEW_PIXELS:
        return None
    rows, columns = np.nonzero(own)
    top = rows.min()
    bottom = rows.max()
    lowest = np.full(own.shape[1], -1)
    np.maximum.at(lowest, columns, rows)
    is_foot = lowest >= bottom - FOOT * (bottom - top)
    contact = np.stack([lowest[is_foot], np.flatnonzero(is_foot)], axis=1)
    under = contact[:, None] + np.stack([BELOW, np.zeros_like(BELOW)], axis=1)
    below = _within(seen, under.reshape(-1, 2))
    lowest_third = np.unique(rows[rows >= bottom - (bottom - top) / 3])
    beside = []
    for row in lowest_third:
        own_columns = columns[rows == row]
        reach = np.concatenate([own_columns.min() - BESIDE, own_columns.max() + BESIDE])
        beside.append(np.stack([np.full_like(reach, row), reach], axis=1))
    inside = _within(seen, np.concatenate(beside))
    photo_bottom = np.flatnonzero(seen.picture.inside.any(1)).max()
    if not len(below) or not len(inside):
        return None  # the photo ends there
    return _Foot(label, contact, below, inside, bottom >= photo_bottom)


def _within(seen: DepthPicture, pixels: np.ndarray) -> np.ndarray:
    """Those of the pixels (N, 2) that are of the photo."""
    pixels = pixels[((pixels >= 0) & (pixels < len(seen.picture.labels))).all(1)]
    return pixels[_at(seen.picture.inside, pixels)]


def _at(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values (H, W) at pixels (N, 2) of row and column."""
    return values[pixels[:, 0], pixels[:, 1]]


def _evidence(
    seen: DepthPicture,
    points: np.ndarray,
    foot: _Foot,
    other: int,
    box: np.ndarray | None,
) -> _Evidence | None:
    """None when the supporter's surface is not below the eye, so that nobody sees it from above.
    ``box``: the object's own, (2, 3), as estimated.
    """
    labels = seen.picture.labels
    eye = seen.camera.position
    under = _at(labels, foot.below)
    on_other = foot.below[under == other]
    own = points[labels == foot.label]
    top = np.median(_at(points, on_other)[:, 1])
    bottom = bottom_height(own)
    if max(top, bottom) >= eye[1]:
        return None
    factor = (eye[1] - top) / (eye[1] - bottom)
    low, high = np.quantile(points[labels == other], [0.02, 0.98], axis=0)
    size = np.maximum(high - low, 1e-9)
    depth = 0.0 if box is None else factor * np.ptp(box[:, 2])
    middle = _middle(eye + factor * (own - eye), depth)
    inside = np.minimum(middle - low, high - middle) / size
    distance = np.log(seen.depth)
    behind = _at(distance, on_other).mean() - _at(distance, foot.contact).mean()
    beside = _at(labels, foot.beside)
    inside_x, _, inside_z = inside.tolist()
    return _Evidence(
        float((under == other).mean()),
        (under == 0).mean(),
        (beside == other).mean(),
        behind,
        (top - low[1]) / size[1],
        inside_x,
        inside_z,
    )


def _middle(points: np.ndarray, depth: float) -> np.ndarray:
    """(3,) middle of an object from its visible surface (N, 3) and its extent along z."""
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    middle = (low + high) / 2
    middle[2] = np.quantile(points[:, 2], 0.95) - depth / 2
    return middle
