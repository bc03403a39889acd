"""Pinhole cameras: building, projecting, lifting depth. The only place that knows K and the camera
axes.

Pixel centres lie at +0.5, so the principal point of a centred camera is (width / 2, height / 2).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int, Real

from maquette.geometry.transforms import (
    Matrix3,
    Points,
    Transform,
    rotation_x,
    scale_of,
    similarity,
    transform_points,
)
from maquette.types import Camera

# Columns: where the camera's x (right), y (down) and z (forward) axes point in a +Y-up world when
# it looks along -Z.
WORLD_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])


def intrinsics_from_focal(focal: float, width: int, height: int) -> Matrix3:
    """Intrinsics of a centred camera with square pixels; ``focal`` in pixels."""
    matrix = np.diag([focal, focal, 1.0])
    matrix[:2, 2] = width / 2, height / 2
    return matrix


def intrinsics_from_fov(vertical_fov: float, width: int, height: int) -> Matrix3:
    """Intrinsics of a centred camera; ``vertical_fov`` (radians) spans ``height`` pixels."""
    return intrinsics_from_focal(0.5 * height / np.tan(0.5 * vertical_fov), width, height)


def view_centric_rotation(pitch: float) -> Matrix3:
    """world_from_camera rotation of an upright camera looking along -Z, tilted down by
    ``pitch`` radians.
    """
    return rotation_x(-pitch) @ WORLD_FROM_OPENCV


def look_at(position: Real[np.ndarray, " 3"], target: Real[np.ndarray, " 3"]) -> Transform:
    """world_from_camera of an upright camera (+Y up, no roll) at ``position`` looking at
    ``target``.
    """
    forward = np.asarray(target, dtype=np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward], axis=1)
    return similarity(1.0, axes, position)


def pixels_at(camera: Camera, places: Float[np.ndarray, "N 2"]) -> Int[np.ndarray, "2 N"]:
    """Columns and rows of the pixels at places of the picture; of one outside, the nearest."""
    last = (camera.width - 1, camera.height - 1)
    return np.clip(places, 0, last).astype(int).T


def pitch_of(camera: Camera) -> float:
    """How far the camera looks down, in radians."""
    return float(np.arcsin(np.clip(-camera.world_from_camera[1, 2], -1.0, 1.0)))


def azimuth_of(camera: Camera) -> float:
    """Angle in radians by which the world must be turned about +Y so that the camera looks along -Z
    (view-centric frame).
    """
    forward = camera.world_from_camera[:3, 2]
    return float(np.arctan2(forward[0], -forward[2]))


def project(
    camera: Camera, points: Real[np.ndarray, "*any 3"]
) -> tuple[Float[np.ndarray, "*any 2"], Float[np.ndarray, "*any"]]:
    """World points -> pixel coordinates and z-depths, world units; depth <= 0 is behind the
    camera.
    """
    local = transform_points(camera.camera_from_world, points)
    depth = local[..., 2]
    safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    homogeneous = local @ camera.intrinsics.T
    return homogeneous[..., :2] / safe[..., None], depth


def pixel_rays(camera: Camera) -> Float[np.ndarray, "H W 3"]:
    """Camera-frame directions with z = 1 through each pixel's centre."""
    sides = (np.arange(pixels) + 0.5 for pixels in camera.size)
    x, y = np.meshgrid(*sides)
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
    return pixels @ np.linalg.inv(camera.intrinsics).T


def world_rays(camera: Camera, pixels: Real[np.ndarray, "N 2"]) -> Points:
    """World-frame directions through pixels, whose z-depth is 1."""
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    return homogeneous @ np.linalg.inv(camera.intrinsics).T @ camera.rotation.T


def on_ray(camera: Camera, pixel: Real[np.ndarray, " 2"], depth: float) -> Float[np.ndarray, " 3"]:
    """The world point at a z-depth that a pixel shows."""
    ray = np.linalg.solve(camera.intrinsics, np.array([*pixel, 1.0])) * depth
    return transform_points(camera.world_from_camera, ray)


def lift(camera: Camera, depth: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """z-depth -> world points."""
    return transform_points(camera.world_from_camera, pixel_rays(camera) * depth[..., None])


def resized(camera: Camera, width: int, height: int) -> Camera:
    """The same view sampled on another pixel grid."""
    scale = np.diag([width / camera.width, height / camera.height, 1.0])
    return replace(
        camera,
        intrinsics=scale @ camera.intrinsics,
        width=width,
        height=height,
    )


def moved(camera: Camera, new_from_world: Transform) -> Camera:
    """The same camera in another world frame; ``new_from_world`` is a similarity, the camera pose
    stays rigid.
    """
    pose = new_from_world @ camera.world_from_camera
    pose[:3, :3] /= scale_of(pose)
    return replace(camera, world_from_camera=pose)
