"""Placed instances -> one triangle soup in the world frame, ready to be drawn. Shared by
silhouettes and previews.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh

from maquette.geometry.transforms import transform_points
from maquette.types import Instance


@dataclass(frozen=True, eq=False)
class SceneMesh:
    """All instances of a scene as one mesh."""

    vertices: np.ndarray  # (V, 3) float32, world frame
    faces: np.ndarray  # (F, 3) int32
    colors: np.ndarray  # (V, 3) uint8, sRGB
    face_instance: np.ndarray  # (F,) int32, position of the face's instance in the sequence
    uv: np.ndarray  # (V, 2) float32, places in the texture of the instance, if it has one
    textures: tuple[np.ndarray | None, ...]  # (H, W, 3) uint8 of each instance, sRGB


def assemble(instances: Sequence[Instance]) -> SceneMesh:
    """Put the meshes of the instances where they stand."""
    vertices = [np.zeros((0, 3))]
    faces = [np.zeros((0, 3), np.int64)]
    colors = [np.zeros((0, 3), np.uint8)]
    uv = [np.zeros((0, 2))]
    textures = [_texture(instance.mesh) for instance in instances]
    owner = []
    offset = 0
    for position, instance in enumerate(instances):
        mesh = instance.mesh
        visual = mesh.visual.to_color() if mesh.visual.kind == "texture" else mesh.visual
        vertices.append(transform_points(instance.world_from_instance, np.asarray(mesh.vertices)))
        faces.append(np.asarray(mesh.faces) + offset)
        colors.append(np.asarray(visual.vertex_colors)[:, :3])
        owner.append(np.full(len(mesh.faces), position, np.int32))
        textured = textures[position] is not None
        uv.append(mesh.visual.uv if textured else np.zeros((len(mesh.vertices), 2)))
        offset += len(mesh.vertices)
    return SceneMesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(colors).astype(np.uint8),
        np.concatenate([np.zeros(0, np.int32), *owner]),
        np.concatenate(uv).astype(np.float32),
        tuple(textures),
    )


def _texture(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """(H, W, 3) uint8: the colour picture of a mesh that has one, and a place in it per vertex."""
    if mesh.visual.kind != "texture" or mesh.visual.uv is None:
        return None
    material = mesh.visual.material
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    fits = len(mesh.visual.uv) == len(mesh.vertices)
    return np.asarray(image.convert("RGB")) if image is not None and fits else None


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Average the faces' normals, weighted by area, at each vertex: (V, 3) float32, unit, or zero
    where no face has an area.
    """
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    doubled_area = np.cross(b - a, c - a)
    flat = faces.ravel()
    summed = np.stack(
        [
            np.bincount(flat, np.repeat(doubled_area[:, axis], 3), len(vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    return (summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-30)).astype(
        np.float32
    )
