"""Light on training views: shadow maps drawn once per scene, and one fused pass from rendered
buffers to linear light.

Used by views.py; the same light model as render/shade.py, arranged for throughput. Soft shadows and
ambient occlusion are averages over many directions: each of the four samples of a pixel asks other
directions, so that a pixel has asked all of them after averaging. Ground and walls are planes met
by the pixel's ray (no triangles), and sampling, texture, light and averaging happen per pixel in
one loop without intermediate images.
"""

from __future__ import annotations

import numpy as np

from maquette.data.backgrounds import TILE, Surface
from maquette.data.illumination.kernels import (
    NOTHING,
    Eye,
    LightChannel,
    LightColours,
    Material,
    SeenObjects,
    ShadowMaps,
    TexturedPlanes,
    light_pixels,
    meet_planes,
)
from maquette.geometry.boxes import bounding_box
from maquette.geometry.cameras import intrinsics_from_focal, look_at
from maquette.geometry.transforms import unit_vectors
from maquette.render.lighting import Lighting
from maquette.render.rasterize import RenderBuffers, checked_mesh, draw, pixel_from_world
from maquette.render.tones import developed
from maquette.render.tones import linear as linear  # for views.py, which lights backdrops
from maquette.types import Camera

SUN_DISTANCE = 300.0  # of a light's camera, in scene radii: nearly parallel rays
LIFT = np.float32(1.5)  # texels of the coarser map: points are tested so far off their surface
CURVE_STEPS = 4096  # of the tone curve
BRIGHTEST = 4.0  # linear light at which the tone curve ends


def stacked_shadow_maps(
    vertices: np.ndarray,
    faces: np.ndarray,
    directions: np.ndarray,
    resolution: int,
) -> ShadowMaps:
    """Depth pictures of a mesh (V, 3), (F, 3) from ``directions`` (D, 3) towards the lights."""
    vertices, faces = checked_mesh(vertices, faces)
    lower, upper = bounding_box(vertices)
    centre = 0.5 * (lower + upper)
    radius = 0.5 * float(np.linalg.norm(upper - lower)) + 1e-6
    distance = SUN_DISTANCE * radius
    # a rim of empty texels, so that what lies outside of the map is lit
    focal = 0.47 * resolution * SUN_DISTANCE
    intrinsics = intrinsics_from_focal(focal, resolution, resolution)
    towards = unit_vectors(directions)
    depth = np.empty((len(towards), resolution, resolution), np.float32)
    affine = np.empty((len(towards), 3, 4))
    for index, direction in enumerate(towards):
        upright = direction + [1e-5, 0.0, 0.0]  # a light straight above has no upright camera
        pose = look_at(centre + distance * upright, centre)
        camera = Camera(intrinsics, pose, resolution, resolution)
        inverse_depth = draw(vertices, faces, pixel_from_world(camera), resolution, resolution)[0]
        # So far away, rays are parallel and texels as deep as they are wide; depth is counted from
        # the scene's centre.
        beyond_centre = 1.0 / np.maximum(inverse_depth, 1e-12) - distance
        texels = beyond_centre * (focal / distance)
        depth[index] = np.where(inverse_depth > 0.0, texels, NOTHING)
        affine[index] = camera.camera_from_world[:3] * (focal / distance)
    affine[:, :2, 3] += 0.5 * resolution - 0.5
    affine[:, 2, 3] -= focal
    return ShadowMaps(depth, affine.astype(np.float32), towards.astype(np.float32))


def around(direction: np.ndarray, radius: float, count: int) -> np.ndarray:
    """(count, 3) unit directions spread over a disc of angular ``radius`` (radians) about
    ``direction`` (3,): an area light.
    """
    axis = direction / np.linalg.norm(direction)
    other = [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0]
    side = np.cross(axis, other)
    side /= np.linalg.norm(side)
    spiral = np.arange(count)
    reach = np.tan(radius) * np.sqrt((spiral + 0.5) / count)
    angle = spiral * np.pi * (3.0 - np.sqrt(5.0))
    along = (reach * np.cos(angle))[:, None] * side
    across = (reach * np.sin(angle))[:, None] * np.cross(axis, side)
    return unit_vectors(axis + along + across)


def add_surfaces(
    buffers: RenderBuffers, camera: Camera, surfaces: tuple[Surface, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) float32 and normal (H, W, 3) float32 of the buffers with planes behind what they
    hold, as copies.
    """
    depth = buffers.depth.copy()
    normal = buffers.normal.copy()
    meet_planes(depth, normal, _eye(camera), _planes(surfaces, camera.position))
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
    colours = np.stack([lighting.key, lighting.sky, lighting.ground], axis=1).astype(np.float32)
    red, green, blue = (LightChannel(*channel) for channel in colours)
    shadow = np.float32(lighting.shadow)
    light = LightColours(red, green, blue, shadow, np.float32(lighting.occlusion))
    seen = SeenObjects(buffers.depth, buffers.normal, buffers.albedo, buffers.instance)
    planes = _planes(surfaces, camera.position)
    backdrop = np.ascontiguousarray(backdrop, dtype=np.float32)
    lift = LIFT / min(_texels_per_unit(sun), _texels_per_unit(sky))
    out = np.zeros(backdrop.shape, np.float32)
    light_pixels(seen, _eye(camera), planes, backdrop, light, sun, sky, material, lift, out)
    return out


def develop(light: np.ndarray, exposure: float, shoulder: float) -> np.ndarray:
    """Linear light (H, W, 3) -> uint8 sRGB, as a camera does it: towards the mean ``exposure``,
    highlights compressed above ``shoulder``.

    The exposure is only partly corrected, so that dark places stay darker than bright ones.
    """
    gain = (exposure / max(float(light.mean()), 1e-4)) ** 0.7
    gain = np.float32(np.clip(gain, 0.4, 4.0))
    last = CURVE_STEPS - 1
    # even steps of the square root of light: dense in the shadows
    curve = developed(np.linspace(0.0, BRIGHTEST**0.5, CURVE_STEPS) ** 2, shoulder)
    step = np.sqrt(light * gain) * np.float32(last / BRIGHTEST**0.5)
    return curve[np.minimum(step, last).astype(np.int32)]


def _texels_per_unit(maps: ShadowMaps) -> np.float32:
    """How many texels of the first shadow map one world unit covers."""
    x, y, z = maps.texels_from_world[0, 0, :3]
    return np.sqrt(x * x + y * y + z * z)


def _eye(camera: Camera) -> Eye:
    """A camera as the kernels want it: position, world from pixel, focal length in pixels."""
    world_from_pixel = camera.rotation @ np.linalg.inv(camera.intrinsics)
    matrix = tuple(tuple(row) for row in world_from_pixel.astype(np.float32))
    return Eye(tuple(camera.position.astype(np.float32)), matrix, np.float32(camera.focal))


def _planes(surfaces: tuple[Surface, ...], eye: np.ndarray) -> TexturedPlanes:
    """Gather the planes as they lie about an eye (3,) float64."""
    count = len(surfaces)
    points = np.array([s.point for s in surfaces], np.float64).reshape(count, 3)
    normals = np.array([s.normal for s in surfaces], np.float32).reshape(count, 3)
    axes: np.ndarray = np.array([s.axes for s in surfaces], np.float32).reshape(count, 2, 3)
    means = np.array([s.mean for s in surfaces], np.float32).reshape(count, 3)
    textures = np.array([s.texture for s in surfaces], np.uint8)
    offsets = (points - eye).astype(np.float32)
    shifts = (axes @ eye).astype(np.float32)
    axes = axes.reshape(2 * count, 3)
    textures = textures.reshape(count, TILE, TILE, 3)
    return TexturedPlanes(offsets, normals, axes, shifts, means, textures)
