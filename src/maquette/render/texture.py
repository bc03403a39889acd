"""Textures on what was drawn.

Beside rasterize.py, which knows colours of vertices only: from the face that a pixel sees follow
its barycentric weights, its place in the texture, and the colour there.
"""

from __future__ import annotations

import numpy as np

from maquette.geometry.vectors import compiled, inlined, row_of
from maquette.render.assemble import SceneMesh
from maquette.render.rasterize import (
    RenderBuffers,
    between_corners,
    corner_weights,
    picked,
    pixel_from_world,
)
from maquette.types import Camera


def textured_albedo(buffers: RenderBuffers, mesh: SceneMesh, camera: Camera) -> np.ndarray:
    """(H, W, 3) float32 in 0..1: the albedo of what ``camera`` sees of a mesh, from its textures
    where it has some, else the buffers' own.
    """
    if not any(texture is not None for texture in mesh.textures):
        return buffers.albedo
    albedo = buffers.albedo.copy()
    owner = picked(mesh.face_instance, buffers.face)
    matrix = pixel_from_world(camera)
    homogeneous = mesh.vertices.astype(np.float64) @ matrix[:, :3].T + matrix[:, 3]
    for index, texture in enumerate(mesh.textures):
        if texture is None:
            continue
        seen = np.where(owner == index, buffers.face, -1)
        _paint(seen, homogeneous, mesh.faces, mesh.uv, texture, albedo)
    return albedo


@inlined
def _between(low, high, share):
    """On the way from one value to the other."""
    return (1.0 - share) * low + share * high  # bytes have no differences below zero


@inlined
def _within(value, last):
    """Held to 0 ... last; what is no number, as in files of strangers, is 0."""
    if not value > 0.0:
        return 0.0
    return min(value, last)


@compiled
def _paint(
    face_of,
    homogeneous,
    faces,
    uv,
    texture,
    albedo,
):
    """Give every pixel with a face its colour of a texture (h, w, 3) uint8, whose origin is at the
    lower left; between the centres of its pixels linearly.
    """
    height, width = face_of.shape
    down, across, _ = texture.shape
    for row in range(height):
        for column in range(width):
            f = face_of[row, column]
            if f < 0:
                continue
            face = row_of(faces, f)
            weights = corner_weights(homogeneous, face, column + 0.5, row + 0.5)
            u = across * between_corners(uv, 0, face, weights) - 0.5
            v = down * (1.0 - between_corners(uv, 1, face, weights)) - 0.5
            u = _within(u, across - 1.0)
            v = _within(v, down - 1.0)
            left = int(u)
            top = int(v)
            right = min(left + 1, across - 1)
            bottom = min(top + 1, down - 1)
            for channel in range(3):
                corner = texture[top, left, channel]
                above = _between(corner, texture[top, right, channel], u - left)
                corner = texture[bottom, left, channel]
                below = _between(corner, texture[bottom, right, channel], u - left)
                albedo[row, column, channel] = _between(above, below, v - top) / 255.0
