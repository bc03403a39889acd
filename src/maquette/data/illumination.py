"""Light on training views: shadow maps drawn once per scene, and one fused pass from rendered
buffers to linear light.

Used by views.py; the same light model as render/shade.py, arranged for throughput. Soft shadows and
ambient occlusion are averages over many directions: each of the four samples of a pixel asks other
directions, so that a pixel has asked all of them after averaging. Ground and walls are planes met
by the pixel's ray (no triangles), and sampling, texture, light and averaging happen per pixel in
one loop without intermediate images.
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

NOTHING = 1e9  # depth of a shadow map's empty texels
SUN_DISTANCE = 300.0  # of a light's camera, in scene radii: nearly parallel rays


@dataclass(frozen=True, eq=False)
class ShadowMaps:
    """Depth pictures from several light directions; a multiple of four of them."""

    depth: np.ndarray  # (D, S, S) float32, distance along the light in texels, large where nothing
    texels_from_world: np.ndarray  # (D, 3, 4) float32, affine: column, row and depth in texels
    towards: np.ndarray  # (D, 3) float32, unit, towards the light


@dataclass(frozen=True, eq=False)
class Material:
    """Per instance (row 0 = ground and walls, row k + 1 = placement k): how its surface answers
    light.
    """

    specular: np.ndarray  # (P + 1,) float32, strength of the highlight
    gloss: np.ndarray  # (P + 1,) float32, Blinn-Phong exponent
    grain: (
        np.ndarray
    )  # (P + 1,) float32, amplitude of the fine texture on objects, relative to the albedo
    frequency: np.ndarray  # (P + 1,) float32, tiles of the fine texture per world unit
    tile: np.ndarray  # (TILE, TILE) float32, the fine texture, zero mean, about unit deviation


def shadow_maps(
    vertices: np.ndarray, faces: np.ndarray, directions: np.ndarray, resolution: int
) -> ShadowMaps:
    """Depth pictures of a mesh (V, 3), (F, 3) from ``directions`` (D, 3) towards the lights."""
    vertices, faces = checked_mesh(vertices, faces)
    lower = vertices.min(0)
    upper = vertices.max(0)
    centre = 0.5 * (lower + upper)
    radius = 0.5 * float(np.linalg.norm(upper - lower)) + 1e-6
    distance = SUN_DISTANCE * radius
    focal = (
        0.47 * resolution * SUN_DISTANCE
    )  # a rim of empty texels, so that what lies outside of the map is lit
    intrinsics = intrinsics_from_focal(focal, resolution, resolution)
    towards = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    depth = np.empty((len(towards), resolution, resolution), np.float32)
    affine = np.empty((len(towards), 3, 4))
    for index, direction in enumerate(towards):
        upright = direction + np.array(
            [1e-5, 0.0, 0.0]
        )  # a light straight above has no upright camera
        camera = Camera(
            intrinsics, look_at(centre + distance * upright, centre), resolution, resolution
        )
        inverse_depth = draw(vertices, faces, pixel_from_world(camera), resolution, resolution)[0]
        # So far away, rays are parallel and texels as deep as they are wide; depth is counted from
        # the scene's centre.
        depth[index] = np.where(
            inverse_depth > 0.0,
            (1.0 / np.maximum(inverse_depth, 1e-12) - distance) * (focal / distance),
            NOTHING,
        )
        affine[index] = camera.camera_from_world[:3] * (focal / distance)
    affine[:, :2, 3] += 0.5 * resolution - 0.5
    affine[:, 2, 3] -= focal
    return ShadowMaps(depth, affine.astype(np.float32), towards.astype(np.float32))


def around(direction: np.ndarray, radius: float, count: int) -> np.ndarray:
    """(count, 3) unit directions spread over a disc of angular ``radius`` (radians) about
    ``direction`` (3,): an area light.
    """
    axis = direction / np.linalg.norm(direction)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    spiral = np.arange(count)
    reach = np.tan(radius) * np.sqrt((spiral + 0.5) / count)
    angle = spiral * np.pi * (3.0 - np.sqrt(5.0))
    spread = (
        axis
        + (reach * np.cos(angle))[:, None] * side
        + (reach * np.sin(angle))[:, None] * np.cross(axis, side)
    )
    return spread / np.linalg.norm(spread, axis=1, keepdims=True)


def add_surfaces(
    buffers: RenderBuffers, camera: Camera, surfaces: tuple[Surface, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) float32 and normal (H, W, 3) float32 of the buffers with planes behind what they
    hold, as copies.
    """
    depth = buffers.depth.copy()
    normal = buffers.normal.copy()
    points, normals, _, _, _ = _planes(surfaces)
    _meet(
        depth,
        normal,
        _world_from_pixel(camera),
        (points - camera.position).astype(np.float32),
        normals,
    )
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
    """Linear light (H, W, 3) float32 of a view from buffers of twice its size (``camera`` is that
    of the buffers).

    ``backdrop`` (H, W, 3) float32, linear, is seen where neither object nor surface is. The
    directions of ``sun`` share the key light.
    """
    points, normals, axes, means, textures = _planes(surfaces)
    light = np.concatenate(
        [lighting.key, lighting.sky, lighting.ground, [lighting.shadow, lighting.occlusion]]
    ).astype(np.float32)
    return _illuminate(
        (buffers.depth, buffers.normal, buffers.albedo, buffers.instance),
        _world_from_pixel(camera),
        camera.position.astype(np.float32),
        np.float32(camera.intrinsics[0, 0]),
        (
            (points - camera.position).astype(np.float32),
            normals,
            axes,
            (axes @ camera.position).astype(np.float32),
            means,
            textures,
        ),
        np.ascontiguousarray(backdrop, dtype=np.float32),
        light,
        (sun.depth, sun.texels_from_world, sun.towards),
        (sky.depth, sky.texels_from_world, sky.towards),
        (material.specular, material.gloss, material.grain, material.frequency, material.tile),
    )


def linear(encoded: np.ndarray) -> np.ndarray:
    """SRGB-encoded values in 0..1 -> linear light: a cubic that stays within 0.002 of the
    standard's curve.
    """
    return encoded * (
        encoded * (encoded * np.float32(0.305306011) + np.float32(0.682171111))
        + np.float32(0.012522878)
    )


def develop(light: np.ndarray, exposure: float, shoulder: float) -> np.ndarray:
    """Linear light (H, W, 3) -> uint8 sRGB, as a camera does it: towards the mean ``exposure``,
    highlights compressed above ``shoulder``.

    The exposure is only partly corrected, so that dark places stay darker than bright ones.
    """
    gain = float(np.clip((exposure / max(float(light.mean()), 1e-4)) ** 0.7, 0.4, 4.0))
    steps = 4096
    room = max(1.0 - shoulder, 1e-3)
    x = np.linspace(0.0, 2.0, steps) ** 2  # dense in the shadows
    x = np.where(x > shoulder, shoulder + room * (1.0 - np.exp(-(x - shoulder) / room)), x)
    encoded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1.0 / 2.4) - 0.055)
    curve = np.round(255.0 * np.clip(encoded, 0.0, 1.0)).astype(np.uint8)
    return curve[
        np.minimum(
            np.sqrt(light * np.float32(gain)) * np.float32((steps - 1) / 2.0), steps - 1
        ).astype(np.int32)
    ]


def _world_from_pixel(camera: Camera) -> np.ndarray:
    """(3, 3) float32 matrix from (x, y, 1) of a pixel to the world direction with camera-frame z =
    1.
    """
    return np.ascontiguousarray(
        camera.world_from_camera[:3, :3] @ np.linalg.inv(camera.intrinsics), dtype=np.float32
    )


def _planes(
    surfaces: tuple[Surface, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 3) float64, normals (N, 3), axes (N, 2, 3) and mean colours (N, 3) float32,
    textures (N, TILE, TILE, 3) uint8.
    """
    count = len(surfaces)
    points = np.array([s.point for s in surfaces], np.float64).reshape(count, 3)
    normals = np.array([s.normal for s in surfaces], np.float32).reshape(count, 3)
    axes = np.array([s.axes for s in surfaces], np.float32).reshape(count, 2, 3)
    means = np.array([s.mean for s in surfaces], np.float32).reshape(count, 3)
    textures = np.array([s.texture for s in surfaces], np.uint8).reshape(count, TILE, TILE, 3)
    return points, normals, axes, means, textures


# ---- per pixel
# Scalars instead of small arrays, and every helper inlined: a call with arrays counts references,
#   which costs more than its work.


@njit(nogil=True, error_model="numpy", inline="always")
def _hit(rx, ry, rz, offsets, normals, nearest):
    """Index and z-depth of the plane that a ray from the eye meets first before ``nearest``; planes
    are seen from their front only.
    """
    best = -1
    depth = nearest
    for n in range(len(offsets)):
        slope = normals[n, 0] * rx + normals[n, 1] * ry + normals[n, 2] * rz
        if slope < 0.0:
            t = (
                normals[n, 0] * offsets[n, 0]
                + normals[n, 1] * offsets[n, 1]
                + normals[n, 2] * offsets[n, 2]
            ) / slope
            if 0.0 < t < depth:
                best = n
                depth = t
    return best, depth


@njit(cache=True, nogil=True, error_model="numpy")
def _meet(depth, normal, m, offsets, normals):
    height, width = depth.shape
    for row in range(height):
        for column in range(width):
            x = np.float32(column + 0.5)
            y = np.float32(row + 0.5)
            rx = m[0, 0] * x + m[0, 1] * y + m[0, 2]
            ry = m[1, 0] * x + m[1, 1] * y + m[1, 2]
            rz = m[2, 0] * x + m[2, 1] * y + m[2, 2]
            plane, t = _hit(rx, ry, rz, offsets, normals, depth[row, column])
            if plane >= 0:
                depth[row, column] = t
                for c in range(3):
                    normal[row, column, c] = normals[plane, c]


@njit(nogil=True, error_model="numpy", inline="always")
def _linear(x):
    return x * (
        x * (x * np.float32(0.305306011) + np.float32(0.682171111)) + np.float32(0.012522878)
    )


@njit(nogil=True, error_model="numpy", inline="always")
def _lit(depth, affine, which, x, y, z):
    """Share of one light that reaches a point: four comparisons, weighted bilinearly."""
    size = depth.shape[1]
    u = (
        affine[which, 0, 0] * x
        + affine[which, 0, 1] * y
        + affine[which, 0, 2] * z
        + affine[which, 0, 3]
    )
    v = (
        affine[which, 1, 0] * x
        + affine[which, 1, 1] * y
        + affine[which, 1, 2] * z
        + affine[which, 1, 3]
    )
    if u < 0.0 or v < 0.0 or u >= size - 1 or v >= size - 1:
        return np.float32(1.0)
    limit = (
        affine[which, 2, 0] * x
        + affine[which, 2, 1] * y
        + affine[which, 2, 2] * z
        + affine[which, 2, 3]
        - np.float32(0.5)
    )
    left = int(u)
    top = int(v)
    du = u - left
    dv = v - top
    one = np.float32(1.0)
    hidden = np.float32(0.0)
    if depth[which, top, left] < limit:
        hidden += (one - du) * (one - dv)
    if depth[which, top, left + 1] < limit:
        hidden += du * (one - dv)
    if depth[which, top + 1, left] < limit:
        hidden += (one - du) * dv
    if depth[which, top + 1, left + 1] < limit:
        hidden += du * dv
    return one - hidden


@njit(nogil=True, error_model="numpy", inline="always")
def _texel(texture, plane, u, v):
    """Bilinear sample of the repeating tile (T, T, 3) uint8 of a plane at (u, v) tiles, as 0..1."""
    side = texture.shape[1]
    one = np.float32(1.0)
    x = (u - np.floor(u)) * side
    y = (v - np.floor(v)) * side
    left = min(int(x), side - 1)
    top = min(int(y), side - 1)
    right = (left + 1) % side
    bottom = (top + 1) % side
    du = x - left
    dv = y - top
    a = (one - du) * (one - dv)
    b = du * (one - dv)
    c = (one - du) * dv
    d = du * dv
    scale = np.float32(1.0 / 255.0)
    red = a * texture[plane, top, left, 0] + b * texture[plane, top, right, 0]
    red += c * texture[plane, bottom, left, 0] + d * texture[plane, bottom, right, 0]
    green = a * texture[plane, top, left, 1] + b * texture[plane, top, right, 1]
    green += c * texture[plane, bottom, left, 1] + d * texture[plane, bottom, right, 1]
    blue = a * texture[plane, top, left, 2] + b * texture[plane, top, right, 2]
    blue += c * texture[plane, bottom, left, 2] + d * texture[plane, bottom, right, 2]
    return np.float32(red * scale), np.float32(green * scale), np.float32(blue * scale)


@njit(nogil=True, error_model="numpy", inline="always")
def _plane_colour(normals, axes, shift, means, textures, plane, rx, ry, rz, t, focal):
    """Texture of a plane at depth ``t`` along a ray; where many texels meet one pixel the tile is
    its mean, or it would sparkle.
    """
    u = (axes[plane, 0, 0] * rx + axes[plane, 0, 1] * ry + axes[plane, 0, 2] * rz) * t + shift[
        plane, 0
    ]
    v = (axes[plane, 1, 0] * rx + axes[plane, 1, 1] * ry + axes[plane, 1, 2] * rz) * t + shift[
        plane, 1
    ]
    red, green, blue = _texel(textures, plane, u, v)
    slope = -(normals[plane, 0] * rx + normals[plane, 1] * ry + normals[plane, 2] * rz)
    per_unit = np.sqrt(axes[plane, 0, 0] ** 2 + axes[plane, 0, 1] ** 2 + axes[plane, 0, 2] ** 2)
    spread = textures.shape[1] * per_unit * t / (focal * max(slope, np.float32(0.02)))
    blend = np.float32(min(max((spread - 1.5) / 8.0, 0.0), 1.0))
    red += blend * (means[plane, 0] - red)
    green += blend * (means[plane, 1] - green)
    blue += blend * (means[plane, 2] - blue)
    return red, green, blue


@njit(nogil=True, error_model="numpy", inline="always")
def _grain(tile, x, y, z, nx, ny, nz, frequency):
    """Sample the fine texture on an object: the tile seen along the main axis of the normal."""
    ax = abs(nx)
    ay = abs(ny)
    az = abs(nz)
    u = x
    v = y
    if ay >= ax and ay >= az:
        v = z
    elif ax >= az:
        u = z
    u = u * frequency
    v = v * frequency
    side = len(tile)
    return tile[int((v - np.floor(v)) * side) % side, int((u - np.floor(u)) * side) % side]


@njit(nogil=True, error_model="numpy", inline="always")
def _received(
    sun,
    sun_affine,
    suns,
    sky,
    sky_affine,
    skies,
    light,
    sample,
    x,
    y,
    z,
    nx,
    ny,
    nz,
    vx,
    vy,
    vz,
    gloss,
):
    """Visibility of the sky, key light per unit, and highlight at a point, from the directions of
    one of the four samples.
    """
    seen = np.float32(0.02)
    total = np.float32(0.02)
    for d in range(sample, len(skies), 4):
        facing = skies[d, 0] * nx + skies[d, 1] * ny + skies[d, 2] * nz
        if facing > 0.0:
            total += facing
            seen += facing * _lit(sky, sky_affine, d, x, y, z)
    dome = seen / total
    dome = max(
        dome * (np.float32(1.0) - (light[10] - np.float32(1.0)) * (np.float32(1.0) - dome)),
        np.float32(0.0),
    )  # about dome ** light[10]
    key = np.float32(0.0)
    shine = np.float32(0.0)
    count = len(suns) // 4
    for d in range(sample, len(suns), 4):
        lx = suns[d, 0]
        ly = suns[d, 1]
        lz = suns[d, 2]
        facing = lx * nx + ly * ny + lz * nz
        if facing > 0.0:
            lit = np.float32(1.0) - light[9] * (np.float32(1.0) - _lit(sun, sun_affine, d, x, y, z))
            key += facing * lit
            if gloss > 0.0:
                hx = lx - vx
                hy = ly - vy
                hz = lz - vz
                half = (hx * nx + hy * ny + hz * nz) / np.sqrt(
                    hx * hx + hy * hy + hz * hz + np.float32(1e-12)
                )
                if half > 0.0:
                    shine += lit * half**gloss
    return dome, key / count, shine / count


@njit(cache=True, nogil=True, error_model="numpy")
def _illuminate(buffers, m, eye, focal, planes, backdrop, light, sun, sky, material):
    depth, normal, albedo, instance = buffers
    specular, gloss, grain, frequency, tile = material
    offsets, normals, axes, shift, means, textures = planes
    sun_depth, sun_affine, suns = sun
    sky_depth, sky_affine, skies = sky
    height = depth.shape[0] // 2
    width = depth.shape[1] // 2
    out = np.zeros((height, width, 3), np.float32)
    # Points are tested a little off their surface: one and a half texels of the coarser map, in
    # world units.
    sun_texels = np.sqrt(
        sun_affine[0, 0, 0] ** 2 + sun_affine[0, 0, 1] ** 2 + sun_affine[0, 0, 2] ** 2
    )
    sky_texels = np.sqrt(
        sky_affine[0, 0, 0] ** 2 + sky_affine[0, 0, 1] ** 2 + sky_affine[0, 0, 2] ** 2
    )
    bias = np.float32(1.5) / min(sun_texels, sky_texels)
    quarter = np.float32(0.25)
    half = np.float32(0.5)
    for y in range(2 * height):
        for x in range(2 * width):
            row = y // 2
            column = x // 2
            sample = 2 * (y % 2) + x % 2
            px = np.float32(x + 0.5)
            py = np.float32(y + 0.5)
            rx = m[0, 0] * px + m[0, 1] * py + m[0, 2]
            ry = m[1, 0] * px + m[1, 1] * py + m[1, 2]
            rz = m[2, 0] * px + m[2, 1] * py + m[2, 2]
            plane, t = _hit(rx, ry, rz, offsets, normals, depth[y, x])
            if not t < NOTHING:
                for c in range(3):
                    out[row, column, c] += quarter * backdrop[row, column, c]
                continue
            wx = eye[0] + t * rx
            wy = eye[1] + t * ry
            wz = eye[2] + t * rz
            who = 0
            if plane >= 0:
                nx = normals[plane, 0]
                ny = normals[plane, 1]
                nz = normals[plane, 2]
                red, green, blue = _plane_colour(
                    normals, axes, shift, means, textures, plane, rx, ry, rz, t, focal
                )
            else:
                who = instance[y, x] + 1
                nx = normal[y, x, 0]
                ny = normal[y, x, 1]
                nz = normal[y, x, 2]
                amount = np.float32(1.0)
                if grain[who] > 0.0:
                    amount += grain[who] * _grain(tile, wx, wy, wz, nx, ny, nz, frequency[who])
                red = albedo[y, x, 0] * amount
                green = albedo[y, x, 1] * amount
                blue = albedo[y, x, 2] * amount
            length = np.sqrt(rx * rx + ry * ry + rz * rz)
            polish = gloss[who] if specular[who] > 0.0 else np.float32(0.0)
            bx = wx + bias * nx
            by = wy + bias * ny
            bz = wz + bias * nz
            vx = rx / length
            vy = ry / length
            vz = rz / length
            dome, key, shine = _received(
                sun_depth,
                sun_affine,
                suns,
                sky_depth,
                sky_affine,
                skies,
                light,
                sample,
                bx,
                by,
                bz,
                nx,
                ny,
                nz,
                vx,
                vy,
                vz,
                polish,
            )
            shine *= specular[who]
            up = half + half * ny
            out[row, column, 0] += quarter * (
                _linear(red) * (dome * (light[6] + up * (light[3] - light[6])) + light[0] * key)
                + light[0] * shine
            )
            out[row, column, 1] += quarter * (
                _linear(green) * (dome * (light[7] + up * (light[4] - light[7])) + light[1] * key)
                + light[1] * shine
            )
            out[row, column, 2] += quarter * (
                _linear(blue) * (dome * (light[8] + up * (light[5] - light[8])) + light[2] * key)
                + light[2] * shine
            )
    return out
