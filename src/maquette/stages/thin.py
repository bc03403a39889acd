"""Thin upright parts of an object: legs, poles, slats. A depth map wavers along them, and nothing
tells how thick they are.

In the flow: Closeup -> ThinParts -> ``fuse``. They are straightened in depth and are as thick as
wide. Only upright ones: table tops and shelves seen edge-on are thin in the mask and deep in space.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from maquette.geometry.cameras import on_ray, project
from maquette.stages.closeup import Closeup
from maquette.types import Camera

THIN = 0.05  # cube sides: what is narrower is thin
GROWTH = 1.2  # from disc to disc of those that are fitted into a mask
STEEP = 0.6  # least ratio of outlines that run up and of those that run across
SURROUNDINGS = 0.02  # of the mask's longer side, in which they are compared
SHORTEST = 0.06  # of the mask's longer side; shorter parts are left as they are
OFF_THE_LINE = 0.08  # cube sides that half of a part's points may at most lie before or behind it
UPRIGHTNESS = 0.5  # weight of the belief that a part is vertical against its own slope
PLUMB = 0.1  # columns a row off the picture of a vertical line: such a part is rather vertical
IN_PLUMB = 10.0  # times the belief then; docs/log.md has what it does to slopes
PLUMB_OFF_THE_LINE = 1.5  # times as far may half of such a part's points lie off it
NOISE = 0.005  # of the depth; what a measured part may lie off a line
ROUNDNESS = 1.3  # thickness over width: smoothing takes the corners off
ROUNDS = 8  # of the robust fit
RIM = 3  # pixels beyond the mask in which a part's depth and thickness go on


@dataclass(frozen=True, eq=False)
class ThinParts:
    """What is known of the thin upright parts in a window (H, W)."""

    depth: np.ndarray  # (H, W) float32 of the window, straightened where they are; scene units
    thickness: np.ndarray  # (H, W) float32 theirs, in scene units; inf elsewhere
    here: np.ndarray  # (H, W) bool


def thin_parts(
    window: Closeup,
    inwards: np.ndarray,
    side: float,
    measured: bool = False,
) -> ThinParts:
    """Find and straighten the thin parts of a window's object; ``inwards`` (H, W): distances from
    its outline in pixels, ``side``: of its cube in scene units. measured: its depth was given, so
    that a line may take the noise out of it and nothing else.
    """
    unit = window.depth / window.camera.focal  # scene units per pixel
    most = THIN * side / float(unit[window.mask].min())
    width = 2 * half_width(window.mask, inwards, most) * unit
    thin = window.mask & (width < THIN * side)
    parts, _ = ndimage.label(_upright(thin, SURROUNDINGS * window.scale), np.ones((3, 3)))
    depth = window.depth.copy()
    thickness = np.full(depth.shape, np.inf, np.float32)
    for label, place in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = np.nonzero(parts[place] == label)
        rows, columns = rows + place[0].start, columns + place[1].start
        if np.ptp(rows) < SHORTEST * window.scale:
            continue
        straight = _straightened(window, rows, columns, 0.0 if measured else UPRIGHTNESS)
        least = _most_off(window, rows, columns) * side
        if measured:
            least = NOISE * float(np.median(depth[rows, columns]))
        if np.median(np.abs(straight - depth[rows, columns])) < least:
            depth[rows, columns] = straight
            taper = np.polyfit(rows, width[rows, columns], 1)
            thickness[rows, columns] = ROUNDNESS * np.polyval(taper, rows)
    return _carried_beyond(ThinParts(depth, thickness, np.isfinite(thickness)))


def half_width(mask: np.ndarray, inwards: np.ndarray, most: float) -> np.ndarray:
    """(H, W) float32 radius of the largest disc within a mask that covers each of its pixels, up to
    ``most`` pixels and to the steps of GROWTH.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    part = np.s_[top : top + height, left : left + width]
    inside = inwards[part]
    found = np.maximum(inside, 0.5)
    radius = 1.0
    while radius < GROWTH * most and (inside >= radius).any():
        away = cv2.distanceTransform((inside < radius).view(np.uint8), cv2.DIST_L2, 5)
        np.maximum(found, radius, out=found, where=away < radius)
        radius *= GROWTH
    widest = np.zeros(mask.shape, np.float32)
    widest[part] = found * mask[part]
    return widest


def _upright(thin: np.ndarray, surroundings: float) -> np.ndarray:
    """The pixels of thin parts (H, W) bool around which outlines rather run up than across."""
    picture = thin.astype(np.float32)
    slopes = (cv2.Sobel(picture, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    sigma = max(surroundings, 1)
    across, along = (cv2.GaussianBlur(slope**2, (0, 0), sigma) for slope in slopes)
    return thin & (across > STEEP * along)


def _straightened(
    window: Closeup,
    rows: np.ndarray,
    columns: np.ndarray,
    belief: float,
) -> np.ndarray:
    """(N,) depths of a part's pixels on a straight line in space, or in a plane when it is as wide
    as several: 1 / z is linear in the picture. belief: weight of its being vertical.
    """
    inverse = 1 / window.depth[rows, columns].astype(np.float64)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    at = np.column_stack([rows + 0.5 - middle[1], columns + 0.5 - middle[0]])
    if np.ptp(columns) < 0.5 * np.ptp(rows):
        at = at[:, :1]
    believed = np.zeros(at.shape[1])
    believed[0], _ = _vertical(window.camera, middle, 1 / np.median(inverse))
    if _is_plumb(window, rows, columns):
        belief *= IN_PLUMB
    weight = np.ones(len(at))
    slope, level = believed, np.median(inverse)
    for _ in range(ROUNDS):
        level = np.average(inverse - at @ slope, weights=weight)
        spread = (at * weight[:, None]).T @ at
        prior = belief * np.diag(spread.diagonal() + 1e-12)
        target = at.T @ (weight * (inverse - level)) + prior @ believed
        slope = np.linalg.solve(spread + prior, target)
        residual = np.abs(inverse - level - at @ slope)
        weight = 1 / np.maximum(residual, 1e-3 * level)  # least absolute residuals
    return 1 / np.maximum(level + at @ slope, 0.2 * level)


def _most_off(window: Closeup, rows: np.ndarray, columns: np.ndarray) -> float:
    """Cube sides that half of a part's points may lie off a line that it is taken for."""
    return OFF_THE_LINE * (PLUMB_OFF_THE_LINE if _is_plumb(window, rows, columns) else 1.0)


def _is_plumb(window: Closeup, rows: np.ndarray, columns: np.ndarray) -> bool:
    """Whether a part lies along the picture of a vertical line."""
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    inverse = 1 / window.depth[rows, columns].astype(np.float64)
    _, lean = _vertical(window.camera, middle, 1 / np.median(inverse))
    return abs(np.polyfit(rows, columns, 1)[0] - lean) < PLUMB


def _vertical(camera: Camera, pixel: np.ndarray, depth: float) -> tuple[float, float]:
    """Change of 1 / z and of the column per row along the picture of a vertical line through a
    pixel's point.
    """
    point = on_ray(camera, pixel, float(depth))
    step = np.array([0.0, 0.02 * depth, 0.0])
    ends, away = project(camera, np.stack([point - step, point + step]))
    across, rise = ends[1] - ends[0]
    if abs(rise) < 1e-6:
        return 0.0, 0.0
    return float(1 / away[1] - 1 / away[0]) / rise, across / rise


def _carried_beyond(found: ThinParts) -> ThinParts:
    """The same parts, their depth and thickness going on a little beyond them."""
    if not found.here.any():
        return found
    away, nearest = ndimage.distance_transform_edt(~found.here, return_indices=True)
    near = away <= RIM
    place = tuple(nearest[:, near])
    depth, thickness = found.depth.copy(), found.thickness.copy()
    depth[near] = found.depth[place]
    thickness[near] = found.thickness[place]
    return ThinParts(depth, thickness, found.here)
