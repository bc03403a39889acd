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

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from maquette.geometry.cameras import project
from maquette.models.image_prior import ImagePrior
from maquette.scene.perceive import Perception, depth_of_photo
from maquette.scene.viewpoint import mask_box

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
NOT_PAINTED = "parts of it may be hidden by other objects and were not painted: there are no text-to-image weights"


@dataclass(frozen=True, eq=False)
class Completed:
    """One object and nothing else."""

    image: np.ndarray  # (S, S, 3) uint8, BLANK where the object is not
    mask: np.ndarray  # (S, S) bool, the object with what was painted
    visible: np.ndarray  # (S, S) bool, what the photo shows of it
    box: np.ndarray  # (4,) left, top, right, bottom of the mask in pixels of the photo
    warning: str = ""  # for people; empty when all went well


@dataclass(frozen=True)
class _Window:
    """A square part of the photo, which may reach beyond it."""

    left: int
    top: int
    side: int

    def cut(self, array: np.ndarray, outside: float | bool) -> np.ndarray:
        """The window (side, side, ...) of an array (H, W, ...), filled where there is no photo."""
        window = np.full((self.side, self.side, *array.shape[2:]), outside, array.dtype)
        y0 = max(self.top, 0)
        x0 = max(self.left, 0)
        y1 = min(self.top + self.side, array.shape[0])
        x1 = min(self.left + self.side, array.shape[1])
        window[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left] = array[y0:y1, x0:x1]
        return window


def complete(
    prior: ImagePrior | None, image: np.ndarray, perception: Perception, label: int, seed: int
) -> Completed:
    """The picture of one object of a photo (H, W, 3) uint8, the visible pixels exactly as they are
    there.

    Without a prior nothing is painted, and ``warning`` says so where something may be hidden.
    """
    mask = perception.label_map == label
    box = amodal_box(perception, label)
    window = _window(box)
    pixels = window.cut(image, BLANK)
    visible = window.cut(mask, False)
    hidden = window.cut(_may_hide(perception, label), True) & _box_mask(box, window) & ~visible
    warning = ""
    whole = visible
    if hidden.sum() >= LEAST_HIDDEN * visible.sum():
        if prior is None:
            warning = NOT_PAINTED
        else:
            region = _box_mask(box, window) & ~visible
            painted = np.where(
                visible[..., None], pixels, _paint(prior, pixels, visible, region, seed)
            )
            whole = visible | second_cut(painted, visible, hidden, region & ~hidden)
            pixels = painted
    edges = mask_box(whole) + np.array([window.left, window.top] * 2)
    return _reduced(
        Completed(
            np.where(whole[..., None], pixels, np.uint8(BLANK)), whole, visible, edges, warning
        )
    )


def amodal_box(perception: Perception, label: int) -> np.ndarray:
    """(4,) left, top, right, bottom in pixels of an object with its hidden parts: the box of its
    mask, joined with where its box in space appears in the photo, at most GROWTH farther out.
    """
    own = mask_box(perception.label_map == label)
    low, high = perception.boxes[label]
    corners = np.array([[(low, high)[k >> axis & 1][axis] for axis in range(3)] for k in range(8)])
    pixel, depth = project(perception.camera, corners)
    if (depth <= 1e-3).any():
        return own
    grow = GROWTH * np.tile(own[2:] - own[:2], 2)
    reach = np.concatenate([pixel.min(0), pixel.max(0)])
    reach = np.clip(reach, own - grow, own + grow)
    return np.concatenate([np.minimum(own[:2], reach[:2]), np.maximum(own[2:], reach[2:])])


def noise_filled(picture: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """I = O + noise (1 - M): picture (3, S, S) in 0..1 inside of the mask (S, S) bool, uniform
    noise outside.
    """
    noise = torch.rand(picture.shape, generator=generator)
    return torch.where(mask, picture, noise)


def second_cut(
    painted: np.ndarray, visible: np.ndarray, hidden: np.ndarray, ground: np.ndarray
) -> np.ndarray:
    """(S, S) bool: which of the hidden pixels the painted picture (S, S, 3) uint8 gives to the
    object.

    visible: the object for certain; hidden: what may be the object; ground: painted, and not the
    object. Each hidden pixel goes with the colours that are nearer to its own; the ground's are
    also the flat GREY that the embedded model paints behind objects in front of noise. Specks go
    with their surroundings, and only what hangs together with the visible part counts.
    """
    colours = cv2.cvtColor(painted, cv2.COLOR_RGB2LAB).astype(np.float32)
    grey = cv2.cvtColor(np.full((1, 1, 3), GREY, np.uint8), cv2.COLOR_RGB2LAB).astype(np.float32)[0]
    to_object = _colour_distance(colours[hidden], colours[visible])
    to_ground = np.minimum(
        _colour_distance(colours[hidden], colours[ground]), _colour_distance(colours[hidden], grey)
    )
    likely = visible.copy()
    likely[hidden] = to_object <= to_ground
    likely = (cv2.medianBlur(likely.astype(np.uint8), SMOOTH) > 0) & hidden
    parts, _ = ndimage.label(likely | visible)
    return np.isin(parts, np.unique(parts[visible])) & likely


def _colour_distance(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N,) mean distance of colours (N, 3) to the nearest few of the known ones (M, 3)."""
    if not len(known):
        return np.full(len(colours), np.inf)
    return cKDTree(known).query(colours, k=np.arange(1, min(8, len(known)) + 1))[0].mean(1)


def _may_hide(perception: Perception, label: int) -> np.ndarray:
    """(H, W) bool: pixels of other objects that are nearer than the farthest of what is seen of
    this one.
    """
    depth = depth_of_photo(perception)
    own = perception.picture.labels == label
    farthest = np.quantile(perception.depth[own], 0.9) if own.any() else np.inf
    return (perception.label_map > 0) & (perception.label_map != label) & (depth < farthest)


def _window(box: np.ndarray) -> _Window:
    side = max(4, int(np.ceil(MARGIN * (box[2:] - box[:2]).max())))
    left, top = np.floor((box[:2] + box[2:] - side) / 2).astype(int)
    return _Window(int(left), int(top), side)


def _box_mask(box: np.ndarray, window: _Window) -> np.ndarray:
    """(S, S) bool: pixel centres of the window inside a box of the photo."""
    x = np.arange(window.side) + 0.5 + window.left
    y = np.arange(window.side) + 0.5 + window.top
    return ((y > box[1]) & (y < box[3]))[:, None] & ((x > box[0]) & (x < box[2]))[None]


def _paint(
    prior: ImagePrior, pixels: np.ndarray, visible: np.ndarray, region: np.ndarray, seed: int
) -> np.ndarray:
    """(S, S, 3) uint8 what the prior makes of the noise-filled picture, at the window's size."""
    size = (prior.size, prior.size)
    generator = torch.Generator().manual_seed(seed)
    small = (
        torch.from_numpy(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)).permute(2, 0, 1)
        / 255.0
    )
    shown, hole = (
        torch.from_numpy(cv2.resize(m.astype(np.float32), size, interpolation=cv2.INTER_AREA))
        for m in (visible, region)
    )
    hole = (hole > 0.25) & (
        shown < 0.9
    )  # a mixed pixel shows what hides the object, so it is painted, too
    filled = noise_filled(small, (shown > 0.5) & ~hole, generator)
    made = prior.inpaint(filled[None], hole[None, None].float(), [PROMPT], [seed], STEPS, GUIDANCE)[
        0
    ]
    made = (made.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return cv2.resize(made, visible.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _reduced(found: Completed) -> Completed:
    """The same at no more than LARGEST pixels."""
    if len(found.mask) <= LARGEST:
        return found
    size = (LARGEST, LARGEST)
    visible, mask = (
        cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for m in (found.visible, found.mask)
    )
    image = cv2.resize(found.image, size, interpolation=cv2.INTER_AREA)
    return Completed(image, mask | visible, visible, found.box, found.warning)
