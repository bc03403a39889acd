"""What is behind the objects of a training view: textured ground and walls, and the picture seen
where there is nothing.

Used by views.py. Textures are square tiles that repeat without a seam, drawn from a few procedural
families with everyday colours; a `Surface` lays one on an infinite plane. None of this is an
instance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from maquette.photos.pixels import Size

Family = Callable[[Generator, np.ndarray], np.ndarray]  # base colour (3,) -> a tile
Palette = tuple[tuple[int, int, int], ...]

TILE = 256  # side of a texture, texels
ANY_COLOUR = 0.3  # share of the textures of a family with a palette that do not keep to it

WOODS = (
    (196, 154, 108),
    (150, 104, 66),
    (110, 72, 45),
    (222, 192, 150),
    (84, 58, 42),
    (176, 138, 100),
)
STONES = (
    (190, 186, 180),
    (150, 150, 148),
    (110, 108, 106),
    (215, 210, 200),
    (75, 75, 78),
    (168, 152, 132),
)
BACKDROPS = {
    "plain": 0.3,
    "gradient": 0.2,
    "sky": 0.15,
    "clutter": 0.35,
}  # kind -> share
ZENITH = np.array([95, 150, 215])  # sRGB of a sky
HORIZON = np.array([215, 225, 235])
SOILS = ((120, 98, 70), (96, 120, 62), (148, 130, 98), (80, 96, 58), (176, 158, 122), (70, 66, 60))


@dataclass(frozen=True, eq=False)
class Surface:
    """An infinite textured plane."""

    point: np.ndarray  # (3,) float64, any point of it, world frame
    normal: np.ndarray  # (3,) float64, unit, towards the scene
    # (2, 3) float64, world vectors whose dot products with a point count tiles along u and v
    axes: np.ndarray
    texture: np.ndarray  # (TILE, TILE, 3) uint8, sRGB

    @property
    def mean(self) -> np.ndarray:
        """(3,) float32, the texture's average colour, sRGB-encoded in 0..1."""
        every_eighth = self.texture[::8, ::8]
        return every_eighth.mean((0, 1), dtype=np.float32) / np.float32(255.0)


def random_ground(rng: Generator, scale: float) -> Surface:
    """Draw a floor, table top, street or lawn at y = 0; ``scale`` is the radius of the scene in
    world units.
    """
    tile_side = scale * math.exp(rng.uniform(math.log(0.35), math.log(2.5)))
    angle = float(rng.uniform(0.0, 2.0 * math.pi))
    c = math.cos(angle)
    s = math.sin(angle)
    axes = np.array([[c, 0.0, s], [-s, 0.0, c]]) / tile_side
    return Surface(np.zeros(3), np.array([0.0, 1.0, 0.0]), axes, random_texture(rng))


def random_wall(
    rng: Generator,
    towards: np.ndarray,
    distance: float,
    scale: float,
) -> Surface:
    """Draw an upright wall at ``distance`` from the origin, which faces the horizontal unit vector
    ``towards`` (3,).
    """
    tile_side = scale * rng.uniform(1.0, 4.0)
    along = np.array([towards[2], 0.0, -towards[0]])
    axes = np.stack([along, [0.0, 1.0, 0.0]]) / tile_side
    if rng.random() < 0.6:
        texture = plain(rng, random_colour(rng, pale=0.6))
    else:
        texture = random_texture(rng)
    return Surface(-distance * towards, towards, axes, texture)


def random_backdrop(rng: Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 in 0..1, sRGB-encoded: one colour, a gradient, a sky, or the blur of a
    cluttered place.
    """
    kind = rng.choice(list(BACKDROPS), p=list(BACKDROPS.values()))
    if kind == "plain":
        colour = random_colour(rng, pale=0.5)
        return np.broadcast_to(colour, (height, width, 3)).astype(np.float32) / 255.0
    if kind == "clutter":
        return _clutter(rng, height, width)
    top = random_colour(rng, pale=0.4)
    bottom = random_colour(rng, pale=0.4)
    if kind == "sky":
        top = ZENITH + rng.uniform(-30, 30, 3)
        bottom = HORIZON + rng.uniform(-20, 15, 3)
    ramp = np.linspace(0.0, 1.0, height)[:, None, None] ** rng.uniform(0.5, 1.5)
    rows = np.clip((top + ramp * (bottom - top)) / 255.0, 0.0, 1.0).astype(np.float32)
    return np.repeat(rows, width, axis=1)


def _clutter(rng: Generator, height: int, width: int) -> np.ndarray:
    """Rectangles and discs of random colours, blurred as if out of focus."""
    image = np.empty((height, width, 3), np.float32)
    image[:] = random_colour(rng)
    for _ in range(int(rng.integers(4, 30))):
        colour = tuple(random_colour(rng).tolist())
        x = int(rng.uniform(0, width))
        y = int(rng.uniform(0, height))
        size = rng.uniform(0.03, 0.4, 2) * (width, height)
        w, h = size.astype(int).tolist()
        half = w // 2
        if rng.random() < 0.6:
            corner = (x - half, y - h)
            cv2.rectangle(image, corner, (x + half, y + h), colour, cv2.FILLED)
        else:
            half_axes = (max(half, 1), max(h // 2, 1))
            cv2.ellipse(image, (x, y), half_axes, 0.0, 0.0, 360.0, colour, cv2.FILLED)
    deviation = float(rng.uniform(0.4, 6.0)) * height / 128
    return np.clip(cv2.GaussianBlur(image, (0, 0), deviation) / 255.0, 0.0, 1.0)


def random_colour(rng: Generator, pale: float = 0.15) -> np.ndarray:
    """(3,) float64 sRGB 0..255: pale and nearly grey with probability ``pale``, else of any hue and
    modest saturation.
    """
    if rng.random() < pale:
        return np.clip(rng.uniform(150, 250) + rng.uniform(-12, 12, 3), 0, 255)
    value = rng.uniform(25, 240)
    saturation = rng.beta(1.2, 2.2)
    hue = rng.uniform(0.0, 1.0, 3)
    return value * (1.0 - saturation * (1.0 - hue / hue.max()))


def random_texture(rng: Generator) -> np.ndarray:
    """Draw a tile (TILE, TILE, 3) uint8 of a random family, with colours of that family or, less
    often, any.
    """
    shares = [share for _, share, _ in TEXTURES]
    family, _, palette = TEXTURES[int(rng.choice(len(TEXTURES), p=shares))]
    if not palette or rng.random() < ANY_COLOUR:
        return family(rng, random_colour(rng, pale=0.3))
    base = np.array(palette[int(rng.integers(len(palette)))])
    return family(rng, _within_bytes(base * rng.uniform(0.75, 1.2)))


def tiling_noise(
    rng: Generator,
    cells: Size,
    octaves: int = 4,
    fall: float = 0.55,
) -> np.ndarray:
    """(TILE, TILE) float32 seamless noise, zero mean, unit deviation; its coarsest ``cells`` (rows,
    columns) are powers of two.
    """
    coarse_rows, coarse_columns = cells
    total = np.zeros(cells, np.float32)
    for octave in range(octaves):
        shape = (min(coarse_rows << octave, TILE), min(coarse_columns << octave, TILE))
        detail = rng.standard_normal(shape, dtype=np.float32)
        total = _stretch(total, shape) + np.float32(fall**octave) * detail
    total = _stretch(total, (TILE, TILE))
    return (total - total.mean()) / (total.std() + 1e-6)


def _stretch(tile: np.ndarray, shape: Size) -> np.ndarray:
    """Resize a repeating tile (h, w) to ``shape``, whole multiples, smooth across its seam too."""
    if tile.shape == shape:
        return tile
    height, width = shape
    rows = height // tile.shape[0]
    columns = width // tile.shape[1]
    rim = 2  # texels beyond the seam that a cubic needs
    wrapped = cv2.copyMakeBorder(tile, rim, rim, rim, rim, cv2.BORDER_WRAP)
    large = cv2.resize(
        wrapped,
        None,
        fx=columns,
        fy=rows,
        interpolation=cv2.INTER_CUBIC,
    )
    below = large[rim * rows :, rim * columns :]
    return np.ascontiguousarray(below[:height, :width])


def plain(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """One colour with a trace of unevenness."""
    return _shaded(colour, rng.uniform(0.0, 0.04) * tiling_noise(rng, (2, 2), 3))


def rough(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Concrete, earth or grass: noise on many scales, between two colours."""
    noise = tiling_noise(rng, (4, 4), 7, rng.uniform(0.55, 0.85))
    other = _within_bytes(colour * rng.uniform(0.6, 1.3) + rng.uniform(-20, 20, 3))
    mix = np.clip(0.5 + 0.35 * noise, 0.0, 1.0)[..., None]
    mixed = colour + mix * (other - colour)
    return _within_bytes(mixed + 6.0 * noise[..., None]).astype(np.uint8)


def checker(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Checkerboard of two colours."""
    squares = int(rng.choice([2, 4, 8]))
    index = np.arange(TILE) * squares // TILE
    odd = ((index[:, None] + index) % 2)[..., None]
    other = random_colour(rng, pale=0.5)
    return _shaded(np.where(odd, colour, other), 0.04 * tiling_noise(rng, (4, 4)))


def planks(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Boards with grain, each of its own tone, with dark joints; or a single board as wide as the
    tile.
    """
    boards = int(rng.choice([1, 4, 6, 8]))
    row = np.arange(TILE) * boards // TILE
    tone = 1.0 + rng.uniform(0.02, 0.14) * rng.standard_normal(boards)
    grain = rng.uniform(0.03, 0.12) * tiling_noise(rng, (32, 2), 4, 0.8)
    image = grain + (tone[row] - 1.0)[:, None]
    if boards > 1:
        joint = np.arange(TILE) % (TILE // boards) < rng.integers(1, 3)
        image[joint] -= rng.uniform(0.1, 0.45)
        for board in range(boards):
            end = int(rng.integers(0, TILE - 2))
            image[row == board, end : end + 2] -= 0.3
    return _shaded(colour, image)


def tiles(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Square or oblong tiles with grout."""
    rows = int(rng.choice([2, 4, 8]))
    columns = int(rng.choice([2, 4]))
    y = np.arange(TILE)[:, None]
    x = np.arange(TILE)[None]
    row = y * rows // TILE
    half_a_tile = TILE // columns // 2
    shifted = x + (row % 2) * half_a_tile * int(rng.integers(0, 2))
    width = int(rng.integers(2, 7))
    grout = (y % (TILE // rows) < width) | (shifted % (TILE // columns) < width)
    column = (shifted * columns // TILE) % columns
    unevenness = rng.uniform(0.0, 0.1)
    tone = unevenness * rng.standard_normal((rows, columns))[row, column]
    joint = _within_bytes(colour * rng.choice([0.55, 0.75, 1.25]))
    base = np.where(grout[..., None], joint, colour)
    return _shaded(base, tone + 0.04 * tiling_noise(rng, (8, 8), 5, 0.7))


def carpet(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Fine fibres, often with stripes or a border of another colour."""
    base = np.broadcast_to(colour, (TILE, TILE, 3)).copy()
    texel = np.arange(TILE)
    if rng.random() < 0.5:
        band = texel * int(rng.choice([2, 4, 8])) // TILE
        base[band % 2 == 1] = random_colour(rng)
    if rng.random() < 0.3:
        band = texel * int(rng.choice([4, 8])) // TILE
        base[:, band % 4 == 1] = random_colour(rng)
    fibres = rng.standard_normal((TILE, TILE)).astype(np.float32)
    pile = rng.uniform(0.05, 0.18) * fibres
    return _shaded(base, pile + 0.05 * tiling_noise(rng, (8, 8)))


def speckled(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Terrazzo or gravel: spots of a few colours."""
    cells = int(rng.choice([16, 32]))
    noise = tiling_noise(rng, (cells, cells), 2)
    other = tiling_noise(rng, (16, 16), 2)
    dark = _within_bytes(colour * rng.uniform(0.3, 0.8))
    bright = _within_bytes(colour * rng.uniform(1.1, 1.5))
    base = np.where((noise > 1.0)[..., None], dark, colour)
    base = np.where((other > 1.2)[..., None], bright, base)
    return _shaded(base, np.float32(0.03) * noise)


def veined(rng: Generator, colour: np.ndarray) -> np.ndarray:
    """Marble: thin veins along the zero set of a noise."""
    height = tiling_noise(rng, (4, 4), 5, 0.6) * rng.uniform(4.0, 9.0)
    vein = np.exp(-(height**2))
    unevenness = 0.03 * tiling_noise(rng, (4, 4))
    return _shaded(colour, unevenness - rng.uniform(0.15, 0.5) * vein)


def _shaded(base: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Scale one colour (3,), or one per texel (TILE, TILE, 3), by 1 + ``relative`` (TILE, TILE)."""
    factor = 1.0 + relative.astype(np.float32)[..., None]
    return _within_bytes(base.astype(np.float32) * factor).astype(np.uint8)


def _within_bytes(colours: np.ndarray) -> np.ndarray:
    return np.clip(colours, 0, 255)


# Families of textures: share, and the colours that they usually have; () = any.
TEXTURES: tuple[tuple[Family, float, Palette], ...] = (
    (plain, 0.16, ()),
    (rough, 0.17, SOILS + STONES),
    (checker, 0.08, ()),
    (planks, 0.22, WOODS),
    (tiles, 0.1, STONES),
    (carpet, 0.13, ()),
    (speckled, 0.07, STONES),
    (veined, 0.07, STONES + WOODS),
)
