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
from numba import njit

from maquette.errors import InputError
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
    albedo: (
        np.ndarray
    )  # (H, W, 3) float32 in 0..1, sRGB-encoded; 1 without vertex colours, 0 where nothing
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
    inverse_depth, face, homogeneous = draw(
        vertices, faces, pixel_from_world(camera), camera.width, camera.height
    )
    eye = np.ascontiguousarray(camera.position, dtype=np.float64)
    normal, albedo = np.zeros((2, *face.shape, 3), np.float32)
    _resolve(face, homogeneous, vertices, faces, eye, colors, normals, normal, albedo)
    with np.errstate(divide="ignore"):
        depth = np.reciprocal(inverse_depth).astype(np.float32)
    if face_instance is None:
        return RenderBuffers(depth, face, normal, albedo, np.minimum(face, 0))
    instances = np.append(_rows(face_instance, len(faces), np.int32, "face_instance"), np.int32(-1))
    return RenderBuffers(
        depth, face, normal, albedo, instances[face]
    )  # -1, nothing, reads the appended last element


def draw(
    vertices: np.ndarray, faces: np.ndarray, pixel_from_world: np.ndarray, width: int, height: int
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
    _draw(vertices, faces, pixel_from_world, NEAR, homogeneous, screen, inverse_depth, face)
    return inverse_depth, face, homogeneous


def pixel_from_world(camera: Camera) -> np.ndarray:
    """(3, 4) float64, world points -> homogeneous pixels (x z, y z, z)."""
    return np.ascontiguousarray(camera.intrinsics @ camera.camera_from_world[:3])


def checked_mesh(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays as contiguous float32 (V, 3) and int32 (F, 3); InputError when they would
    read outside of memory.
    """
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(
            f"expected vertices (V, 3) and faces (F, 3), got {vertices.shape} and {faces.shape}; pass a triangle mesh"
        )
    if not np.isfinite(vertices).all():
        raise InputError("some vertices are not finite; remove them before drawing")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(
            f"faces name vertices {faces.min()} to {faces.max()}, but there are {len(vertices)}; check the mesh"
        )
    return vertices, faces


def _rows(array: np.ndarray | None, count: int, dtype: type, name: str) -> np.ndarray:
    """Return an optional array in the one type that the kernel is compiled for; empty stands for
    None.
    """
    if array is None:
        return np.zeros((0,) if dtype is np.int32 else (0, 3), dtype)
    array = np.ascontiguousarray(array, dtype=dtype)
    expected = (count,) if dtype is np.int32 else (count, 3)
    if array.shape != expected:
        raise InputError(f"{name} has shape {array.shape}, expected {expected}: one row for each")
    return array


# The kernels get every array from outside and touch single elements only: allocation, slices and
# whole-array assignment are what makes numba compile for ten seconds instead of two.


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(vertices, faces, m, near, homogeneous, screen, inverse_depth, face_of):
    height, width = face_of.shape
    for v in range(len(vertices)):
        x = vertices[v, 0]
        y = vertices[v, 1]
        z = vertices[v, 2]
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        homogeneous[v, 0] = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        homogeneous[v, 1] = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        homogeneous[v, 2] = w
        screen[v, 0] = homogeneous[v, 0] / w
        screen[v, 1] = homogeneous[v, 1] / w
    for f in range(len(faces)):
        i = faces[f, 0]
        j = faces[f, 1]
        k = faces[f, 2]
        zi = homogeneous[i, 2]
        zj = homogeneous[j, 2]
        zk = homogeneous[k, 2]
        left = 0
        right = width
        top = 0
        bottom = height
        if zi >= near and zj >= near and zk >= near:
            # Clamped as floats: a point almost in the camera's plane lies outside of the range of
            # integers. The first pixel is the lowest + 0.5 rounded up (to 1e-6, as a centre on the
            # outline belongs to it), the last is the one before ``right``.
            xi = screen[i, 0]
            xj = screen[j, 0]
            xk = screen[k, 0]
            left = int(min(max(min(xi, min(xj, xk)) - 0.5, 0.0) + 0.999999, width + 0.0))
            right = int(min(max(max(xi, max(xj, xk)) + 0.5, 0.0), width + 0.0))
            if left >= right:
                continue
            yi = screen[i, 1]
            yj = screen[j, 1]
            yk = screen[k, 1]
            top = int(min(max(min(yi, min(yj, yk)) - 0.5, 0.0) + 0.999999, height + 0.0))
            bottom = int(min(max(max(yi, max(yj, yk)) + 0.5, 0.0), height + 0.0))
            if top >= bottom:
                continue
        elif zi < near and zj < near and zk < near:
            # any other triangle crosses the near plane, where its outline is unbounded: try every
            # pixel
            continue
        hxi = homogeneous[i, 0]
        hyi = homogeneous[i, 1]
        hxj = homogeneous[j, 0]
        hyj = homogeneous[j, 1]
        hxk = homogeneous[k, 0]
        hyk = homogeneous[k, 1]
        ai = hyj * zk - zj * hyk
        bi = zj * hxk - hxj * zk
        ci = hxj * hyk - hyj * hxk
        aj = hyk * zi - zk * hyi
        bj = zk * hxi - hxk * zi
        cj = hxk * hyi - hyk * hxi
        ak = hyi * zj - zi * hyj
        bk = zi * hxj - hxi * zj
        ck = hxi * hyj - hyi * hxj
        determinant = hxi * ai + hyi * bi + zi * ci
        if determinant == 0.0:
            continue
        scale = 1.0 / determinant
        for row in range(top, bottom):
            y = row + 0.5
            ri = bi * y + ci
            rj = bj * y + cj
            rk = bk * y + ck
            for column in range(left, right):
                x = column + 0.5
                wi = (ai * x + ri) * scale
                wj = (aj * x + rj) * scale
                wk = (ak * x + rk) * scale
                if wi >= 0.0 and wj >= 0.0 and wk >= 0.0:
                    w = wi + wj + wk
                    if inverse_depth[row, column] < w and w * near <= 1.0:
                        inverse_depth[row, column] = w
                        face_of[row, column] = f


@njit(cache=True, nogil=True, error_model="numpy")
def _resolve(face_of, h, vertices, faces, eye, colors, normals, normal, albedo):
    height, width = face_of.shape
    for row in range(height):
        for column in range(width):
            f = face_of[row, column]
            if f < 0:
                continue
            i = faces[f, 0]
            j = faces[f, 1]
            k = faces[f, 2]
            x = column + 0.5
            y = row + 0.5
            ax = h[i, 0]
            ay = h[i, 1]
            az = h[i, 2]
            bx = h[j, 0]
            by = h[j, 1]
            bz = h[j, 2]
            cx = h[k, 0]
            cy = h[k, 1]
            cz = h[k, 2]
            wi = x * (by * cz - bz * cy) + y * (bz * cx - bx * cz) + bx * cy - by * cx
            wj = x * (cy * az - cz * ay) + y * (cz * ax - cx * az) + cx * ay - cy * ax
            wk = x * (ay * bz - az * by) + y * (az * bx - ax * bz) + ax * by - ay * bx
            total = wi + wj + wk
            wi = wi / total
            wj = wj / total
            wk = wk / total
            for c in range(3):
                if len(colors):
                    mixed = (wi * colors[i, c] + wj * colors[j, c] + wk * colors[k, c]) / 255.0
                    albedo[row, column, c] = min(max(mixed, 0.0), 1.0)
                else:
                    albedo[row, column, c] = 1.0
            # The face's own normal, in float64, on the side of the eye.
            px = vertices[i, 0] + 0.0
            py = vertices[i, 1] + 0.0
            pz = vertices[i, 2] + 0.0
            ux = vertices[j, 0] - px
            uy = vertices[j, 1] - py
            uz = vertices[j, 2] - pz
            vx = vertices[k, 0] - px
            vy = vertices[k, 1] - py
            vz = vertices[k, 2] - pz
            nx = uy * vz - uz * vy
            ny = uz * vx - ux * vz
            nz = ux * vy - uy * vx
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-300
            if nx * (eye[0] - px) + ny * (eye[1] - py) + nz * (eye[2] - pz) < 0.0:
                length = -length
            nx = nx / length
            ny = ny / length
            nz = nz / length
            sx = nx
            sy = ny
            sz = nz
            if len(normals):
                sx = 0.0
                sy = 0.0
                sz = 0.0
                for corner in range(3):
                    v = faces[f, corner]
                    weight = wi if corner == 0 else (wj if corner == 1 else wk)
                    cosine = nx * normals[v, 0] + ny * normals[v, 1] + nz * normals[v, 2]
                    if (
                        abs(cosine) > CREASE_COSINE
                    ):  # the sign of a vertex normal is the winding's, which may be wrong
                        weight = weight if cosine > 0.0 else -weight
                        sx = sx + weight * normals[v, 0]
                        sy = sy + weight * normals[v, 1]
                        sz = sz + weight * normals[v, 2]
                    else:
                        sx = sx + weight * nx
                        sy = sy + weight * ny
                        sz = sz + weight * nz
                length = math.sqrt(sx * sx + sy * sy + sz * sz)
                sx = sx / length
                sy = sy / length
                sz = sz / length
            normal[row, column, 0] = sx
            normal[row, column, 1] = sy
            normal[row, column, 2] = sz
