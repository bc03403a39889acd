"""Two more ways to align point clouds, because published protocols use them: FilterReg, and a
gradient fit of the Chamfer distance.

Both are local and rigid or similar by construction, so a reflection cannot occur. Neither is random
here: clouds are thinned by strides and cells, restarts are evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np

from maquette.geometry.nearest import PointTree, build_tree, nearest
from maquette.geometry.oriented_boxes import smallest_box
from maquette.geometry.registration import occupied_cells, thin, umeyama
from maquette.geometry.transforms import (
    OtherPoints,
    Points,
    Transform,
    cos_and_sin,
    rotation_y,
    similarity,
    transform_points,
)
from maquette.geometry.vectors import plus_scaled, row_of, squared_distance

LEAST_VARIANCE = 1e-4  # of the Gaussians of FilterReg, as in probreg
LEAST_SCALE = 0.05
MOST_SCALE = 20.0
EXPONENT_STEPS = 128  # table entries per unit of the exponent: interpolation errs by 1e-5
EXPONENTIALS = np.exp(-np.arange(25 * EXPONENT_STEPS) / EXPONENT_STEPS)


@dataclass(frozen=True)
class FilterReg:
    """The settings of ``filter_registration``; the defaults are those of SceneGen's evaluation,
    apart from ``cells``.
    """

    iterations: int = 200
    tolerance: float = 1e-4
    # along one standard deviation: the smoothing that they add is below 0.3 % of the variance
    cells: int = 6


@dataclass(frozen=True)
class ChamferFit:
    """The settings of ``chamfer_fit``; the defaults are DepR's, apart from ``points``."""

    restarts: int = 20  # yaws
    steps: int = 200  # of Adam
    rate: float = 0.05  # of Adam: radians, and units of the clouds, which DepR takes to be metres
    points: int = 1000  # of each cloud, in the last three quarters of the steps


def filter_registration(
    source: Points,
    target: OtherPoints,
    options: FilterReg | None = None,
) -> Transform:
    """(4, 4) rigid transform from source (N, 3) to target (M, 3) by FilterReg, point to point, from
    the identity.

    Gao and Tedrake 2019 with the settings of probreg that SceneGen's evaluation uses: Gaussians
    round the target's points of a FIXED variance, the mean of d^2 over all pairs divided by 3, no
    outlier term. Every source point is drawn to the weighted mean of the whole target round it,
    then the rotation and translation are solved in closed form. Stops when the sum of |x - mean| /
    sigma changes by less than the tolerance. So wide a Gaussian blurs the scene: the fit brings the
    masses together, and turns even equal clouds by a degree or two. Differences to probreg:
    Gaussian sums are exact over small cells, not approximated by a permutohedral lattice.
    """
    options = options or FilterReg()
    squares = (source**2).sum(1).mean() + (target**2).sum(1).mean()
    moments = squares - 2.0 * source.mean(0) @ target.mean(0)
    variance = max(float(moments) / 3.0, LEAST_VARIANCE)
    cell = np.sqrt(variance) / options.cells
    points, counts = (values.astype(np.float64) for values in occupied_cells(source, cell))
    centres, masses = (values.astype(np.float64) for values in occupied_cells(target, cell))
    transform = np.eye(4)
    before = None
    for _ in range(options.iterations):
        moved = transform_points(transform, points)
        drawn = _weighted_means(moved, centres, masses, 2.0 * variance, EXPONENTIALS)
        criterion = float(counts @ np.linalg.norm(moved - drawn, axis=1)) / np.sqrt(variance)
        transform = umeyama(moved, drawn, weights=counts) @ transform
        if before is not None and abs(criterion - before) < options.tolerance:
            break
        before = criterion
    return transform


@numba.njit(
    cache=True,
    nogil=True,
    fastmath=True,
)
@no_type_check  # numba has types of its own
def _weighted_means(
    points: np.ndarray,
    centres: np.ndarray,
    masses: np.ndarray,
    spread: float,
    table: np.ndarray,
) -> np.ndarray:
    """For every point the mean of the centres weighted with mass * exp(-d^2 / spread); the nearest
    distance is taken out first.

    The exponential is read from ``table``, its values at 0, 1 / EXPONENT_STEPS, ..., interpolated:
    twice as fast.
    """
    means = np.empty_like(points)
    squared = np.empty(len(centres))
    last = len(table) - 2
    for i in range(len(points)):
        least = np.inf
        point = row_of(points, i)
        for k in range(len(centres)):
            squared[k] = squared_distance(point, row_of(centres, k))
            least = min(least, squared[k])
        total = 0.0
        summed = (0.0, 0.0, 0.0)
        for k in range(len(centres)):
            place = (squared[k] - least) * (EXPONENT_STEPS / spread)
            cell = int(place)
            if cell > last:
                continue
            rest = place - cell
            share = table[cell] * (1.0 - rest) + table[cell + 1] * rest
            weight = masses[k] * share
            total += weight
            summed = plus_scaled(summed, weight, row_of(centres, k))
        for axis in range(3):
            means[i, axis] = summed[axis] / total
    return means


def chamfer_fit(
    source: Points,
    target: OtherPoints,
    options: ChamferFit | None = None,
) -> Transform:
    """(4, 4) similarity from source (N, 3) to target (M, 3): gradient descent on the squared
    Chamfer distance, as DepR scores scenes.

    First the source is scaled by the cube root of the ratio of the smallest oriented boxes' volumes
    and its mean moved onto the target's. Then seven numbers (Euler angles x y z, translation,
    scale) are fitted by Adam from several yaws; the lowest distance wins. Differences to DepR: yaws
    are evenly spaced and about the target's mean instead of random and about the camera; the fit
    sees some of the points only; after a quarter of the steps, on a quarter of these points, the
    best quarter of the restarts goes on.
    """
    options = options or ChamferFit()
    middle = target.mean(0)
    placed = _as_large(source, target)
    centred = (transform_points(placed, source), target - middle)
    clouds = [build_tree(points).sorted_points for points in centred]
    angles = 2.0 * np.pi * np.arange(options.restarts) / options.restarts
    few = [build_tree(thin(cloud, max(50, options.points // 4))) for cloud in clouds]
    start = np.array([0, 0, 0, 0, 0, 0, 1.0])
    steps = options.steps // 4
    yaws = [similarity(1.0, rotation_y(angle)) for angle in angles]
    fits = [_descend(_Pair(few, yaw), start, steps, options.rate) for yaw in yaws]
    fits.sort(key=lambda fit: fit.cost)
    many = [build_tree(thin(cloud, options.points)) for cloud in clouds]
    last = []
    for fit in fits[: max(1, len(yaws) // 4)]:
        pair = _Pair(many, fit.yaw)
        last.append(_descend(pair, fit.numbers, options.steps - steps, options.rate))
    best = min(last, key=lambda fit: fit.cost)
    return similarity(1.0, None, middle) @ _similarity_of(best.numbers) @ best.yaw @ placed


def _as_large(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4) that brings the source to the target's size and to the origin, where angles act."""
    volume, wanted = (smallest_box(thin(cloud, 20_000)).volume for cloud in (source, target))
    scale = np.cbrt(wanted / volume) if min(volume, wanted) > 0 else 1.0
    return similarity(scale, None, -scale * source.mean(0))


class _Pair:
    """Two clouds, the source after a turn."""

    def __init__(self, clouds: Sequence[PointTree], yaw: np.ndarray):
        source, target = clouds
        self.source = source
        self.target = target
        self.yaw = yaw  # (4, 4)
        self.points = transform_points(yaw, source.sorted_points)
        self.goals = target.sorted_points
        # index of the source's tree -> place in its sorted points
        self.places = np.argsort(source.order)


@dataclass(frozen=True, eq=False)
class _ChamferDescent:
    """Where a descent has arrived."""

    numbers: np.ndarray  # (7,) Euler angles, translation, scale
    cost: float  # squared Chamfer distance
    yaw: np.ndarray  # (4, 4) before it


def _descend(
    pair: _Pair,
    numbers: np.ndarray,
    steps: int,
    rate: float,
) -> _ChamferDescent:
    """The seven numbers after ``steps`` steps of Adam."""
    mean = np.zeros(7)
    square = np.zeros(7)
    for step in range(1, steps + 1):
        gradient, _ = _chamfer_gradient(numbers, pair)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        spread = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        numbers = numbers - rate * (mean / (1 - 0.9**step)) / spread
        numbers[6] = np.clip(numbers[6], LEAST_SCALE, MOST_SCALE)
    _, cost = _chamfer_gradient(numbers, pair)
    return _ChamferDescent(numbers, cost, pair.yaw)


def _chamfer_gradient(numbers: np.ndarray, pair: _Pair) -> tuple[np.ndarray, float]:
    """Gradient (7,) and value of mean d^2 both ways; correspondences are held fixed, which is exact
    where they are unique.
    """
    matrix = _similarity_of(numbers)
    moved = transform_points(matrix, pair.points)
    forth, index = nearest(pair.target, moved)
    returned = transform_points(np.linalg.inv(matrix @ pair.yaw), pair.goals)
    _, own = nearest(pair.source, returned)
    place = pair.places[own]
    behind = moved[place] - pair.goals
    pull = 2.0 * (moved - pair.target.points[index]) / len(moved)
    np.add.at(pull, place, 2.0 * behind / len(pair.goals))
    scale = numbers[6]
    derivatives = [_rotation(numbers, derived) for derived in range(3)]
    turns = [scale * float((pull * (pair.points @ d.T)).sum()) for d in derivatives]
    growth = float((pull * (moved / scale)).sum())  # moved / scale = R x + t
    gradient = np.array([*turns, *(scale * pull.sum(0)), growth])
    return gradient, float((forth**2).mean() + (behind**2).sum(1).mean())


def _similarity_of(numbers: np.ndarray) -> np.ndarray:
    """(4, 4) of x -> s (R x + t), the numbers being three Euler angles, t and s."""
    return similarity(numbers[6], _rotation(numbers), numbers[6] * numbers[3:6])


def _rotation(numbers: np.ndarray, derived: int | None = None) -> np.ndarray:
    """(3, 3) R of the first three numbers, or its derivative by one of them."""
    x, y, z = (_axis_turn(axis, numbers[axis], axis == derived) for axis in range(3))
    return x @ y @ z


def _axis_turn(axis: int, angle: float, derivative: bool) -> np.ndarray:
    """(3, 3) rotation about an axis, or its derivative by the angle."""
    i = (axis + 1) % 3
    j = (axis + 2) % 3
    turn = np.zeros((3, 3)) if derivative else np.eye(3)
    cos, sin = cos_and_sin(angle)
    c, s = (-sin, cos) if derivative else (cos, sin)
    turn[i, i] = turn[j, j] = c
    turn[i, j] = -s
    turn[j, i] = s
    return turn
