"""Aligning one point cloud with another: closed form (Umeyama) and the robust ICP that I-Scene
scores with.

Used by the evaluation, before distances are measured. Source of the robust ICP: I-Scene (arXiv
2512.13683), appendix 8: a sweep of yaws ranked by a trimmed symmetric Chamfer distance, short seed
ICPs from the best, a coarse point-to-point and a fine point-to-plane ICP with Tukey weights, run in
two normalisation spaces of which the better one is kept.

Everything is computed in the target's own coordinates, so that one KD tree of the target serves
both spaces; a space is no more than where the source starts, about which point it turns, and how
long the unit is in which the paper states its distances. Scale is not estimated in the ICP steps:
with correspondences from one side only it collapses (a shrunken source lies nearer). The second
space absorbs the ratio of the boxes; ``RobustIcp.with_scale`` adds a last estimate from
correspondences of both sides. Rotations come from a determinant-corrected SVD or the exponential
map, so a reflection cannot occur. Nothing here is random: clouds are thinned by a stride over their
points in the order of their tree, that is evenly in space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Real
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.connectivity import sums_at
from maquette.geometry.nearest import PointTree, as_tree, build_tree, nearest
from maquette.geometry.transforms import (
    OtherPoints,
    Points,
    Transform,
    determinant,
    rotation_y,
    scale_of,
    similarity,
    transform_points,
)

# (K, 3) moved points, (K,) target indices -> (4, 4) correction
Correction = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RobustIcp:
    """The settings of ``robust_icp``; the defaults are the paper's. Lengths are in units of the
    normalisation space.
    """

    yaw_candidates: int = 8
    yaw_keep: int = 3
    sweep_points: int = 2000  # per cloud, for ranking yaws
    trim: float = 0.2  # share of the largest distances that the ranking ignores
    voxel: float = 0.03
    coarse_reach: float = 2.5  # longest correspondence of seed and coarse ICP, in voxels
    fine_reach: float = 1.0  # the same of the fine ICP
    tukey: float = 1.5  # width of the Tukey weights of the fine ICP, in voxels
    seed_iterations: int = 20
    coarse_iterations: int = 40
    fine_iterations: int = 40
    unfit_cost: float = 0.03  # lambda in rmse + lambda (1 - fitness)
    # "shared": rigid; "own": with the boxes' ratio as isotropic scale
    spaces: tuple[str, ...] = ("shared", "own")
    thinned_points: int = 1000  # of the source, in seed and coarse ICP
    fine_points: int = 4096  # of the source, in the fine ICP
    with_scale: bool = False  # refine an isotropic scale at the end (not in the paper)
    scale_iterations: int = 60


@dataclass(frozen=True, eq=False)
class Registration:
    """An alignment and how well it fits."""

    target_from_source: Transform  # a similarity with positive determinant
    rmse: float  # of the inlier correspondences, in units of the space
    fitness: float  # share of source points with a correspondence, in [0, 1]
    score: float  # rmse + lambda (1 - fitness); smaller is better
    space: str  # the normalisation space that won, or "identity" when nothing could be fitted


@dataclass(frozen=True, eq=False)
class _Space:
    """A normalisation space seen from the target's coordinates."""

    name: str
    target_from_source: np.ndarray  # (4, 4) start
    pivot: np.ndarray  # (3,) the origin of the space; yaws turn about it
    unit: float  # length of 1 in target coordinates


@dataclass(frozen=True, eq=False)
class _Alignment:
    transform: np.ndarray  # (4, 4)
    rmse: float  # target coordinates
    fitness: float

    def cost(self, unit: float, unfit: float) -> float:
        """Rmse + lambda (1 - fitness), lengths in units of the space."""
        return self.rmse / unit + unfit * (1.0 - self.fitness)


def umeyama(
    source: Real[np.ndarray, "N 3"],
    target: Real[np.ndarray, "N 3"],
    *,
    weights: Real[np.ndarray, " N"] | None = None,
    with_scale: bool = False,
) -> Transform:
    """(4, 4) least-squares transform from source (N, 3) to corresponding target (N, 3) points;
    ``weights`` (N,) >= 0.

    The determinant is positive whatever the input, also when a reflection would fit better (Umeyama
    1991, eqs. 40-42).
    """
    if weights is None:
        share = np.full(len(source), 1.0 / len(source))
    else:
        share = weights / weights.sum()
    source_mean = share @ source
    target_mean = share @ target
    centred = source - source_mean
    covariance = (target - target_mean).T @ (centred * share[:, None])
    rotation, stretch = _nearest_rotation(covariance)
    variance = float(share @ (centred**2).sum(1))
    scale = stretch / variance if with_scale and variance > 0 else 1.0
    return similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def _nearest_rotation(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """The rotation (3, 3) R that is nearest to a matrix (3, 3), never a reflection, and the trace
    of R^T times the matrix.
    """
    left, singular, right = np.linalg.svd(matrix)
    handedness = np.sign(np.linalg.det(left) * np.linalg.det(right))
    signs = np.array([1.0, 1.0, handedness])
    return (left * signs) @ right, float(singular @ signs)


def robust_icp(
    source: Points | PointTree,
    target: OtherPoints | PointTree,
    *,
    target_normals: OtherPoints | None = None,
    options: RobustIcp | None = None,
) -> Registration:
    """Align source (N, 3) with target (M, 3), both +Y up and in the same units, as in I-Scene's
    appendix 8.

    Clouds may come as trees. ``target_normals`` (M, 3), of either sign, in the order of the
    target's points, are estimated from neighbours when absent. Raises InputError for fewer than
    three points or numbers that are not finite.
    """
    options = options or RobustIcp()
    for name, cloud in (("source", source), ("target", target)):
        points = cloud.points if isinstance(cloud, PointTree) else cloud
        if len(points) < 3 or not np.isfinite(points).all():
            raise InputError(
                f"cannot align: the {name} has {len(points)} points, at least 3 finite ones are "
                "needed; check the mesh"
            )
    tree = as_tree(target)
    ordered = as_tree(source).sorted_points
    normals = estimate_normals(tree.points) if target_normals is None else target_normals
    spaces = [_space(name, ordered, tree.points) for name in options.spaces]
    fits = [_align_in_space(space, ordered, tree, normals, options) for space in spaces]
    return min(fits, key=lambda fit: fit.score)


def point_to_point(
    source: Points | PointTree,
    target: OtherPoints | PointTree,
    *,
    reach: float = np.inf,
    iterations: int = 100,
) -> Registration:
    """Plain rigid ICP from the identity: correspondences within ``reach``, least squares, until
    fitness and rmse settle.

    What Open3D calls ``registration_icp`` with point-to-point estimation. Clouds (N, 3) and (M, 3)
    or trees of them.
    """
    tree = as_tree(target)
    ordered = as_tree(source).sorted_points

    def to_points(moved: np.ndarray, index: np.ndarray) -> np.ndarray:
        return umeyama(moved, tree.points[index])

    fit = _icp(ordered, tree, np.eye(4), reach, iterations, to_points)
    return Registration(_without_drift(fit.transform), fit.rmse, fit.fitness, fit.rmse, "given")


def estimate_normals(points: Points, neighbours: int = 16) -> Points:
    """(N, 3) unit normals of a cloud (N, 3) by PCA over the nearest points; their sign is
    arbitrary.
    """
    _, index = cKDTree(points).query(points, k=min(neighbours, len(points)))
    local = points[index] - points[index].mean(1, keepdims=True)
    _, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", local, local))
    return vectors[..., 0]


def voxel_downsample(points: Points, voxel: float) -> OtherPoints:
    """(K, 3) mean of the points (N, 3) in each occupied cube of side ``voxel``."""
    means, _ = occupied_cells(points, voxel)
    return means


def occupied_cells(
    points: Points, side: float
) -> tuple[Float[np.ndarray, "K 3"], Integer[np.ndarray, " K"]]:
    """Mean and number of the points in each occupied cube, counted from the lower corner."""
    cells = np.floor((points - points.min(0)) / side).astype(np.int64)
    _, size_y, size_z = cells.max(0) + 1
    x, y, z = cells.T
    keys = (x * size_y + y) * size_z + z
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return sums_at(inverse, points, len(counts)) / counts[:, None], counts


def thin(points: Float[np.ndarray, " N *rest"], most: int) -> Float[np.ndarray, " M *rest"]:
    """At most ``most`` of the points (N, 3), evenly strided: the same ones every time, a fair share
    of every object.
    """
    if len(points) <= most:
        return points
    return points[np.linspace(0, len(points) - 1, most).astype(np.int64)]


def _space(name: str, source: np.ndarray, target: np.ndarray) -> _Space:
    """Where clouds are compared: as they are, or source and target each in its own box."""
    source_box = bounding_box(source)
    target_box = bounding_box(target)
    middle = target_box.mean(0)
    if name == "shared":
        box = bounding_box(np.concatenate([source_box, target_box]))
        return _Space(name, np.eye(4), box.mean(0), _longest_side(box))
    if name != "own":
        raise InputError(f"normalisation space {name!r} is unknown; use 'shared' or 'own'")
    unit = _longest_side(target_box) / 2
    scale = unit / (_longest_side(source_box) / 2)
    return _Space(name, similarity(scale, None, middle - scale * source_box.mean(0)), middle, unit)


def _longest_side(box: np.ndarray) -> float:
    """Of a box (2, 3), at least a little."""
    return max(longest_side(box), 1e-12)


def _align_in_space(
    space: _Space,
    source: np.ndarray,
    target: PointTree,
    normals: np.ndarray,
    options: RobustIcp,
) -> Registration:
    """Sweep, seeds, coarse, fine, checks; a later stage that fails leaves the result of the one
    before.
    """
    placed = transform_points(space.target_from_source, source)
    voxel = options.voxel * space.unit
    thinned = thin(voxel_downsample(placed, voxel), options.thinned_points)
    coarse_tree = build_tree(voxel_downsample(target.points, voxel))
    reach = options.coarse_reach * voxel

    def to_points(moved: np.ndarray, index: np.ndarray) -> np.ndarray:
        return umeyama(moved, coarse_tree.points[index])

    def to_planes(moved: np.ndarray, index: np.ndarray) -> np.ndarray:
        return _plane_step(
            moved, target.points[index], normals[index], options.tukey * voxel, space.pivot
        )

    def score(fit: _Alignment) -> float:
        return fit.cost(space.unit, options.unfit_cost)

    def refine(cloud: np.ndarray, start: np.ndarray, iterations: int) -> _Alignment:
        return _icp(cloud, coarse_tree, start, reach, iterations, to_points)

    yaws = _best_yaws(placed, target.sorted_points, space, options)
    seeds = [refine(thinned, yaw, options.seed_iterations) for yaw in yaws]
    best = min(seeds, key=score)
    coarse = refine(thinned, best.transform, options.coarse_iterations)
    dense = thin(placed, options.fine_points)
    near = options.fine_reach * voxel
    fine = _icp(dense, target, coarse.transform, near, options.fine_iterations, to_planes)
    if options.with_scale:
        scaled = _with_scale(dense, target, fine, near, options.scale_iterations)
        fine = min(fine, scaled, key=score)
    for fit in (fine, coarse):
        if fit.fitness > 0 and _is_sane(fit.transform, space):
            transform = _without_drift(fit.transform) @ space.target_from_source
            rmse = fit.rmse / space.unit
            return Registration(transform, rmse, fit.fitness, score(fit), space.name)
    return Registration(space.target_from_source, np.inf, 0.0, np.inf, "identity")


def _best_yaws(
    placed: np.ndarray,
    target: np.ndarray,
    space: _Space,
    options: RobustIcp,
) -> list[np.ndarray]:
    """(4, 4) turns about the pivot, best first by the trimmed symmetric Chamfer distance."""
    source = thin(placed, options.sweep_points)
    target = thin(target, options.sweep_points)
    source_tree = build_tree(source)
    target_tree = build_tree(target)
    angles = 2 * np.pi * np.arange(options.yaw_candidates) / options.yaw_candidates
    turns = [_about(space.pivot, rotation_y(angle)) for angle in angles]

    def trimmed_mean(distances: np.ndarray) -> float:
        kept = max(1, int(len(distances) * (1.0 - options.trim)))
        return float(np.partition(distances, kept - 1)[:kept].mean())

    def cost(turn: np.ndarray) -> float:
        forth, _ = nearest(target_tree, transform_points(turn, source))
        # A rigid turn keeps distances, so the target may be turned back instead.
        back, _ = nearest(source_tree, transform_points(np.linalg.inv(turn), target))
        return trimmed_mean(forth) + trimmed_mean(back)

    costs = [cost(turn) for turn in turns]
    best = np.argsort(costs, kind="stable")[: options.yaw_keep]
    return [turns[number] for number in best]


def _about(pivot: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(4, 4) turn about a point."""
    return similarity(1.0, rotation, pivot - rotation @ pivot)


def _icp(
    source: np.ndarray,
    tree: PointTree,
    start: np.ndarray,
    reach: float,
    iterations: int,
    step: Correction,
) -> _Alignment:
    """Alternate correspondences within ``reach`` and ``step`` until neither fitness nor rmse
    change; the fit of the last transform.
    """
    before: _Alignment | None = None
    transform = start
    for _ in range(iterations + 1):
        moved = transform_points(transform, source)
        distance, index = nearest(tree, moved, reach)
        found = np.isfinite(distance)
        fitness = float(found.mean())
        rmse = float(np.sqrt((distance[found] ** 2).mean())) if fitness > 0 else 0.0
        fit = _Alignment(transform, rmse, fitness)
        if found.sum() < 3 or _settled(before, fit, 1e-6 * reach):
            break
        before = fit
        transform = step(moved[found], index[found]) @ transform
    return fit


def _settled(before: _Alignment | None, fit: _Alignment, least: float) -> bool:
    """Whether a step changed neither the fitness nor, by ``least``, the rmse."""
    if before is None or abs(before.fitness - fit.fitness) >= 1e-6:
        return False
    return abs(before.rmse - fit.rmse) < least


def _with_scale(
    source: np.ndarray,
    target: PointTree,
    fit: _Alignment,
    reach: float,
    iterations: int,
) -> _Alignment:
    """Go on from a fit with similarities; pairs from both clouds keep the scale from collapsing
    (either side alone favours one sign).
    """
    tree = build_tree(source)
    others = thin(target.sorted_points, len(source))
    transform = fit.transform
    for _ in range(iterations):
        moved = transform_points(transform, source)
        forth, index = nearest(target, moved, reach)
        back_reach = reach / max(scale_of(transform), 1e-6)
        back, own = nearest(tree, transform_points(np.linalg.inv(transform), others), back_reach)
        near = np.isfinite(forth)
        far = np.isfinite(back)
        if near.sum() + far.sum() < 4:
            return fit
        here = np.concatenate([moved[near], moved[own[far]]])
        there = np.concatenate([target.points[index[near]], others[far]])
        step = umeyama(here, there, with_scale=True)
        transform = step @ transform
        if np.abs(step - np.eye(4)).max() < 1e-7 * max(reach, 1e-9):
            break
    return _icp(source, target, transform, reach, 0, lambda moved, index: np.eye(4))


def _plane_step(
    moved: np.ndarray,
    matched: np.ndarray,
    normals: np.ndarray,
    width: float,
    pivot: np.ndarray,
) -> np.ndarray:
    """(4, 4) correction that reduces sum w_i (n_i . (p_i - q_i))^2 with Tukey weights, linearised
    about ``pivot``.
    """
    residual = ((moved - matched) * normals).sum(1)
    weight = np.clip(1.0 - (residual / width) ** 2, 0.0, None) ** 2
    jacobian = np.concatenate([np.cross(moved - pivot, normals), normals], axis=1)
    weighted = jacobian * weight[:, None]
    # The minimum-norm solution does not move along directions that the surface leaves free (a
    # plane, a sphere).
    update, *_ = np.linalg.lstsq(weighted.T @ jacobian, -weighted.T @ residual, rcond=1e-9)
    rotation = Rotation.from_rotvec(update[:3]).as_matrix()
    return similarity(1.0, rotation, update[3:] + pivot - rotation @ pivot)


def _is_sane(transform: np.ndarray, space: _Space) -> bool:
    """Whether a fit is finite, about rigid, and not far away."""
    if not np.isfinite(transform).all():
        return False
    if abs(determinant(transform) - 1.0) > 0.5:
        return False
    shift = transform_points(transform, space.pivot) - space.pivot
    return float(np.linalg.norm(shift)) <= 10.0 * space.unit


def _without_drift(transform: np.ndarray) -> np.ndarray:
    """Project the linear part onto scaled rotations, from which many steps may have drifted by
    rounding.
    """
    rotation, _ = _nearest_rotation(transform[:3, :3])
    scale = scale_of(transform)
    if abs(scale - 1.0) < 1e-9:  # of a rigid fit it is 1 up to rounding
        scale = 1.0
    return similarity(scale, rotation, transform[:3, 3])
