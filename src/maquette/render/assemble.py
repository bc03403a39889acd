"""Placed instances -> one triangle soup in the world frame, ready to be drawn. Shared by
silhouettes and previews.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from trimesh.visual.color import ColorVisuals
from trimesh.visual.texture import TextureVisuals

from maquette.geometry.connectivity import sums_at
from maquette.geometry.polygons import doubled_normals
from maquette.geometry.transforms import transform_points, unit_vectors
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
    owner = [np.zeros(0, np.int32)]
    offset = 0
    for position, instance in enumerate(instances):
        mesh = instance.mesh
        vertices.append(transform_points(instance.world_from_instance, np.asarray(mesh.vertices)))
        faces.append(np.asarray(mesh.faces) + offset)
        colors.append(_vertex_colors(mesh)[:, :3])
        owner.append(np.full(len(mesh.faces), position, np.int32))
        uv.append(_places(mesh))
        offset += len(mesh.vertices)
    return SceneMesh(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(colors).astype(np.uint8),
        np.concatenate(owner),
        np.concatenate(uv).astype(np.float32),
        tuple(textures),
    )


def _places(mesh: trimesh.Trimesh) -> np.ndarray:
    """(V, 2) places in the mesh's texture; zeros when it has none."""
    visual = mesh.visual
    if isinstance(visual, TextureVisuals) and _texture(mesh) is not None:
        return np.asarray(visual.uv)
    return np.zeros((len(mesh.vertices), 2))


def _texture(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """(H, W, 3) uint8: the colour picture of a mesh that has one, and a place in it per vertex."""
    visual = mesh.visual
    if not isinstance(visual, TextureVisuals) or visual.uv is None:
        return None
    material = visual.material
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or len(visual.uv) != len(mesh.vertices):
        return None
    return np.asarray(image.convert("RGB"))


def _vertex_colors(mesh: trimesh.Trimesh) -> np.ndarray:
    """(V, 4) uint8 sRGB of a mesh; a texture is read at its vertices, nothing is white."""
    visual = mesh.visual
    if isinstance(visual, TextureVisuals):
        visual = visual.to_color()
    if not isinstance(visual, ColorVisuals):
        return np.full((len(mesh.vertices), 4), 255, np.uint8)
    return np.asarray(visual.vertex_colors)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Average the faces' normals, weighted by area, at each vertex: (V, 3) float32, unit, or zero
    where no face has an area.
    """
    normals = doubled_normals(vertices.astype(np.float64), faces)
    corners = faces.ravel()
    summed = sums_at(corners, np.repeat(normals, 3, axis=0), len(vertices))
    return unit_vectors(summed).astype(np.float32)
