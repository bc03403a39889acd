"""Light on a scene: one key light, a sky and a ground dome; calm for previews, random for training
views.

First half of the shading: shadows.py finds what the light reaches, shade.py what it looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from maquette.geometry.transforms import any_angle, cos_and_sin


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


def studio_lighting(azimuth: float = 0.0) -> Lighting:
    """Calm light from the upper left of a camera that looks along -Z, turned by ``azimuth`` radians
    about +Y.
    """
    x = -0.55
    z = 0.6
    c, s = cos_and_sin(azimuth)
    key = np.array([0.78, 0.75, 0.70])
    sky = np.array([0.50, 0.52, 0.56])
    ground = np.array([0.30, 0.29, 0.28])
    direction = np.array([x * c + z * s, 1.05, z * c - x * s])
    return Lighting(
        direction,
        key,
        sky,
        ground,
        shadow=0.9,
        softness=3,
        specular=0.05,
        gloss=24.0,
    )


def random_lighting(rng: Generator) -> Lighting:
    """Light for a training view: sun or lamp anywhere above, warm to cool, hard to soft, bright to
    dim.
    """
    azimuth = any_angle(rng)
    elevation = np.deg2rad(rng.uniform(25.0, 80.0))
    level = np.cos(elevation)
    direction = np.array([level * np.cos(azimuth), np.sin(elevation), level * np.sin(azimuth)])
    warmth = rng.uniform(-0.12, 0.22)
    tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    ambient = rng.uniform(0.3, 0.75)
    brightness = rng.uniform(0.85, 1.3)  # of a white surface that faces the key light
    key = (brightness - 0.8 * ambient) * tint
    sky = ambient * _nearly_grey(rng)
    ground = ambient * rng.uniform(0.3, 0.8) * _nearly_grey(rng)
    shadow = rng.uniform(0.4, 1.0)
    softness = int(rng.integers(0, 4))
    occlusion = rng.uniform(0.6, 1.4)
    specular = float(rng.choice([0.0, rng.uniform(0.0, 0.35)]))
    gloss = float(np.exp(rng.uniform(np.log(8.0), np.log(90.0))))
    return Lighting(direction, key, sky, ground, shadow, softness, occlusion, specular, gloss)


def _nearly_grey(rng: Generator) -> np.ndarray:
    """(3,) factors about 1."""
    return 1.0 + 0.06 * rng.standard_normal(3)


def dome(count: int) -> np.ndarray:
    """(count, 3) unit directions spread evenly over the upper hemisphere: a Fibonacci spiral, clear
    of the horizon.
    """
    height = 1.0 - (np.arange(count) + 0.5) / count * 0.92
    angle = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0)) + 0.5
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)
