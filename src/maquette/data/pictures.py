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
from numpy.random import Generator

from maquette.data.catalogue import AssetLike
from maquette.data.views import View
from maquette.geometry.boxes import pixel_box
from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.geometry.transforms import any_angle
from maquette.models.nouns import noun_of
from maquette.models.sentences import (
    COMPLETION,
    Thing,
    caption,
    colour_word,
    mirrored_thing,
    name_of,
)
from maquette.photos.pixels import grown, square
from maquette.render.lighting import random_lighting
from maquette.render.rasterize import rasterize
from maquette.render.shade import shade
from maquette.types import Camera

VISIBLE = 40  # pixels; objects that a view shows less of are nobody's subject
LARGE = 0.03  # share of a crop that an object must cover to be named
SHOWN = 0.6  # share of an object's visible pixels that must be inside the crop to be named
NAMED = 4  # objects of a caption, at most
NOISY = 0.5  # share of ComboVerse's cases that are in front of noise
GREY = 128
COVERED = (0.1, 0.65)  # share of a single object that is hidden
COMPLETED = 0.6  # share of the single objects that are partly hidden
GROUP_SHARES = (0.3, 0.4, 0.2, 0.1)  # of crops around one, two, three and four objects
ROOM_AROUND = (1.05, 1.35)  # side of a crop, of the longest side of its objects
LEAST_SIDE = 32  # pixels of a crop
TOUCHING = 0.02  # share of the ring around objects in which others touch them
FOV = (20, 50)  # degrees, of a single object's picture
TRIES = 12  # to hide a share of an object that is in COVERED
DRAWN_MARGIN = 6  # pixels by which a user's box is larger, at most


@dataclass(frozen=True, eq=False)
class CaptionedPicture:
    """One sample."""

    picture: np.ndarray  # (S, S, 3) uint8 sRGB
    hole: np.ndarray  # (S, S) bool, True = to be filled; all True = text-to-image
    caption: str


# ---- crops of scenes


def crop_of_view(
    view: View,
    things: Sequence[Thing],
    rng: Generator,
    size: int,
) -> CaptionedPicture | None:
    """A square around some neighbouring objects of a view whose ``things`` are known; None when
    nothing in it is large enough.
    """
    shown = _pixels_of(view.instance, len(things))
    labels = np.flatnonzero(shown >= VISIBLE) + 1
    if not len(labels):
        return None
    window = _window(view.instance, labels, rng)
    instance = view.instance[window]
    named = _named(instance, shown)
    if not len(named):
        return None
    image = view.image[window]
    chosen = [things[k] for k in named]
    eye = view.camera.position
    if rng.random() < 0.5 and not _touched(instance, named + 1):
        theirs = np.isin(instance, named + 1)[..., None]
        image = np.where(theirs, image, _ground(rng, image.shape[0]))
    if rng.random() < 0.5:
        image = image[:, ::-1]
        instance = instance[:, ::-1]
        chosen = [mirrored_thing(thing) for thing in chosen]
        eye = eye * np.array([-1.0, 1.0, 1.0])
    hole = np.ones((size, size), bool)
    if rng.random() >= 0.5:
        label = int(rng.choice(named)) + 1
        small = _resized(instance.astype(np.uint8), size, cv2.INTER_NEAREST)
        hole = random_hole(rng, size, small == label)
    return CaptionedPicture(_resized(image, size, cv2.INTER_AREA), hole, caption(chosen, eye, rng))


def _pixels_of(instance: np.ndarray, count: int) -> np.ndarray:
    """(count,) pixels of the labels 1, 2, ... in a label image."""
    return np.bincount(instance.ravel(), minlength=count + 1)[1:]


def _named(instance: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(K,) the objects of a crop that are large and whole enough to be named, largest first;
    ``shown`` (N,) are the pixels that the whole view has of each.
    """
    inside = _pixels_of(instance, len(shown)).astype(np.float64)
    large = inside >= LARGE * instance.size
    whole = inside >= SHOWN * np.maximum(shown, 1)
    named = np.flatnonzero(large & whole)
    return named[np.argsort(-inside[named])][:NAMED]


def _window(instance: np.ndarray, labels: np.ndarray, rng: Generator) -> tuple[slice, slice]:
    """Rows and columns of a square around one to four objects that are neighbours in a picture."""
    boxes = np.array([pixel_box(instance == label) for label in labels], np.float64)
    lows, highs = np.split(boxes, 2, axis=1)
    sizes = np.sqrt((highs - lows).prod(axis=1))
    first = rng.choice(len(labels), p=sizes / sizes.sum())
    doubled_middles = lows + highs
    away = np.abs(doubled_middles - doubled_middles[first]).sum(axis=1)
    count = 1 + int(rng.choice(len(GROUP_SHARES), p=GROUP_SHARES))
    group = np.argsort(away, kind="stable")[:count]
    low = lows[group].min(0)
    high = highs[group].max(0)
    longest = (high - low).max()
    wanted = longest * rng.uniform(*ROOM_AROUND)
    side = float(np.clip(wanted, LEAST_SIDE, min(instance.shape)))
    shift = rng.uniform(-0.5, 0.5, 2) * max(side - longest, 0.0)
    corner = 0.5 * (low + high) - 0.5 * side + shift
    limits = np.array(instance.shape[::-1]) - side
    left, top = corner.round().clip(0, limits).astype(int)
    return np.s_[top : top + int(side), left : left + int(side)]


def _resized(picture: np.ndarray, size: int, interpolation: int) -> np.ndarray:
    """A picture (H, W, ...) as a square of ``size`` pixels."""
    return cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=interpolation)


def _touched(instance: np.ndarray, labels: np.ndarray) -> bool:
    """Whether other objects touch these, so that removing those might leave bites in these."""
    kept = np.isin(instance, labels)
    ring = grown(kept, square(1)) & ~kept
    return bool((instance[ring] > 0).mean() > TOUCHING) if ring.any() else False


# ---- single objects


def single_object(
    asset: AssetLike,
    rng: Generator,
    size: int,
    completion: float = COMPLETED,
) -> CaptionedPicture:
    """An asset alone, lit, from anywhere above the floor; with probability ``completion`` partly
    hidden, with ComboVerse's prompt.
    """
    image, coverage = _portrait(asset, rng, size)
    solid = coverage > 0.5
    partly = bool(solid.any()) and rng.random() < completion
    noisy = partly and rng.random() < NOISY
    ground = np.full((size, size, 3), GREY, np.uint8) if noisy else _ground(rng, size)
    share = coverage[..., None]
    picture = (share * image + (1 - share) * ground).astype(np.uint8)
    colour = colour_word(image[solid]) if solid.any() else ""
    said = name_of(Thing(noun_of(asset.name), colour, np.zeros((2, 3))), rng)
    said = f"a 3D model of {said}" if rng.random() < 0.5 else said
    if not partly:
        return CaptionedPicture(picture, np.ones((size, size), bool), said)
    hole = _box_around(solid, rng) & (~solid | _occluder(solid, rng))
    if noisy:
        around = ~(hole | solid)
        picture[around] = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)[around]
    return CaptionedPicture(picture, hole, COMPLETION if rng.random() < 0.5 else said)


def _portrait(asset: AssetLike, rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (S, S, 3) uint8 of an asset that fills most of it; its coverage (S, S) in 0..1."""
    azimuth = any_angle(rng)
    elevation = np.radians(60.0 * rng.beta(1.3, 2.0))
    flat = np.cos(elevation)
    towards = (flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth))
    radius = float(np.linalg.norm(asset.vertices, axis=1).max())
    fov = np.radians(rng.uniform(*FOV))
    distance = radius * rng.uniform(1.0, 1.35) / np.sin(0.5 * fov)
    side = 2 * size
    pose = look_at(distance * np.array(towards), np.zeros(3))
    camera = Camera(intrinsics_from_fov(fov, side, side), pose, side, side)
    buffers = rasterize(asset.vertices, asset.faces, camera, vertex_colors=asset.colors)
    lit = shade(buffers, camera, random_lighting(rng))
    seen = (buffers.instance >= 0).astype(np.float32)
    coverage = _resized(seen, size, cv2.INTER_AREA)
    light = _resized(lit * seen[..., None], size, cv2.INTER_AREA)
    light = light / np.maximum(coverage, 1e-3)[..., None]
    return light.clip(0, 255).astype(np.uint8), coverage


def _ground(rng: Generator, size: int) -> np.ndarray:
    """(S, S, 3) uint8: one colour, mostly a grey or white one, sometimes fading to another."""
    if rng.random() < 0.7:
        ends = rng.uniform(0, 255, (2, 1)) + rng.uniform(-20, 20, (2, 3))
    else:
        ends = rng.uniform(0, 255, (2, 3))
    first, last = ends
    if rng.random() < 0.25:
        first = np.full(3, 255.0)
    if rng.random() < 0.7:
        last = first
    share = np.linspace(0, 1, size)[:, None, None]
    rows = ((1 - share) * first + share * last).clip(0, 255).astype(np.uint8)
    return rows.repeat(size, axis=1)


# ---- holes


def random_hole(rng: Generator, size: int, shape: np.ndarray) -> np.ndarray:
    """(S, S) bool to be filled: a box, a thick stroke, an object's own ``shape`` (S, S) somewhat
    grown, or it somewhere else.
    """
    kind = rng.integers(4)
    if kind == 0:
        return _box(rng, size)
    if kind == 1 or not shape.any():
        hole = _stroke(rng, size)
    else:
        hole = grown(shape, square(1), int(rng.integers(1, 4)))
        if kind == 3:
            hole = _shifted(hole, rng.integers(-size // 3, size // 3 + 1, 2))
    return hole if hole.any() else _box(rng, size)


def _stroke(rng: Generator, size: int) -> np.ndarray:
    """A thick random polyline of three pieces, as a mask."""
    way = np.cumsum(rng.normal(0, 0.25 * size, (4, 2)), axis=0) + 0.5 * size
    thickness = int(rng.integers(size // 10, size // 4))
    canvas = np.zeros((size, size), np.uint8)
    return cv2.polylines(canvas, [way.round().astype(np.int32)], False, 1, thickness) > 0


def _box(rng: Generator, size: int) -> np.ndarray:
    """A random rectangle with sides of at least a fifth of the picture's, as a mask."""
    hole = np.zeros((size, size), bool)
    height, width = rng.integers(size // 5, size + 1, 2)
    top = int(rng.integers(0, size - height + 1))
    left = int(rng.integers(0, size - width + 1))
    hole[top : top + height, left : left + width] = True
    return hole


def _box_around(mask: np.ndarray, rng: Generator) -> np.ndarray:
    """(S, S) bool the box of a mask with a margin, as a user draws it."""
    x0, y0, x1, y1 = pixel_box(mask)
    above, below, left, right = rng.integers(0, DRAWN_MARGIN, 4)
    box = np.zeros_like(mask)
    top = max(y0 - above, 0)
    box[top : y1 + below, max(x0 - left, 0) : x1 + right] = True
    return box


def _occluder(mask: np.ndarray, rng: Generator) -> np.ndarray:
    """(S, S) bool that hides some of a mask: a half plane, a box, or the mask itself (an object's
    shape), shifted and scaled.
    """
    best = np.zeros_like(mask)
    for _ in range(TRIES):
        tried = _half_plane_box_or_shape(mask, rng)
        share = float((tried & mask).sum()) / float(mask.sum())
        if COVERED[0] <= share <= COVERED[1]:
            return tried
        best = tried if share <= COVERED[1] else best
    return best


def _half_plane_box_or_shape(mask: np.ndarray, rng: Generator) -> np.ndarray:
    """What hides an object: a half plane, a box, or its own mask turned and shifted."""
    size = len(mask)
    kind = rng.integers(3)
    if kind == 0:
        middle = rng.uniform(0.2, 0.8, 2) * size
        angle = any_angle(rng)
        y, x = np.mgrid[:size, :size] - middle[:, None, None]
        return x * np.cos(angle) + y * np.sin(angle) > 0
    if kind == 1:
        return _box(rng, size)
    turned = np.ascontiguousarray(np.rot90(mask, int(rng.integers(4))))
    return _shifted(turned, rng.integers(-size // 2, size // 2 + 1, 2))


def _shifted(mask: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """A mask moved by whole pixels (down, right), with nothing moved in."""
    down, right = offset
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    moved = cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    return moved > 0
