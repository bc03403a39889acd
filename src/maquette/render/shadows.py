"""How much of a light reaches a point: shadow maps and their filtered lookup.

Between lighting.py and shade.py. A shadow map is a depth picture taken by a camera so far away
along the light that it sees parallel rays, so the rasteriser draws it too. Shadow edges are
filtered by percentage (Reeves et al., 1987) against the receiver's own plane, which allows a bias
of less than a texel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from maquette.geometry.boxes import bounding_box
from maquette.geometry.cameras import intrinsics_from_focal
from maquette.geometry.vectors import affine, compiled, dot, inlined, row_of
from maquette.render.rasterize import checked_mesh, draw

# of the light's camera, in scene radii: its rays are parallel to within 0.2 degrees
SUN_DISTANCE = 300.0
# of the map's side, a scene radius; below a half, so that a rim of empty texels lights what lies
# outside of the map
RADIUS_SHARE = 0.48


class ShadowMap(NamedTuple):
    """How far the light of one direction reaches into a scene."""

    # (S, S) float64, 1 / z-depth from the light's camera, 0 where nothing
    inverse_depth: np.ndarray
    light_from_world: np.ndarray  # (3, 4) float64, rigid: right, down, along the light
    focal: float  # pixels
    texel: float  # width of a pixel where the scene is, world units


def shadow_maps(
    vertices: np.ndarray,
    faces: np.ndarray,
    directions: np.ndarray,
    resolution: int,
) -> tuple[ShadowMap, ...]:
    """Draw a mesh as seen from each of ``directions`` (D, 3) towards the light; they serve all
    views of the scene.
    """
    vertices, faces = checked_mesh(vertices, faces)
    bounds = np.zeros((2, 3))
    if len(vertices):
        bounds = bounding_box(vertices).astype(np.float64)
    centre = bounds.mean(0)
    radius = 0.5 * math.dist(*bounds) + 1e-6
    focal = RADIUS_SHARE * resolution * SUN_DISTANCE
    intrinsics = intrinsics_from_focal(focal, resolution, resolution)
    texel = radius / (RADIUS_SHARE * resolution)
    maps = []
    for direction in np.asarray(directions, np.float64):
        pose = _light_from_world(direction, centre, SUN_DISTANCE * radius)
        inverse_depth = draw(vertices, faces, intrinsics @ pose, resolution, resolution)[0]
        maps.append(ShadowMap(inverse_depth, pose, focal, texel))
    return tuple(maps)


def _light_from_world(direction: np.ndarray, centre: np.ndarray, distance: float) -> np.ndarray:
    """(3, 4) pose of a camera at a distance from the centre (3,) along ``direction`` (3,)."""
    x, y, z = direction / math.hypot(*direction)
    side = math.hypot(x, z)
    right = (1.0, 0.0, 0.0)  # a light straight above has no upright camera
    if side > 1e-6:
        right = (z / side, 0.0, -x / side)
    down = (-y * right[2], x * right[2] - z * right[0], y * right[0])
    pose = np.empty((3, 4))
    pose[:, :3] = right, down, (-x, -y, -z)
    pose[:, 3] = -pose[:, :3] @ centre
    pose[2, 3] += distance
    return pose


def visibility(
    maps: Sequence[ShadowMap],
    points: np.ndarray,
    normals: np.ndarray,
    softness: int,
) -> np.ndarray:
    """Share of the maps' light that reaches points (N, 3) float32 with unit or zero normals (N, 3)
    float32.

    Each direction counts by its cosine with the normal; zero normals are lit from everywhere.
    Returns (N,) float32 in 0..1.
    """
    lit = np.full(len(points), 0.02, np.float32)
    total = np.full(len(points), 0.02, np.float32)
    for shadow_map in maps:
        around = _around(shadow_map.inverse_depth, softness)
        _gather(points, normals, shadow_map, around, softness, lit, total)
    return lit / total


def _around(inverse_depth: np.ndarray, softness: int) -> np.ndarray:
    """(S, S) whether a window of texels about a place sees anything, so that the many windows which
    do not need no lookup.
    """
    reach = 2 * softness + 2  # texels along each axis, of which the place is in number ``softness``
    occupied = (inverse_depth > 0.0).astype(np.uint8)
    return cv2.dilate(occupied, np.ones((reach, reach), np.uint8), anchor=(softness, softness))


@inlined
def _in_map(
    m,
    axis,
    point,
    depth,
    focal,
    size,
):
    """Column (axis 0) or row (axis 1) of a point in a map."""
    return focal * affine(m, axis, point) / depth + 0.5 * size - 0.5


@inlined
def _slope(
    m,
    axis,
    normal,
    facing,
    texel,
):
    """Depth of the receiver's own plane per texel to the right (axis 0) or down (axis 1)."""
    return dot(row_of(m, axis), normal) / max(facing, 0.2) * texel


@inlined
def _weight(tap, last, fraction):
    """Of a texel in the window about a point: the outermost ones lie in it partly only."""
    if tap == 0:
        return 1.0 - fraction
    return fraction if tap == last else 1.0


@inlined
def _hidden(
    inverse_depth,
    softness,
    place,
    depth,
    slopes,
):
    """Share of a window of texels about a place that sees something before the receiver's plane,
    which has this depth at the place.
    """
    u, v = place
    slope_x, slope_y = slopes
    last = 2 * softness + 1  # texel of the window along each axis
    left = int(u) - softness
    top = int(v) - softness
    du = u - int(u)
    dv = v - int(v)
    hidden = 0.0
    for row in range(last + 1):
        weight_y = _weight(row, last, dv)
        plane = depth + slope_y * (top + row - v) + slope_x * (left - u)
        for column in range(last + 1):
            reached = inverse_depth[top + row, left + column] * (plane + slope_x * column)
            if reached > 1.0:
                hidden += weight_y * _weight(column, last, du)
    return hidden / (last * last)


@compiled
def _gather(
    points,
    normals,
    shadow_map,
    around,
    softness,
    lit,
    total,
):
    """Add to ``lit`` and ``total`` (N,) what the light of one shadow map gives."""
    inverse_depth, m, focal, texel = shadow_map
    size = len(inverse_depth)
    end = size - softness - 1
    for p in range(len(points)):
        normal = row_of(normals, p)
        facing = -dot(row_of(m, 2), normal)
        slope_x = 0.0
        slope_y = 0.0
        if normal[0] == 0.0 and normal[1] == 0.0 and normal[2] == 0.0:
            facing = 1.0
        elif facing <= 0.0:
            continue
        else:
            slope_x = _slope(m, 0, normal, facing, texel)
            slope_y = _slope(m, 1, normal, facing, texel)
        total[p] += facing
        point = row_of(points, p)
        depth = affine(m, 2, point)
        u = _in_map(m, 0, point, depth, focal, size)
        v = _in_map(m, 1, point, depth, focal, size)
        if not (softness <= u < end and softness <= v < end) or not around[int(v), int(u)]:
            lit[p] += facing
            continue
        nearer = depth - 0.75 * texel  # what is less far behind does not hide
        hidden = _hidden(inverse_depth, softness, (u, v), nearer, (slope_x, slope_y))
        lit[p] += facing * (1.0 - hidden)
