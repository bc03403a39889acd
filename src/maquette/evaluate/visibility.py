"""What of each object a camera sees: how much others hide, and how well silhouettes agree with masks. Needs a true camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maquette.geometry.cameras import resized
from maquette.render.rasterize import checked_mesh, draw, pixel_from_world
from maquette.render.silhouette import resample_mask
from maquette.types import Camera, InstanceMask

if TYPE_CHECKING:
    import trimesh

SIDE = 256  # pixels of the longer side; shares of small objects are then good to a few per cent


def hidden_shares(meshes: Mapping[str, trimesh.Trimesh], camera: Camera) -> dict[str, float]:
    """Share of every object's own silhouette, within the frame, in which another object is nearer; nan for one outside the frame.

    0 = all visible, 1 = hidden completely. The occlusion of the set "occlusion" and of the report's plot.
    """
    camera = _at_most(camera, SIDE)
    alone = {name: _drawn([mesh], camera) >= 0 for name, mesh in meshes.items()}
    owner = _drawn(list(meshes.values()), camera)
    shares = {}
    for k, name in enumerate(meshes):
        whole = int(alone[name].sum())
        shares[name] = 1.0 - int((owner == k).sum()) / whole if whole else float("nan")
    return shares


def silhouette_iou(meshes: Mapping[str, trimesh.Trimesh], masks: Sequence[InstanceMask], camera: Camera) -> float:
    """Mean over all masks of the IoU with what is seen of the mesh ``instance_<label>``; 0 for an absent one, no alignment. In [0, 1]."""
    camera = _at_most(camera, SIDE)
    names = list(meshes)
    owner = _drawn(list(meshes.values()), camera) if names else np.full((camera.height, camera.width), -1)
    scores = []
    for m in masks:
        name = f"instance_{m.label}"
        seen = owner == names.index(name) if name in meshes else np.zeros(owner.shape, bool)
        mask = resample_mask(m.mask, camera.width, camera.height)
        union = np.count_nonzero(seen | mask)
        scores.append(np.count_nonzero(seen & mask) / union if union else 0.0)
    return float(np.mean(scores))


def _at_most(camera: Camera, side: int) -> Camera:
    scale = min(1.0, side / max(camera.width, camera.height))
    return resized(camera, max(1, round(scale * camera.width)), max(1, round(scale * camera.height)))


def _drawn(meshes: Sequence[trimesh.Trimesh], camera: Camera) -> np.ndarray:
    """(H, W) index of the mesh that each pixel sees; -1 = none."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = np.concatenate([np.asarray(m.faces) + start for m, start in zip(meshes, starts)])
    vertices, faces = checked_mesh(np.concatenate([np.asarray(m.vertices) for m in meshes]), faces)
    face = draw(vertices, faces, pixel_from_world(camera), camera.width, camera.height)[1]
    owner = np.append(np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes]), -1)
    return owner[face]
