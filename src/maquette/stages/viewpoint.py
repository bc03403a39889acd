"""Meshes of a model that does not tell its camera -> the scene frame, and the camera from which the
photo shows them.

In the flow: published models give upright meshes in a cube of their own, at an azimuth of their
own. The perceived camera (pitch, field of view) is the start; the boxes of the masks in the picture
fix the rest; of the four azimuths the one whose silhouettes agree best with the masks is taken.
Models that make one object at a time are placed by the perceived depth instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import trimesh
from scipy.optimize import least_squares

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box, middle_of, pixel_box, scene_from_world
from maquette.geometry.cameras import (
    intrinsics_from_focal,
    on_ray,
    pitch_of,
    project,
    resized,
    view_centric_rotation,
)
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.render.silhouette import silhouette_scores
from maquette.stages.perceive import Perception
from maquette.stages.place import place
from maquette.types import Camera, Instance, InstanceMask

AZIMUTHS = tuple(np.deg2rad((0.0, 90.0, 180.0, 270.0)))
CHECK_SIZE = 192  # pixels of the pictures in which azimuths are compared
# radians and log: how far the perceived camera is trusted
PITCH_SPREAD = 0.15
FOCAL_SPREAD = 0.15
PRIOR = 0.02  # weight of the perceived camera against box edges, which are in shares of the picture
OUTLIER = 0.05  # share of the picture from which an edge of a box counts less
EVALUATIONS = 60  # of the residuals, at most
SETTLING = 8  # projection is nearly linear in scale and shift, so a placement settles at once
BEHIND = 0.35  # an object's centre lies this share of its size behind its visible surface

Vertices = Mapping[int, np.ndarray]  # label -> (V, 3)


def scene_frame(
    meshes: Mapping[int, trimesh.Trimesh], masks: Sequence[InstanceMask], start: Camera
) -> tuple[np.ndarray, Camera]:
    """(4, 4) scene_from_made of meshes in one common upright cube, and the camera of the photo in
    the scene frame.

    InputError when no mesh has a mask.
    """
    made = {
        mask.label: np.asarray(meshes[mask.label].vertices, np.float64)
        for mask in masks
        if mask.label in meshes
    }
    if not made:
        raise InputError("none of the meshes has a mask; pass the masks that they were made from")
    tries = []
    for azimuth in AZIMUTHS:
        frame = normalising([*made.values()], rotation_y(azimuth))
        turned = {label: transform_points(frame, points) for label, points in made.items()}
        camera = fit_camera(turned, masks, start)
        framed = {label: (meshes[label], frame) for label in made}
        tries.append((agreement(framed, masks, camera), frame, camera))
    _, frame, camera = max(tries, key=lambda found: found[0])
    return frame, camera


def normalising(points: Sequence[np.ndarray], rotation: np.ndarray) -> np.ndarray:
    """(4, 4) that turns all points and moves and scales their common box to the origin and a
    longest side of 1.
    """
    turned = [p @ rotation.T for p in points]
    return scene_from_world(bounding_box(np.concatenate(turned)), rotation)


def fit_camera(vertices: Vertices, masks: Sequence[InstanceMask], start: Camera) -> Camera:
    """The camera along -Z, near the start in pitch and field of view, in which the boxes of the
    vertices are those of the masks.
    """
    outlines = {label: extremes(points) for label, points in vertices.items()}
    boxes = {m.label: np.array(pixel_box(m.mask)) for m in masks if m.label in outlines}
    size = float(max(start.size))
    pitch = pitch_of(start)
    focal = float(start.intrinsics[1, 1])

    def camera(sought: np.ndarray) -> Camera:
        """From its pitch, the logarithm of its zoom, and where the scene is as ``_first_place``."""
        its_pitch, zoom, right, down, away = sought
        rotation = view_centric_rotation(its_pitch)
        position = rotation @ np.array([-right, -down, -np.exp(away)])
        intrinsics = intrinsics_from_focal(focal * np.exp(zoom), *start.size)
        return Camera(intrinsics, similarity(1.0, rotation, position), *start.size)

    def residuals(sought: np.ndarray) -> np.ndarray:
        """Edges of the boxes in shares of the picture, and how far the camera left the start."""
        view = camera(sought)
        edges = [(projected_box(view, outlines[label]) - boxes[label]) / size for label in outlines]
        turned = (sought[0] - pitch) / PITCH_SPREAD
        zoomed = sought[1] / FOCAL_SPREAD
        return np.concatenate([*edges, PRIOR * np.array([turned, zoomed])])

    first = np.array([pitch, 0.0, *_first_place(np.array([*boxes.values()]), start)])
    found = least_squares(
        residuals,
        first,
        loss="soft_l1",
        f_scale=OUTLIER,
        max_nfev=EVALUATIONS,
    )
    return camera(found.x)


def _first_place(boxes: np.ndarray, start: Camera) -> tuple[float, float, float]:
    """How far right of the camera's axis, below it, and (as a logarithm) before it a scene of size
    1 stands that fills the boxes (N, 4) together.
    """
    focal = float(start.intrinsics[1, 1])
    low = boxes[:, :2].min(0)
    high = boxes[:, 2:].max(0)
    distance = np.clip(focal / max(float((high - low).max()), 1.0), 1.2, 20.0)
    middle = np.array(start.size) / 2
    right, down = ((low + high) / 2 - middle) * distance / focal
    return right, down, np.log(distance)


def place_alone(mesh: trimesh.Trimesh, mask: InstanceMask, perception: Perception) -> np.ndarray:
    """(4, 4) scene_from_made of one upright mesh in a cube of its own: over its mask, at its
    perceived depth, at the best azimuth.
    """
    camera = perception.camera
    depth = visible_depth(perception, mask.label)
    box = np.array(pixel_box(mask.mask))
    points = extremes(np.asarray(mesh.vertices, np.float64))
    tries = []
    for azimuth in AZIMUTHS:
        unit = normalising([points], rotation_y(azimuth))
        turned = transform_points(unit, points)
        middle = middle_of(box)
        scale = depth * longer_side(box) / camera.focal
        for _ in range(SETTLING):
            centre = on_ray(camera, middle, depth + BEHIND * scale)
            frame = similarity(scale, None, centre)
            seen = projected_box(camera, transform_points(frame, turned))
            doubled_drift = box[:2] + box[2:] - seen[:2] - seen[2:]
            middle = middle + doubled_drift / 2
            scale *= longer_side(box) / max(longer_side(seen), 1e-6)
        scene_from_made = frame @ unit
        agreed = agreement({mask.label: (mesh, scene_from_made)}, [mask], camera)
        tries.append((agreed, scene_from_made))
    return max(tries, key=lambda found: found[0])[1]


def longer_side(box: np.ndarray) -> float:
    """Pixels, of a picture box (4,)."""
    return float((box[2:] - box[:2]).max())


def visible_depth(perception: Perception, label: int) -> float:
    """Median z-depth of what is seen of an instance; that of all objects when nothing of it is left
    at the working size.
    """
    seen = perception.picture.labels == label
    return float(np.median(perception.depth[seen if seen.any() else perception.picture.labels > 0]))


def agreement(
    made: Mapping[int, tuple[trimesh.Trimesh, np.ndarray]],
    masks: Sequence[InstanceMask],
    camera: Camera,
) -> float:
    """Mean IoU of silhouettes with masks, on a small picture. made: label -> mesh and its (4, 4)
    scene_from_made.
    """
    scale = CHECK_SIZE / max(camera.size)
    width = max(8, round(camera.width * scale))
    height = max(8, round(camera.height * scale))
    small = [
        InstanceMask(m.label, _shrunk(m.mask, width, height)) for m in masks if m.label in made
    ]
    instances = [
        Instance(
            label=label,
            mesh=mesh,
            world_from_instance=frame,
            seed=0,
        )
        for label, (mesh, frame) in made.items()
    ]
    scores = silhouette_scores(instances, small, resized(camera, width, height))
    return float(np.mean([scores[m.label].visible for m in small]))


def _shrunk(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """The nearest pixels of a mask, as (height, width) bool."""
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


def placed(
    label: int,
    mesh: trimesh.Trimesh,
    scene_from_made: np.ndarray,
    seed: int,
    **fields: object,
) -> Instance:
    """An Instance of a mesh in another upright frame."""
    moved = mesh.copy()
    moved.apply_transform(scene_from_made)
    return place(label, moved, seed, **fields)


def extremes(points: np.ndarray, directions: int = 96) -> np.ndarray:
    """(D, 3) points that are farthest in evenly spread directions: enough for boxes in any view."""
    golden = np.pi * (3.0 - np.sqrt(5.0))
    k = np.arange(directions)
    y = 1.0 - 2.0 * (k + 0.5) / directions
    radius = np.sqrt(1.0 - y**2)
    axes = np.stack([radius * np.cos(golden * k), y, radius * np.sin(golden * k)], axis=1)
    return points[np.unique(np.argmax(points @ axes.T, axis=0))]


def projected_box(camera: Camera, points: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom in pixels of projected points; points behind the camera count
    as far outside.
    """
    pixel, depth = project(camera, points)
    pixel = np.where(depth[:, None] > 1e-3, pixel, 10.0 * max(camera.size))
    return bounding_box(pixel).ravel()
