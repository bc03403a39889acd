"""Rendered buffers -> a picture: one key light with shadows, a sky and ground dome with ambient
occlusion, a soft tone curve.

After rasterize.py, lighting.py and shadows.py. Ambient occlusion is the test of the shadows
averaged over a few directions of the sky: it darkens contacts and cavities, and does not depend on
the view.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maquette.geometry.vectors import affine, compiled, dot, inlined, minus, over, plus, row_of
from maquette.render.lighting import Lighting
from maquette.render.rasterize import RenderBuffers
from maquette.render.shadows import ShadowMap, visibility
from maquette.render.tones import CUBIC, developed, linear
from maquette.types import Camera

TONE_RANGE = 4.0  # linear light at which the tone curve ends
TONE_STEPS = 2048
SHOULDER = 0.6  # linear light above which the tone curve bends
BACKGROUND = np.array([236, 236, 233], np.uint8)
THIRD_POWER, SECOND_POWER, FIRST_POWER = CUBIC


def with_ground_plane(
    buffers: RenderBuffers,
    camera: Camera,
    height: float,
    albedo: np.ndarray,
    reach: float = np.inf,
) -> RenderBuffers:
    """Return the buffers with a plane y = ``height`` behind what they hold, as far as z-depth
    ``reach``.

    ``albedo`` (3,) or (H, W, 3), sRGB-encoded in 0..1. Ground pixels keep face and instance -1.
    """
    shape = buffers.normal.shape
    laid = dataclasses.astuple(buffers)  # copies of the arrays
    # height gained per depth, linear in the pixel
    rise = camera.world_from_camera[1, :3] @ np.linalg.inv(camera.intrinsics)
    paint = np.ascontiguousarray(np.broadcast_to(np.asarray(albedo, np.float32), shape))
    plane = (*rise, height - camera.position[1], reach)
    _lay(plane, paint, laid)
    return RenderBuffers(*laid)


@compiled
def _lay(plane, paint, buffers):
    """Put a plane into the fields of pixels that see it before anything else; ``plane``: height
    gained per depth (along x, along y, constant), height over the eye, reach.
    """
    depth, face, normal, albedo, instance = buffers
    along_x, along_y, constant, over_eye, reach = plane
    upwards = 1.0 if over_eye <= 0.0 else -1.0
    height, width = depth.shape
    for row in range(height):
        for column in range(width):
            gained = along_x * (column + 0.5) + along_y * (row + 0.5) + constant
            distance = over_eye / gained
            if not (0.0 < distance < depth[row, column] and distance < reach):
                continue
            depth[row, column] = distance
            face[row, column] = -1
            instance[row, column] = -1
            for axis in range(3):
                normal[row, column, axis] = upwards if axis == 1 else 0.0
                albedo[row, column, axis] = paint[row, column, axis]


def shade(
    buffers: RenderBuffers,
    camera: Camera,
    lighting: Lighting,
    *,
    sun: ShadowMap | None = None,
    sky: Sequence[ShadowMap] = (),
    supersampled: bool = False,
    background: np.ndarray = BACKGROUND,
) -> np.ndarray:
    """Light the buffers: a picture (H, W, 3) uint8, sRGB.

    ``sun`` is the shadow map of ``lighting.direction``, ``sky`` those of ``dome(count)``, for
    ambient occlusion. With ``supersampled`` the occlusion is found at a quarter of the pixels,
    which will be averaged anyway. ``background`` (3,) or (H, W, 3) uint8 fills what sees nothing.
    """
    height, width = buffers.depth.shape
    points = surface_points(buffers, camera)
    normals = buffers.normal.reshape(-1, 3)
    sunlit = np.ones(len(points), np.float32)
    open_sky = np.ones(len(points), np.float32)
    if sun is not None and lighting.shadow > 0.0:
        sunlit = visibility([sun], points, normals, lighting.softness)
    if sky and lighting.occlusion > 0.0:
        places = points.reshape(height, width, 3)
        open_sky = _sky_visibility(sky, places, buffers.normal, supersampled)
    image = np.empty((height, width, 3), np.uint8)
    image[:] = background
    light = _packed(lighting, camera.position)
    albedo = buffers.albedo.reshape(-1, 3)
    surface = _SeenSurface(buffers.depth.reshape(-1), points, normals, albedo, sunlit, open_sky)
    _illuminate(surface, light, _tone_curve(), image.reshape(-1, 3))
    return image


def _sky_visibility(
    sky: Sequence[ShadowMap],
    points: np.ndarray,
    normals: np.ndarray,
    coarse: bool,
) -> np.ndarray:
    """(H * W,) float32 visibility of the sky from points (H, W, 3) with normals (H, W, 3).

    Coarsely: at every second pixel of both axes, where each of four neighbours tests another
    quarter of the directions; then the average of the four has tested all of them.
    """
    height, width = normals.shape[:2]
    step = 2 if coarse else 1
    points = points[::step, ::step]
    normals = normals[::step, ::step]
    seen = np.empty(normals.shape[:2], np.float32)
    for row, column in np.ndindex(step, step):
        part = np.s_[row::step, column::step]
        maps = sky[step * row + column :: step * step]
        at = np.ascontiguousarray(points[part]).reshape(-1, 3)
        facing = np.ascontiguousarray(normals[part]).reshape(-1, 3)
        seen[part] = visibility(maps, at, facing, 0).reshape(seen[part].shape)
    if coarse:
        padded = np.pad(seen, ((0, 1), (0, 1)), mode="edge")
        left = padded[:-1, :-1] + padded[1:, :-1]
        seen = 0.25 * (left + padded[:-1, 1:] + padded[1:, 1:])
    # an underside sees a floor that lies in its own shade
    turned_down = np.clip(-normals[..., 1], 0.0, 1.0)
    seen = seen * (1.0 - 0.5 * turned_down)
    return seen.repeat(step, axis=0).repeat(step, axis=1)[:height, :width].ravel()


def surface_points(buffers: RenderBuffers, camera: Camera) -> np.ndarray:
    """World points (H * W, 3) float32 of all pixels; the camera's own position where there is
    nothing.
    """
    world_from_pixel = camera.rotation @ np.linalg.inv(camera.intrinsics)
    placed = np.column_stack([world_from_pixel, camera.position])
    points = np.empty((buffers.depth.size, 3), np.float32)
    _unproject(buffers.depth, placed, points)
    return points


@compiled
def _unproject(depth, world_from_pixel, points):
    """Fill the points (H * W, 3) of pixels with depths (H, W); the map is (3, 4)."""
    height, width = depth.shape
    for row in range(height):
        for column in range(width):
            z = depth[row, column] if depth[row, column] < np.inf else 0.0
            pixel = ((column + 0.5) * z, (row + 0.5) * z, z)
            for axis in range(3):
                points[row * width + column, axis] = affine(world_from_pixel, axis, pixel)


def _tone_light() -> np.ndarray:
    """(TONE_STEPS,) linear light of the steps of the tone curve: even steps of its square root."""
    return np.linspace(0.0, 1.0, TONE_STEPS) ** 2 * TONE_RANGE


def _tone_curve() -> np.ndarray:
    """(TONE_STEPS,) uint8 sRGB, which bends towards white above ``SHOULDER``."""
    return developed(_tone_light(), SHOULDER)


def albedo_for(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """SRGB-encoded albedo, float32 of the same shape, that looks like ``image`` (..., 3) uint8
    under diffuse linear ``light`` (3,).
    """
    levels = np.arange(256) / 255.0
    # the tone curve, inverted
    reflected = np.interp(np.arange(256), _tone_curve(), _tone_light())
    albedo_linear = linear(levels)
    tables = [np.interp(reflected / channel, albedo_linear, levels) for channel in light]
    table = np.stack(tables, axis=1).astype(np.float32)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


class _SeenSurface(NamedTuple):
    """What N pixels see, and how much light reaches it."""

    depth: np.ndarray  # (N,) float32
    points: np.ndarray  # (N, 3) float32, world
    normals: np.ndarray  # (N, 3) float32
    albedo: np.ndarray  # (N, 3) float32, sRGB-encoded
    sunlit: np.ndarray  # (N,) float32 share of the key light
    open_sky: np.ndarray  # (N,) float32 share of the sky


class _PackedLight(NamedTuple):
    """A Lighting and the eye in float32."""

    towards: tuple[np.float32, ...]  # (3,) unit
    eye: tuple[np.float32, ...]  # (3,)
    colours: np.ndarray  # (3, 3) float32 rows: key, sky, ground
    shadow: np.float32
    occlusion: np.float32
    specular: np.float32
    gloss: np.float32


def _packed(lighting: Lighting, eye: np.ndarray) -> _PackedLight:
    """The light as the kernel wants it, in float32."""
    towards = lighting.direction / np.linalg.norm(lighting.direction)
    colours = np.stack([lighting.key, lighting.sky, lighting.ground]).astype(np.float32)
    scalars = [lighting.shadow, lighting.occlusion, lighting.specular, lighting.gloss]
    shadow, occlusion, specular, gloss = np.array(scalars, np.float32)
    direction = tuple(towards.astype(np.float32))
    position = tuple(eye.astype(np.float32))
    return _PackedLight(direction, position, colours, shadow, occlusion, specular, gloss)


@inlined
def _linear(a):
    """As ``tones.linear``, in a kernel."""
    return a * (a * (a * THIRD_POWER + SECOND_POWER) + FIRST_POWER)


@inlined
def _highlight(
    light,
    point,
    normal,
    lit,
    gloss,
):
    """Blinn-Phong, of light that comes with a strength ``lit``."""
    view = minus(light.eye, point)
    to_eye = over(view, math.sqrt(dot(view, view)))
    halfway = plus(to_eye, light.towards)
    cosine = dot(normal, halfway) / math.sqrt(dot(halfway, halfway) + 1e-12)
    return light.specular * lit * max(cosine, 0.0) ** gloss


@compiled
def _illuminate(
    surface,
    light,
    curve,
    image,
):
    """Blinn-Phong under a hemisphere. Writes sRGB into ``image`` (N, 3) where depth is finite."""
    # Unpacked here, once: to take an array out of a tuple counts a reference.
    depth, points, normals, albedo, sunlit, open_sky = surface
    colours = light.colours
    last = len(curve) - 1
    steps = last / math.sqrt(TONE_RANGE)
    for p in range(len(points)):
        if not depth[p] < np.inf:
            continue
        normal = row_of(normals, p)
        facing = max(dot(normal, light.towards), 0.0)
        lit = 1.0 - light.shadow * (1.0 - sunlit[p])
        direct = facing * lit
        ambient = open_sky[p] if light.occlusion == 1.0 else open_sky[p] ** light.occlusion
        shine = 0.0
        if light.specular > 0.0 and facing > 0.0:
            shine = _highlight(light, row_of(points, p), normal, lit, light.gloss)
        up = 0.5 + 0.5 * normal[1]
        for c in range(3):
            dome_light = up * colours[1, c] + (1.0 - up) * colours[2, c]
            incoming = direct * colours[0, c] + ambient * dome_light
            step = math.sqrt(_linear(albedo[p, c]) * incoming + shine) * steps
            image[p, c] = curve[min(int(step + 0.5), last)]
