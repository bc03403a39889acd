"""The profile of a body of revolution, from its outline: of bottles, cups, pots, lamps, balls it
tells the whole shape, hidden side included, and better than any estimate of their depth.

In the flow: outlines of a photo's objects (``known``) -> those that are such bodies (``turned``).
A ray of the background that meets the level plane at a height h does so outside of the body. So the
body's radius at h is the distance from its axis at which the nearest of these rays does: the
profile follows without a search, also where something else hides half of it. Only the axis is
searched, along the picture's rows; how it leans, the middles of the mask's rows tell. Shapes of
arrays: N rays, M heights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from maquette.geometry.transforms import from_upright
from maquette.stages.frame import BACKGROUND_DEPTH
from maquette.stages.outline import Outline
from maquette.stages.turned import TurnedBody

WINDOW = 96  # pixels a side, in which a body is searched
LEAST_RELIEF = 40  # pixels of an object and of what is made of it, whose depths are compared
HEIGHTS = 64  # of a profile
FEWER = 24  # while the axis is searched
SPARSE = 5  # of so many pixels one is asked then
LEANING = 0.6  # IoU of an upright body, of what may be one that leans
HOPELESS = 0.8  # IoU near the axis, of what will not become a body by a finer search
BEYOND = 0.02  # of the mask's span, so far beyond it heights are asked
AXES = np.linspace(-0.15, 0.15, 9)  # of the mask's width from its middle
NEARBY = np.array([0.0, -0.5, 0.5])  # pixels of the window, for a second look
HALVINGS = 4  # of the step between axes, around the best
WIDEST = 3.0  # radius over the height of the mask's span; beyond, no ray of the background was met
WIDER = (1.0, 1.02, 1.04, 1.06)  # times the radii: drawn masks are not smooth
REACHED = 1.15  # times the radius that pixels of the mask show, the radius may be
NOISE = 0.04  # of a radius, by which its neighbours may be off without being an edge
LOST = 0.004  # of the mask, that a shorter body may leave uncovered at one end
# IoU of mask and picture of a body, apart from the pixels along the outline
SEARCHED = 0.99  # after the search
LEAST_IOU = 0.9925  # after a closer look
OF_FEW_PIXELS = 0.9985  # where the photo shows no more
BULGES = (0.5, 1.3)  # slope of the estimated relief on that of a body
ALIKE = 0.6  # their correlation
LOW = 0.45  # height over width; of what is lower, the relief along rows tells nothing
LOWEST = 0.15  # below, the pitch of the camera is not known well enough


@dataclass(frozen=True, eq=False)
class Fitted:
    """The widest body about an axis at distance 1 that an outline admits."""

    body: TurnedBody
    covers: np.ndarray  # (N, M) bool: which discs are behind each pixel of the mask
    iou: float  # of mask and picture
    column: float  # of the axis, of the window's width

    def shortened(self) -> Fitted:
        """Without what only the other parts hide: below a bottle and above its lid the picture
        would allow cones.
        """
        least = self._covered(0, None) - LOST * len(self.covers)
        first, last = 0, self.covers.shape[1]
        while first < last - 1 and self._covered(first + 1, last) >= least:
            first += 1
        least -= LOST * len(self.covers)
        while last > first + 1 and self._covered(first, last - 1) >= least:
            last -= 1
        kept = slice(first, last)
        body = self.body
        shorter = replace(body, heights=body.heights[kept], radii=body.radii[kept])
        return replace(self, body=shorter)

    def _covered(self, first: int, last: int | None) -> int:
        """Pixels of the mask before which there is one of some discs."""
        return int(self.covers[:, first:last].any(1).sum())

    def leaning(self, own_from_level: np.ndarray) -> Fitted:
        """The same of a body in axes that are turned against the level ones."""
        return replace(self, body=replace(self.body, own_from_level=own_from_level))


def turned_body(outline: Outline, finer: Outline) -> TurnedBody | None:
    """The body of revolution that an object is, if it is one; finer: the same outline."""
    fit = fitted(outline)
    closer = len(finer.own) > len(outline.own)
    if fit.iou > SEARCHED and closer:
        fit = looked_at_closely(finer, fit)
    if fit.iou < (LEAST_IOU if closer else OF_FEW_PIXELS):
        return None
    body = fit.shortened().body
    if body.slimness < LOWEST or (body.slimness > LOW and not _bulges_like(body, outline)):
        return None
    return body


def _bulges_like(body: TurnedBody, outline: Outline) -> bool:
    """Whether the estimated depth of an object curves along the rows of the picture as a body
    does. A box that is seen from the front has an outline like that of a cylinder.
    """
    made = body.first_met(outline.rays).reshape(outline.own.shape)
    both = outline.own & np.isfinite(made) & (outline.depth < BACKGROUND_DEPTH)
    if both.sum() < LEAST_RELIEF:
        return False
    estimated, expected = (_along_rows(depth, both) for depth in (outline.depth, made))
    together = float(estimated @ expected)
    squared = max(float(expected @ expected), 1e-12)
    like = together / np.sqrt(squared * max(float(estimated @ estimated), 1e-12))
    return BULGES[0] < together / squared < BULGES[1] and like > ALIKE


def _along_rows(depth: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(N,) log depths (P, P) of some pixels, less the mean of their row."""
    log = np.log(np.where(where, depth, 1.0))
    count = np.maximum(where.sum(1, keepdims=True), 1)
    return (log - log.sum(1, keepdims=True) / count)[where]


def fitted(outline: Outline) -> Fitted:
    """The body that shares most of its picture with the outline, upright or leaning as that
    does.
    """
    upright = _best_about(outline, np.eye(3))
    if upright.iou >= OF_FEW_PIXELS:
        return upright
    lean = outline.lean()
    if upright.iou < LEANING or np.allclose(lean, np.eye(3)):
        return upright
    return max(upright, _best_about(outline, lean), key=_iou)


def looked_at_closely(outline: Outline, fit: Fitted) -> Fitted:
    """The body about nearly the same axis, in a finer window of the same object."""
    turn = fit.body.own_from_level
    leaning = outline.leaning(turn)
    columns = (fit.column + NEARBY / WINDOW) * len(outline.own)
    tried = [_about(leaning, column, HEIGHTS) for column in columns.tolist()]
    return max(tried, key=_iou).leaning(turn)


def _best_about(outline: Outline, own_from_level: np.ndarray) -> Fitted:
    """The best body that leans in one way; its axis is searched along the rows."""
    outline = outline.leaning(own_from_level)
    left, _, wide, _ = outline.within
    middle = left + 0.5 * wide
    tried = [_about(outline, column, FEWER) for column in (middle + AXES * wide).tolist()]
    if max(map(_iou, tried)) < HOPELESS:
        return max(tried, key=_iou)
    step = float(AXES[1] - AXES[0]) * wide
    for _ in range(HALVINGS):
        step /= 2
        best = max(tried, key=_iou).column * len(outline.own)
        tried += [_about(outline, best + aside, FEWER) for aside in (-step, step)]
    best = max(tried, key=_iou).column * len(outline.own)
    return _about(outline, best, HEIGHTS).leaning(own_from_level)


def _iou(fit: Fitted) -> float:
    return fit.iou


def _about(outline: Outline, column: float, count: int) -> Fitted:
    """The upright body of ``count`` heights about the axis behind a column of the window."""
    axis, heights = _levels(outline, column, count)
    radii = _radii(outline, axis, heights)
    every = max(1, len(outline.own) // WINDOW) if count == HEIGHTS else SPARSE
    inner = from_axis(outline.inner_rays[::every], heights, axis)
    outer = from_axis(outline.outer_rays[::every], heights, axis)
    # no wider than what is seen of it, where other objects leave more room
    reached = np.where(inner <= radii, inner, 0.0).max(0)
    radii = np.minimum(radii, REACHED * reached)
    tried = []
    for factor in WIDER:
        covers = inner <= factor * radii
        over = (outer <= factor * radii).any(1).sum()
        iou = float(covers.any(1).sum() / (len(covers) + over))
        body = TurnedBody(axis, heights, factor * radii, np.eye(3))
        tried.append(Fitted(body, covers, iou, column / len(outline.own)))
    return max(tried, key=_iou)


def _levels(outline: Outline, column: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the axis at distance 1 behind a column of the window: its x and z (2,), and heights
    (count,) from below to above the mask.
    """
    _, top, _, tall = outline.within
    rows = (top, top + tall, top + 0.5 * tall)
    rays = outline.rays_through(np.array([[column, row] for row in rows]))
    level = from_upright(rays)
    high, low, _ = rays[:, 1] / level
    more = BEYOND * (high - low)
    axis = rays[2, [0, 2]] / level[2]
    return axis, np.linspace(low - more, high + more, count)


def _radii(outline: Outline, axis: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(M,) the widest radii about an axis that the background admits."""
    met = from_axis(outline.background, heights, axis)
    radii = np.partition(met, 1, axis=0)[1]  # the second: the nearest one may be a pixel of noise
    half_pixel = 0.5 * outline.step / outline.camera.focal
    radii -= half_pixel * np.hypot(1.0, heights)
    on_axis = np.insert(np.tile(axis, (len(heights), 1)), 1, heights, axis=1)
    is_none = ~outline.holds(on_axis) | (radii < 0)
    is_none |= radii > WIDEST * np.ptp(heights)
    return _evened(np.where(is_none, 0.0, radii))


def from_axis(rays: np.ndarray, heights: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(N, M) distances from the axis at which rays (N, 3) meet the planes at heights (M,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rays = rays.astype(np.float32)
        at = heights.astype(np.float32) / rays[:, 1:2]
        x = at * rays[:, :1] - np.float32(axis[0])
        z = at * rays[:, 2:] - np.float32(axis[1])
        squared = x * x + z * z  # NumPy's hypot takes five times as long
    return np.sqrt(np.where((at > 0) & np.isfinite(squared), squared, np.inf))


def _evened(radii: np.ndarray) -> np.ndarray:
    """Radii (M,) without the steps of pixels, and with their edges."""
    smooth = ndimage.uniform_filter1d(radii, 3)
    return np.where(np.abs(smooth - radii) < NOISE * radii, smooth, radii)
