"""The compiled half of the illumination: one loop over the samples of a view.

Tuples instead of small arrays, and every helper inlined: a call with arrays counts references,
which costs more than its work; so does taking an array out of a tuple inside of a loop. What
belongs together comes as a NamedTuple, whose fields compiled code reads by name. Constants are
float32 where the result has to stay float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maquette.geometry.vectors import (
    compiled,
    dot,
    inlined,
    minus,
    over,
    plus_scaled,
    row_of,
    times,
)
from maquette.render.tones import CUBIC

NOTHING = 1e9  # depth of a shadow map's empty texels
ZERO = np.float32(0.0)
QUARTER = np.float32(0.25)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
FAINT = np.float32(0.02)
TINY = np.float32(1e-12)
BYTE = np.float32(1.0 / 255.0)
THIRD_POWER, SECOND_POWER, FIRST_POWER = (np.float32(factor) for factor in CUBIC)


class ShadowMaps(NamedTuple):
    """Depth pictures from several light directions; a multiple of four of them."""

    depth: np.ndarray  # (D, S, S) float32, distance along the light in texels, large where nothing
    texels_from_world: np.ndarray  # (D, 3, 4) float32, affine: column, row and depth in texels
    towards: np.ndarray  # (D, 3) float32, unit, towards the light


class Material(NamedTuple):
    """Per instance (row 0 = ground and walls, row k + 1 = placement k): how its surface answers
    light.
    """

    specular: np.ndarray  # (P + 1,) float32, strength of the highlight
    gloss: np.ndarray  # (P + 1,) float32, Blinn-Phong exponent
    # (P + 1,) float32, amplitude of the fine texture on objects, relative to the albedo
    grain: np.ndarray
    frequency: np.ndarray  # (P + 1,) float32, tiles of the fine texture per world unit
    tile: np.ndarray  # (TILE, TILE) float32, the fine texture, zero mean, about unit deviation


class Eye(NamedTuple):
    """Where a view is taken from."""

    position: tuple
    world_from_pixel: tuple  # rows of (3, 3), (x, y, 1) -> direction with camera-frame z = 1
    focal: np.float32  # pixels


class SeenObjects(NamedTuple):
    """What the objects show to the eye, see RenderBuffers."""

    depth: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    instance: np.ndarray


class TexturedPlanes(NamedTuple):
    """N textured planes around an eye."""

    offsets: np.ndarray  # (N, 3) float32, from the eye to a point of the plane
    normals: np.ndarray  # (N, 3) float32
    axes: np.ndarray  # (2 N, 3) float32, see Surface: u, v, u, v, ...
    shifts: np.ndarray  # (N, 2) float32, tiles between the texture's origin and the eye
    means: np.ndarray  # (N, 3) float32, average colours
    textures: np.ndarray  # (N, TILE, TILE, 3) uint8


class LightChannel(NamedTuple):
    """One channel of the light: on what faces it, from above and from below."""

    key: np.float32
    sky: np.float32
    ground: np.float32


class LightColours(NamedTuple):
    """A Lighting in float32."""

    red: LightChannel
    green: LightChannel
    blue: LightChannel
    shadow: np.float32
    occlusion: np.float32


@inlined
def _pixel(image, y, x):
    return image[y, x, 0], image[y, x, 1], image[y, x, 2]


@inlined
def _ray(eye, x, y):
    """World direction through the centre of pixel (x, y)."""
    across, down, out = eye.world_from_pixel
    pixel = (np.float32(x + 0.5), np.float32(y + 0.5), ONE)
    return dot(across, pixel), dot(down, pixel), dot(out, pixel)


@inlined
def _hit(planes, ray, nearest):
    """Index and z-depth of the plane that a ray from the eye meets first before ``nearest``, or -1;
    planes are seen from their front only.
    """
    best = -1
    depth = nearest
    offsets = planes.offsets
    normals = planes.normals
    for n in range(len(offsets)):
        normal = row_of(normals, n)
        slope = dot(normal, ray)
        if slope < 0.0:
            t = dot(normal, row_of(offsets, n)) / slope
            if 0.0 < t < depth:
                best = n
                depth = t
    return best, depth


@compiled
def meet_planes(
    depth,
    normal,
    eye,
    planes,
):
    """Draw the planes into depth (H, W) and normal (H, W, 3), behind what is there."""
    height, width = depth.shape
    for y in range(height):
        for x in range(width):
            plane, t = _hit(planes, _ray(eye, x, y), depth[y, x])
            if plane >= 0:
                depth[y, x] = t
                for axis in range(3):
                    normal[y, x, axis] = planes.normals[plane, axis]


@inlined
def _linear(x):
    return x * (x * (x * THIRD_POWER + SECOND_POWER) + FIRST_POWER)


@inlined
def _in_map(
    m,
    which,
    axis,
    point,
):
    """Column, row or depth of a point in one of the shadow maps, in texels."""
    x, y, z = point
    straight = m[which, axis, 0] * x + m[which, axis, 1] * y + m[which, axis, 2] * z
    return straight + m[which, axis, 3]


@inlined
def _lit(
    depth,
    texels,
    which,
    point,
):
    """Share of one light that reaches a point: four comparisons, weighted bilinearly."""
    last = depth.shape[1] - 1
    u = _in_map(texels, which, 0, point)
    v = _in_map(texels, which, 1, point)
    if u < 0.0 or v < 0.0 or u >= last or v >= last:
        return ONE
    limit = _in_map(texels, which, 2, point) - HALF
    left = int(u)
    top = int(v)
    du = u - left
    dv = v - top
    hidden = ZERO
    if depth[which, top, left] < limit:
        hidden += (ONE - du) * (ONE - dv)
    if depth[which, top, left + 1] < limit:
        hidden += du * (ONE - dv)
    if depth[which, top + 1, left] < limit:
        hidden += (ONE - du) * dv
    if depth[which, top + 1, left + 1] < limit:
        hidden += du * dv
    return ONE - hidden


@inlined
def _texel(
    textures,
    plane,
    u,
    v,
):
    """Bilinear sample of the repeating tile (T, T, 3) uint8 of a plane at (u, v) tiles, as 0..1."""
    side = textures.shape[1]
    x = (u - np.floor(u)) * side
    y = (v - np.floor(v)) * side
    left = min(int(x), side - 1)
    top = min(int(y), side - 1)
    right = (left + 1) % side
    bottom = (top + 1) % side
    du = x - left
    dv = y - top
    upper = ((ONE - du) * (ONE - dv), du * (ONE - dv))
    lower = ((ONE - du) * dv, du * dv)
    corners = (top, bottom, left, right)
    red = _mixed(textures, plane, corners, upper, lower, 0)
    green = _mixed(textures, plane, corners, upper, lower, 1)
    return red, green, _mixed(textures, plane, corners, upper, lower, 2)


@inlined
def _mixed(
    textures,
    plane,
    corners,
    upper,
    lower,
    channel,
):
    """One channel, in 0..1, of four texels with their weights."""
    top, bottom, left, right = corners
    above = upper[0] * textures[plane, top, left, channel]
    above += upper[1] * textures[plane, top, right, channel]
    below = lower[0] * textures[plane, bottom, left, channel]
    below += lower[1] * textures[plane, bottom, right, channel]
    return np.float32((above + below) * BYTE)


@inlined
def _plane_colour(
    planes,
    plane,
    ray,
    depth,
    focal,
):
    """Texture of a plane where a ray meets it; where many texels meet one pixel the tile is its
    mean, or it would sparkle.
    """
    along_u = row_of(planes.axes, 2 * plane)
    along_v = row_of(planes.axes, 2 * plane + 1)
    u = dot(along_u, ray) * depth + planes.shifts[plane, 0]
    v = dot(along_v, ray) * depth + planes.shifts[plane, 1]
    colour = _texel(planes.textures, plane, u, v)
    slope = -dot(row_of(planes.normals, plane), ray)
    texels_per_unit = planes.textures.shape[1] * np.sqrt(dot(along_u, along_u))
    texels = texels_per_unit * depth / (focal * max(slope, FAINT))  # that one pixel spans
    blend = np.float32(min(max((texels - 1.5) / 8.0, 0.0), 1.0))
    return plus_scaled(colour, blend, minus(row_of(planes.means, plane), colour))


@inlined
def _grain(
    tile,
    point,
    normal,
    frequency,
):
    """Sample the fine texture on an object: the tile seen along the main axis of the normal."""
    x, y, z = point
    nx, ny, nz = normal
    across = abs(nx)
    up = abs(ny)
    along = abs(nz)
    u = x
    v = y
    if up >= across and up >= along:
        v = z
    elif across >= along:
        u = z
    u = u * frequency
    v = v * frequency
    side = len(tile)
    row = int((v - np.floor(v)) * side) % side
    return tile[row, int((u - np.floor(u)) * side) % side]


@inlined
def _open_sky(
    depth,
    texels,
    skies,
    sample,
    point,
    normal,
    occlusion,
):
    """Share of the sky that a point sees in the directions of one of the four samples, about to the
    power of ``occlusion``.
    """
    seen = FAINT
    total = FAINT
    for d in range(sample, len(skies), 4):
        facing = dot(row_of(skies, d), normal)
        if facing > 0.0:
            total += facing
            seen += facing * _lit(depth, texels, d, point)
    dome = seen / total
    return max(dome * (ONE - (occlusion - ONE) * (ONE - dome)), ZERO)


@inlined
def _direct(
    depth,
    texels,
    suns,
    sample,
    point,
    normal,
    ray,
    specular,
    gloss,
    shadow,
):
    """Key light per unit and highlight at a point, from the directions of one of the four samples;
    ``ray`` comes from the eye.
    """
    view = over(ray, np.sqrt(dot(ray, ray)))
    key = ZERO
    shine = ZERO
    for d in range(sample, len(suns), 4):
        towards = row_of(suns, d)
        facing = dot(towards, normal)
        if facing > 0.0:
            lit = ONE - shadow * (ONE - _lit(depth, texels, d, point))
            key += facing * lit
            if specular > 0.0 and gloss > 0.0:
                halfway = minus(towards, view)
                length = np.sqrt(dot(halfway, halfway) + TINY)
                cosine = dot(halfway, normal) / length
                if cosine > 0.0:
                    shine += lit * cosine**gloss
    count = len(suns) // 4
    return key / count, shine / count * specular


@inlined
def _reflected(
    light,
    albedo,
    dome,
    up,
    key,
    shine,
):
    """One channel of the light that a point sends to the eye."""
    ambient = light.ground + up * (light.sky - light.ground)
    incoming = dome * ambient + light.key * key
    return _linear(albedo) * incoming + light.key * shine


@inlined
def _outgoing(
    light,
    albedo,
    normal,
    dome,
    key,
    shine,
):
    """The light that a point sends to the eye, from what reaches it."""
    up = HALF + HALF * normal[1]
    red = _reflected(light.red, albedo[0], dome, up, key, shine)
    green = _reflected(light.green, albedo[1], dome, up, key, shine)
    return red, green, _reflected(light.blue, albedo[2], dome, up, key, shine)


@inlined
def _add(
    out,
    row,
    column,
    light,
):
    """Add one of the four samples of a pixel."""
    for channel in range(3):
        out[row, column, channel] += QUARTER * light[channel]


@compiled
def light_pixels(
    seen,
    eye,
    planes,
    backdrop,
    light,
    sun,
    sky,
    material,
    lift,
    out,
):
    """Add the light of a view to ``out`` (H, W, 3), zeros before, from buffers of twice its size;
    points are tested ``lift`` world units off their surface.
    """
    # Unpacked here, once: to take an array out of a tuple counts a reference.
    sun_depth, sun_texels, suns = sun
    sky_depth, sky_texels, skies = sky
    specular, gloss, grain, frequency, tile = material
    occlusion = light.occlusion
    height, width = seen.depth.shape
    for y in range(height):
        for x in range(width):
            row = y // 2
            column = x // 2
            sample = 2 * (y % 2) + x % 2
            ray = _ray(eye, x, y)
            plane, depth = _hit(planes, ray, seen.depth[y, x])
            if not depth < NOTHING:
                _add(out, row, column, _pixel(backdrop, row, column))
                continue
            point = plus_scaled(eye.position, depth, ray)
            who = 0
            if plane >= 0:
                normal = row_of(planes.normals, plane)
                colour = _plane_colour(planes, plane, ray, depth, eye.focal)
            else:
                who = seen.instance[y, x] + 1
                normal = _pixel(seen.normal, y, x)
                amount = ONE
                if grain[who] > 0.0:
                    amount += grain[who] * _grain(tile, point, normal, frequency[who])
                colour = times(_pixel(seen.albedo, y, x), amount)
            lifted = plus_scaled(point, lift, normal)
            dome = _open_sky(sky_depth, sky_texels, skies, sample, lifted, normal, occlusion)
            key, shine = _direct(
                sun_depth,
                sun_texels,
                suns,
                sample,
                lifted,
                normal,
                ray,
                specular[who],
                gloss[who],
                light.shadow,
            )
            _add(out, row, column, _outgoing(light, colour, normal, dome, key, shine))
