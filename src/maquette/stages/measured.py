"""Depth, camera and gravity that a user gave, in place of what the network says of them.

In the flow: part of ``perceive``. The estimate still decides what nobody measured: the hidden sides
(boxes), unknown pixels, and how large the scene is in units of its frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from maquette.geometry.cameras import intrinsics_from_focal
from maquette.geometry.ground import ground_down
from maquette.geometry.transforms import similarity
from maquette.masks.labels import labels_in
from maquette.models.conditioning import Picture, centre_depth, nearest_pixels
from maquette.photos.pixels import nearest_inside
from maquette.stages.frame import LOW_WEIGHTS, NEARER, DepthPicture, ObjectBoxes, best, shown_labels
from maquette.types import GROUND, Camera, GivenGeometry, Support

TRIM = 0.02  # share of an object's points at either end that its extent ignores
SLACK = 0.03  # log depth by which a pixel at an outline may leave the range of its object
STEP = 0.04  # log depth between neighbouring pixels of one surface
RIM = 2  # pixels at an outline in which sensors mix two surfaces
FOOT = 0.25  # of a mask's height, from below
UNDER = np.arange(1, 7)  # pixels under the foot that are looked at
FEW_PIXELS = 20  # an object with fewer known ones keeps its estimate, scaled as the scene is


@dataclass(frozen=True, eq=False)
class Measured:
    """A perceived scene with what is known of it put in."""

    seen: DepthPicture
    boxes: ObjectBoxes  # label -> (2, 3)
    fine: np.ndarray | None  # (H, W) z-depth of the photo's pixels in scene units, 0 = background
    units_per_metre: float | None  # scene units; of an unknown unit of depth None
    # (H, W) measured z-depth in scene units of everything, nan = not known; None = nothing measured
    whole: np.ndarray | None = None


def posed_camera(
    parameters: np.ndarray,
    given: GivenGeometry,
    width: int,
    height: int,
    down: np.ndarray | None,
) -> Camera:
    """The camera that the network's parameters (5,) describe, with given intrinsics and ``down``
    (3,), where gravity pulls, in the camera's axes; None = as the parameters' pitch says.

    The scene's centre keeps its pixel and its depth, and the middle of the picture looks along -Z,
    for that is the frame that the networks know.
    """
    pitch, log_focal, x, y, _ = (float(value) for value in parameters)
    longer = max(width, height)
    intrinsics = given.intrinsics
    if intrinsics is None:
        intrinsics = intrinsics_from_focal(np.exp(log_focal) * longer, width, height)
    from_pixel = np.linalg.inv(intrinsics)
    middle = from_pixel @ [width / 2, height / 2, 1.0]
    if down is None:
        down = down_of_pitch(middle, pitch)
    rotation = upright_rotation(down, middle)
    corner = np.array([width / 2, height / 2, 1.0])
    ray = from_pixel @ (corner + longer * np.array([x, y, 0.0]))
    pose = similarity(1.0, rotation, -rotation @ (ray * centre_depth(parameters)))
    return Camera(intrinsics, pose, width, height)


def down_of_pitch(ray: np.ndarray, pitch: float) -> np.ndarray:
    """(3,) where gravity pulls, in the axes of a camera without roll whose ray (3,) looks down by
    ``pitch`` radians.
    """
    steep = np.sin(pitch) * np.linalg.norm(ray) / np.hypot(ray[1], ray[2])
    angle = np.arctan2(ray[2], ray[1]) - np.arccos(np.clip(steep, -1.0, 1.0))
    return np.array([0.0, np.cos(angle), np.sin(angle)])


def upright_rotation(down: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """(3, 3) world_from_camera rotation: ``down`` (3,) becomes -Y, and the ray (3,) lies in the
    plane of Y and -Z.
    """
    up = -down / np.linalg.norm(down)
    forward = ray - (ray @ up) * up
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(forward, up), up, -forward])


def put_in(
    estimated: DepthPicture,
    parameters: np.ndarray,
    boxes: ObjectBoxes,
    given: GivenGeometry,
    labels: np.ndarray,
) -> Measured:
    """The scene of an estimate, with what is given in its place; labels: (H, W) of the photo."""
    height, width = labels.shape
    camera = posed_camera(parameters, given, width, height, given.down)
    if given.depth is None:
        turned = _turned(boxes, camera, estimated.camera)
        return Measured(replace(estimated, camera=camera), turned, None, None)
    if given.down is None:
        expected = -camera.world_from_camera[1, :3]
        down = ground_down(given.depth, camera.intrinsics, labels > 0, expected)
        camera = posed_camera(parameters, given, width, height, down)
    turned = _turned(boxes, camera, estimated.camera)
    picture = estimated.picture
    rough = _on_photo(estimated.depth, picture, labels.shape)
    known = without_mixed_pixels(given.depth, labels)
    scale = _scale(known, rough, labels)
    fine = filled(known * scale, rough, labels)
    seen = DepthPicture(camera, picture, _on_picture(fine, labels, picture, estimated.depth))
    placed = _around_surfaces(turned, seen, estimated)
    whole = given.depth * scale
    return Measured(seen, placed, fine, scale if given.metric else None, whole)


def floors(
    known: Measured, supports: Mapping[int, Support], labels: np.ndarray
) -> dict[int, float]:
    """Label -> the height (scene frame) of what an object stands on, as it is measured under its
    foot; nothing of it lies below. Where the foot is hidden it is the lowest of the ground.

    labels: (H, W) of the photo. Empty without a measured depth.
    """
    if known.whole is None:
        return {}
    heights = _heights(known.whole, known.seen.camera)
    found = {}
    for label, support in supports.items():
        rows, columns = _under(labels == label)
        on = 0 if support.on == GROUND else support.on
        near = heights[rows, columns][labels[rows, columns] == on]
        near = near[np.isfinite(near)]
        if support.on is not None and near.size >= FEW_PIXELS:
            found[label] = float(np.median(near))
    grounds = [found[label] for label in found if supports[label].on == GROUND]
    for label in supports:
        if label not in found and grounds:
            found[label] = min(grounds)
    for label in found:
        own = heights[(labels == label) & np.isfinite(heights)]
        if own.size:  # it is seen down to there
            found[label] = min(found[label], float(np.quantile(own, TRIM)))
    return found


def _heights(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) height in the scene frame of what each pixel shows."""
    height, width = depth.shape
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    x = (np.arange(width) + 0.5 - cx) / fx
    y = (np.arange(height) + 0.5 - cy) / fy
    across, down, ahead, start = camera.world_from_camera[1]
    return (across * x + down * y[:, None] + ahead) * depth + start


def _under(own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels under the foot of a mask (H, W) bool: under the lowest pixel
    of each column, where that is in the lowest part of the mask.
    """
    columns = np.flatnonzero(own.any(0))
    lowest = len(own) - 1 - np.argmax(own[::-1, columns], axis=0)
    seen = np.flatnonzero(own.any(1))
    foot = lowest >= seen[-1] - FOOT * (seen[-1] - seen[0])
    rows = lowest[foot][:, None] + UNDER
    places = np.broadcast_to(columns[foot][:, None], rows.shape)
    inside = rows < len(own)
    return rows[inside], places[inside]


def _turned(boxes: ObjectBoxes, camera: Camera, estimated: Camera) -> ObjectBoxes:
    """Boxes (2, 3) of the frame of another pose about the same origin: their centres turn."""
    turn = camera.rotation @ estimated.rotation.T
    turned = {}
    for label, box in boxes.items():
        centre = box.mean(0)
        turned[label] = box + (turn @ centre - centre)
    return turned


def _on_photo(depth: np.ndarray, picture: Picture, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) a letterboxed depth map at the photo's pixels; between pixels of one object it is
    continuous, for it is filled from the nearest object's pixel first.
    """
    whole = np.log(depth[nearest_inside(picture.labels > 0)])
    height, width = shape
    x, y = _places(width, height, picture)
    grid = np.stack(np.meshgrid(y - 0.5, x - 0.5, indexing="ij"))
    return np.exp(ndimage.map_coordinates(whole, grid, order=1, mode="nearest"))


def _places(width: int, height: int, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """X (W,) and y (H,) of the photo's pixel centres in the letterboxed picture."""
    left, top = picture.offset
    columns = (np.arange(width) + 0.5) * picture.scale
    rows = (np.arange(height) + 0.5) * picture.scale
    return columns + left, rows + top


def without_mixed_pixels(depth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A depth map (H, W) without the pixels at outlines that leave the range of their object and
    do not continue its surface: a sensor mixes two surfaces there, and a mask may hold a little of
    what lies behind.
    """
    cleaned = depth.astype(np.float64)
    logs = np.log(cleaned)
    for label in labels_in(labels):
        own = labels == label
        inner = ndimage.binary_erosion(own, iterations=RIM)
        core = logs[inner if inner.sum() >= 0.3 * own.sum() else own]
        core = core[np.isfinite(core)]
        if core.size < FEW_PIXELS:
            continue
        low, high = np.quantile(core, [TRIM, 1 - TRIM])
        slack = 0.5 * (high - low) + SLACK
        far = np.abs(logs - (low + high) / 2) > (high - low) / 2 + slack
        outside = own & ~inner & far
        if outside.any():
            cleaned[outside & ~_continued(logs, own, inner)] = np.nan
    return cleaned


def _continued(logs: np.ndarray, own: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(H, W) bool the own pixels that small steps of log depth connect to the inner ones."""
    reached = inner.copy()
    for _ in range(2 * RIM):
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            neighbour = np.roll(logs, step, axis)
            from_there = np.roll(reached, step, axis) & (np.abs(logs - neighbour) < STEP)
            reached |= own & from_there
    return reached


def _scale(known: np.ndarray, rough: np.ndarray, labels: np.ndarray) -> float:
    """Scene units for one unit of the given depth."""
    there = np.isfinite(known)
    on_objects = there & (labels > 0)
    used = on_objects if on_objects.sum() >= FEW_PIXELS else there
    return float(np.exp(np.median(np.log(rough[used]) - np.log(known[used]))))


def filled(known: np.ndarray, rough: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W) depth of the objects, 0 elsewhere: what is known (nan = not), and else the estimate
    ``rough`` corrected as at the nearest known pixel of the same object.
    """
    depth = np.zeros(known.shape)
    off = np.log(known) - np.log(rough)
    for label in labels_in(labels):
        own = labels == label
        there = own & np.isfinite(known)
        if there.sum() < FEW_PIXELS:
            depth[own] = rough[own]
            continue
        depth[own] = np.exp(off[nearest_inside(there)] + np.log(rough))[own]
        depth[there] = known[there]
    return depth


def _on_picture(
    fine: np.ndarray,
    labels: np.ndarray,
    picture: Picture,
    estimated: np.ndarray,
) -> np.ndarray:
    """(S, S) mean log depth of the photo's pixels of the same object in each pixel of the
    letterboxed picture; of a small photo, the nearest one.
    """
    size = len(picture.labels)
    height, width = labels.shape
    x, y = _places(width, height, picture)
    columns = nearest_pixels(x, size)
    rows = nearest_pixels(y, size)
    cell = rows[:, None] * size + columns
    own = (labels > 0) & (picture.labels.ravel()[cell] == labels)
    cells = cell[own]
    total = np.bincount(cells, np.log(fine[own]), size * size)
    count = np.bincount(cells, minlength=size * size)
    depth = np.exp(total / np.maximum(count, 1)).reshape(size, size)
    found = (count > 0).reshape(size, size)
    missing = (picture.labels > 0) & ~found
    depth = np.where(found, depth, estimated)
    for label in np.unique(picture.labels[missing]):
        own_cells = found & (picture.labels == label)
        if own_cells.any():
            gaps = missing & (picture.labels == label)
            depth[gaps] = depth[nearest_inside(own_cells)][gaps]
    return depth


def _around_surfaces(
    boxes: ObjectBoxes, seen: DepthPicture, estimated: DepthPicture
) -> ObjectBoxes:
    """Boxes moved along their rays to where they fit the known surfaces best, and grown to hold
    them.

    It is ``frame.into_boxes`` the other way round, for here the surface is right.
    """
    points = seen.points
    eye = seen.camera.position
    placed = {}
    for label in shown_labels(seen.picture):
        own = seen.picture.labels == label
        low, high = (np.quantile(points[own], q, axis=0) for q in (TRIM, 1 - TRIM))
        if label not in boxes:
            continue
        farther = np.median(np.log(seen.depth[own]) - np.log(estimated.depth[own]))
        box = eye + np.exp(farther) * (boxes[label] - eye)
        low_misfit = np.abs(eye + NEARER[:, None] * (low - eye) - box[0])
        high_misfit = np.abs(eye + NEARER[:, None] * (high - eye) - box[1])
        factor = best(NEARER, low_misfit @ LOW_WEIGHTS + high_misfit.sum(1))
        box = eye + (box - eye) / factor
        placed[label] = np.stack([np.minimum(box[0], low), np.maximum(box[1], high)])
    return placed
