"""Rendered buffers -> a picture: one key light with shadows, a sky and ground dome with ambient
occlusion, a soft tone curve.

After rasterize.py. A shadow map is a depth picture taken by a camera so far away along the light
that it sees parallel rays, so the rasteriser draws it too. Ambient occlusion is the same test
averaged over a few directions of the sky: it darkens contacts and cavities, and does not depend on
the view. Shadow edges are filtered by percentage (Reeves et al., 1987) against the receiver's own
plane, which allows a bias of less than a texel.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from maquette.render.rasterize import RenderBuffers, checked_mesh, draw
from maquette.types import Camera

SUN_DISTANCE = (
    300.0  # of the light's camera, in scene radii: its rays are parallel to within 0.2 degrees
)
TONE_RANGE = 4.0  # linear light at which the tone curve ends
TONE_STEPS = 2048
SHOULDER = 0.6  # linear light above which the tone curve bends
BACKGROUND = np.array([236, 236, 233], np.uint8)


@dataclass(frozen=True, eq=False)
class Lighting:
    """Light on a scene; colours are linear RGB, a white surface under light 1 is white."""

    direction: np.ndarray  # (3,) towards the key light, world frame, need not be unit
    key: np.ndarray  # (3,) light on a surface that faces the key light
    sky: np.ndarray  # (3,) light from above
    ground: np.ndarray  # (3,) light from below
    shadow: float = 1.0  # 0 = the key light casts no shadows, 1 = full shadows
    softness: int = 1  # half width of a shadow's edge, texels of the shadow map
    occlusion: float = 1.0  # exponent of the sky's visibility, 0 = no ambient occlusion
    specular: float = 0.0  # strength of the highlight
    gloss: float = 30.0  # Blinn-Phong exponent


@dataclass(frozen=True, eq=False)
class ShadowMap:
    """How far the light of one direction reaches into a scene."""

    inverse_depth: (
        np.ndarray
    )  # (S, S) float64, 1 / z-depth from the light's camera, 0 where nothing
    light_from_world: np.ndarray  # (3, 4) float64, rigid: right, down, along the light
    focal: float  # pixels
    texel: float  # width of a pixel where the scene is, world units


def studio_lighting(azimuth: float = 0.0) -> Lighting:
    """Calm light from the upper left of a camera that looks along -Z, turned by ``azimuth`` radians
    about +Y.
    """
    x = -0.55
    z = 0.6
    direction = np.array(
        [x * np.cos(azimuth) + z * np.sin(azimuth), 1.05, z * np.cos(azimuth) - x * np.sin(azimuth)]
    )
    return Lighting(
        direction,
        key=np.array([0.78, 0.75, 0.70]),
        sky=np.array([0.50, 0.52, 0.56]),
        ground=np.array([0.30, 0.29, 0.28]),
        shadow=0.9,
        softness=3,
        specular=0.05,
        gloss=24.0,
    )


def random_lighting(rng: np.random.Generator) -> Lighting:
    """Light for a training view: sun or lamp anywhere above, warm to cool, hard to soft, bright to
    dim.
    """
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    elevation = np.deg2rad(rng.uniform(25.0, 80.0))
    direction = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.sin(azimuth),
        ]
    )
    warmth = rng.uniform(-0.12, 0.22)
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    ambient = rng.uniform(0.3, 0.75)
    level = rng.uniform(0.85, 1.3)  # of a white surface that faces the key light
    return Lighting(
        direction,
        key=(level - 0.8 * ambient) * tint,
        sky=ambient * (1.0 + 0.06 * rng.standard_normal(3)),
        ground=ambient * rng.uniform(0.3, 0.8) * (1.0 + 0.06 * rng.standard_normal(3)),
        shadow=rng.uniform(0.4, 1.0),
        softness=int(rng.integers(0, 4)),
        occlusion=rng.uniform(0.6, 1.4),
        specular=float(rng.choice([0.0, rng.uniform(0.0, 0.35)])),
        gloss=float(np.exp(rng.uniform(np.log(8.0), np.log(90.0)))),
    )


def with_ground(
    buffers: RenderBuffers, camera: Camera, height: float, albedo: np.ndarray, reach: float = np.inf
) -> RenderBuffers:
    """Return the buffers with a plane y = ``height`` behind what they hold, as far as z-depth
    ``reach``.

    ``albedo`` (3,) or (H, W, 3), sRGB-encoded in 0..1. Ground pixels keep face and instance -1.
    """
    down = camera.world_from_camera[1, :3] @ np.linalg.inv(
        camera.intrinsics
    )  # height gained per depth, linear in the pixel
    slope = (
        down[0] * (np.arange(camera.width) + 0.5)
        + (down[1] * (np.arange(camera.height) + 0.5) + down[2])[:, None]
    )
    with np.errstate(divide="ignore"):
        depth = (height - camera.position[1]) / slope
    ground = (depth > 0.0) & (depth < buffers.depth) & (depth < reach)
    normal = np.array([0.0, 1.0 if camera.position[1] >= height else -1.0, 0.0], np.float32)
    return dataclasses.replace(
        buffers,
        depth=np.where(ground, depth, buffers.depth).astype(np.float32),
        face=np.where(ground, np.int32(-1), buffers.face),
        instance=np.where(ground, np.int32(-1), buffers.instance),
        normal=np.where(ground[..., None], normal, buffers.normal),
        albedo=np.where(ground[..., None], np.asarray(albedo, np.float32), buffers.albedo),
    )


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
        open_sky = _sky_visibility(
            sky, points.reshape(height, width, 3), buffers.normal, supersampled
        )
    image = np.empty((height, width, 3), np.uint8)
    image[:] = background
    light = _packed(lighting, camera.position)
    steps = (TONE_STEPS - 1) / TONE_RANGE**0.5
    surface = (buffers.depth.reshape(-1), points, normals, buffers.albedo.reshape(-1, 3))
    _illuminate(*surface, sunlit, open_sky, light, _tone_curve(), steps, image.reshape(-1, 3))
    return image


def shadow_maps(
    vertices: np.ndarray, faces: np.ndarray, directions: np.ndarray, resolution: int
) -> tuple[ShadowMap, ...]:
    """Draw a mesh as seen from each of ``directions`` (D, 3) towards the light; they serve all
    views of the scene.
    """
    vertices, faces = checked_mesh(vertices, faces)
    bounds = (
        np.array([[axis.min(), axis.max()] for axis in vertices.T], np.float64)
        if len(vertices)
        else np.zeros((3, 2))
    )
    return tuple(
        _shadow_map(vertices, faces, bounds, direction, resolution)
        for direction in np.asarray(directions, dtype=np.float64)
    )


def visibility(
    maps: Sequence[ShadowMap], points: np.ndarray, normals: np.ndarray, softness: int
) -> np.ndarray:
    """Share of the maps' light that reaches points (N, 3) float32 with unit or zero normals (N, 3)
    float32.

    Each direction counts by its cosine with the normal; zero normals are lit from everywhere.
    Returns (N,) float32 in 0..1.
    """
    lit = np.full(len(points), 0.02, np.float32)
    total = np.full(len(points), 0.02, np.float32)
    for m in maps:
        _gather(
            points,
            normals,
            m.light_from_world,
            m.focal,
            m.inverse_depth,
            m.texel,
            softness,
            lit,
            total,
        )
    return lit / total


def shadow_mask(
    vertices: np.ndarray,
    faces: np.ndarray,
    points: np.ndarray,
    light_direction: np.ndarray,
    resolution: int = 256,
    softness: int = 1,
) -> np.ndarray:
    """How much of a light in ``light_direction`` (3,) reaches world ``points`` (H, W, 3): (H, W)
    float32 in 0..1; 1 where not finite.
    """
    flat = points.reshape(-1, 3)
    finite = np.isfinite(flat).all(1)
    lit = np.ones(len(flat), np.float32)
    inside = np.ascontiguousarray(flat[finite], dtype=np.float32)
    maps = shadow_maps(vertices, faces, np.asarray(light_direction)[None], resolution)
    lit[finite] = visibility(maps, inside, np.zeros_like(inside), softness)
    return lit.reshape(points.shape[:-1])


def _sky_visibility(
    sky: Sequence[ShadowMap], points: np.ndarray, normals: np.ndarray, coarse: bool
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
    for row in range(step):
        for column in range(step):
            part = np.s_[row::step, column::step]
            maps = sky[step * row + column :: step * step]
            at, facing = (
                np.ascontiguousarray(array[part]).reshape(-1, 3) for array in (points, normals)
            )
            seen[part] = visibility(maps, at, facing, 0).reshape(seen[part].shape)
    if coarse:
        padded = np.pad(seen, ((0, 1), (0, 1)), mode="edge")
        seen = 0.25 * (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:])
    seen = seen * (
        1.0 - 0.5 * np.clip(-normals[..., 1], 0.0, 1.0)
    )  # an underside sees a floor that lies in its own shade
    return seen.repeat(step, axis=0)[:height].repeat(step, axis=1)[:, :width].ravel()


def dome(count: int) -> np.ndarray:
    """(count, 3) unit directions spread evenly over the upper hemisphere: a Fibonacci spiral, clear
    of the horizon.
    """
    height = 1.0 - (np.arange(count) + 0.5) / count * 0.92
    angle = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0)) + 0.5
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)


def surface_points(buffers: RenderBuffers, camera: Camera) -> np.ndarray:
    """World points (H * W, 3) float32 of all pixels; the camera's own position where there is
    nothing.
    """
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    depth = np.where(np.isfinite(buffers.depth), buffers.depth, 0.0).ravel()
    world_from_pixel = camera.world_from_camera[:3, :3] @ np.linalg.inv(camera.intrinsics)
    scaled = np.stack([x.ravel() * depth, y.ravel() * depth, depth], axis=1)
    return (scaled @ world_from_pixel.T + camera.position).astype(np.float32)


def _packed(lighting: Lighting, eye: np.ndarray) -> np.ndarray:
    """(19,) float32: unit direction, key, sky, ground, eye, shadow, occlusion, specular, gloss."""
    towards = lighting.direction / np.linalg.norm(lighting.direction)
    scalars = [lighting.shadow, lighting.occlusion, lighting.specular, lighting.gloss]
    return np.concatenate(
        [towards, lighting.key, lighting.sky, lighting.ground, eye, scalars]
    ).astype(np.float32)


def _tone_curve() -> np.ndarray:
    """(TONE_STEPS,) uint8 sRGB at even steps of the square root of linear light: bends towards
    white above ``SHOULDER``.
    """
    x = np.linspace(0.0, 1.0, TONE_STEPS) ** 2 * TONE_RANGE
    room = 1.0 - SHOULDER
    x = np.where(x > SHOULDER, SHOULDER + room * (1.0 - np.exp(-(x - SHOULDER) / room)), x)
    encoded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1.0 / 2.4) - 0.055)
    return np.round(255.0 * np.clip(encoded, 0.0, 1.0)).astype(np.uint8)


def albedo_for(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """SRGB-encoded albedo, float32 of the same shape, that looks like ``image`` (..., 3) uint8
    under diffuse linear ``light`` (3,).
    """
    levels = np.arange(256) / 255.0
    reflected = np.interp(
        np.arange(256), _tone_curve(), np.linspace(0.0, 1.0, TONE_STEPS) ** 2 * TONE_RANGE
    )  # the tone curve, inverted
    albedo_linear = levels * (levels * (levels * 0.305306011 + 0.682171111) + 0.012522878)
    table = np.stack(
        [np.interp(reflected / channel, albedo_linear, levels) for channel in light], axis=1
    ).astype(np.float32)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


def _shadow_map(
    vertices: np.ndarray,
    faces: np.ndarray,
    bounds: np.ndarray,
    direction: np.ndarray,
    resolution: int,
) -> ShadowMap:
    """Draw vertices inside the box (3, 2) with a camera far along ``direction`` (3,)."""
    centre = bounds.mean(1)
    radius = 0.5 * math.dist(bounds[:, 0], bounds[:, 1]) + 1e-6
    x, y, z = direction / math.hypot(*direction)
    side = math.hypot(x, z)
    right = (
        (z / side, 0.0, -x / side) if side > 1e-6 else (1.0, 0.0, 0.0)
    )  # a light straight above has no upright camera
    down = (-y * right[2], x * right[2] - z * right[0], y * right[0])
    light_from_world = np.empty((3, 4))
    light_from_world[:, :3] = right, down, (-x, -y, -z)
    light_from_world[:, 3] = -light_from_world[:, :3] @ centre
    light_from_world[2, 3] += SUN_DISTANCE * radius
    scale = (
        0.48 * resolution
        # pixels per radius; below a half, so that a rim of empty texels lights what lies outside of
        # the map
    )
    focal = scale * SUN_DISTANCE
    intrinsics = np.array(
        [[focal, 0.0, resolution / 2], [0.0, focal, resolution / 2], [0.0, 0.0, 1.0]]
    )
    inverse_depth, _, _ = draw(
        vertices, faces, intrinsics @ light_from_world, resolution, resolution
    )
    return ShadowMap(inverse_depth, light_from_world, focal, radius / scale)


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(points, normals, m, focal, inverse_depth, texel, softness, lit, total):
    """Add to ``lit`` and ``total`` (N,) what one light with shadow map ``inverse_depth`` (S, S) and
    pose ``m`` (3, 4) gives.
    """
    size = len(inverse_depth)
    taps = 2 * softness + 2
    for p in range(len(points)):
        nx = normals[p, 0]
        ny = normals[p, 1]
        nz = normals[p, 2]
        facing = -(m[2, 0] * nx + m[2, 1] * ny + m[2, 2] * nz)
        slope_x = 0.0
        slope_y = 0.0
        if nx == 0.0 and ny == 0.0 and nz == 0.0:
            facing = 1.0
        elif facing <= 0.0:
            continue
        else:  # depth of the receiver's own plane per texel to the right and down
            slope_x = (m[0, 0] * nx + m[0, 1] * ny + m[0, 2] * nz) / max(facing, 0.2) * texel
            slope_y = (m[1, 0] * nx + m[1, 1] * ny + m[1, 2] * nz) / max(facing, 0.2) * texel
        total[p] += facing
        x = points[p, 0]
        y = points[p, 1]
        z = points[p, 2]
        depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        u = focal * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth + 0.5 * size - 0.5
        v = focal * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth + 0.5 * size - 0.5
        if not (softness <= u < size - softness - 1 and softness <= v < size - softness - 1):
            lit[p] += facing
            continue
        left = int(u) - softness
        top = int(v) - softness
        du = u - int(u)
        dv = v - int(v)
        hidden = 0.0
        for row in range(taps):
            weight_y = 1.0 - dv if row == 0 else (dv if row == taps - 1 else 1.0)
            plane = depth - 0.75 * texel + slope_y * (top + row - v) + slope_x * (left - u)
            for column in range(taps):
                if inverse_depth[top + row, left + column] * (plane + slope_x * column) > 1.0:
                    hidden += weight_y * (
                        1.0 - du if column == 0 else (du if column == taps - 1 else 1.0)
                    )
        lit[p] += facing * (1.0 - hidden / ((taps - 1) * (taps - 1)))


@njit(cache=True, nogil=True, error_model="numpy")
def _illuminate(depth, points, normals, albedo, sun, sky, light, curve, steps, image):
    """Blinn-Phong under a hemisphere, for N pixels; ``light`` as ``_packed`` makes it. Writes sRGB
    where depth is finite.
    """
    shadow = light[15]
    occlusion = light[16]
    specular = light[17]
    gloss = light[18]
    for p in range(len(points)):
        if not depth[p] < np.inf:
            continue
        nx = normals[p, 0]
        ny = normals[p, 1]
        nz = normals[p, 2]
        facing = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0)
        direct = facing * (1.0 - shadow * (1.0 - sun[p]))
        ambient = sky[p] if occlusion == 1.0 else sky[p] ** occlusion
        shine = 0.0
        if specular > 0.0 and facing > 0.0:
            vx = light[12] - points[p, 0]
            vy = light[13] - points[p, 1]
            vz = light[14] - points[p, 2]
            length = math.sqrt(vx * vx + vy * vy + vz * vz)
            hx = vx / length + light[0]
            hy = vy / length + light[1]
            hz = vz / length + light[2]
            cosine = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
            shine = specular * (1.0 - shadow * (1.0 - sun[p])) * max(cosine, 0.0) ** gloss
        up = 0.5 + 0.5 * ny
        for c in range(3):
            a = albedo[p, c]
            # A cubic within 0.002 of the sRGB curve: encoded colour to linear light.
            reflectance = a * (a * (a * 0.305306011 + 0.682171111) + 0.012522878)
            incoming = direct * light[3 + c] + ambient * (
                up * light[6 + c] + (1.0 - up) * light[9 + c]
            )
            index = int(math.sqrt(reflectance * incoming + shine) * steps + 0.5)
            image[p, c] = curve[min(index, len(curve) - 1)]
