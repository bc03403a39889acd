"""Two more ways to align point clouds, because published protocols use them: FilterReg, and a
gradient fit of the Chamfer distance.

Both are local and rigid or similar by construction, so a reflection cannot occur. Neither is random
here: clouds are thinned by strides and cells, restarts are evenly spaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from maquette.geometry.nearest import PointTree, build_tree, nearest
from maquette.geometry.oriented_boxes import smallest_box
from maquette.geometry.registration import thin, umeyama
from maquette.geometry.transforms import rotation_y, similarity, transform_points

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
    source: np.ndarray, target: np.ndarray, options: FilterReg | None = None
) -> np.ndarray:
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
    moments = (
        (source**2).sum(1).mean()
        + (target**2).sum(1).mean()
        - 2.0 * source.mean(0) @ target.mean(0)
    )
    variance = max(float(moments) / 3.0, LEAST_VARIANCE)
    cell = np.sqrt(variance) / options.cells
    points, counts = _cells(source, cell)
    centres, masses = _cells(target, cell)
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


def _cells(points: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (K, 3) and number (K,) of the points in each occupied cube of side ``cell``, counted
    from the lower corner.
    """
    keys = np.floor((points - points.min(0)) / cell).astype(np.int64)
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    sums = np.stack(
        [
            np.bincount(inverse.reshape(-1), weights=points[:, k], minlength=len(counts))
            for k in range(3)
        ],
        axis=1,
    )
    return sums / counts[:, None], counts.astype(np.float64)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _weighted_means(
    points: np.ndarray, centres: np.ndarray, masses: np.ndarray, spread: float, table: np.ndarray
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
        px = points[i, 0]
        py = points[i, 1]
        pz = points[i, 2]
        least = np.inf
        for k in range(len(centres)):
            dx = px - centres[k, 0]
            dy = py - centres[k, 1]
            dz = pz - centres[k, 2]
            squared[k] = dx * dx + dy * dy + dz * dz
            least = min(least, squared[k])
        total = 0.0
        x = 0.0
        y = 0.0
        z = 0.0
        for k in range(len(centres)):
            place = (squared[k] - least) * (EXPONENT_STEPS / spread)
            cell = int(place)
            if cell > last:
                continue
            rest = place - cell
            weight = masses[k] * (table[cell] * (1.0 - rest) + table[cell + 1] * rest)
            total += weight
            x += weight * centres[k, 0]
            y += weight * centres[k, 1]
            z += weight * centres[k, 2]
        means[i, 0] = x / total
        means[i, 1] = y / total
        means[i, 2] = z / total
    return means


def chamfer_fit(
    source: np.ndarray, target: np.ndarray, options: ChamferFit | None = None
) -> np.ndarray:
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
    steps = options.steps
    rate = options.rate
    most = options.points
    volumes = [smallest_box(thin(cloud, 20_000)).volume for cloud in (source, target)]
    scale = np.cbrt(volumes[1] / volumes[0]) if min(volumes) > 0 else 1.0
    middle = target.mean(0)
    placed = similarity(scale, None, -scale * source.mean(0))  # about the origin, where angles act
    clouds = [_in_space_order(transform_points(placed, source)), _in_space_order(target - middle)]
    angles = 2.0 * np.pi * np.arange(options.restarts) / options.restarts
    yaws = [similarity(1.0, rotation_y(angle)) for angle in angles]
    few = [build_tree(thin(cloud, max(50, most // 4))) for cloud in clouds]
    first = [
        _descend(few[0], few[1], yaw, np.array([0, 0, 0, 0, 0, 0, 1.0]), steps // 4, rate)
        for yaw in yaws
    ]
    best = sorted(range(len(yaws)), key=lambda k: first[k][1])[: max(1, len(yaws) // 4)]
    many = [build_tree(thin(cloud, most)) for cloud in clouds]
    last = [
        (yaws[k], *_descend(many[0], many[1], yaws[k], first[k][0], steps - steps // 4, rate))
        for k in best
    ]
    yaw, numbers, _ = min(last, key=lambda entry: entry[2])
    return similarity(1.0, None, middle) @ _similarity_of(numbers) @ yaw @ placed


def _in_space_order(points: np.ndarray) -> np.ndarray:
    return build_tree(points).sorted_points


def _descend(
    source: PointTree,
    target: PointTree,
    yaw: np.ndarray,
    numbers: np.ndarray,
    steps: int,
    rate: float,
) -> tuple[np.ndarray, float]:
    """The seven numbers after ``steps`` steps of Adam, and their squared Chamfer distance."""
    points = transform_points(yaw, source.sorted_points)
    goals = target.sorted_points
    names = np.empty(
        len(source.points), np.int64
    )  # index of the source's tree -> place in its sorted points
    names[source.order] = np.arange(len(source.points))
    mean = np.zeros(7)
    square = np.zeros(7)
    for step in range(1, steps + 1):
        gradient, _ = _chamfer_gradient(numbers, points, goals, source, target, yaw, names)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        numbers = numbers - rate * (mean / (1 - 0.9**step)) / (
            np.sqrt(square / (1 - 0.999**step)) + 1e-8
        )
        numbers[6] = np.clip(numbers[6], LEAST_SCALE, MOST_SCALE)
    return numbers, _chamfer_gradient(numbers, points, goals, source, target, yaw, names)[1]


def _chamfer_gradient(
    numbers: np.ndarray,
    points: np.ndarray,
    goals: np.ndarray,
    source: PointTree,
    target: PointTree,
    yaw: np.ndarray,
    names: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Gradient (7,) and value of mean d^2 both ways; correspondences are held fixed, which is exact
    where they are unique.
    """
    matrix = _similarity_of(numbers)
    moved = transform_points(matrix, points)
    forth, index = nearest(target, moved)
    _, own = nearest(source, transform_points(np.linalg.inv(matrix @ yaw), goals))
    place = names[own]
    ahead = moved - target.points[index]
    behind = moved[place] - goals
    pull = 2.0 * ahead / len(moved)
    np.add.at(pull, place, 2.0 * behind / len(goals))
    turned = moved / numbers[6]  # R x + t
    turns = [
        numbers[6] * float((pull * (points @ part.T)).sum())
        for part in _euler_derivatives(numbers[:3])
    ]
    gradient = np.array([*turns, *(numbers[6] * pull.sum(0)), float((pull * turned).sum())])
    return gradient, float((forth**2).mean() + (behind**2).sum(1).mean())


def _similarity_of(numbers: np.ndarray) -> np.ndarray:
    """(4, 4) of x -> s (R x + t), the numbers being three Euler angles, t and s."""
    x, y, z = _axis_turns(numbers[:3])
    return similarity(numbers[6], x @ y @ z, numbers[6] * numbers[3:6])


def _axis_turns(angles: np.ndarray, quarter: np.ndarray | None = None) -> list[np.ndarray]:
    """Rotations about x, y and z; with ``quarter`` ones, that axis' derivative by its angle
    instead.
    """
    turns = []
    for axis, angle in enumerate(angles):
        i = (axis + 1) % 3
        j = (axis + 2) % 3
        derivative = quarter is not None and quarter[axis]
        c, s = (-np.sin(angle), np.cos(angle)) if derivative else (np.cos(angle), np.sin(angle))
        turn = np.zeros((3, 3)) if derivative else np.eye(3)
        turn[i, i] = c
        turn[i, j] = -s
        turn[j, i] = s
        turn[j, j] = c
        turns.append(turn)
    return turns


def _euler_derivatives(angles: np.ndarray) -> list[np.ndarray]:
    """Derivatives of R by each of the three angles, (3, 3)."""
    return [x @ y @ z for x, y, z in (_axis_turns(angles, row) for row in np.eye(3))]
