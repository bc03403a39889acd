"""Masks without a model to download: from boxes or clicks with GrabCut, or of everything on a plain
background.

GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) through OpenCV, on a reduced picture first and
then along the outline in a finer one. Any function of the type ``Segmenter`` can stand in the place
of ``segment``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from scipy import ndimage

from maquette.errors import InputError
from maquette.images.background import foreground_of_plain_background
from maquette.images.regions import clicked_region
from maquette.types import InstanceMask

COARSE_SIDE = 320  # pixels; GrabCut takes well under a second
FINE_SIDE = 1000  # pixels; beyond, the outline is enlarged
REGION_SIDE = 240  # pixels; where the region of a click is looked for
REACH = 0.1  # of the region's size: how far GrabCut may move its outline
# of the box's sides, on each side: the surroundings from which the background's colours are learnt
CONTEXT = 0.4
COLLAPSED = 0.2  # of the box; when GrabCut leaves less, it has lost the object
LEAST_PART = 0.05  # of the object's largest part; smaller ones are noise
SPECK_SHARE = 0.0008  # of the photo; smaller components on a plain background are dust


@dataclass(frozen=True)
class Click:
    """A point of the photo that belongs to the object ``label``, or does not; label 0 is the
    background for all.
    """

    x: float  # pixels
    y: float
    label: int
    positive: bool = True


@dataclass(frozen=True)
class Prompts:
    """What a person points at; nothing at all means "find the objects yourself"."""

    boxes: tuple[
        tuple[float, float, float, float], ...
    ] = ()  # x0, y0, x1, y1 in pixels, one object each
    clicks: tuple[Click, ...] = ()


class Segmenter(Protocol):
    """Photo (H, W, 3) uint8 and prompts -> masks (H, W) with labels 1, 2, ... Raises InputError
    when nothing can be found.
    """

    def __call__(self, image: np.ndarray, prompts: Prompts) -> list[InstanceMask]:
        """Segment one photo."""
        ...


def segment(image: np.ndarray, prompts: Prompts) -> list[InstanceMask]:
    """Segment with what the prompts give: boxes, clicks, or nothing. The default ``Segmenter``."""
    if prompts.boxes and prompts.clicks:
        raise InputError("boxes and clicks together; give one kind")
    if prompts.boxes:
        return grabcut_boxes(image, prompts.boxes)
    if prompts.clicks:
        return grabcut_clicks(image, prompts.clicks)
    return segment_plain_background(image)


def grabcut_boxes(
    image: np.ndarray, boxes: Sequence[tuple[float, float, float, float]]
) -> list[InstanceMask]:
    """Cut out one object per box (x0, y0, x1, y1); where two claim a pixel, the smaller box wins.
    Raises InputError.
    """
    height, width = image.shape[:2]
    rectangles = [_clipped(box, width, height) for box in boxes]
    masks = []
    for x0, y0, x1, y1 in rectangles:
        window = _with_context((x0, y0, x1, y1), width, height)
        state = np.full((height, width), cv2.GC_BGD, np.uint8)[window]
        top = window[0].start
        left = window[1].start
        inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        state[inner] = cv2.GC_PR_FGD
        found = _grabcut(image[window], state)
        if found.sum() < COLLAPSED * (x1 - x0) * (
            y1 - y0
        ):  # the colours inside and outside are alike: insist on the middle
            state[inner] = _core(state[inner])
            found = _grabcut(image[window], state)
        mask = np.zeros((height, width), bool)
        mask[window] = found
        masks.append(mask)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in rectangles]
    return _numbered(_without_overlap(masks, areas), [f"box {k + 1}" for k in range(len(masks))])


def grabcut_clicks(image: np.ndarray, clicks: Sequence[Click]) -> list[InstanceMask]:
    """Cut out one object per label of the clicks. Raises InputError when a click is outside of the
    photo or nothing is found.

    Each object is first the region around its clicks with the sharpest outline; GrabCut then learns
    the colours from it.
    """
    height, width = image.shape[:2]
    for click in clicks:
        if not (0 <= click.x < width and 0 <= click.y < height):
            raise InputError(
                f"the click {click.x:g},{click.y:g} is outside of the photo, which has {width} x {height} pixels"
            )
    labels = sorted({c.label for c in clicks if c.positive and c.label > 0})
    if not labels:
        raise InputError("all clicks are negative; click at least once on an object")
    masks = [_clicked(image, clicks, label) for label in labels]
    masks = _without_overlap(masks, [m.sum() for m in masks])
    return _numbered(masks, [f"clicks on label {label}" for label in labels], labels)


def _clicked(image: np.ndarray, clicks: Sequence[Click], label: int) -> np.ndarray:
    """Cut out the object (H, W) bool of one label."""
    height, width = image.shape[:2]
    own = [c for c in clicks if c.label == label and c.positive]
    # A negative click for another label says nothing about this one.
    others = [
        c
        for c in clicks
        if (c.positive and c.label != label) or (not c.positive and c.label in (0, label))
    ]
    scale = min(1.0, REGION_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    pixels = [
        [(min(int(c.y * scale), size[1] - 1), min(int(c.x * scale), size[0] - 1)) for c in group]
        for group in (own, others)
    ]
    region = cv2.resize(
        clicked_region(small, *pixels).astype(np.uint8),
        (width, height),
        interpolation=cv2.INTER_NEAREST_EXACT,
    )
    reach = max(2, round(REACH * np.sqrt(region.sum())))
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    state = np.where(region == 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    state[cv2.dilate(region, kernel) == 0] = cv2.GC_BGD
    for click in own + others:
        radius = max(2, max(height, width) // 120)
        cv2.circle(
            state,
            (int(click.x), int(click.y)),
            radius,
            cv2.GC_FGD if click in own else cv2.GC_BGD,
            -1,
        )
    rows = np.flatnonzero((state != cv2.GC_BGD).any(1))
    columns = np.flatnonzero((state != cv2.GC_BGD).any(0))
    window = _with_context((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), width, height)
    mask = np.zeros((height, width), bool)
    keep = [(c.x - window[1].start, c.y - window[0].start) for c in own]
    mask[window] = _grabcut(image[window], state[window], keep)
    return mask


def refine_with_clicks(image: np.ndarray, mask: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
    """Change a mask (H, W) bool where the clicks say so: a positive one adds what it stands on, a
    negative one takes it away.

    Only the connected pieces that a click stands on change, so an object never jumps elsewhere.
    Raises InputError.
    """
    height, width = mask.shape
    for click in clicks:
        if not (0 <= click.x < width and 0 <= click.y < height):
            raise InputError(
                f"the click {click.x:g},{click.y:g} is outside of the photo, which has {width} x {height} pixels"
            )
    groups = [c for c in clicks if c.positive], [c for c in clicks if not c.positive]
    scale = min(1.0, REGION_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    pixels = [
        [(min(int(c.y * scale), size[1] - 1), min(int(c.x * scale), size[0] - 1)) for c in group]
        for group in groups
    ]
    state = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    near = mask.copy()
    for own, others, value in (
        (pixels[0], pixels[1], cv2.GC_PR_FGD),
        (pixels[1], pixels[0], cv2.GC_PR_BGD),
    ):
        if own:
            region = cv2.resize(
                clicked_region(small, own, others).astype(np.uint8),
                (width, height),
                interpolation=cv2.INTER_NEAREST_EXACT,
            )
            state[(region == 1) & (mask != (value == cv2.GC_PR_FGD))] = value
            near |= region == 1
    radius = max(2, max(height, width) // 120)
    dots = np.zeros((2, height, width), np.uint8)
    for dot, group, value in zip(dots, groups, (cv2.GC_FGD, cv2.GC_BGD)):
        for click in group:
            cv2.circle(dot, (int(click.x), int(click.y)), radius, 1, -1)
        state[dot == 1] = value
    rows = np.flatnonzero((near | dots.any(0)).any(1))
    columns = np.flatnonzero((near | dots.any(0)).any(0))
    window = _with_context((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), width, height)
    found = mask.copy()
    found[window] = _grabcut(
        image[window],
        state[window],
        [(c.x - window[1].start, c.y - window[0].start) for c in groups[0]],
    )
    found = (found | (dots[0] == 1)) & (dots[1] == 0)
    return (mask | _touched(found & ~mask, dots[0])) & ~_touched(mask & ~found, dots[1])


def _touched(area: np.ndarray, dots: np.ndarray) -> np.ndarray:
    """Return the connected parts of an area (H, W) bool that have a pixel of the dots (H, W) uint8."""
    index = cv2.connectedComponents(area.astype(np.uint8), connectivity=4)[1]
    return np.isin(index, np.setdiff1d(index[dots == 1], [0]))


def _with_context(box: tuple[int, int, int, int], width: int, height: int) -> tuple[slice, slice]:
    """Return the rows and columns of a box with the surroundings from which the background's
    colours are learnt.
    """
    x0, y0, x1, y1 = (int(v) for v in box)
    dx = max(8, round(CONTEXT * (x1 - x0)))
    dy = max(8, round(CONTEXT * (y1 - y0)))
    return np.s_[max(y0 - dy, 0) : min(y1 + dy, height), max(x0 - dx, 0) : min(x1 + dx, width)]


def segment_plain_background(image: np.ndarray) -> list[InstanceMask]:
    """Find the objects on a plain, perhaps unevenly lit background, one per connected part, left to
    right. Raises InputError.
    """
    foreground = foreground_of_plain_background(image)
    return _components(foreground, "no object stands out from the background; use boxes or clicks")


def segment_alpha(alpha: np.ndarray) -> list[InstanceMask]:
    """Take the connected opaque parts of a cut-out, alpha (H, W) uint8, as objects, left to right.
    Raises InputError.
    """
    return _components(
        alpha >= 128, "the picture is transparent everywhere; use the original photo"
    )


def _components(foreground: np.ndarray, complaint: str) -> list[InstanceMask]:
    count, index, stats, _ = cv2.connectedComponentsWithStats(
        foreground.astype(np.uint8), connectivity=8
    )
    least = max(16.0, SPECK_SHARE * foreground.size)
    kept = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least]
    if not kept:
        raise InputError(complaint)
    kept.sort(key=lambda k: stats[k, cv2.CC_STAT_LEFT] + 0.5 * stats[k, cv2.CC_STAT_WIDTH])
    return [InstanceMask(label, index == k) for label, k in enumerate(kept, start=1)]


def _core(state: np.ndarray) -> np.ndarray:
    """Return a box's state with an ellipse in its middle for certain and its corners rather not."""
    height, width = state.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    radius = np.hypot(x, y)
    return np.where(
        radius < 0.5, cv2.GC_FGD, np.where(radius < 1.0, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    ).astype(np.uint8)


def _clipped(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[int, int, int, int]:
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    x0 = max(round(x0), 0)
    y0 = max(round(y0), 0)
    x1 = min(round(x1), width)
    y1 = min(round(y1), height)
    if x1 - x0 < 4 or y1 - y0 < 4:
        raise InputError(
            f"the box {','.join(f'{v:g}' for v in box)} has less than 4 pixels a side inside the photo of {width} x {height}"
        )
    if x1 - x0 == width and y1 - y0 == height:
        raise InputError(
            "the box is the whole photo; draw it around one object, so that some background is left outside"
        )
    return x0, y0, x1, y1


def _grabcut(
    image: np.ndarray, state: np.ndarray, keep: Sequence[tuple[float, float]] = ()
) -> np.ndarray:
    """Run GrabCut from ``state`` (H, W) coarsely, then once more along the outline at a finer
    scale; returns (H, W) bool.
    """
    height, width = state.shape
    coarse = _iterated(*_scaled(image, state, COARSE_SIDE), iterations=5)
    mask = cv2.resize(
        coarse.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    if max(height, width) > COARSE_SIDE and mask.any():
        mask = _refined(image, state, mask)
    return _main_parts(mask.astype(bool), keep)


def _refined(image: np.ndarray, state: np.ndarray, mask: np.ndarray) -> np.ndarray:
    height, width = state.shape
    band = max(3, round(2.5 * max(height, width) / COARSE_SIDE))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    outside = cv2.dilate(mask, kernel) == 0
    inside = cv2.erode(mask, kernel, borderType=cv2.BORDER_REPLICATE) == 1
    refined = np.where(mask == 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    refined[outside | (state == cv2.GC_BGD)] = cv2.GC_BGD
    refined[inside | (state == cv2.GC_FGD)] = cv2.GC_FGD
    fine = _iterated(*_scaled(image, refined, FINE_SIDE), iterations=1).astype(np.float32)
    return (cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5).astype(
        np.uint8
    )


def _scaled(image: np.ndarray, state: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    scale = side / max(state.shape)
    if scale >= 1:
        return np.ascontiguousarray(image), state.copy()
    size = (max(1, round(state.shape[1] * scale)), max(1, round(state.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.resize(
        state, size, interpolation=cv2.INTER_NEAREST
    )


def _iterated(image: np.ndarray, state: np.ndarray, iterations: int) -> np.ndarray:
    foreground = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    if foreground.sum() < 8 or (~foreground).sum() < 8:  # no colours to learn from
        return foreground
    cv2.setRNGSeed(0)  # GrabCut draws the first colour clusters at random
    cv2.grabCut(
        image, state, None, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK
    )
    return (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)


def _main_parts(mask: np.ndarray, keep: Sequence[tuple[float, float]]) -> np.ndarray:
    """Smooth the outline, keep the largest part, those of comparable size and those under a click,
    and close small holes.
    """
    radius = max(1, round(max(mask.shape) / 500))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    smooth = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    smooth = smooth if smooth.any() else mask.astype(np.uint8)
    count, index, stats, _ = cv2.connectedComponentsWithStats(smooth, connectivity=8)
    if count == 1:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    clicked = {int(index[int(y), int(x)]) for x, y in keep} - {0}
    kept = clicked or {k + 1 for k, area in enumerate(areas) if area >= LEAST_PART * areas.max()}
    parts = np.isin(index, list(kept))
    holes = ndimage.binary_fill_holes(parts) & ~parts
    count, index, stats, _ = cv2.connectedComponentsWithStats(
        holes.astype(np.uint8), connectivity=4
    )
    small = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < 0.01 * parts.sum()]
    return parts | np.isin(index, small)


def _without_overlap(masks: Sequence[np.ndarray], sizes: Sequence[float]) -> list[np.ndarray]:
    """Give each pixel to the smallest of the objects that claim it."""
    taken = np.zeros(masks[0].shape, bool)
    result: dict[int, np.ndarray] = {}
    for k in np.argsort(sizes, kind="stable"):
        result[int(k)] = masks[k] & ~taken
        taken |= masks[k]
    return [result[k] for k in range(len(masks))]


def _numbered(
    masks: Sequence[np.ndarray], origins: Sequence[str], labels: Sequence[int] | None = None
) -> list[InstanceMask]:
    for mask, origin in zip(masks, origins):
        if not mask.any():
            raise InputError(
                f"{origin}: no object was found there; give a tighter box or more clicks"
            )
    return [
        InstanceMask(label, mask) for label, mask in zip(labels or range(1, len(masks) + 1), masks)
    ]
