"""The aligners that protocols name: prediction -> truth as a 4x4 similarity. The algorithms of
others are in geometry/.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.protocols import Protocol
from maquette.geometry.nearest import PointTree, nearest
from maquette.geometry.registration import robust_icp, umeyama
from maquette.geometry.soft_registration import chamfer_fit, filter_registration
from maquette.geometry.transforms import similarity, transform_points

ALIGNERS = ("robust-icp", "midi-icp", "midi-icp-fixed", "filterreg", "chamfer-fit", "none")


def align(
    aligner: str,
    protocol: Protocol,
    predicted: PointTree,
    truth: PointTree,
    truth_normals: np.ndarray,
) -> np.ndarray:
    """(4, 4) truth_from_predicted; the normals (M, 3) are those of the true points."""
    source = predicted.sorted_points
    if aligner == "none":
        return np.eye(4)
    if aligner == "robust-icp":
        fit = robust_icp(predicted, truth, target_normals=truth_normals, options=protocol.icp)
        return fit.target_from_source
    if aligner == "midi-icp":
        return plain_icp(source, truth, wrong_rotation)
    if aligner == "midi-icp-fixed":
        return plain_icp(source, truth, umeyama)
    if aligner == "filterreg":
        return filter_registration(source, truth.sorted_points, protocol.filter)
    if aligner == "chamfer-fit":
        return chamfer_fit(source, truth.sorted_points, protocol.fit)
    raise InputError(
        f"aligner {aligner!r} of protocol {protocol.id} is unknown; "
        f"use one of {', '.join(ALIGNERS)}"
    )


def plain_icp(
    predicted: np.ndarray,
    truth: PointTree,
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    iterations: int = 50,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """(4, 4) of MIDI's ICP: rigid, from the identity, all points to all points, until the mean
    distance changes by < ``tolerance``.
    """
    transform = np.eye(4)
    moved = predicted
    before = np.inf
    for _ in range(iterations):
        distance, index = nearest(truth, moved)
        step = solve(moved, truth.points[index])
        transform = step @ transform
        moved = transform_points(step, moved)
        if abs(before - distance.mean()) < tolerance:
            break
        before = distance.mean()
    return transform


def wrong_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4) as MIDI's code computes it: V is taken for V^T, so R = V^T U^T instead of V U^T. Only
    for re-reading its numbers.
    """
    source_mean = source.mean(0)
    target_mean = target.mean(0)
    u, _, v = np.linalg.svd((source - source_mean).T @ (target - target_mean))
    v = v.T
    rotation = v.T @ u.T
    if np.linalg.det(rotation) < 0:
        v[-1] *= -1
        rotation = v.T @ u.T
    return similarity(1.0, rotation, target_mean - rotation @ source_mean)
