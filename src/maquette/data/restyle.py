"""Other surfaces and other surroundings for a rendered picture whose objects are known: textures
over each object, photographs behind them.

Used by train/segmentation.py. Rendered objects are often of one colour, and a network that learns
from them that one colour is one object is lost in photographs. Photographs and textures are those
of scikit-image that are in the public domain or CC0; other textures are drawn (backgrounds.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from skimage import data

from maquette.data.backgrounds import random_texture
from maquette.geometry.transforms import any_angle
from maquette.photos.pixels import Size

DRAWN = 48  # tiles
TEXTURED = 0.5  # probability that an object or the surroundings get a texture
REPLACED = 0.3  # probability that the surroundings are replaced
PARTED = 0.5  # probability that what gets a texture is a part of the object, with a straight end
RECOLOURED = 0.3  # probability that a textured object also takes the texture's colours
LARGEST = 8  # objects of a picture that are looked at


@dataclass(frozen=True, eq=False)
class Restyler:
    """Pictures (H, W, 3) uint8 to cut textures and surroundings from."""

    textures: tuple[np.ndarray, ...]
    photographs: tuple[np.ndarray, ...]

    @classmethod
    def open(cls, seed: int = 0) -> Restyler:
        """Draw the tiles and read the pictures that come with scikit-image."""
        rng = np.random.default_rng(seed)
        drawn = [random_texture(rng) for _ in range(DRAWN)]
        grey = [data.brick(), data.grass(), data.gravel(), data.camera()]
        shown = [np.repeat(picture[..., None], 3, axis=2) for picture in grey]
        photographs = (data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), *shown)
        return cls((*drawn, *photographs), photographs)

    def __call__(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        rng: Generator,
    ) -> np.ndarray:
        """Another picture (H, W, 3) uint8 of objects with the outlines of ``labels`` (H, W)."""
        shown = image.astype(np.float32)
        areas = np.bincount(labels.ravel())
        largest = np.argsort(-areas)[: min(LARGEST, int((areas > 0).sum()))]
        for label in largest.tolist():
            if rng.random() < TEXTURED:
                own = labels == label
                own = _part(own, rng) if rng.random() < PARTED else own
                shown[own] = self._textured(shown, rng)[own]
        if rng.random() < REPLACED:
            photograph = rng.random() < 0.6
            chosen = self.photographs if photograph else self.textures
            behind = _patch(chosen, image.shape[:2], rng).astype(np.float32)
            share = cv2.GaussianBlur((labels > 0).astype(np.float32), (3, 3), 0.6)[..., None]
            shown = share * shown + (1 - share) * behind
        return shown.clip(0, 255).astype(np.uint8)

    def _textured(self, shown: np.ndarray, rng: Generator) -> np.ndarray:
        """The picture under a texture: light and shade of both."""
        texture = _patch(self.textures, shown.shape[:2], rng).astype(np.float32) + 8
        if rng.random() >= RECOLOURED:
            texture = texture.mean(-1, keepdims=True)
        relative = texture / texture.mean((0, 1))
        strength = rng.uniform(0.3, 1.2)
        tint = np.exp(rng.normal(0.0, 0.25, 3))
        return (shown + 4) * relative**strength * tint


def _part(mask: np.ndarray, rng: Generator) -> np.ndarray:
    """What lies on one side of a line through a random place of a mask (H, W): people wear
    trousers, and a bed has a frame.
    """
    rows, columns = np.nonzero(mask)
    through = int(rng.integers(len(rows)))
    angle = any_angle(rng)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    part = np.zeros_like(mask)
    part[rows, columns] = along >= along[through]
    return part


def _patch(pictures: tuple[np.ndarray, ...], size: Size, rng: Generator) -> np.ndarray:
    """A random part of a random picture, turned or mirrored, in a size (H, W)."""
    picture = pictures[int(rng.integers(len(pictures)))]
    side = int(min(picture.shape[:2]) * rng.uniform(0.25, 1.0))
    height, width = picture.shape[:2]
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    part = picture[top : top + side, left : left + side]
    part = np.rot90(part, int(rng.integers(4)))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return cv2.resize(np.ascontiguousarray(part), size[::-1], interpolation=cv2.INTER_AREA)
