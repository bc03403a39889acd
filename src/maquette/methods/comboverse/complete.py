"""Amodal completion (ComboVerse, arXiv 2403.12409, section 3.2): an object alone in a picture, with
what others hide of it painted.

In the flow: photo + Perception + one label -> a square picture of that object and nothing else,
from which it can be made without any knowledge of the scene. The paper's steps: what is not the
object becomes noise, I = O + noise (1 - M); a text-to-image model fills the part of the object's
box that is not the object, m = (1 - M) and b; then the object is cut out once more.

Ours: the photo shows where an object is not. Background that is visible, and objects that are
farther away, hide nothing; so only the rest of m is asked of the second cut, and where there is no
rest the painting is left out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from maquette.geometry.boxes import bounding_box, pixel_box
from maquette.geometry.cameras import project
from maquette.models.image_prior import ImagePrior
from maquette.photos.pixels import crop
from maquette.stages.perceive import Perception

# of the paper
PROMPT = "a complete 3D model"
STEPS = 30
GUIDANCE = 7.5
MARGIN = 1.3  # side of the picture over the longer side of the object's box
GROWTH = 1.0  # of a mask's sides: how far hidden parts may reach beyond its box
LARGEST = 512  # pixels of the picture's side
SMOOTH = 5  # pixels: smaller spots of the second cut are noise
LEAST_HIDDEN = 0.01  # of the visible pixels: less is not worth painting
GREY = 128
BLANK = 255  # the object's surroundings in the picture it is made from
NOT_PAINTED = (
    "parts of it may be hidden by other objects and were not painted: "
    "there are no text-to-image weights"
)


@dataclass(frozen=True, eq=False)
class Completed:
    """One object and nothing else."""

    image: np.ndarray  # (S, S, 3) uint8, BLANK where the object is not
    mask: np.ndarray  # (S, S) bool, the object with what was painted
    visible: np.ndarray  # (S, S) bool, what the photo shows of it
    box: np.ndarray  # (4,) left, top, right, bottom of the mask in pixels of the photo
    warning: str = ""  # for people; empty when all went well


@dataclass(frozen=True)
class _Square:
    """A square part of the photo, which may reach beyond it."""

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, box: np.ndarray) -> _Square:
        """With a MARGIN around a box (4,)."""
        low, high = box[:2], box[2:]
        side = max(4, int(np.ceil(MARGIN * (high - low).max())))
        left, top = np.floor((low + high - side) / 2).astype(int)
        return cls(int(left), int(top), side)

    def cut(self, array: np.ndarray, outside: float | bool) -> np.ndarray:
        """The window (side, side, ...) of an array (H, W, ...), filled where there is no photo."""
        right, bottom = self.left + self.side, self.top + self.side
        return crop(array, (self.left, self.top, right, bottom), outside)

    def inside(self, box: np.ndarray) -> np.ndarray:
        """(side, side) bool: pixel centres of the window inside a box (4,) of the photo."""
        centres = np.arange(self.side) + 0.5
        x = centres + self.left
        y = centres + self.top
        columns = (x > box[0]) & (x < box[2])
        rows = (y > box[1]) & (y < box[3])
        return rows[:, None] & columns


def complete(
    prior: ImagePrior | None,
    perception: Perception,
    label: int,
    seed: int,
) -> Completed:
    """The picture of one object of a photo, the visible pixels exactly as they are there.

    Without a prior nothing is painted, and ``warning`` says so where something may be hidden.
    """
    box = amodal_box(perception, label)
    window = _Square.around(box)
    pixels = window.cut(perception.photo, BLANK)
    visible = window.cut(perception.label_map == label, False)
    region = window.inside(box) & ~visible
    hidden = window.cut(_may_hide(perception, label), True) & region
    warning = ""
    whole = visible
    if hidden.sum() >= LEAST_HIDDEN * visible.sum():
        if prior is None:
            warning = NOT_PAINTED
        else:
            painted = _paint(prior, pixels, visible, region, seed)
            pixels = np.where(visible[..., None], pixels, painted)
            whole = visible | second_cut(pixels, visible, hidden, region & ~hidden)
    edges = np.array(pixel_box(whole), np.float64) + np.array([window.left, window.top] * 2)
    shown = np.where(whole[..., None], pixels, np.uint8(BLANK))
    return _reduced(Completed(shown, whole, visible, edges, warning))


def amodal_box(perception: Perception, label: int) -> np.ndarray:
    """(4,) left, top, right, bottom in pixels of an object with its hidden parts: the box of its
    mask, joined with where its box in space appears in the photo, at most GROWTH farther out.
    """
    own = np.array(pixel_box(perception.label_map == label), np.float64)
    corners = np.array([*itertools.product(*np.asarray(perception.boxes[label]).T)])
    pixel, depth = project(perception.camera, corners)
    if (depth <= 1e-3).any():
        return own
    grow = GROWTH * np.tile(own[2:] - own[:2], 2)
    reach = bounding_box(pixel).ravel()
    reach = np.clip(reach, own - grow, own + grow)
    low = np.minimum(own[:2], reach[:2])
    high = np.maximum(own[2:], reach[2:])
    return np.concatenate([low, high])


def noise_filled(picture: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """I = O + noise (1 - M): picture (3, S, S) in 0..1 inside of the mask (S, S) bool, uniform
    noise outside.
    """
    return torch.where(mask, picture, torch.rand(picture.shape, generator=generator))


def second_cut(
    painted: np.ndarray,
    visible: np.ndarray,
    hidden: np.ndarray,
    ground: np.ndarray,
) -> np.ndarray:
    """(S, S) bool: which of the hidden pixels the painted picture (S, S, 3) uint8 gives to the
    object.

    visible: the object for certain; hidden: what may be the object; ground: painted, and not the
    object. Each hidden pixel goes with the colours that are nearer to its own; the ground's are
    also the flat GREY that the embedded model paints behind objects in front of noise. Specks go
    with their surroundings, and only what hangs together with the visible part counts.
    """
    colours = _lab(painted)
    grey = _lab(np.full((1, 1, 3), GREY, np.uint8))[0]
    asked = colours[hidden]
    to_object = _colour_distance(asked, colours[visible])
    to_ground = _colour_distance(asked, colours[ground])
    likely = visible.copy()
    likely[hidden] = to_object <= np.minimum(to_ground, _colour_distance(asked, grey))
    likely = (cv2.medianBlur(likely.astype(np.uint8), SMOOTH) > 0) & hidden
    parts, _ = ndimage.label(likely | visible)
    return np.isin(parts, np.unique(parts[visible])) & likely


def _lab(colours: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 CIELAB of sRGB bytes, in which distances are what one sees."""
    return cv2.cvtColor(colours, cv2.COLOR_RGB2LAB).astype(np.float32)


def _colour_distance(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N,) mean distance of colours (N, 3) to the nearest few of the known ones (M, 3)."""
    if not len(known):
        return np.full(len(colours), np.inf)
    few = np.arange(1, min(8, len(known)) + 1)
    distances, _ = cKDTree(known).query(colours, k=few)
    return distances.mean(1)


def _may_hide(perception: Perception, label: int) -> np.ndarray:
    """(H, W) bool: pixels of other objects that are nearer than the farthest of what is seen of
    this one.
    """
    own = perception.picture.labels == label
    farthest = np.quantile(perception.depth[own], 0.9) if own.any() else np.inf
    others = (perception.label_map > 0) & (perception.label_map != label)
    return others & (perception.photo_depth < farthest)


def _paint(
    prior: ImagePrior,
    pixels: np.ndarray,
    visible: np.ndarray,
    region: np.ndarray,
    seed: int,
) -> np.ndarray:
    """(S, S, 3) uint8 what the prior makes of the noise-filled picture, at the window's size."""
    shown = _shrunk(visible.astype(np.float32), prior.size)
    # a mixed pixel shows what hides the object, so it is painted, too
    hole = (_shrunk(region.astype(np.float32), prior.size) > 0.25) & (shown < 0.9)
    generator = torch.Generator().manual_seed(seed)
    small = _shrunk(pixels, prior.size).permute(2, 0, 1) / 255.0
    filled = noise_filled(small, (shown > 0.5) & ~hole, generator)
    holes = hole[None, None].float()
    (made,) = prior.inpaint(filled[None], holes, [PROMPT], [seed], STEPS, GUIDANCE)
    made = made.detach().float().cpu().clamp(0, 1)
    painted = (made * 255).round().byte().permute(1, 2, 0).numpy()
    return cv2.resize(painted, visible.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _shrunk(array: np.ndarray, size: int) -> Tensor:
    """An array (S, S, ...) at ``size`` pixels, by area."""
    return torch.from_numpy(cv2.resize(array, (size, size), interpolation=cv2.INTER_AREA))


def _reduced(found: Completed) -> Completed:
    """The same at no more than LARGEST pixels."""
    if len(found.mask) <= LARGEST:
        return found
    size = (LARGEST, LARGEST)
    planes = [plane.astype(np.uint8) for plane in (found.visible, found.mask)]
    resized = [cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in planes]
    visible, mask = (plane > 0 for plane in resized)
    image = cv2.resize(found.image, size, interpolation=cv2.INTER_AREA)
    return replace(
        found,
        image=image,
        mask=mask | visible,
        visible=visible,
    )
