"""The protocol ``iscene`` in plain Open3D: what one would write first. For ``evaluator_speed.py``,
which compares with it.
"""

from __future__ import annotations

import numpy as np
import open3d as o3d

from maquette.evaluate.protocols import ISCENE
from maquette.evaluate.surfaces import sample_mesh, stream
from maquette.geometry.boxes import bounding_box, box_iou, scene_from_world
from maquette.geometry.transforms import rotation_y, similarity, transform_points

ICP = ISCENE.icp
registration = o3d.pipelines.registration
Cloud = o3d.geometry.PointCloud


def score(predicted: dict, truth: dict) -> dict[str, float]:
    """Means of the protocol over the objects, aligned and as given (``_raw``), and the scores of
    the whole scene.
    """
    unit = similarity(2.0) @ scene_from_world(
        bounding_box(np.concatenate([mesh.vertices for mesh in truth.values()]))
    )
    a = {
        n: sample_mesh(m, ISCENE.points, stream(0, "predicted", n), unit).points
        for n, m in predicted.items()
    }
    b = {
        n: sample_mesh(m, ISCENE.points, stream(0, "truth", n), unit).points
        for n, m in truth.items()
    }
    whole_a = np.concatenate(list(a.values()))
    whole_b = np.concatenate(list(b.values()))
    matrix = align(whole_a, whole_b)
    cd_s, f_s = chamfer_and_f(transform_points(matrix, whole_a), whole_b)
    _, f_s_raw = chamfer_and_f(whole_a, whole_b)
    rows = []
    for name in b:
        own_a = own_box(a[name])
        own_b = own_box(b[name])
        aligned = chamfer_and_f(transform_points(align(own_a, own_b), own_a), own_b)
        given = chamfer_and_f(own_a, own_b)
        iou = [
            box_iou(bounding_box(transform_points(m, a[name])), bounding_box(b[name]))
            for m in (matrix, np.eye(4))
        ]
        rows.append([*aligned, *given, *iou])
    means = dict(
        zip(("cd_o", "f_o", "cd_o_raw", "f_o_raw", "iou_b", "iou_b_raw"), np.mean(rows, axis=0))
    )
    return {"cd_s": cd_s, "f_s": f_s, "f_s_raw": f_s_raw, **means}


def align(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(4, 4) b_from_a of points (N, 3): the better fit of two normalisations, a common box and each
    its own.
    """
    both = bounding_box(np.concatenate([a, b]))
    middle = both.mean(0)
    size = np.ptp(both, axis=0).max()
    first, cost_first = in_one_space((a - middle) / size, (b - middle) / size)
    (ma, sa), (mb, sb) = (
        (box.mean(0), np.ptp(box, axis=0).max() / 2) for box in (bounding_box(a), bounding_box(b))
    )
    second, cost_second = in_one_space((a - ma) / sa, (b - mb) / sb)
    if cost_first <= cost_second:
        return (
            similarity(size, None, middle) @ first @ np.linalg.inv(similarity(size, None, middle))
        )
    return similarity(sb, None, mb) @ second @ np.linalg.inv(similarity(sa, None, ma))


def in_one_space(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """(4, 4) rigid fit of normalised points and its cost: turns about the vertical, then coarse
    ICP, then robust ICP to planes.
    """
    angles = 2 * np.pi * np.arange(ICP.yaw_candidates) / ICP.yaw_candidates
    turns = sorted(
        (similarity(1.0, rotation_y(angle), np.zeros(3)) for angle in angles),
        key=lambda turn: cost(transform_points(turn, a), b),
    )[: ICP.yaw_keep]
    down_a = cloud(a).voxel_down_sample(ICP.voxel)
    down_b = cloud(b).voxel_down_sample(ICP.voxel)
    seed = min((coarse(down_a, down_b, turn, ICP.seed_iterations) for turn in turns), key=goodness)
    start = coarse(down_a, down_b, seed.transformation, ICP.coarse_iterations).transformation
    full_a = cloud(a)
    full_b = cloud(b)
    for full in (full_a, full_b):
        full.estimate_normals(o3d.geometry.KDTreeSearchParamHybrid(radius=3 * ICP.voxel, max_nn=30))
    to_planes = registration.TransformationEstimationPointToPlane(
        registration.TukeyLoss(k=ICP.tukey * ICP.voxel)
    )
    stop = registration.ICPConvergenceCriteria(max_iteration=ICP.fine_iterations)
    fit = registration.registration_icp(
        full_a, full_b, ICP.fine_reach * ICP.voxel, start, to_planes, stop
    )
    return fit.transformation, goodness(fit)


def coarse(
    a: Cloud, b: Cloud, start: np.ndarray, iterations: int
) -> registration.RegistrationResult:
    """Point-to-point ICP of thinned clouds."""
    stop = registration.ICPConvergenceCriteria(max_iteration=iterations)
    to_points = registration.TransformationEstimationPointToPoint()
    return registration.registration_icp(a, b, ICP.coarse_reach * ICP.voxel, start, to_points, stop)


def goodness(fit: registration.RegistrationResult) -> float:
    """Error of a fit, unmatched points included; less is better."""
    return fit.inlier_rmse + ICP.unfit_cost * (1 - fit.fitness)


def cost(a: np.ndarray, b: np.ndarray) -> float:
    """Trimmed mean distance of a few points, both ways."""

    def every(points: np.ndarray) -> np.ndarray:
        return points[
            np.linspace(0, len(points) - 1, min(ICP.sweep_points, len(points))).astype(int)
        ]

    return sum(
        np.sort(d)[: int(len(d) * (1 - ICP.trim))].mean() for d in distances(every(a), every(b))
    )


def chamfer_and_f(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Chamfer distance (squared, both ways) and F-score in per cent."""
    forth, back = distances(a, b)
    precision = (forth < ISCENE.threshold).mean()
    recall = (back < ISCENE.threshold).mean()
    return (forth**2).mean() + (back**2).mean(), 100 * 2 * precision * recall / max(
        precision + recall, 1e-12
    )


def distances(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each point to the nearest one of the other cloud, both ways."""
    a = cloud(a)
    b = cloud(b)
    return np.asarray(a.compute_point_cloud_distance(b)), np.asarray(
        b.compute_point_cloud_distance(a)
    )


def cloud(points: np.ndarray) -> Cloud:
    """Points (N, 3) as Open3D takes them."""
    return Cloud(o3d.utility.Vector3dVector(points))


def own_box(points: np.ndarray) -> np.ndarray:
    """Points in their own box, as the protocol looks at single objects."""
    box = bounding_box(points)
    return (points - box.mean(0)) * (2 * ISCENE.object_half / np.ptp(box, axis=0).max())
