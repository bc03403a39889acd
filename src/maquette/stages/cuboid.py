"""Boxes: books, cartons, screens, picture frames, cabinets. Six numbers say all of an upright one,
and its outline, of six corners, tells five of them: turn, length, width, height and place; how far
away it is, no outline tells.

In the flow: outlines of a photo's objects -> which of them are such boxes (beside ``profile``),
a kind of known shape (``shapes``). Shapes of arrays: N rays or points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from maquette.geometry.boxes import longest_side
from maquette.geometry.transforms import cos_and_sin
from maquette.photos.pixels import grown
from maquette.stages.outline import Outline

DIRECTIONS = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)  # in which outlines are compared
TOWARDS = np.stack(cos_and_sin(DIRECTIONS))  # (2, 40)
TURNS = np.deg2rad(np.arange(5.0, 90.0, 15.0))  # that the search begins with
EVALUATIONS = 40  # from each of them
FEW = 5  # after which what is a box looks like one
HOPELESS = 0.9  # IoU by then, of what does not
DIFFERENCE = 1e-6  # of the numbers of a box, for slopes
START = np.array([0.0, -0.5, -0.5, -0.5, 0.0, -0.3])  # see _OutlineFit
NEAR_UNKNOWN = 5  # pixels across; an outline so near to what may hide it tells nothing
LEAST_TOLD = 24  # directions that tell something
# A side that the outline does not tell is about as long as the box is large, with this weight.
PRIOR = 0.02
LARGEST = 3.0  # absolute logarithm of a side over the size of the mask
SHIFT = 4  # binary digits of fractions of a pixel, for OpenCV
LEAST_IOU = 0.965  # of mask and picture of a box
CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Cuboid:
    """A box whose middle is at a level distance of 1 from the eye, upright and along the axes in
    its own axes, whose origin is the eye.
    """

    bounds: np.ndarray  # (2, 3) lowest and highest corner
    own_from_level: np.ndarray  # (3, 3) turn about Y

    @property
    def rims(self) -> np.ndarray:
        """(8, 3) its corners."""
        low, high = self.bounds
        return low + CORNERS * (high - low)

    @property
    def width(self) -> float:
        """Of its longest side."""
        return longest_side(self.bounds)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) how far points (N, 3) in its own axes are outside of it; negative inside."""
        middle, sides = self.bounds.mean(0), np.ptp(self.bounds, axis=0)
        beyond = np.abs(points - middle) - 0.5 * sides
        outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        return outside + np.minimum(beyond.max(1), 0.0)

    def first_met(self, rays: np.ndarray) -> np.ndarray:
        """(N,) multiples of level rays (N, 3) at which they enter; inf where they do not."""
        own = rays @ self.own_from_level.T
        own = np.where(np.abs(own) < 1e-12, 1e-12, own)
        crossings = self.bounds[:, None] / own
        enter = crossings.min(0).max(1)
        leave = crossings.max(0).min(1)
        return np.where((enter <= leave) & (enter > 0), enter, np.inf)

    def on_lid(self, heights: np.ndarray) -> np.ndarray:
        """(N,) bool: nowhere; what is seen of an open box is not told apart."""
        return np.zeros(heights.shape, bool)

    def mirror_angles(self, towards: float) -> tuple[float, ...]:
        """Of the normals of its two upright planes of symmetry, in level axes; towards: that of the
        direction to the eye.
        """
        x, _, z = self.own_from_level[0]
        turn = float(np.arctan2(z, x))
        return (turn, turn + np.pi / 2)


@dataclass(frozen=True, eq=False)
class _OutlineFit:
    """Boxes against an outline. Their numbers: turn, logarithms of width, depth and height over the
    mask's size, places aside and of the lower end over it.
    """

    outline: Outline
    reached: np.ndarray  # (40,) how far the mask reaches in each direction, in window pixels
    told: np.ndarray  # (40,) bool: where that is its own end

    @classmethod
    def of(cls, outline: Outline) -> _OutlineFit:
        """How far the mask reaches, and where something else may go on before it."""
        rows, columns = np.nonzero(outline.own)
        places = np.column_stack([columns, rows]) + 0.5
        along = places @ TOWARDS
        ends = along.argmax(0)
        disc = np.ones((NEAR_UNKNOWN, NEAR_UNKNOWN), np.uint8)
        near = grown(outline.unknown, disc)
        told = ~near[rows[ends], columns[ends]]
        return cls(outline, along.max(0) + 0.5, told)

    @cached_property
    def size(self) -> int:
        """Longer side of the mask in window pixels."""
        return max(self.outline.within[2:])

    @cached_property
    def middle(self) -> np.ndarray:
        """(3,) point behind the middle of the mask at a level distance of 1."""
        left, top, width, height = self.outline.within
        (ray,) = self.outline.rays_through(np.array([[left + 0.5 * width, top + 0.5 * height]]))
        return ray / np.hypot(ray[0], ray[2])

    @cached_property
    def unit(self) -> float:
        """The mask's size at the middle, in distances."""
        away = np.linalg.norm(self.middle)
        return self.size * self.outline.step / float(self.outline.camera.focal) * float(away)

    def boxes(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of numbers (B, 6): turns (B, 3, 3) from level axes to those of the boxes, and in these
        their middles and sides (B, 3).
        """
        turns = Rotation.from_euler("y", numbers[:, :1]).as_matrix()
        logs = np.clip(numbers[:, [1, 3, 2]], -LARGEST, LARGEST)
        sides = np.exp(logs) * self.unit
        x, y, z = self.middle
        aside, low = numbers[:, 4:].T * self.unit
        height = y + low + 0.5 * sides[:, 1]
        level = np.column_stack([x - aside * z, height, z + aside * x])
        return turns, (turns @ level[..., None])[..., 0], sides

    def box(self, numbers: np.ndarray) -> Cuboid:
        """Of six numbers."""
        turn, middle, sides = (each[0] for each in self.boxes(numbers[None]))
        return Cuboid(np.stack([middle - 0.5 * sides, middle + 0.5 * sides]), turn)

    def pictures(self, numbers: np.ndarray) -> np.ndarray:
        """(B, 8, 2) corners of the boxes of numbers (B, 6), in window pixels."""
        camera = self.outline.camera
        turns, middles, sides = self.boxes(numbers)
        corners = middles[:, None] + (CORNERS - 0.5) * sides[:, None]
        seen = corners @ turns @ camera.rotation @ camera.intrinsics.T
        pixels = seen[..., :2] / np.maximum(seen[..., 2:], 1e-6)
        return (pixels - self.outline.corner) / self.outline.step

    def errors(self, numbers: np.ndarray) -> np.ndarray:
        """(B, E) of boxes, in shares of the mask's size, and the prior."""
        off = (self.pictures(numbers) @ TOWARDS).max(1) - self.reached
        sides = PRIOR * (numbers[:, 1:4] - START[1:4])
        return np.concatenate([off * self.told / self.size, sides], axis=1)

    def slopes(self, numbers: np.ndarray) -> np.ndarray:
        """(E, 6) of the errors of one box, by differences, which are taken at once."""
        steps = DIFFERENCE * np.eye(len(numbers))
        return (self.errors(numbers + steps) - self.errors(numbers[None])).T / DIFFERENCE

    def best(self, evaluations: int) -> np.ndarray:
        """(6,) numbers of the box with the least errors after some evaluations from each turn."""
        tried = [
            least_squares(
                lambda numbers: self.errors(numbers[None])[0],
                [turn, *START[1:]],
                self.slopes,
                max_nfev=evaluations,
            )
            for turn in TURNS
        ]
        return min(tried, key=lambda found: float(found.cost)).x

    def iou(self, numbers: np.ndarray) -> float:
        """Of mask and picture, where they are known."""
        drawn = np.zeros(self.outline.own.shape, np.uint8)
        (picture,) = self.pictures(numbers[None])
        corners = np.clip(picture - 0.5, -1e4, 1e4) * 2**SHIFT
        hull = cv2.convexHull(np.round(corners).astype(np.int32))
        cv2.fillConvexPoly(drawn, hull, 1, shift=SHIFT)
        both = (drawn > 0) & self.outline.own
        either = ((drawn > 0) | self.outline.own) & ~self.outline.unknown
        return float(both.sum() / max(either.sum(), 1))


def fitted_box(outline: Outline) -> tuple[Cuboid, float]:
    """The upright box whose picture reaches as far as the mask in all directions, and the IoU of
    both; an IoU of 0 where too little of the outline is seen. What a few evaluations bring nowhere
    near a box gets no more.
    """
    fit = _OutlineFit.of(outline)
    best = fit.best(FEW)
    if fit.iou(best) > HOPELESS:
        best = fit.best(EVALUATIONS)
    return fit.box(best), fit.iou(best) if fit.told.sum() >= LEAST_TOLD else 0.0


def cuboid(outline: Outline) -> Cuboid | None:
    """The box that an object is, if it is one."""
    box, iou = fitted_box(outline)
    return box if iou > LEAST_IOU else None
