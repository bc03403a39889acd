"""Samples of the image encoder: photos cut out of rendered views, with what is true in them.

In the flow: a view -> a cut of any aspect, letterboxed, with other colours and less exact masks ->
the network's input and its targets, and windows around single objects (models/relief.py) with
theirs. train/geometry.py has the losses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from torch.utils.data import Dataset

from maquette.data.augment import augment_image, jitter_labels
from maquette.data.library import AssetLibrary
from maquette.data.views import View, boxes_in_scene
from maquette.models.conditioning import (
    Picture,
    camera_parameters,
    centre_depth,
    close_look,
    cut_window,
    geometry_input,
    letterbox,
    signed,
)
from maquette.train.sources import ViewSource
from maquette.train.task import (
    Sample,
)
from maquette.types import Arrays

INSTANCES = 24  # boxes per view at most
WINDOWS = 2  # close looks per view
LEAST = 24  # pixels of a view that an object must have to be looked at closely
MIRRORED = (
    "picture",
    "shown",
    "depth",
    "known",
    "object",
    "labels",
    "normal",
    "close_pictures",
    "close_depth",
    "close_own",
    "close_normal",
)
_FAR = 1.5  # log relative depth is not trained beyond +- this (endless ground)
_DEPTHS = (1e-3, 1e6)  # whose logarithm is taken


@dataclass(frozen=True)
class PhotoCut:
    """How a photo is cut out of a view: so many rows are missing above and below, so many columns
    on both sides. Symmetric cuts keep the principal point centred, as photos have it.
    """

    rows: int = 0
    columns: int = 0

    def of(self, array: np.ndarray) -> np.ndarray:
        """The photo's part of an array (H, W, ...) of the view."""
        height, width = array.shape[:2]
        rows = slice(self.rows, height - self.rows)
        return array[rows, self.columns : width - self.columns]

    def enlarges(self, shape: tuple[int, ...]) -> float:
        """Longer side of a view (H, W) over that of the photo."""
        height, width = shape
        return max(height, width) / max(height - 2 * self.rows, width - 2 * self.columns)


def random_cut(labels: np.ndarray, rng: Generator) -> PhotoCut:
    """None, or a photo of another aspect that cuts off little of the objects (H, W) of a view."""
    if rng.random() >= 0.6:
        return PhotoCut()
    keep = rng.uniform(0.55, 1.0)
    axis = 0 if rng.random() < 0.7 else 1
    side = labels.shape[axis]
    occupied = np.flatnonzero(labels.any(1 - axis))
    free = min(occupied[0], side - 1 - occupied[-1]) if len(occupied) else 0
    cut = int(min((1 - keep) * side / 2, free + 0.05 * side))
    return PhotoCut(rows=cut) if axis == 0 else PhotoCut(columns=cut)


@dataclass(frozen=True)
class SampleConfig:
    """What a view is made into."""

    size: int  # pixels of the square picture
    augment: bool = True  # cuts, other colours, masks that are less exact, mirror images
    close: int = 0  # pixels of the windows that look at single objects; 0 = none


def geometry_sample(
    view: View,
    boxes: np.ndarray,
    rng: Generator,
    config: SampleConfig,
) -> Sample:
    """Network input and targets of one view and the boxes (K, 2, 3) of its placements; a random
    cut or letterbox makes every aspect.
    """
    labels = view.instance.astype(np.int32)
    cut = random_cut(labels, rng) if config.augment else PhotoCut()
    photo = np.ascontiguousarray(cut.of(view.image))
    truth = letterbox(photo, np.ascontiguousarray(cut.of(labels)), config.size)
    picture = _augmented(truth, rng) if config.augment else truth
    shown = np.where(picture.labels <= INSTANCES, picture.labels, 0).astype(np.int64)
    arrays = _surface_targets(view, cut, truth)
    arrays["picture"] = geometry_input(picture)
    arrays["shown"] = shown
    arrays["boxes"] = _padded(boxes)
    arrays["labels"] = truth.labels.astype(np.int64)
    arrays["camera"] = _camera_of_cut(view, cut).astype(np.float32)
    if config.close:
        arrays |= close_samples(view, PhotoWindow.of(cut, truth), np.unique(shown), rng, config)
    sample = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if config.augment and rng.random() < 0.5:
        return mirrored(sample)
    return sample


def _padded(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 2, 3) as (INSTANCES, 2, 3), zero behind them."""
    padded = np.zeros((INSTANCES, 2, 3), np.float32)
    padded[: len(boxes)] = boxes[:INSTANCES]
    return padded


def _camera_of_cut(view: View, cut: PhotoCut) -> np.ndarray:
    """(5,) parameters of the photo's camera; their unit is its longer side."""
    camera = camera_parameters(view.camera).astype(np.float64)
    ratio = cut.enlarges(view.instance.shape)
    camera[1] += np.log(ratio)
    camera[2:4] *= ratio
    camera[4] -= np.log(ratio)
    return camera


def _surface_targets(view: View, cut: PhotoCut, truth: Picture) -> Arrays:
    """What is true in each pixel of the letterboxed picture: log depth relative to the scene's
    centre, where it is known and where an object is, and the normal in the camera's axes.
    """
    pixels = _nearest_pixels(truth, cut.of(view.instance).shape)
    depth = cut.of(view.depth)[pixels]
    middle = np.log(centre_depth(camera_parameters(view.camera).astype(np.float64)))
    relative = _log_depth(depth, np.isfinite(depth), _DEPTHS[1]) - middle
    known = truth.inside & np.isfinite(depth) & (np.abs(relative) < _FAR)
    normal = cut.of(view.normal)[pixels] @ view.camera.rotation
    targets = {"depth": np.clip(relative, -_FAR, _FAR).astype(np.float32), "known": known}
    targets["object"] = (truth.labels > 0) & known
    targets["normal"] = np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)
    return targets


def _nearest_pixels(picture: Picture, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Index of the photo's pixels (H, W) that the pixels of its letterboxed picture show."""
    centres = np.arange(len(picture.labels)) + 0.5
    left, top = picture.offset
    found = []
    for offset, length in ((top, shape[0]), (left, shape[1])):
        places = ((centres - offset) / picture.scale).astype(int)
        found.append(np.clip(places, 0, length - 1))
    return np.ix_(*found)


def _log_depth(depth: np.ndarray, known: np.ndarray, otherwise: float) -> np.ndarray:
    """Logarithms of depths, clipped; ``otherwise`` where it is not known."""
    return np.log(np.clip(np.where(known, depth, otherwise), *_DEPTHS))


@dataclass(frozen=True)
class PhotoWindow:
    """Where photo and letterboxed picture lie in a view."""

    cut: PhotoCut
    corner: tuple[float, float]  # left, top of the picture, in the view's pixels
    side: float  # of the picture, in the view's pixels

    @classmethod
    def of(cls, cut: PhotoCut, picture: Picture) -> PhotoWindow:
        """Of the picture of a photo that was cut out of a view."""
        left = cut.columns - picture.offset[0] / picture.scale
        top = cut.rows - picture.offset[1] / picture.scale
        return cls(cut, (left, top), len(picture.labels) / picture.scale)

    def of_window(
        self,
        left: float,
        top: float,
        side: float,
    ) -> np.ndarray:
        """(3,) left, top and side of a window of the photo, in units of the picture's side."""
        corner = np.array([self.cut.columns, self.cut.rows]) + (left, top) - self.corner
        return (np.array([*corner, side]) / self.side).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ShownPhoto:
    """The part of a view that is left of a cut, and what is true in it."""

    image: np.ndarray  # (H, W, 3) uint8
    labels: np.ndarray  # (H, W) int32
    depth: np.ndarray  # (H, W) z-depth
    normal: np.ndarray  # (H, W, 3) in the camera's axes

    @classmethod
    def of(cls, view: View, cut: PhotoCut) -> ShownPhoto:
        """Cut it out."""
        camera_from_scene = view.camera.rotation  # of rows
        normal = cut.of(view.normal) @ camera_from_scene
        labels = cut.of(view.instance).astype(np.int32)
        return cls(cut.of(view.image), labels, cut.of(view.depth), normal)


def close_samples(
    view: View,
    place: PhotoWindow,
    shown: np.ndarray,
    rng: Generator,
    config: SampleConfig,
) -> Arrays:
    """Windows around WINDOWS random objects of a view and what is true in them.

    shown: the labels that the picture shows.
    """
    photo = ShownPhoto.of(view, place.cut)
    chosen = _objects_to_look_at(photo.labels, shown, rng)
    looks = [_close_look(photo, place, label, rng, config) for label in chosen.tolist()]
    together = {name: np.stack([look[name] for look in looks]) for name in looks[0]}
    return {**together, "close_labels": chosen.astype(np.int64)}


def _close_look(
    photo: ShownPhoto,
    place: PhotoWindow,
    label: int,
    rng: Generator,
    config: SampleConfig,
) -> Arrays:
    """One window. Draws: its margin, whether its mask is jittered and how, its colours."""
    margin = float(rng.uniform(1.1, 1.5)) if config.augment else 1.25
    window = cut_window(photo.image, photo.labels, label, config.close, margin)
    depth = photo.depth[window.pixels]
    own = (window.labels == label) & (label > 0) & np.isfinite(depth)
    seen = window
    if config.augment:
        jittered = rng.random() < 0.3 and own.any()
        drawn = jitter_labels(window.labels, rng) if jittered else window.labels
        colours = augment_image(window.colours, rng)
        seen = replace(window, colours=colours, labels=np.where(window.inside, drawn, 0))
    left, top, side = window.window
    normal = photo.normal[window.pixels].transpose(2, 0, 1)
    return {
        "close_pictures": close_look(seen, label),
        "close_places": place.of_window(left, top, side),
        "close_depth": _log_depth(depth, own, 1.0).astype(np.float32),
        "close_own": own,
        "close_normal": normal.astype(np.float32),
    }


def _objects_to_look_at(labels: np.ndarray, shown: np.ndarray, rng: Generator) -> np.ndarray:
    """(WINDOWS,) labels: different ones if there are as many, 0 if there is none."""
    there = [label for label in shown[shown > 0] if (labels == label).sum() >= LEAST]
    if len(there) >= WINDOWS:
        return rng.permutation(there)[:WINDOWS]
    return rng.choice(there, WINDOWS) if there else np.zeros(WINDOWS, int)


def mirrored(sample: Sample) -> Sample:
    """The sample of the mirrored photo: x changes its sign in the picture and in the scene. Doing
    it twice changes nothing.
    """
    flipped = sample | {name: sample[name].flip(-1) for name in MIRRORED if name in sample}
    against_x = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    flipped["normal"] = flipped["normal"] * against_x
    if "close_places" in sample:
        left, top, side = sample["close_places"].unbind(-1)
        flipped["close_places"] = torch.stack([1 - left - side, top, side], dim=-1)
        flipped["close_normal"] = flipped["close_normal"] * against_x
    flipped["camera"] = sample["camera"] * torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0])
    low, high = sample["boxes"].unbind(1)
    shift = torch.tensor([1.0, 0.0, 0.0]) * (low + high)
    flipped["boxes"] = torch.stack([low - shift, high - shift], dim=1)
    return flipped


def _augmented(picture: Picture, rng: Generator) -> Picture:
    """Another photo of the same, with masks that a person or a program drew less exactly; done on
    the small picture, where it is cheap.
    """
    colours = np.round((picture.image + 1) * 127.5).astype(np.uint8)
    image = signed(augment_image(colours, rng))
    labels = jitter_labels(picture.labels, rng) if rng.random() < 0.3 else picture.labels
    inside = picture.inside
    shown = np.where(inside, labels, 0).astype(np.int32)
    return replace(picture, image=image * inside[..., None], labels=shown)


@dataclass(frozen=True, eq=False)
class GeometrySamples(Dataset):
    """Sample i depends on (seed, i) only."""

    source: ViewSource
    library: AssetLibrary
    config: SampleConfig
    seed: int = 0

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index, 2))
        view = self.source(rng)
        return geometry_sample(view, boxes_in_scene(view, self.library), rng, self.config)
