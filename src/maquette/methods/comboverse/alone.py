"""One object from its own picture, as if there were no scene: for methods that reconstruct first
and arrange afterwards.

In the flow: a picture of one object (``complete``) -> perceived, made in its own cube, held
to its own picture, coloured -> a mesh with the axes of the scene and a size of its own, and the
place where ComboVerse starts to arrange (arXiv 2403.12409, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from maquette.document.appearance import vertex_colors_of
from maquette.errors import present
from maquette.geometry.boxes import bounding_box, longest_side, middle_of
from maquette.geometry.cameras import on_ray, project
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.methods.comboverse.complete import Completed
from maquette.models.image_encoder import GeometryNet
from maquette.stages.crop import box_cube
from maquette.stages.decode import simplified
from maquette.stages.finish import Finish, finished_mesh
from maquette.stages.lift import Models
from maquette.stages.perceive import perceive
from maquette.stages.sample import Sampling
from maquette.stages.viewpoint import extremes, longer_side, projected_box
from maquette.stages.zoom import zoom_again
from maquette.types import Camera, InstanceMask, SceneInput

ROUNDS = 12  # of placing: the picture of a box is nearly linear in its scale and shift


@dataclass(frozen=True, eq=False)
class Alone:
    """An object in a frame of its own, with the axes of the scene."""

    mesh: trimesh.Trimesh  # coloured; longest side about 1
    surface: np.ndarray  # (P, 3) what the photo shows of it, in the same frame


def make_alone(
    net: GeometryNet,
    models: Models,
    completed: Completed,
    label: int,
    sampling: Sampling,
    *,
    yaw: float = 0.0,
    fit: bool = True,
    revolve: bool = True,
) -> Alone | None:
    """Make an object from its picture alone; None when its volume holds no surface. InputError when
    the picture shows nothing of it.

    yaw: ``ray_azimuth`` of the object in the photo. The picture's own camera looks straight at the
    object, that of the photo past it. fit: hold the volume to the silhouette and the visible
    surface of the picture. revolve: as ``perceive`` takes it.
    """
    given = SceneInput(completed.image, (InstanceMask(label, completed.mask),))
    own = perceive(net, given, revolve)
    visible = present(own.visible_box(label), f"pixel of instance {label}")
    cube = box_cube([visible, own.boxes[label]])
    volume = zoom_again(models, own, label, {"scene_from_cube": cube}, sampling).volume
    mesh = finished_mesh(volume, own, label, cube, Finish(fit))
    if mesh is None:
        return None
    turned = similarity(1.0, rotation_y(-yaw))
    mesh.vertices = transform_points(turned, np.asarray(mesh.vertices))
    size = len(own.picture.labels)
    at = ((np.arange(size) + 0.5) * len(completed.visible) / size).astype(int)
    shown = own.picture.labels == label
    not_painted = shown & completed.visible[np.ix_(at, at)]
    if not_painted.any():
        shown = not_painted
    return Alone(mesh, transform_points(turned, own.points[shown].astype(np.float64)))


def ray_azimuth(camera: Camera, pixel: np.ndarray) -> float:
    """How far to the right (radians about the vertical) the line of sight through a pixel (2,)
    points from -Z.
    """
    ray = camera.rotation @ np.linalg.solve(camera.intrinsics, np.array([*pixel, 1.0]))
    return float(np.arctan2(ray[0], -ray[2]))


def starting_place(
    alone: Alone,
    box: np.ndarray,
    depth: float,
    camera: Camera,
) -> np.ndarray:
    """(4, 4) scene_from_alone without rotation: over a box (4,) of the photo, its visible surface
    at a mean z-depth.

    As in ComboVerse the larger of the two ratios of sides is the scale, and the box's centre gives
    x and y. The paper puts an object's origin at the mean depth inside the mask; that depth is one
    of visible points, so here the visible points are put there.
    """
    points = extremes(np.asarray(alone.mesh.vertices, np.float64))
    middle = bounding_box(points).mean(0)
    forward = camera.world_from_camera[:3, 2]
    # the visible surface lies this much before the middle
    nearer = float(((middle - alone.surface) @ forward).mean())
    pixel = middle_of(box)
    longer = longer_side(box)
    scale = depth * longer / camera.focal / longest_side(points)
    for _ in range(ROUNDS):
        centre = on_ray(camera, pixel, max(depth + scale * nearer, 1e-3))
        place = similarity(scale, None, centre - scale * middle)
        seen = projected_box(camera, transform_points(place, points))
        wanted = box[:2] + box[2:]
        pixel = pixel + (wanted - seen[:2] - seen[2:]) / 2
        scale *= longer / max(longer_side(seen), 1e-6)
    return place


def mean_depth(camera: Camera, points: np.ndarray) -> float:
    """Mean z-depth of scene points (P, 3)."""
    return float(project(camera, points)[1].mean())


def lighter(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """A mesh with about this many faces, coloured like the nearest vertices of the full one; the
    same mesh when it has no more.
    """
    if len(mesh.faces) <= faces:
        return mesh
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)  # without a texture's seams
    points, triangles = simplified(np.asarray(whole.vertices), np.asarray(whole.faces), faces)
    _, nearest = cKDTree(mesh.vertices).query(points)
    colours = vertex_colors_of(mesh)[nearest]
    return trimesh.Trimesh(points, triangles, vertex_colors=colours, process=False)
