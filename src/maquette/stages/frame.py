"""A depth map brought into agreement with what else is known of its scene: the boxes of the
objects, the ground that they share, and the frame that the scene has to fill.

In the flow: what GeometryNet says of a photo (``perceive``) -> the same in the scene frame.
Objects only ever move along their own rays, so that their picture stays as it was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from maquette.geometry.boxes import longest_side
from maquette.geometry.cameras import lift, moved
from maquette.geometry.transforms import similarity
from maquette.masks.labels import labels_in
from maquette.models.conditioning import Picture, letterboxed_camera
from maquette.types import Camera

ObjectBoxes = dict[int, np.ndarray]  # label -> (2, 3), lowest and highest corner
BACKGROUND_DEPTH = 1e3  # scene units; the depth of what is no object
STEEPEST = 4.0  # rise of a surface over its width in the picture; what rises more is torn
UNIT_CUBE = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])
# log depth by which the estimate of an object that stands on the ground may be off
CONTACT_TOLERANCE = 0.1
GROUNDS = 25  # heights that are tried
NEARER = np.exp(np.linspace(-0.35, 0.35, 71))  # factors of an object's distance that are tried
UNDECIDED = 2e-3  # misfits that are apart by less are about equally good
LOW_WEIGHTS = np.array([1.0, 0.5, 0.0])  # of a box's left, bottom and back side


def with_background(depth: np.ndarray) -> np.ndarray:
    """A depth map (H, W) float32 that is finite everywhere: nothing is far behind all objects."""
    return np.where(np.isfinite(depth), depth, BACKGROUND_DEPTH).astype(np.float32)


@dataclass(frozen=True, eq=False)
class DepthPicture:
    """A letterboxed photo and how far away everything in it is."""

    camera: Camera  # of the photo
    picture: Picture
    depth: np.ndarray  # (S, S) z-depth in scene units

    @property
    def points(self) -> np.ndarray:
        """(S, S, 3) float64 visible surface in the scene frame."""
        return lift(letterboxed_camera(self.camera, self.picture), self.depth)

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """(N,) depth at pixels (N, 2) of the photo."""
        left, top = self.picture.offset
        places = (pixels * self.picture.scale + (left, top)).astype(int)
        columns, rows = places.clip(0, len(self.depth) - 1).T
        return self.depth[rows, columns]


def shown_labels(picture: Picture) -> list[int]:
    """The labels that have a pixel, ascending."""
    return labels_in(picture.labels).tolist()


def into_boxes(seen: DepthPicture, boxes: ObjectBoxes) -> DepthPicture:
    """Move each object to where its visible surface fits its estimated box (2, 3) best.

    A box is estimated from the whole picture and all objects, a depth map from each pixel's
    surroundings: on 24 held-out scenes this took a quarter off the error of the objects' distances.
    Sides that may be hidden count less (below) or nothing (behind).
    """
    points = seen.points
    eye = seen.camera.position
    depth = seen.depth.copy()
    for label, (box_low, box_high) in boxes.items():
        own = seen.picture.labels == label
        if own.any():
            low, high = (np.quantile(points[own], q, axis=0) for q in (0.02, 0.98))
            low_misfit = np.abs(eye + NEARER[:, None] * (low - eye) - box_low)
            high_misfit = np.abs(eye + NEARER[:, None] * (high - eye) - box_high)
            misfit = low_misfit @ LOW_WEIGHTS + high_misfit.sum(1)
            depth[own] *= best(NEARER, misfit)
    return replace(seen, depth=depth)


def ground_factors(seen: DepthPicture, among: Collection[int] | None = None) -> dict[int, float]:
    """Label -> log of what brings an object's depth onto the height on which most objects stand
    within CONTACT_TOLERANCE; none for what reaches above the eye, or when fewer than two are left.
    ``among``: the labels of those that may stand on the ground; None = all.
    """
    points = seen.points
    eye_height = seen.camera.position[1]
    bottoms = {}
    for label in shown_labels(seen.picture):
        if among is not None and label not in among:
            continue
        bottom = bottom_height(points[seen.picture.labels == label])
        if bottom < eye_height - 0.05:
            bottoms[label] = bottom
    if len(bottoms) < 2:
        return {}
    below_eye = eye_height - np.array([*bottoms.values()])
    grounds = np.linspace(min(bottoms.values()), max(bottoms.values()), GROUNDS)
    factors = np.log((eye_height - grounds) / below_eye[:, None])  # (objects, grounds)
    misfits = np.minimum(np.abs(factors), CONTACT_TOLERANCE).sum(0)
    ground = best(grounds, misfits)
    return {
        label: float(np.log((eye_height - ground) / below))
        for label, below in zip(bottoms, below_eye)
    }


def bottom_height(points: np.ndarray) -> float:
    """Y of an object's lower end: the mean of its lowest points (N, 3)."""
    heights = np.sort(points[:, 1])
    return float(heights[: max(3, len(heights) // 50)].mean())


def best(candidates: np.ndarray, misfits: np.ndarray) -> float:
    """The candidate (N,) with the smallest misfit (N,), or between those that are about as good.

    The choice between equally good ones would hang on the last bit of the misfits, which differs
    from one number of threads, and one processor, to the other; a weighted mean moves smoothly.
    """
    weights = np.exp((misfits.min() - misfits) / UNDECIDED)
    return float(weights @ candidates / weights.sum())


def frame_of_picture(seen: DepthPicture, boxes: ObjectBoxes) -> np.ndarray:
    """(4, 4) new_from_old that scales and shifts the frame so that the scene fills it, and all that
    is visible lies within.

    The scene's box must be centred with a longest side of 1, and the boxes of the objects say
    something else than the camera does. The frame is set half way between the two: on 54 held-out
    scenes, 24 of them path traced as well, that took 3 % off the error of the visible points and
    raised the boxes' IoU from 0.290 to 0.300.
    """
    visible = np.quantile(seen.points[seen.picture.labels > 0], [0.005, 0.995], axis=0)
    whole = UNIT_CUBE
    if boxes:
        lows = [visible[0], *(low for low, _ in boxes.values())]
        highs = [visible[1], *(high for _, high in boxes.values())]
        whole = np.stack([np.min(lows, axis=0), np.max(highs, axis=0)])
    whole = np.clip(whole, -1.0, 1.0)  # a box that is far off moves nothing further
    scale = longest_side(whole) ** -0.5
    middle = whole.mean(0) / 2
    longest = scale * longest_side(visible)
    scale *= min(1.0, 1.0 / max(longest, 1e-6))
    low, high = (visible - middle) * scale
    # and the smallest shift that brings all of it into the cube
    shift = middle * scale + np.clip(0.0, high - 0.5, low + 0.5)
    return similarity(scale, None, -shift)


def picture_in_frame(
    seen: DepthPicture, new_from_old: np.ndarray
) -> tuple[DepthPicture, np.ndarray]:
    """The same in another frame, the background far away, and its points (S, S, 3) float32;
    ``new_from_old`` does not turn.
    """
    scale = float(new_from_old[0, 0])
    points = (seen.points * scale + new_from_old[:3, 3]).astype(np.float32)
    scaled = np.where(seen.picture.labels > 0, seen.depth * scale, BACKGROUND_DEPTH)
    camera = moved(seen.camera, new_from_old)
    return DepthPicture(camera, seen.picture, scaled.astype(np.float32)), points
