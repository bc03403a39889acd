"""Distances between surfaces given as points, and the scores made of them. One nearest-neighbour
search feeds them all.

Which of these a published number means is decided by its protocol (protocols.py): Chamfer distances
in particular exist squared and not, summed and averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from maquette.geometry.nearest import PointTree, as_tree, nearest
from maquette.geometry.registration import thin
from maquette.geometry.transforms import scale_of, transform_points


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Euclidean distances, in the points' units, from every point of each cloud to the nearest of
    the other.
    """

    to_truth: np.ndarray  # (N,) of the predicted points
    truth_index: np.ndarray  # (N,) int
    to_predicted: np.ndarray  # (M,) of the true points
    predicted_index: np.ndarray  # (M,) int


def surface_distances(
    predicted: np.ndarray | PointTree,
    truth: np.ndarray | PointTree,
    truth_from_predicted: np.ndarray | None = None,
) -> SurfaceDistances:
    """Nearest neighbours both ways between points (N, 3) and (M, 3), or trees of them.

    A (4, 4) similarity may be applied to the prediction; its tree is reused, since a similarity
    keeps who is nearest.
    """
    predicted = as_tree(predicted)
    truth = as_tree(truth)
    transform = np.eye(4) if truth_from_predicted is None else truth_from_predicted
    to_truth, truth_index = _nearest_in_order(truth, predicted, transform)
    to_predicted, predicted_index = _nearest_in_order(predicted, truth, np.linalg.inv(transform))
    return SurfaceDistances(
        to_truth, truth_index, scale_of(transform) * to_predicted, predicted_index
    )


def _nearest_in_order(
    tree: PointTree, queries: PointTree, tree_from_queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Search in the spatial order of the queries' own tree, which is fast; answer in the order of
    their points.
    """
    found = nearest(tree, transform_points(tree_from_queries, queries.sorted_points))
    distance = np.empty_like(found[0])
    index = np.empty_like(found[1])
    distance[queries.order], index[queries.order] = found
    return distance, index


def chamfer_distance(distances: SurfaceDistances) -> float:
    """Mean of d^2 from prediction to truth plus mean of d^2 from truth to prediction: SQUARED
    units, summed, not halved.

    The CD of MIDI, SceneGen, I-Scene and Mira-Scene.
    """
    return float((distances.to_truth**2).mean() + (distances.to_predicted**2).mean())


def mean_distance(distances: SurfaceDistances) -> float:
    """(mean d from prediction to truth + mean d from truth to prediction) / 2: units, NOT squared.
    The Chamfer of Gen3DSR.
    """
    return float(0.5 * (distances.to_truth.mean() + distances.to_predicted.mean()))


def f_score(distances: SurfaceDistances, threshold: float) -> float:
    """100 * harmonic mean of precision and recall, each the share of points with d < ``threshold``
    (units, NOT squared). Percent.

    Knapitsch et al. 2017 (Tanks and Temples). Protocols that compare d^2 with a threshold s pass
    sqrt(s).
    """
    precision = float((distances.to_truth < threshold).mean())
    recall = float((distances.to_predicted < threshold).mean())
    total = precision + recall
    return 100.0 * 2.0 * precision * recall / total if total > 0 else 0.0


def normal_consistency(
    distances: SurfaceDistances, predicted_normals: np.ndarray, truth_normals: np.ndarray
) -> float:
    """Mean of |n_p . n_q| over nearest pairs, averaged over both directions; in [0, 1], 1 is best,
    orientation ignored.

    Mescheder et al. 2019 (Occupancy Networks). Normals are unit vectors (N, 3) and (M, 3) in a
    common frame.
    """
    forth = np.abs((predicted_normals * truth_normals[distances.truth_index]).sum(1)).mean()
    back = np.abs((truth_normals * predicted_normals[distances.predicted_index]).sum(1)).mean()
    return float(0.5 * (forth + back))


def earth_movers_distance(predicted: np.ndarray, truth: np.ndarray, most: int = 1024) -> float:
    """Mean Euclidean distance (units, not squared) under the cheapest one-to-one assignment of at
    most ``most`` points of each.

    Exact (Jonker-Volgenant), as Mira-Scene computes it; depends on ``most``, so compare only like
    with like.
    """
    count = min(most, len(predicted), len(truth))
    source = thin(predicted, count)
    target = thin(truth, count)
    cost = np.linalg.norm(source[:, None] - target[None], axis=-1)
    return float(cost[linear_sum_assignment(cost)].mean())
