"""Colours and simple patterns for procedural parts: palettes per material, stripes, grain,
speckles, gradients.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from maquette.data.procedural.shapes import Paint

WOOD = ((150, 104, 62), (120, 78, 46), (186, 142, 94), (92, 58, 38), (206, 172, 124), (70, 48, 36))
FABRIC = (
    (86, 104, 124),
    (158, 74, 66),
    (110, 124, 92),
    (196, 178, 150),
    (72, 76, 84),
    (190, 142, 78),
    (120, 92, 126),
    (214, 206, 194),
)
METAL = ((148, 150, 154), (92, 94, 98), (196, 164, 96), (60, 62, 66), (178, 120, 84))
CERAMIC = (
    (232, 228, 218),
    (84, 124, 158),
    (176, 84, 66),
    (110, 142, 120),
    (222, 184, 96),
    (62, 66, 92),
    (196, 152, 140),
    (70, 130, 130),
)
PLASTIC = (
    (214, 62, 52),
    (46, 110, 180),
    (240, 186, 52),
    (66, 150, 92),
    (236, 236, 232),
    (48, 50, 54),
    (232, 126, 54),
    (130, 84, 160),
)
LEAF = ((72, 122, 62), (96, 142, 74), (54, 98, 66), (126, 156, 78), (150, 158, 90))
FUR = ((146, 104, 70), (92, 72, 58), (206, 184, 152), (72, 68, 68), (228, 222, 212), (182, 120, 66))
GLASS = ((62, 74, 88), (84, 104, 118), (44, 50, 58))
DARK = ((38, 38, 42), (54, 52, 52))


Palette = tuple[tuple[int, int, int], ...]


def pick(rng: Generator, palette: Palette, spread: float = 12.0) -> np.ndarray:
    """(3,) float32 colour near a random one of the palette."""
    colour = np.asarray(palette[rng.integers(len(palette))])
    colour = colour + 0.5 * rng.normal(0, spread, 3) + rng.normal(0, spread)
    return np.clip(colour, 8, 250).astype(np.float32)


def shaded(colour: np.ndarray, factor: float) -> np.ndarray:
    """A lighter or darker version of a colour."""
    return np.clip(colour * factor, 0, 255)


def striped(
    first: np.ndarray,
    second: np.ndarray,
    axis: int,
    period: float,
    share: float = 0.5,
) -> Paint:
    """Bands across ``axis``, with soft borders; ``share`` of each period has the second colour."""
    half = share / 2

    def paint(p: np.ndarray) -> np.ndarray:
        phase = p[:, axis] / period % 1.0
        this_band = half - np.abs(phase - half)
        next_band = half - np.abs(phase - 1 - half)
        amount = np.clip(0.5 + np.maximum(this_band, next_band) / 0.12, 0, 1)[:, None]
        return (1 - amount) * first + amount * second

    return paint


def blended(
    low: np.ndarray,
    high: np.ndarray,
    axis: int,
    start: float,
    end: float,
) -> Paint:
    """A gradient along ``axis`` from ``start`` to ``end``."""

    def paint(p: np.ndarray) -> np.ndarray:
        t = (p[:, axis, None] - start) / (end - start)
        t = np.clip(t, 0, 1)
        return (1 - t) * low + t * high

    return paint


def wooden(rng: Generator, axis: int, scale: float) -> Paint:
    """Slow wavy darker bands along ``axis`` on a colour of wood; ``scale`` is the size of the
    object.
    """
    colour = pick(rng, WOOD)
    waves = rng.normal(0, 1, (4, 3)) * 9 / scale
    waves[:, axis] *= 0.15
    frequency = waves.T.astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, 4).astype(np.float32)

    def paint(p: np.ndarray) -> np.ndarray:
        wave = np.sin(p @ frequency + phase).mean(1)
        return np.clip(colour * (1 + 0.16 * wave)[:, None], 0, 255)

    return paint


def spotted(
    rng: Generator,
    colour: np.ndarray,
    spot: np.ndarray,
    scale: float,
) -> Paint:
    """Fourteen round patches of a second colour anywhere on a body about ``scale`` large."""
    centres = rng.uniform(-0.5, 0.5, (14, 3)).astype(np.float32) * scale
    radii = rng.uniform(0.06, 0.14, 14).astype(np.float32) * scale

    def paint(p: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(p[:, None] - centres, axis=2)
        inside = (distance < radii).any(1)
        return np.where(inside[:, None], spot, colour)

    return paint
