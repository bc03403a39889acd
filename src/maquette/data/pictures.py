"""Small pictures with captions and holes: what the text-to-image model is trained on, made of views
and of single assets.

In the flow: views (data/views.py) and assets -> square pictures of one to four objects, captions
(models/sentences.py), masks of what is to be filled -> train/text_to_image.py. Half of the scene
crops lose their background, because score distillation shows a model plain renders. Holes are
boxes, strokes and shapes of other objects; single objects get ComboVerse's case: an object partly
covered, alone on noise or on a plain ground, whose box is to be filled. In front of noise, what is
not the object is filled with flat grey: noise could not be learnt, and a flat ground makes the
object easy to cut out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from maquette.data.layout import AssetLike
from maquette.data.views import View
from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.models.nouns import noun_of
from maquette.models.sentences import COMPLETION, Thing, caption, colour_word, mirrored, name_of
from maquette.render.rasterize import rasterize
from maquette.render.shade import random_lighting, shade
from maquette.types import Camera

LARGE = 0.03  # share of a crop that an object must cover to be named
SHOWN = 0.6  # share of an object's visible pixels that must be inside the crop to be named
NAMED = 4  # objects of a caption, at most
NOISY = 0.5  # share of ComboVerse's cases that are in front of noise
GREY = 128
COVERED = (0.1, 0.65)  # share of a single object that is hidden


@dataclass(frozen=True, eq=False)
class CaptionedPicture:
    """One sample."""

    picture: np.ndarray  # (S, S, 3) uint8 sRGB
    hole: np.ndarray  # (S, S) bool, True = to be filled; all True = text-to-image
    caption: str


# ---- crops of scenes
#   -----------------------------------------------------------------------------------------------


def crop_of_view(
    view: View, things: Sequence[Thing], rng: np.random.Generator, size: int
) -> CaptionedPicture | None:
    """A square around some neighbouring objects of a view whose ``things`` are known; None when
    nothing in it is large enough.
    """
    labels = (
        np.flatnonzero(np.bincount(view.instance.ravel(), minlength=len(things) + 1)[1:] >= 40) + 1
    )
    if not len(labels):
        return None
    window = _window(view.instance, labels, rng)
    instance = _cut(view.instance, window)
    inside = np.bincount(instance.ravel(), minlength=len(things) + 1)[1:].astype(np.float64)
    whole = np.bincount(view.instance.ravel(), minlength=len(things) + 1)[1:]
    named = np.flatnonzero(
        (inside >= LARGE * instance.size) & (inside >= SHOWN * np.maximum(whole, 1))
    )
    named = named[np.argsort(-inside[named])][:NAMED]
    if not len(named):
        return None
    image = _cut(view.image, window)
    shapes = instance
    chosen = [things[k] for k in named]
    eye = view.camera.position
    if rng.random() < 0.5 and not _touched(instance, named + 1):
        image = np.where(
            np.isin(instance, named + 1)[..., None], image, _ground(rng, image.shape[0])
        )
    if rng.random() < 0.5:
        image = image[:, ::-1]
        shapes = shapes[:, ::-1]
        chosen = [mirrored(thing) for thing in chosen]
        eye = eye * np.array([-1.0, 1.0, 1.0])
    picture = cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=cv2.INTER_AREA)
    small = cv2.resize(
        np.ascontiguousarray(shapes).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST
    )
    hole = (
        np.ones((size, size), bool)
        if rng.random() < 0.5
        else random_hole(rng, size, small == int(rng.choice(named)) + 1)
    )
    return CaptionedPicture(picture, hole, caption(chosen, eye, rng))


def _window(
    instance: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[int, int, int]:
    """Left, top and side of a square around one to four objects that are neighbours in the picture."""
    boxes = {}
    for label in labels:
        rows = np.flatnonzero((instance == label).any(1))
        columns = np.flatnonzero((instance == label).any(0))
        boxes[int(label)] = np.array(
            [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64
        )
    areas = np.sqrt([(boxes[int(k)][2:] - boxes[int(k)][:2]).prod() for k in labels])
    first = boxes[int(rng.choice(labels, p=areas / areas.sum()))]
    middle = first[:2] + first[2:]
    near = sorted(boxes.values(), key=lambda box: float(np.abs(box[:2] + box[2:] - middle).sum()))
    group = np.array(near[: int(rng.choice([1, 2, 3, 4], p=[0.3, 0.4, 0.2, 0.1]))])
    low = group[:, :2].min(0)
    high = group[:, 2:].max(0)
    side = float(np.clip((high - low).max() * rng.uniform(1.05, 1.35), 32, min(instance.shape)))
    corner = (
        0.5 * (low + high)
        - 0.5 * side
        + rng.uniform(-0.5, 0.5, 2) * max(side - (high - low).max(), 0.0)
    )
    left, top = (
        int(np.clip(round(c), 0, limit - side)) for c, limit in zip(corner, instance.shape[::-1])
    )
    return left, top, int(side)


def _cut(array: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    left, top, side = window
    return array[top : top + side, left : left + side]


def _touched(instance: np.ndarray, labels: np.ndarray) -> bool:
    """Whether other objects touch these, so that removing those might leave bites in these."""
    kept = np.isin(instance, labels)
    ring = cv2.dilate(kept.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~kept
    return bool((instance[ring] > 0).mean() > 0.02) if ring.any() else False


# ---- single objects
#   ------------------------------------------------------------------------------------------------


def single_object(
    asset: AssetLike, rng: np.random.Generator, size: int, completion: float = 0.6
) -> CaptionedPicture:
    """An asset alone, lit, from anywhere above the floor; with probability ``completion`` partly
    hidden, with ComboVerse's prompt.
    """
    image, mask = _portrait(asset, rng, size)
    solid = mask > 0.5
    partly = bool(solid.any()) and rng.random() < completion
    noisy = partly and rng.random() < NOISY
    ground = np.full((size, size, 3), GREY, np.uint8) if noisy else _ground(rng, size)
    picture = (mask[..., None] * image + (1 - mask[..., None]) * ground).astype(np.uint8)
    thing = Thing(
        noun_of(asset.name), colour_word(image[solid]) if solid.any() else "", np.zeros((2, 3))
    )
    said = name_of(thing, rng)
    said = f"a 3D model of {said}" if rng.random() < 0.5 else said
    if not partly:
        return CaptionedPicture(picture, np.ones((size, size), bool), said)
    hole = _box_around(solid, rng) & ~(solid & ~_occluder(solid, rng))
    if noisy:
        picture[~(hole | solid)] = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)[
            ~(hole | solid)
        ]
    return CaptionedPicture(picture, hole, COMPLETION if rng.random() < 0.5 else said)


def _portrait(
    asset: AssetLike, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (S, S, 3) uint8 of an asset that fills most of it, and its coverage (S, S) in 0..1."""
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.radians(60.0 * rng.beta(1.3, 2.0))
    towards = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )
    radius = float(np.linalg.norm(asset.vertices, axis=1).max())
    fov = np.radians(rng.uniform(20, 50))
    distance = radius * rng.uniform(1.0, 1.35) / np.sin(0.5 * fov)
    camera = Camera(
        intrinsics_from_fov(fov, 2 * size, 2 * size),
        look_at(distance * towards, np.zeros(3)),
        2 * size,
        2 * size,
    )
    buffers = rasterize(asset.vertices, asset.faces, camera, vertex_colors=asset.colors)
    lit = shade(buffers, camera, random_lighting(rng))
    seen = (buffers.instance >= 0).astype(np.float32)
    mask = cv2.resize(seen, (size, size), interpolation=cv2.INTER_AREA)
    light = (
        cv2.resize(lit * seen[..., None], (size, size), interpolation=cv2.INTER_AREA)
        / np.maximum(mask, 1e-3)[..., None]
    )
    return light.clip(0, 255).astype(np.uint8), mask


def _ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """(S, S, 3) uint8: one colour, mostly a grey or white one, sometimes fading to another."""
    ends = (
        rng.uniform(0, 255, (2, 1)) + rng.uniform(-20, 20, (2, 3))
        if rng.random() < 0.7
        else rng.uniform(0, 255, (2, 3))
    )
    ends[0] = np.float64(255) if rng.random() < 0.25 else ends[0]
    ends[1] = ends[0] if rng.random() < 0.7 else ends[1]
    share = np.linspace(0, 1, size)[:, None, None]
    return (
        np.broadcast_to((1 - share) * ends[0] + share * ends[1], (size, size, 3))
        .clip(0, 255)
        .astype(np.uint8)
    )


# ---- holes
#   ---------------------------------------------------------------------------------------------------------


def random_hole(rng: np.random.Generator, size: int, shape: np.ndarray) -> np.ndarray:
    """(S, S) bool to be filled: a box, a thick stroke, an object's own ``shape`` (S, S) somewhat
    grown, or it somewhere else.
    """
    kind = rng.integers(4)
    if kind == 0:
        return _box(rng, size)
    if kind == 1 or not shape.any():
        points = (
            (np.cumsum(rng.normal(0, 0.25 * size, (4, 2)), axis=0) + 0.5 * size)
            .round()
            .astype(np.int32)
        )
        drawn = cv2.polylines(
            np.zeros((size, size), np.uint8),
            [points],
            False,
            1,
            int(rng.integers(size // 10, size // 4)),
        )
        return drawn.astype(bool) if drawn.any() else _box(rng, size)
    grown = cv2.dilate(
        shape.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 4))
    )
    if kind == 2:
        return grown.astype(bool)
    moved = _shifted(grown.astype(bool), rng.integers(-size // 3, size // 3 + 1, 2))
    return moved if moved.any() else _box(rng, size)


def _box(rng: np.random.Generator, size: int) -> np.ndarray:
    hole = np.zeros((size, size), bool)
    height, width = rng.integers(size // 5, size + 1, 2)
    top = int(rng.integers(0, size - height + 1))
    left = int(rng.integers(0, size - width + 1))
    hole[top : top + height, left : left + width] = True
    return hole


def _box_around(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(S, S) bool the box of a mask with a margin, as a user draws it."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    margin = rng.integers(0, 6, 4)
    box = np.zeros_like(mask)
    box[
        max(rows[0] - margin[0], 0) : rows[-1] + 1 + margin[1],
        max(columns[0] - margin[2], 0) : columns[-1] + 1 + margin[3],
    ] = True
    return box


def _occluder(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(S, S) bool that hides some of a mask: a half plane, a box, or the mask itself (an object's
    shape), shifted and scaled.
    """
    size = len(mask)
    best = np.zeros_like(mask)
    for _ in range(12):
        kind = rng.integers(3)
        if kind == 0:
            y, x = np.mgrid[:size, :size] - rng.uniform(0.2, 0.8, 2)[:, None, None] * size
            angle = rng.uniform(0, 2 * np.pi)
            tried = x * np.cos(angle) + y * np.sin(angle) > 0
        elif kind == 1:
            tried = _box(rng, size)
        else:
            turned = np.ascontiguousarray(np.rot90(mask, int(rng.integers(4))))
            tried = _shifted(turned, rng.integers(-size // 2, size // 2 + 1, 2))
        share = float((tried & mask).sum()) / float(mask.sum())
        if COVERED[0] <= share <= COVERED[1]:
            return tried
        best = tried if share <= COVERED[1] else best
    return best


def _shifted(mask: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """A mask moved by whole pixels (down, right), with nothing moved in."""
    matrix = np.array([[1, 0, offset[1]], [0, 1, offset[0]]], np.float64)
    return cv2.warpAffine(
        mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST
    ).astype(bool)
