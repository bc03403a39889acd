"""Where instances appear in the picture, and how well that agrees with the input masks: the
self-check after placing them.

Uses the visibility part of rasterize.py only, so that a check of five objects takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maquette.errors import InputError
from maquette.geometry.cameras import resized
from maquette.photos.pixels import iou_of
from maquette.render.assemble import assemble
from maquette.render.rasterize import checked_mesh, draw, picked, pixel_from_world
from maquette.types import Camera, Instance, InstanceMask, Scene


@dataclass(frozen=True)
class SilhouetteScore:
    """Agreement of one instance with its mask, both in [0, 1]."""

    visible: float  # IoU of the part that no other instance hides with the mask
    # IoU of the whole silhouette with the mask, leaving out pixels of other masks (there it may be
    # hidden)
    alone: float


def instance_silhouettes(
    scene: Scene | Sequence[Instance], camera: Camera | None = None
) -> np.ndarray:
    """Label of the nearest instance in each pixel of ``camera``, by default the scene's own: (H, W)
    int32, 0 = background.
    """
    instances, camera = _instances_and_camera(scene, camera)
    mesh = assemble(instances)
    face = _visible_faces(mesh.vertices, mesh.faces, camera)
    # face -1, nothing, reads the appended last elements
    labels = np.array([i.label for i in instances] + [0], np.int32)
    return labels[picked(mesh.face_instance, face)]


def silhouettes_alone(
    scene: Scene | Sequence[Instance], camera: Camera | None = None
) -> dict[int, np.ndarray]:
    """Return each instance's silhouette (H, W) bool by label, as if the others were not there."""
    instances, camera = _instances_and_camera(scene, camera)
    meshes = {i.label: assemble([i]) for i in instances}
    return {
        label: _visible_faces(mesh.vertices, mesh.faces, camera) >= 0
        for label, mesh in meshes.items()
    }


def silhouette_iou(label_map: np.ndarray, masks: Sequence[InstanceMask]) -> dict[int, float]:
    """IoU of every mask (H, W) with the pixels of its label in ``label_map`` (H, W); 0 when the
    label does not appear.
    """
    return {m.label: iou_of(label_map == m.label, _same_size(m, label_map.shape)) for m in masks}


def silhouette_scores(
    scene: Scene | Sequence[Instance],
    masks: Sequence[InstanceMask],
    camera: Camera | None = None,
    size: int = 256,
) -> dict[int, SilhouetteScore]:
    """Compare every instance that has a mask with it, at ``size`` pixels along the longer side (or
    the camera's own, if less).
    """
    instances, camera = _instances_and_camera(scene, camera)
    camera, masks = _at_size(camera, masks, size)
    visible = silhouette_iou(instance_silhouettes(instances, camera), masks)
    alone = _alone_iou(silhouettes_alone(instances, camera), masks)
    return {label: SilhouetteScore(visible[label], alone[label]) for label in alone}


def visible_agreement(
    instances: Sequence[Instance],
    masks: Sequence[InstanceMask],
    camera: Camera,
    size: int = 256,
) -> dict[int, float]:
    """IoU of every mask with the part of its instance that no other one hides, by label; compared
    as ``silhouette_scores`` does.
    """
    camera, masks = _at_size(camera, masks, size)
    return silhouette_iou(instance_silhouettes(instances, camera), masks)


def _at_size(
    camera: Camera, masks: Sequence[InstanceMask], size: int
) -> tuple[Camera, list[InstanceMask]]:
    """Camera and masks at ``size`` pixels along the longer side, or the camera's own, if less."""
    scale = min(1.0, size / max(camera.size))
    width = max(1, round(scale * camera.width))
    height = max(1, round(scale * camera.height))
    small = [InstanceMask(m.label, resample_mask(m.mask, width, height), m.name) for m in masks]
    return resized(camera, width, height), small


def resample_mask(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Sample the mask (H, W) bool at the pixel centres of another grid: (height, width) bool."""
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
    return mask[rows[:, None], columns]


def _alone_iou(
    silhouettes: Mapping[int, np.ndarray], masks: Sequence[InstanceMask]
) -> dict[int, float]:
    """As ``silhouette_iou``, each instance drawn alone, where no other mask is."""
    covered = np.sum([m.mask for m in masks], axis=0)  # by how many masks
    scores = {}
    for m in masks:
        if m.label in silhouettes:
            counts = covered - m.mask == 0
            scores[m.label] = iou_of(silhouettes[m.label] & counts, m.mask & counts)
    return scores


def _visible_faces(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) number of the nearest face, -1 where there is none."""
    vertices, faces = checked_mesh(vertices, faces)
    return draw(vertices, faces, pixel_from_world(camera), *camera.size)[1]


def _instances_and_camera(
    scene: Scene | Sequence[Instance], camera: Camera | None
) -> tuple[Sequence[Instance], Camera]:
    """A scene's own camera unless another is given; InputError when there is none."""
    if isinstance(scene, Scene):
        return scene.instances, scene.camera if camera is None else camera
    if camera is None:
        raise InputError("instances without a scene have no camera; pass one")
    return scene, camera


def _same_size(mask: InstanceMask, shape: tuple[int, ...]) -> np.ndarray:
    """The mask (H, W) bool; InputError when the picture has another size."""
    if mask.mask.shape != shape:
        raise InputError(
            f"mask {mask.label} has shape {mask.mask.shape}, the picture {shape}; draw both at "
            "one size"
        )
    return mask.mask
