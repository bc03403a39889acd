"""What of each object a camera sees: how much others hide, how well silhouettes agree with masks,
and L_align. Needs a true camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from maquette.evaluate.surfaces import Meshes, sample_mesh, stream, why_no_surface
from maquette.geometry.boxes import longest_side
from maquette.geometry.cameras import lift, resized
from maquette.geometry.nearest import build_tree, nearest
from maquette.photos.pixels import scaled_size
from maquette.render.rasterize import checked_mesh, draw, pixel_from_world
from maquette.render.silhouette import resample_mask, silhouette_iou
from maquette.types import Camera, InstanceMask

if TYPE_CHECKING:
    import trimesh

ALIGN_POINTS = 20_480  # samples of a prediction's surface for L_align
SIDE = 256  # pixels of the longer side; shares of small objects are then good to a few per cent


def hidden_shares(meshes: Meshes, camera: Camera) -> dict[str, float]:
    """Share of every object's own silhouette, within the frame, in which another object is nearer;
    nan for one outside the frame.

    0 = all visible, 1 = hidden completely. The occlusion of the set "occlusion" and of the report's
    plot.
    """
    camera = _at_most(camera, SIDE)
    owner = _drawn(list(meshes.values()), camera)[0]
    shares = {}
    for k, (name, mesh) in enumerate(meshes.items()):
        whole = np.count_nonzero(_drawn([mesh], camera)[0] >= 0)
        seen = np.count_nonzero(owner == k)
        shares[name] = 1.0 - float(seen / whole) if whole else float("nan")
    return shares


def mean_silhouette_iou(meshes: Meshes, masks: Sequence[InstanceMask], camera: Camera) -> float:
    """Mean over all masks of the IoU with what is seen of the mesh ``instance_<label>``; 0 for an
    absent one, no alignment. In [0, 1].
    """
    camera = _at_most(camera, SIDE)
    label_map = np.full((camera.height, camera.width), -1)
    if meshes:
        label_of = {f"instance_{mask.label}": mask.label for mask in masks}
        labels = np.array([*(label_of.get(name, -1) for name in meshes), -1])
        label_map = labels[_drawn(list(meshes.values()), camera)[0]]  # -1, nothing, is the last
    small = [InstanceMask(mask.label, resample_mask(mask.mask, *camera.size)) for mask in masks]
    return float(np.mean(list(silhouette_iou(label_map, small).values())))


def seen_surface(meshes: Meshes, camera: Camera) -> dict[str, np.ndarray]:
    """(N, 3) points of each mesh that a perfect depth camera would measure, one a pixel; none of
    what is hidden.
    """
    camera = _at_most(camera, SIDE)
    owner, depth = _drawn(list(meshes.values()), camera)
    points = lift(camera, depth)
    return {name: points[owner == k] for k, name in enumerate(meshes)}


def surface_alignment(predicted: Meshes, truth: Meshes, camera: Camera) -> float:
    """L_align of Coherent 3D Scene Diffusion (section 3.4), as a measure: how far what the depth
    camera saw is from what was made there.

    Mean over the true objects that are seen of the mean squared distance of their seen points to
    the prediction of the same name, one way, no alignment; in thousandths, the longest side of the
    true scene being 1. An absent object is half its longest side off. nan when the camera sees
    nothing.
    """
    errors = []
    for name, points in seen_surface(truth, camera).items():
        mesh = predicted.get(name)
        if not len(points):
            continue
        if mesh is None or why_no_surface(mesh, name):
            errors.append((longest_side(truth[name].bounds) / 2) ** 2)
        else:
            made = sample_mesh(mesh, ALIGN_POINTS, stream(0, "predicted", name), np.eye(4)).points
            errors.append(float(np.mean(nearest(build_tree(made), points)[0] ** 2)))
    unit = longest_side(np.concatenate([mesh.bounds for mesh in truth.values()]))
    return 1000.0 * float(np.mean(errors)) / unit**2 if errors else float("nan")


def _at_most(camera: Camera, side: int) -> Camera:
    """A camera whose longer side is at most ``side`` pixels."""
    scale = min(1.0, side / max(camera.size))
    return resized_by(camera, scale)


def resized_by(camera: Camera, scale: float) -> Camera:
    """The same view in a picture whose sides are ``scale`` times as long, at least a pixel each."""
    return resized(camera, *scaled_size(camera.size, scale))


def _drawn(meshes: Sequence[trimesh.Trimesh], camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) index of the mesh that each pixel sees, -1 = none; and (H, W) z-depth, 1 where nothing
    is seen.
    """
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)])
    vertices, faces = checked_mesh(vertices, faces)
    nearness, face, _ = draw(vertices, faces, pixel_from_world(camera), *camera.size)
    owner = np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
    depth = np.divide(1.0, nearness, out=np.ones_like(nearness), where=nearness > 0)
    return np.append(owner, -1)[face], depth  # face -1, nothing, reads the appended element
