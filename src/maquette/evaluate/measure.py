"""One prediction against one truth, both as surfaces: align as the protocol says, search nearest
neighbours, aligned and as given.

Between sampling (surfaces.py) and scores (score.py). The searches release Python's lock, so a few
threads help.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from maquette.evaluate.alignment import align
from maquette.evaluate.matching import Pairs
from maquette.evaluate.metrics import (
    SurfaceDistances,
    chamfer_distance,
    mean_distance,
    normal_consistency,
    surface_distances,
)
from maquette.evaluate.protocols import Protocol
from maquette.evaluate.surfaces import SampledSurface, Surfaces, normalised, pooled
from maquette.geometry.boxes import bounding_box, box_iou, longest_side
from maquette.geometry.nearest import build_tree
from maquette.geometry.transforms import scale_of, transform_points

# of the longer box's longest side: flat objects get this thickness, so that an IoU of volumes
# exists
THINNEST_BOX = 1e-3


@dataclass(frozen=True, eq=False)
class SurfaceComparison:
    """Distances of a prediction, after the protocol's alignment and without any."""

    truth_from_predicted: np.ndarray  # (4, 4)
    aligned: SurfaceDistances
    raw: SurfaceDistances
    normals: float  # normal consistency after alignment


def compare_all(
    predicted: Surfaces,
    truth: Surfaces,
    pairs: Pairs,
    protocol: Protocol,
    workers: int,
) -> tuple[SurfaceComparison | None, dict[str, SurfaceComparison]]:
    """Compare the whole scene (None when nothing was predicted) and every pair, true -> predicted
    name, on ``workers`` threads.
    """
    if not predicted:
        return None, {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        made = pooled(predicted.values(), protocol.scene_points)
        true = pooled(truth.values(), protocol.scene_points)
        whole = pool.submit(compare, made, true, protocol.scene_aligner, protocol)
        each = {}
        for name, other in pairs.items():
            sides = predicted[other], truth[name]
            each[name] = pool.submit(compare_object, *sides, protocol)
        return whole.result(), {name: future.result() for name, future in each.items()}


def compare_object(
    predicted: SampledSurface, truth: SampledSurface, protocol: Protocol
) -> SurfaceComparison:
    """Compare one object, each side normalised to its own box first unless the protocol keeps it in
    the scene.
    """
    if protocol.object_unit != "scene":
        predicted, truth = (
            normalised(s, protocol.object_half, protocol.object_unit, protocol.box_of)
            for s in (predicted, truth)
        )
    return compare(predicted, truth, protocol.object_aligner, protocol)


def compare(
    predicted: SampledSurface,
    truth: SampledSurface,
    aligner: str,
    protocol: Protocol,
) -> SurfaceComparison:
    """Align, then search both ways."""
    predicted_tree = build_tree(predicted.points)
    truth_tree = build_tree(truth.points)
    transform = align(aligner, protocol, predicted_tree, truth_tree, truth.normals)
    raw = surface_distances(predicted_tree, truth_tree)
    aligned = raw if aligner == "none" else surface_distances(predicted_tree, truth_tree, transform)
    turned = predicted.normals @ (transform[:3, :3] / scale_of(transform)).T
    normals = normal_consistency(aligned, turned, truth.normals)
    return SurfaceComparison(transform, aligned, raw, normals)


def chamfer_of(distances: SurfaceDistances, protocol: Protocol) -> float:
    """The Chamfer distance that the protocol means."""
    if protocol.chamfer == "squared-sum":
        return chamfer_distance(distances)
    return mean_distance(distances)


def miss_distance(half_side: float, protocol: Protocol) -> float:
    """Chamfer distance of a miss: as if every point were off by half the longest side of the true
    box, both ways.

    2 h^2 where distances are squared and summed, h where they are plain and averaged. A prediction
    may be worse; it is not capped.
    """
    return 2.0 * half_side**2 if protocol.chamfer == "squared-sum" else half_side


def aligned_box_iou(
    predicted: SampledSurface,
    truth: SampledSurface,
    transform: np.ndarray,
    protocol: Protocol,
) -> float:
    """IoU of the axis-aligned boxes, the prediction's after ``transform``; flat boxes are
    thickened.
    """
    clouds = [s.corners if protocol.box_of == "mesh" else s.points for s in (predicted, truth)]
    box = bounding_box(transform_points(transform, clouds[0]))
    true_box = bounding_box(clouds[1])
    thinnest = THINNEST_BOX * max(longest_side(box), longest_side(true_box))
    return box_iou(_at_least(box, thinnest), _at_least(true_box, thinnest))


def _at_least(box: np.ndarray, side: float) -> np.ndarray:
    half = np.maximum(np.ptp(box, axis=0), side) / 2
    return np.stack([box.mean(0) - half, box.mean(0) + half])
