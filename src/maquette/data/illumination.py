"""Light on training views: shadow maps drawn once per scene, and one fused pass from rendered buffers to linear light.

Used by views.py; the same light model as render/shade.py, arranged for throughput. Soft shadows and ambient occlusion are averages
over many directions: each of the four samples of a pixel asks other directions, so that a pixel has asked all of them after averaging.
Ground and walls are planes met by the pixel's ray (no triangles), and sampling, texture, light and averaging happen per pixel in one
loop without intermediate images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from maquette.data.backgrounds import TILE, Surface
from maquette.geometry.cameras import intrinsics_from_focal, look_at
from maquette.render.rasterize import RenderBuffers, checked_mesh, draw, pixel_from_world
from maquette.render.shade import Lighting
from maquette.types import Camera

SUN_DISTANCE = 300.0  # of a light's camera, in scene radii: nearly parallel rays


@dataclass(frozen=True, eq=False)
class ShadowMaps:
    """Depth pictures from several light directions; a multiple of four of them."""

    inverse_depth: np.ndarray  # (D, S, S) float32, 1 / z, 0 where nothing
    light_from_world: np.ndarray  # (D, 3, 4) float64
    towards: np.ndarray  # (D, 3) float64, unit, towards the light
    focal: float  # texels
    texel: float  # width of a texel, world units


@dataclass(frozen=True, eq=False)
class Material:
    """Per instance (row 0 = ground and walls, row k + 1 = placement k): how its surface answers light."""

    specular: np.ndarray  # (P + 1,) float32, strength of the highlight
    gloss: np.ndarray  # (P + 1,) float32, Blinn-Phong exponent
    grain: np.ndarray  # (P + 1,) float32, amplitude of the fine texture on objects, relative to the albedo
    frequency: np.ndarray  # (P + 1,) float32, tiles of the fine texture per world unit
    tile: np.ndarray  # (TILE, TILE) float32, the fine texture, zero mean, about unit deviation


def shadow_maps(vertices: np.ndarray, faces: np.ndarray, directions: np.ndarray, resolution: int) -> ShadowMaps:
    """Depth pictures of a mesh (V, 3), (F, 3) from ``directions`` (D, 3) towards the lights."""
    vertices, faces = checked_mesh(vertices, faces)
    lower, upper = vertices.min(0), vertices.max(0)
    centre, radius = 0.5 * (lower + upper), 0.5 * float(np.linalg.norm(upper - lower)) + 1e-6
    distance = SUN_DISTANCE * radius
    focal = 0.47 * resolution * SUN_DISTANCE  # a rim of empty texels, so that what lies outside of the map is lit
    intrinsics = intrinsics_from_focal(focal, resolution, resolution)
    towards = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    maps = np.empty((len(towards), resolution, resolution), np.float32)
    poses = np.empty((len(towards), 3, 4))
    for index, direction in enumerate(towards):
        upright = direction + np.array([1e-5, 0.0, 0.0])  # a light straight above has no upright camera
        camera = Camera(intrinsics, look_at(centre + distance * upright, centre), resolution, resolution)
        maps[index] = draw(vertices, faces, pixel_from_world(camera), resolution, resolution)[0]
        poses[index] = camera.camera_from_world[:3]
    return ShadowMaps(maps, poses, towards, focal, distance / focal)


def around(direction: np.ndarray, radius: float, count: int) -> np.ndarray:
    """(count, 3) unit directions spread over a disc of angular ``radius`` (radians) about ``direction`` (3,): an area light."""
    axis = direction / np.linalg.norm(direction)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    spiral = np.arange(count)
    reach, angle = np.tan(radius) * np.sqrt((spiral + 0.5) / count), spiral * np.pi * (3.0 - np.sqrt(5.0))
    spread = axis + (reach * np.cos(angle))[:, None] * side + (reach * np.sin(angle))[:, None] * np.cross(axis, side)
    return spread / np.linalg.norm(spread, axis=1, keepdims=True)


def add_surfaces(buffers: RenderBuffers, camera: Camera, surfaces: tuple[Surface, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) float32 and normal (H, W, 3) float32 of the buffers with planes behind what they hold, as float32 copies."""
    depth, normal = buffers.depth.copy(), buffers.normal.copy()
    _meet(depth, normal, _world_from_pixel(camera), camera.position, *_planes(surfaces)[:2])
    return depth, normal


def illuminate(
    buffers: RenderBuffers,
    camera: Camera,
    surfaces: tuple[Surface, ...],
    backdrop: np.ndarray,
    lighting: Lighting,
    sun: ShadowMaps,
    sky: ShadowMaps,
    material: Material,
) -> np.ndarray:
    """Linear light (H, W, 3) float32 of a view from buffers of twice its size (``camera`` is that of the buffers).

    ``backdrop`` (H, W, 3) float32, linear, is seen where neither object nor surface is. The directions of ``sun`` share the key light.
    """
    points, normals, axes, textures = _planes(surfaces)
    light = np.concatenate([lighting.key, lighting.sky, lighting.ground, [lighting.shadow, lighting.occlusion]])
    return _illuminate(
        buffers.depth,
        buffers.normal,
        buffers.albedo,
        buffers.instance,
        _world_from_pixel(camera),
        np.ascontiguousarray(camera.position),
        float(camera.intrinsics[0, 0]),
        (points, normals, axes, textures),
        np.ascontiguousarray(backdrop, dtype=np.float32),
        light,
        (sun.inverse_depth, sun.light_from_world, sun.towards, sun.focal, sun.texel),
        (sky.inverse_depth, sky.light_from_world, sky.towards, sky.focal, sky.texel),
        (material.specular, material.gloss, material.grain, material.frequency, material.tile),
    )


def linear(encoded: np.ndarray) -> np.ndarray:
    """SRGB-encoded values in 0..1 -> linear light: a cubic that stays within 0.002 of the standard's curve."""
    return _linear(encoded)


def develop(light: np.ndarray, shoulder: float) -> np.ndarray:
    """Linear light -> uint8 sRGB; what lies above ``shoulder`` in 0..1 is compressed smoothly towards white, as film does."""
    steps, room = 4096, max(1.0 - shoulder, 1e-3)
    x = np.linspace(0.0, 2.0, steps) ** 2  # dense in the shadows
    x = np.where(x > shoulder, shoulder + room * (1.0 - np.exp(-(x - shoulder) / room)), x)
    encoded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1.0 / 2.4) - 0.055)
    curve = np.round(255.0 * np.clip(encoded, 0.0, 1.0)).astype(np.uint8)
    return curve[np.minimum(np.sqrt(light) * np.float32((steps - 1) / 2.0), steps - 1).astype(np.int32)]


def _world_from_pixel(camera: Camera) -> np.ndarray:
    """(3, 3) matrix from (x, y, 1) of a pixel to the world direction with camera-frame z = 1."""
    return np.ascontiguousarray(camera.world_from_camera[:3, :3] @ np.linalg.inv(camera.intrinsics))


def _planes(surfaces: tuple[Surface, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 3), normals (N, 3), axes (N, 2, 3) and textures (N, TILE, TILE, 3) uint8 of the surfaces."""
    if not surfaces:
        return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2, 3)), np.zeros((0, TILE, TILE, 3), np.uint8)
    arrays = ([s.point for s in surfaces], [s.normal for s in surfaces], [s.axes for s in surfaces], [s.texture for s in surfaces])
    points, normals, axes, textures = (np.ascontiguousarray(np.stack(a)) for a in arrays)
    return points.astype(np.float64), normals.astype(np.float64), axes.astype(np.float64), textures


@njit(cache=True, nogil=True, error_model="numpy")
def _hit(ray, eye, points, normals, nearest):
    """Index and z-depth of the plane that a ray meets first before ``nearest``; planes are seen from their front only."""
    best, depth = -1, nearest
    for n in range(len(points)):
        slope = normals[n, 0] * ray[0] + normals[n, 1] * ray[1] + normals[n, 2] * ray[2]
        if slope >= 0.0:
            continue
        offset = 0.0
        for c in range(3):
            offset += normals[n, c] * (points[n, c] - eye[c])
        t = offset / slope
        if 0.0 < t < depth:
            best, depth = n, t
    return best, depth


@njit(cache=True, nogil=True, error_model="numpy")
def _meet(depth, normal, world_from_pixel, eye, points, normals):
    height, width = depth.shape
    ray = np.empty(3, np.float64)
    for row in range(height):
        for column in range(width):
            for c in range(3):
                ray[c] = world_from_pixel[c, 0] * (column + 0.5) + world_from_pixel[c, 1] * (row + 0.5) + world_from_pixel[c, 2]
            plane, t = _hit(ray, eye, points, normals, np.float64(depth[row, column]))
            if plane >= 0:
                depth[row, column] = t
                for c in range(3):
                    normal[row, column, c] = normals[plane, c]


@njit(cache=True, nogil=True, error_model="numpy")
def _linear(x):
    return x * (x * (x * np.float32(0.305306011) + np.float32(0.682171111)) + np.float32(0.012522878))


@njit(cache=True, nogil=True, error_model="numpy")
def _lit(maps, which, point, normal, bias):
    """Share of one light that reaches a point: four comparisons, weighted bilinearly; the point is moved along its normal by ``bias``."""
    inverse_depth, poses, _, focal, texel = maps
    m = poses[which]
    size = inverse_depth.shape[1]
    x = point[0] + bias * normal[0]
    y = point[1] + bias * normal[1]
    z = point[2] + bias * normal[2]
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
    u = focal * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth + 0.5 * size - 0.5
    v = focal * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth + 0.5 * size - 0.5
    if not (0.0 <= u < size - 1.0 and 0.0 <= v < size - 1.0):
        return 1.0
    left, top = int(u), int(v)
    du, dv = u - left, v - top
    nearer = 1.0 / (depth - 0.5 * texel)
    hidden = 0.0
    if inverse_depth[which, top, left] > nearer:
        hidden += (1.0 - du) * (1.0 - dv)
    if inverse_depth[which, top, left + 1] > nearer:
        hidden += du * (1.0 - dv)
    if inverse_depth[which, top + 1, left] > nearer:
        hidden += (1.0 - du) * dv
    if inverse_depth[which, top + 1, left + 1] > nearer:
        hidden += du * dv
    return 1.0 - hidden


@njit(cache=True, nogil=True, error_model="numpy")
def _texel(texture, u, v, out):
    """Bilinear sample of a repeating tile (T, T, 3) uint8 at (u, v) tiles, as 0..1."""
    side = len(texture)
    x, y = (u - np.floor(u)) * side, (v - np.floor(v)) * side
    left, top = int(x) % side, int(y) % side
    right, bottom = (left + 1) % side, (top + 1) % side
    du, dv = x - np.floor(x), y - np.floor(y)
    for c in range(3):
        upper = (1.0 - du) * texture[top, left, c] + du * texture[top, right, c]
        lower = (1.0 - du) * texture[bottom, left, c] + du * texture[bottom, right, c]
        out[c] = ((1.0 - dv) * upper + dv * lower) / 255.0


@njit(cache=True, nogil=True, error_model="numpy")
def _grain(tile, point, normal, frequency):
    """Sample the fine texture on an object: the tile seen along the main axis of the normal."""
    ax, ay, az = abs(normal[0]), abs(normal[1]), abs(normal[2])
    if ay >= ax and ay >= az:
        u, v = point[0], point[2]
    elif ax >= az:
        u, v = point[2], point[1]
    else:
        u, v = point[0], point[1]
    u, v = u * frequency, v * frequency
    side = len(tile)
    return tile[int((v - np.floor(v)) * side) % side, int((u - np.floor(u)) * side) % side]


@njit(cache=True, nogil=True, error_model="numpy")
def _illuminate(depth, normal, albedo, instance, world_from_pixel, eye, focal, planes, backdrop, light, sun, sky, material):
    height, width = depth.shape[0] // 2, depth.shape[1] // 2
    points, normals, axes, textures = planes
    specular, gloss, grain, frequency, tile = material
    out = np.zeros((height, width, 3), np.float32)
    means = np.empty((len(points), 3), np.float64)
    for n in range(len(points)):
        for c in range(3):
            means[n, c] = textures[n, :, :, c].mean() / 255.0
    ray, point = np.empty(3, np.float64), np.empty(3, np.float64)
    colour, facing_normal = np.empty(3, np.float64), np.empty(3, np.float64)
    for row in range(height):
        for column in range(width):
            for sample in range(4):
                y, x = 2 * row + sample // 2, 2 * column + sample % 2
                for c in range(3):
                    ray[c] = world_from_pixel[c, 0] * (x + 0.5) + world_from_pixel[c, 1] * (y + 0.5) + world_from_pixel[c, 2]
                plane, t = _hit(ray, eye, points, normals, np.float64(depth[y, x]))
                if not np.isfinite(t):
                    for c in range(3):
                        out[row, column, c] += 0.25 * backdrop[row, column, c]
                    continue
                for c in range(3):
                    point[c] = eye[c] + t * ray[c]
                who = 0
                if plane >= 0:
                    u = axes[plane, 0, 0] * point[0] + axes[plane, 0, 1] * point[1] + axes[plane, 0, 2] * point[2]
                    v = axes[plane, 1, 0] * point[0] + axes[plane, 1, 1] * point[1] + axes[plane, 1, 2] * point[2]
                    _texel(textures[plane], u, v, colour)
                    slope, per_unit = 0.0, 0.0
                    for c in range(3):
                        facing_normal[c] = normals[plane, c]
                        slope -= normals[plane, c] * ray[c]
                        per_unit += axes[plane, 0, c] ** 2
                    # Texels under the pixel, lengthened by the slant: beyond a few the tile is its mean, or it would sparkle.
                    spread = len(tile) * np.sqrt(per_unit) * t / focal / max(slope, 0.02)
                    blend = min(max((spread - 1.5) / 8.0, 0.0), 1.0)
                    for c in range(3):
                        colour[c] += blend * (means[plane, c] - colour[c])
                else:
                    who = instance[y, x] + 1
                    amount = 1.0
                    for c in range(3):
                        colour[c] = albedo[y, x, c]
                        facing_normal[c] = normal[y, x, c]
                    if grain[who] > 0.0:
                        amount += grain[who] * _grain(tile, point, facing_normal, frequency[who])
                    for c in range(3):
                        colour[c] = min(max(colour[c] * amount, 0.0), 1.0)
                _reflect(colour, facing_normal, point, ray, sample, light, sun, sky, specular[who], gloss[who], out[row, column])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _reflect(colour, normal, point, ray, sample, light, sun, sky, specular, gloss, out):
    """Add a quarter of the light that a sample sends to the camera: sky and ground dome, key light, highlight."""
    seen, total = 0.02, 0.02
    for d in range(sample, len(sky[2]), 4):
        facing = sky[2][d, 0] * normal[0] + sky[2][d, 1] * normal[1] + sky[2][d, 2] * normal[2]
        if facing > 0.0:
            total += facing
            seen += facing * _lit(sky, d, point, normal, 1.5 * sky[4])
    dome = (seen / total) ** light[10]
    key, shine, count = 0.0, 0.0, 0
    length = np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
    for d in range(sample, len(sun[2]), 4):
        count += 1
        towards = sun[2][d]
        facing = towards[0] * normal[0] + towards[1] * normal[1] + towards[2] * normal[2]
        if facing <= 0.0:
            continue
        lit = 1.0 - light[9] * (1.0 - _lit(sun, d, point, normal, 1.5 * sun[4]))
        key += facing * lit
        if specular > 0.0:
            hx, hy, hz = towards[0] - ray[0] / length, towards[1] - ray[1] / length, towards[2] - ray[2] / length
            half = (hx * normal[0] + hy * normal[1] + hz * normal[2]) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
            if half > 0.0:
                shine += lit * half**gloss
    up = 0.5 + 0.5 * normal[1]
    for c in range(3):
        ambient = light[6 + c] + up * (light[3 + c] - light[6 + c])
        received = dome * ambient + light[c] * key / max(count, 1)
        out[c] += 0.25 * (_linear(colour[c]) * received + specular * light[c] * shine / max(count, 1))
