"""Triangles -> per-pixel depth, face, normal, colour and instance: a z-buffer on the CPU.

First module of the rendering; shading, silhouettes, previews and the training views all start here.

Rasterisation is homogeneous (Olano and Greer, "Triangle Scan Conversion using 2D Homogeneous Coordinates", 1997). With
h_i = K v_i the homogeneous pixel of vertex i and p = (x, y, 1) a pixel centre, b_i = p . (h_j x h_k) / det(h_0, h_1, h_2)
are non-negative exactly inside the visible part of the triangle, and their sum is 1 / z. No vertex is ever divided by its
depth to decide coverage, so triangles that cross the camera's plane need no clipping, and interpolation with b_i / sum(b) is
perspective-correct. The edge functions of two triangles with a common edge are exact negatives: no cracks between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from maquette.errors import InputError
from maquette.types import Camera

NEAR = 1e-3  # z-depth in world units below which nothing is drawn
CREASE_COSINE = 0.7  # a corner takes part in smooth shading when its vertex normal is within 45 degrees of the face's


@dataclass(frozen=True, eq=False)
class RenderBuffers:
    """What every pixel of a view sees."""

    depth: np.ndarray  # (H, W) float32 z-depth in world units, inf where nothing
    face: np.ndarray  # (H, W) int32, -1 where nothing
    normal: np.ndarray  # (H, W, 3) float32 unit, world frame, facing the camera; 0 where nothing
    albedo: np.ndarray  # (H, W, 3) float32 in 0..1, sRGB-encoded; 1 without vertex colours, 0 where nothing
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
    """Draw world-frame vertices (V, 3) and faces (F, 3), seen from both sides; one sample at each pixel's centre.

    ``vertex_colors`` (V, 3) uint8, ``face_instance`` (F,) int32. With ``vertex_normals`` (V, 3) normals are smooth, except at
    corners where they disagree with the face by more than 45 degrees. Raises InputError for arrays that cannot be drawn.
    """
    vertices, faces = checked_mesh(vertices, faces)
    inverse_depth, face, homogeneous = draw(vertices, faces, camera)
    return RenderBuffers(
        *_resolve(
            inverse_depth,
            face,
            homogeneous,
            vertices,
            faces,
            np.ascontiguousarray(camera.position, dtype=np.float64),
            _rows(vertex_colors, len(vertices), np.uint8, "vertex_colors"),
            _rows(vertex_normals, len(vertices), np.float32, "vertex_normals"),
            _rows(face_instance, len(faces), np.int32, "face_instance"),
        )
    )


def draw(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find what is visible of arrays from ``checked_mesh``, without its attributes.

    Returns 1 / z (H, W) float64, 0 where nothing; face (H, W) int32, -1 where nothing; homogeneous pixels (V, 3) float64.
    """
    pixel_from_world = np.ascontiguousarray(camera.intrinsics @ camera.camera_from_world[:3])
    return _draw(vertices, faces, pixel_from_world, camera.height, camera.width, NEAR)


def checked_mesh(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays as contiguous float32 (V, 3) and int32 (F, 3); InputError when they would read outside of memory."""
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(f"expected vertices (V, 3) and faces (F, 3), got {vertices.shape} and {faces.shape}; pass a triangle mesh")
    if not np.isfinite(vertices).all():
        raise InputError("some vertices are not finite; remove them before drawing")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(f"faces name vertices {faces.min()} to {faces.max()}, but there are {len(vertices)}; check the mesh")
    return vertices, faces


def _rows(array: np.ndarray | None, count: int, dtype: type, name: str) -> np.ndarray:
    """Return an optional array in the one type that the kernel is compiled for; empty stands for None."""
    if array is None:
        return np.zeros((0,) if dtype is np.int32 else (0, 3), dtype)
    array = np.ascontiguousarray(array, dtype=dtype)
    expected = (count,) if dtype is np.int32 else (count, 3)
    if array.shape != expected:
        raise InputError(f"{name} has shape {array.shape}, expected {expected}: one row for each")
    return array


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(vertices, faces, pixel_from_world, height, width, near):
    inverse_depth = np.zeros((height, width), np.float64)
    face_of = np.full((height, width), -1, np.int32)
    homogeneous = np.empty((len(vertices), 3), np.float64)
    screen = np.empty((len(vertices), 2), np.float64)
    m = pixel_from_world
    for v in range(len(vertices)):
        x, y, z = np.float64(vertices[v, 0]), np.float64(vertices[v, 1]), np.float64(vertices[v, 2])
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        homogeneous[v, 0] = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        homogeneous[v, 1] = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        homogeneous[v, 2] = w
        screen[v, 0] = homogeneous[v, 0] / w
        screen[v, 1] = homogeneous[v, 1] / w
    nearest = 1.0 / near
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        zi, zj, zk = homogeneous[i, 2], homogeneous[j, 2], homogeneous[k, 2]
        if zi >= near and zj >= near and zk >= near:
            xi, xj, xk = screen[i, 0], screen[j, 0], screen[k, 0]
            yi, yj, yk = screen[i, 1], screen[j, 1], screen[k, 1]
            # Clamped as floats: a point almost in the camera's plane lies outside of the range of integers.
            left = int(np.ceil(min(max(min(xi, xj, xk) - 0.5, 0.0), width)))
            right = int(np.floor(max(min(max(xi, xj, xk) - 0.5, width - 1.0), -1.0)))
            top = int(np.ceil(min(max(min(yi, yj, yk) - 0.5, 0.0), height)))
            bottom = int(np.floor(max(min(max(yi, yj, yk) - 0.5, height - 1.0), -1.0)))
            if left > right or top > bottom:
                continue
        elif zi < near and zj < near and zk < near:
            continue
        else:  # crosses the near plane: its outline is unbounded on the screen
            left, right, top, bottom = 0, width - 1, 0, height - 1
        hxi, hyi = homogeneous[i, 0], homogeneous[i, 1]
        hxj, hyj = homogeneous[j, 0], homogeneous[j, 1]
        hxk, hyk = homogeneous[k, 0], homogeneous[k, 1]
        ai, bi, ci = hyj * zk - zj * hyk, zj * hxk - hxj * zk, hxj * hyk - hyj * hxk
        aj, bj, cj = hyk * zi - zk * hyi, zk * hxi - hxk * zi, hxk * hyi - hyk * hxi
        ak, bk, ck = hyi * zj - zi * hyj, zi * hxj - hxi * zj, hxi * hyj - hyi * hxj
        determinant = hxi * ai + hyi * bi + zi * ci
        if determinant == 0.0:
            continue
        scale = 1.0 / determinant
        for row in range(top, bottom + 1):
            y = row + 0.5
            ri, rj, rk = bi * y + ci, bj * y + cj, bk * y + ck
            for column in range(left, right + 1):
                x = column + 0.5
                wi, wj, wk = (ai * x + ri) * scale, (aj * x + rj) * scale, (ak * x + rk) * scale
                if wi >= 0.0 and wj >= 0.0 and wk >= 0.0:
                    w = wi + wj + wk
                    if inverse_depth[row, column] < w <= nearest:
                        inverse_depth[row, column] = w
                        face_of[row, column] = f
    return inverse_depth, face_of, homogeneous


@njit(cache=True, nogil=True, error_model="numpy")
def _resolve(inverse_depth, face_of, homogeneous, vertices, faces, eye, colors, normals, instances):
    height, width = face_of.shape
    depth = np.full((height, width), np.inf, np.float32)
    normal = np.zeros((height, width, 3), np.float32)
    albedo = np.zeros((height, width, 3), np.float32)
    instance = np.full((height, width), -1, np.int32)
    weight = np.empty(3, np.float64)
    flat = np.empty(3, np.float64)
    blended = np.empty(3, np.float64)
    for row in range(height):
        for column in range(width):
            f = face_of[row, column]
            if f < 0:
                continue
            depth[row, column] = 1.0 / inverse_depth[row, column]
            instance[row, column] = instances[f] if len(instances) else 0
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            _barycentric(homogeneous[i], homogeneous[j], homogeneous[k], column + 0.5, row + 0.5, weight)
            _face_normal(vertices[i], vertices[j], vertices[k], eye, flat)
            blended[:] = flat
            if len(normals):
                _smooth_normal(normals[i], normals[j], normals[k], weight, flat, blended)
            for c in range(3):
                normal[row, column, c] = blended[c]
                if len(colors):
                    mixed = weight[0] * colors[i, c] + weight[1] * colors[j, c] + weight[2] * colors[k, c]
                    albedo[row, column, c] = min(max(mixed / 255.0, 0.0), 1.0)
                else:
                    albedo[row, column, c] = 1.0
    return depth, face_of, normal, albedo, instance


@njit(cache=True, nogil=True, error_model="numpy")
def _barycentric(a, b, c, x, y, weight):
    """Perspective-correct weights of the three vertices (homogeneous pixels a, b, c) at pixel (x, y)."""
    weight[0] = x * (b[1] * c[2] - b[2] * c[1]) + y * (b[2] * c[0] - b[0] * c[2]) + b[0] * c[1] - b[1] * c[0]
    weight[1] = x * (c[1] * a[2] - c[2] * a[1]) + y * (c[2] * a[0] - c[0] * a[2]) + c[0] * a[1] - c[1] * a[0]
    weight[2] = x * (a[1] * b[2] - a[2] * b[1]) + y * (a[2] * b[0] - a[0] * b[2]) + a[0] * b[1] - a[1] * b[0]
    total = weight[0] + weight[1] + weight[2]
    for n in range(3):
        weight[n] /= total


@njit(cache=True, nogil=True, error_model="numpy")
def _face_normal(a, b, c, eye, out):
    """Write the unit normal of the triangle, on the side of the eye."""
    ux, uy, uz = np.float64(b[0]) - a[0], np.float64(b[1]) - a[1], np.float64(b[2]) - a[2]
    vx, vy, vz = np.float64(c[0]) - a[0], np.float64(c[1]) - a[1], np.float64(c[2]) - a[2]
    out[0], out[1], out[2] = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2) + 1e-300
    if out[0] * (eye[0] - a[0]) + out[1] * (eye[1] - a[1]) + out[2] * (eye[2] - a[2]) < 0.0:
        length = -length
    for n in range(3):
        out[n] /= length


@njit(cache=True, nogil=True, error_model="numpy")
def _smooth_normal(a, b, c, weight, flat, out):
    """Blend of the vertex normals a, b, c with the face's own where they differ too much; the sign of a normal is ignored."""
    out[:] = 0.0
    for n in range(3):
        corner = a if n == 0 else (b if n == 1 else c)
        cosine = corner[0] * flat[0] + corner[1] * flat[1] + corner[2] * flat[2]
        sign = 1.0 if cosine > 0.0 else -1.0
        for axis in range(3):
            out[axis] += weight[n] * (sign * corner[axis] if abs(cosine) > CREASE_COSINE else flat[axis])
    length = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    for axis in range(3):
        out[axis] /= length
