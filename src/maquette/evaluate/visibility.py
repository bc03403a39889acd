"""What of each object a camera sees: how much others hide, how well silhouettes agree with masks,
and L_align. Needs a true camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maquette.evaluate.surfaces import check_mesh, sample_mesh, stream
from maquette.geometry.cameras import lift, resized
from maquette.geometry.nearest import build_tree, nearest
from maquette.render.rasterize import checked_mesh, draw, pixel_from_world
from maquette.render.silhouette import resample_mask
from maquette.types import Camera, InstanceMask

if TYPE_CHECKING:
    import trimesh

ALIGN_POINTS = 20_480  # samples of a prediction's surface for L_align
SIDE = 256  # pixels of the longer side; shares of small objects are then good to a few per cent


def hidden_shares(meshes: Mapping[str, trimesh.Trimesh], camera: Camera) -> dict[str, float]:
    """Share of every object's own silhouette, within the frame, in which another object is nearer;
    nan for one outside the frame.

    0 = all visible, 1 = hidden completely. The occlusion of the set "occlusion" and of the report's
    plot.
    """
    camera = _at_most(camera, SIDE)
    alone = {name: _drawn([mesh], camera) >= 0 for name, mesh in meshes.items()}
    owner = _drawn(list(meshes.values()), camera)
    shares = {}
    for k, name in enumerate(meshes):
        whole = int(alone[name].sum())
        shares[name] = 1.0 - int((owner == k).sum()) / whole if whole else float("nan")
    return shares


def silhouette_iou(
    meshes: Mapping[str, trimesh.Trimesh], masks: Sequence[InstanceMask], camera: Camera
) -> float:
    """Mean over all masks of the IoU with what is seen of the mesh ``instance_<label>``; 0 for an
    absent one, no alignment. In [0, 1].
    """
    camera = _at_most(camera, SIDE)
    names = list(meshes)
    owner = (
        _drawn(list(meshes.values()), camera)
        if names
        else np.full((camera.height, camera.width), -1)
    )
    scores = []
    for m in masks:
        name = f"instance_{m.label}"
        seen = owner == names.index(name) if name in meshes else np.zeros(owner.shape, bool)
        mask = resample_mask(m.mask, camera.width, camera.height)
        union = np.count_nonzero(seen | mask)
        scores.append(np.count_nonzero(seen & mask) / union if union else 0.0)
    return float(np.mean(scores))


def seen_surface(meshes: Mapping[str, trimesh.Trimesh], camera: Camera) -> dict[str, np.ndarray]:
    """(N, 3) points of each mesh that a perfect depth camera would measure, one a pixel; none of
    what is hidden.
    """
    camera = _at_most(camera, SIDE)
    owner, depth = _drawn_with_depth(list(meshes.values()), camera)
    points = lift(camera, depth)
    return {name: points[owner == k] for k, name in enumerate(meshes)}


def surface_alignment(
    predicted: Mapping[str, trimesh.Trimesh], truth: Mapping[str, trimesh.Trimesh], camera: Camera
) -> float:
    """L_align of Coherent 3D Scene Diffusion (section 3.4), as a measure: how far what the depth
    camera saw is from what was made there.

    Mean over the true objects that are seen of the mean squared distance of their seen points to
    the prediction of the same name, one way, no alignment; in thousandths, the longest side of the
    true scene being 1. An absent object is half its longest side off. nan when the camera sees
    nothing.
    """
    corners = np.concatenate([np.asarray(mesh.bounds) for mesh in truth.values()])
    unit = float(np.ptp(corners, axis=0).max())
    errors = []
    for name, points in seen_surface(truth, camera).items():
        if not len(points):
            continue
        mesh = predicted.get(name)
        if mesh is None or check_mesh(mesh, name):
            errors.append((float(np.ptp(truth[name].bounds, axis=0).max()) / 2) ** 2)
        else:
            made = sample_mesh(mesh, ALIGN_POINTS, stream(0, "predicted", name), np.eye(4)).points
            errors.append(float(np.mean(nearest(build_tree(made), points)[0] ** 2)))
    return 1000.0 * float(np.mean(errors)) / unit**2 if errors else float("nan")


def _at_most(camera: Camera, side: int) -> Camera:
    scale = min(1.0, side / max(camera.width, camera.height))
    return resized(
        camera, max(1, round(scale * camera.width)), max(1, round(scale * camera.height))
    )


def _drawn(meshes: Sequence[trimesh.Trimesh], camera: Camera) -> np.ndarray:
    """(H, W) index of the mesh that each pixel sees; -1 = none."""
    return _drawn_with_depth(meshes, camera)[0]


def _drawn_with_depth(
    meshes: Sequence[trimesh.Trimesh], camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """The same, and (H, W) z-depth, 1 where nothing is seen."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = np.concatenate([np.asarray(m.faces) + start for m, start in zip(meshes, starts)])
    vertices, faces = checked_mesh(np.concatenate([np.asarray(m.vertices) for m in meshes]), faces)
    nearness, face = draw(vertices, faces, pixel_from_world(camera), camera.width, camera.height)[
        :2
    ]
    owner = np.append(np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes]), -1)
    return owner[face], np.divide(1.0, nearness, out=np.ones_like(nearness), where=nearness > 0)
