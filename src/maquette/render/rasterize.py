"""Triangles -> per-pixel depth, face, normal, colour and instance: a z-buffer on the CPU.

First module of the rendering; shading, silhouettes, previews and the training views all start here.

Rasterisation is homogeneous (Olano and Greer, "Triangle Scan Conversion using 2D Homogeneous
Coordinates", 1997). With h_i = K v_i the homogeneous pixel of vertex i and p = (x, y, 1) a pixel
centre, b_i = p . (h_j x h_k) / det(h_0, h_1, h_2) are non-negative exactly inside the visible part
of the triangle, and their sum is 1 / z. No vertex is ever divided by its depth to decide coverage,
so triangles that cross the camera's plane need no clipping, and interpolation with b_i / sum(b) is
perspective-correct. The edge functions of two triangles with a common edge are exact negatives: no
cracks between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maquette.errors import InputError
from maquette.geometry.transforms import VerticesAndFaces
from maquette.geometry.vectors import (
    affine,
    compiled,
    cross,
    dot,
    inlined,
    minus,
    over,
    plus_scaled,
    row_of,
)
from maquette.types import Camera

NEAR = 1e-3  # z-depth in world units below which nothing is drawn
# a corner takes part in smooth shading when its vertex normal is within 45 degrees of the face's
CREASE_COSINE = 0.7


@dataclass(frozen=True, eq=False)
class RenderBuffers:
    """What every pixel of a view sees."""

    depth: np.ndarray  # (H, W) float32 z-depth in world units, inf where nothing
    face: np.ndarray  # (H, W) int32, -1 where nothing
    normal: np.ndarray  # (H, W, 3) float32 unit, world frame, facing the camera; 0 where nothing
    # (H, W, 3) float32 in 0..1, sRGB-encoded; 1 without vertex colours, 0 where nothing
    albedo: np.ndarray
    instance: np.ndarray  # (H, W) int32, -1 where nothing; 0 without instances


def rasterize(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    *,
    vertex_colors: np.ndarray | None = None,
    face_instance: np.ndarray | None = None,
    vertex_normals: np.ndarray | None = None,
) -> RenderBuffers:
    """Draw world-frame vertices (V, 3) and faces (F, 3), seen from both sides; one sample at each
    pixel's centre.

    ``vertex_colors`` (V, 3) uint8, ``face_instance`` (F,) int32. With ``vertex_normals`` (V, 3)
    normals are smooth, except at corners where they disagree with the face by more than 45 degrees.
    Raises InputError for arrays that cannot be drawn.
    """
    vertices, faces = checked_mesh(vertices, faces)
    colors = _rows(vertex_colors, len(vertices), np.uint8, "vertex_colors")
    normals = _rows(vertex_normals, len(vertices), np.float32, "vertex_normals")
    inverse_depth, face, homogeneous = draw(vertices, faces, pixel_from_world(camera), *camera.size)
    eye = np.ascontiguousarray(camera.position, dtype=np.float64)
    normal, albedo = np.zeros((2, *face.shape, 3), np.float32)
    _resolve(face, homogeneous, vertices, faces, eye, colors, normals, normal, albedo)
    with np.errstate(divide="ignore"):
        depth = np.reciprocal(inverse_depth).astype(np.float32)
    if face_instance is None:
        return RenderBuffers(depth, face, normal, albedo, np.minimum(face, 0))
    owners = _rows(face_instance, len(faces), np.int32, "face_instance")
    return RenderBuffers(depth, face, normal, albedo, picked(owners, face))


def picked(values: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Values (F,) int32 of the faces that the pixels see; -1 where they see nothing."""
    return np.append(values, np.int32(-1))[face]  # -1 reads the appended last element


def draw(
    vertices: np.ndarray,
    faces: np.ndarray,
    pixel_from_world: np.ndarray,
    width: int,
    height: int,
) -> tuple[np.ndarray, ...]:
    """Find what is visible of arrays from ``checked_mesh``; ``pixel_from_world`` (3, 4) float64
    gives homogeneous pixels.

    Returns 1 / z (H, W) float64, 0 where nothing; face (H, W) int32, -1 where nothing; homogeneous
    pixels (V, 3) float64.
    """
    homogeneous = np.empty((len(vertices), 3))
    screen = np.empty((len(vertices), 2))
    inverse_depth = np.zeros((height, width))
    face = np.full((height, width), -1, np.int32)
    _draw(vertices, faces, pixel_from_world, homogeneous, screen, inverse_depth, face)
    return inverse_depth, face, homogeneous


def pixel_from_world(camera: Camera) -> np.ndarray:
    """(3, 4) float64, world points -> homogeneous pixels (x z, y z, z)."""
    return np.ascontiguousarray(camera.intrinsics @ camera.camera_from_world[:3])


def checked_mesh(vertices: np.ndarray, faces: np.ndarray) -> VerticesAndFaces:
    """Return the arrays as contiguous float32 (V, 3) and int32 (F, 3); InputError when they would
    read outside of memory.
    """
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    if vertices.shape[1:] != (3,) or faces.shape[1:] != (3,):
        raise InputError(
            f"expected vertices (V, 3) and faces (F, 3), got {vertices.shape} and {faces.shape}; "
            "pass a triangle mesh"
        )
    if not np.isfinite(vertices).all():
        raise InputError("some vertices are not finite; remove them before drawing")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(
            f"faces name vertices {faces.min()} to {faces.max()}, but there are {len(vertices)}; "
            "check the mesh"
        )
    return vertices, faces


def _rows(
    array: np.ndarray | None,
    count: int,
    dtype: type,
    name: str,
) -> np.ndarray:
    """Return an optional array in the one type that the kernel is compiled for; empty stands for
    None.
    """
    row = () if dtype is np.int32 else (3,)
    if array is None:
        return np.zeros((0, *row), dtype)
    array = np.ascontiguousarray(array, dtype=dtype)
    expected = (count, *row)
    if array.shape != expected:
        raise InputError(f"{name} has shape {array.shape}, expected {expected}: one row for each")
    return array


# The kernels get every array from outside and touch single elements only: allocation, slices and
# whole-array assignment are what makes numba compile for ten seconds instead of two.


@inlined
def centres_between(
    a,
    b,
    c,
    count,
):
    """Range of the pixels, of ``count`` in a line, whose centres three corners enclose: first, end.

    The first is the lowest corner + 0.5 rounded up (to 1e-6, as a centre on the outline belongs to
    it). Clamped as floats: a point almost in the camera's plane lies outside of the range of
    integers.
    """
    low = max(min(a, min(b, c)) - 0.5, 0.0) + 0.999999
    high = max(max(a, max(b, c)) + 0.5, 0.0)
    return int(min(low, count + 0.0)), int(min(high, count + 0.0))


@inlined
def pixel_span(
    screen,
    axis,
    corners,
    count,
):
    """The pixel centres along an axis that the triangle's box holds, as start and end."""
    i, j, k = corners
    return centres_between(screen[i, axis], screen[j, axis], screen[k, axis], count)


@compiled
def _draw(
    vertices,
    faces,
    matrix,
    homogeneous,
    screen,
    inverse_depth,
    face_of,
):
    """Fill ``inverse_depth`` and ``face_of`` (H, W): the nearest face of every pixel."""
    height, width = face_of.shape
    for v in range(len(vertices)):
        point = row_of(vertices, v)
        for axis in range(3):
            homogeneous[v, axis] = affine(matrix, axis, point)
        for axis in range(2):
            screen[v, axis] = homogeneous[v, axis] / homogeneous[v, 2]
    for f in range(len(faces)):
        i, j, k = row_of(faces, f)
        in_front = 0  # corners
        for corner in range(3):
            in_front += homogeneous[faces[f, corner], 2] >= NEAR
        if in_front == 0:
            continue
        # A triangle that crosses the near plane has no bounds in the picture: try every pixel.
        left = 0
        right = width
        top = 0
        bottom = height
        if in_front == 3:
            left, right = pixel_span(screen, 0, (i, j, k), width)
            if left >= right:
                continue
            top, bottom = pixel_span(screen, 1, (i, j, k), height)
        bounds = (left, right, top, bottom)
        corners = (row_of(homogeneous, i), row_of(homogeneous, j), row_of(homogeneous, k))
        _fill(f, corners, bounds, inverse_depth, face_of)


@inlined
def _fill(
    f,
    corners,
    bounds,
    inverse_depth,
    face_of,
):
    """Draw one face with homogeneous corners into the pixels of ``bounds`` that it covers, where
    nothing nearer is.
    """
    a, b, c = corners
    edge_a = cross(b, c)
    edge_b = cross(c, a)
    edge_c = cross(a, b)
    determinant = dot(a, edge_a)
    if determinant == 0.0:
        return
    scale = 1.0 / determinant
    left, right, top, bottom = bounds
    for row in range(top, bottom):
        y = row + 0.5
        rest_a = edge_a[1] * y + edge_a[2]
        rest_b = edge_b[1] * y + edge_b[2]
        rest_c = edge_c[1] * y + edge_c[2]
        for column in range(left, right):
            x = column + 0.5
            weight_a = (edge_a[0] * x + rest_a) * scale
            weight_b = (edge_b[0] * x + rest_b) * scale
            weight_c = (edge_c[0] * x + rest_c) * scale
            if weight_a >= 0.0 and weight_b >= 0.0 and weight_c >= 0.0:
                nearness = weight_a + weight_b + weight_c  # 1 / z
                if inverse_depth[row, column] < nearness and nearness * NEAR <= 1.0:
                    inverse_depth[row, column] = nearness
                    face_of[row, column] = f


@inlined
def _corner_weight(
    x,
    y,
    b,
    c,
):
    """How far a pixel's centre lies from the edge between two homogeneous corners."""
    bx, by, bz = b
    cx, cy, cz = c
    normal_x = by * cz - bz * cy
    normal_y = bz * cx - bx * cz
    return x * normal_x + y * normal_y + bx * cy - by * cx


@inlined
def corner_weights(
    homogeneous,
    face,
    x,
    y,
):
    """Shares of a face's corners at a place of the picture, in perspective."""
    i, j, k = face
    a = row_of(homogeneous, i)
    b = row_of(homogeneous, j)
    c = row_of(homogeneous, k)
    at_a = _corner_weight(x, y, b, c)
    at_b = _corner_weight(x, y, c, a)
    at_c = _corner_weight(x, y, a, b)
    return over((at_a, at_b, at_c), at_a + at_b + at_c)


@inlined
def between_corners(
    values,
    axis,
    face,
    weights,
):
    """A value between the corners of a face."""
    i, j, k = face
    return dot(weights, (values[i, axis], values[j, axis], values[k, axis]))


@inlined
def _face_normal(
    vertices,
    i,
    j,
    k,
    eye,
):
    """The face's own unit normal, in float64, on the side of the eye."""
    x, y, z = row_of(vertices, i)
    corner = (x + 0.0, y + 0.0, z + 0.0)
    to_j = minus(row_of(vertices, j), corner)
    normal = cross(to_j, minus(row_of(vertices, k), corner))
    length = math.sqrt(dot(normal, normal)) + 1e-300
    if dot(normal, minus(eye, corner)) < 0.0:
        length = -length
    return over(normal, length)


@inlined
def _smooth_normal(
    normals,
    face,
    weights,
    flat,
):
    """The vertices' normals mixed, but ``flat`` at corners where they disagree with it: a crease.

    The sign of a vertex normal is the winding's, which may be wrong.
    """
    mixed = (0.0, 0.0, 0.0)
    for corner in range(3):
        at_vertex = row_of(normals, face[corner])
        weight = weights[corner]
        cosine = dot(flat, at_vertex)
        if abs(cosine) > CREASE_COSINE:
            mixed = plus_scaled(mixed, weight if cosine > 0.0 else -weight, at_vertex)
        else:
            mixed = plus_scaled(mixed, weight, flat)
    return over(mixed, math.sqrt(dot(mixed, mixed)))


@compiled
def _resolve(
    face_of,
    homogeneous,
    vertices,
    faces,
    eye,
    colors,
    normals,
    normal,
    albedo,
):
    """Fill normal and albedo of every pixel with a face, between its corners."""
    height, width = face_of.shape
    eye = (eye[0], eye[1], eye[2])
    for row in range(height):
        for column in range(width):
            f = face_of[row, column]
            if f < 0:
                continue
            face = row_of(faces, f)
            i, j, k = face
            weights = corner_weights(homogeneous, face, column + 0.5, row + 0.5)
            for channel in range(3):
                if len(colors):
                    mixed = between_corners(colors, channel, face, weights) / 255.0
                    albedo[row, column, channel] = min(max(mixed, 0.0), 1.0)
                else:
                    albedo[row, column, channel] = 1.0
            n = _face_normal(vertices, i, j, k, eye)
            if len(normals):
                n = _smooth_normal(normals, face, weights, n)
            for axis in range(3):
                normal[row, column, axis] = n[axis]
