"""Measures beyond Chamfer, F and box IoU that a protocol, or a user, asks for: poses, EMD, oriented
boxes, volumes, physics.

``EXTRAS`` (options/benchmark.py) names them. All are taken where the objects were put, without the
protocol's alignment. A miss gets ``MISSED``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from maquette.evaluate.detection import (
    Detection,
    OrientedBoxes,
    average_precision,
    class_of,
    detections,
)
from maquette.evaluate.dynamics import scene_dynamics
from maquette.evaluate.matching import Pairs
from maquette.evaluate.metrics import earth_movers_distance, surface_distances
from maquette.evaluate.physics import scene_physics
from maquette.evaluate.poses import add_s, diameter, icp_rotation
from maquette.evaluate.solids import volumetric_iou
from maquette.evaluate.surfaces import Meshes, SampledSurface, normalised, why_no_surface
from maquette.geometry.oriented_boxes import oriented_box_iou, smallest_yaw_box
from maquette.geometry.registration import point_to_point
from maquette.geometry.transforms import transform_points

if TYPE_CHECKING:
    import trimesh

EMD_POINTS = 1024
EMD_REACH = 0.1  # of the ICP before the assignment, in units of the box [-1, 1]
ADD_S_HIT = 0.1  # ADD-S below this counts for add_s_01
AP_THRESHOLD = 0.15
# What an object that is not there scores: one diameter off, the farthest turn, half a box off, no
# overlap.
MISSED = {
    "add_s": 1.0,
    "icp_rotation": 180.0,
    "emd": 1.0,
    "iou_obb": 0.0,
    "iou_v": 0.0,
}
FIELDS = {
    "poses": ("add_s", "icp_rotation"),
    "emd": ("emd",),
    "boxes": ("iou_obb",),
    "volume": ("iou_v",),
}


def object_extras(
    wanted: Collection[str],
    predicted: SampledSurface,
    truth: SampledSurface,
    predicted_mesh: trimesh.Trimesh,
    true_mesh: trimesh.Trimesh,
) -> dict[str, float]:
    """The wanted measures of one matched object, by field of ObjectScore. Surfaces and meshes may
    differ by one common similarity.
    """
    found: dict[str, float] = {}
    if "poses" in wanted:
        size = diameter(truth.corners)
        found["add_s"] = add_s(surface_distances(predicted.points, truth.points), size)
        turn = icp_rotation(predicted.points, truth.points, size)
        found["icp_rotation"] = MISSED["icp_rotation"] if turn is None else turn
    if "emd" in wanted:
        found["emd"] = aligned_emd(predicted, truth)
    if "boxes" in wanted:
        boxes = smallest_yaw_box(predicted.corners), smallest_yaw_box(truth.corners)
        found["iou_obb"] = oriented_box_iou(*boxes)
    if "volume" in wanted:
        found["iou_v"] = volumetric_iou(predicted_mesh, true_mesh)
    return found


def missed_extras(wanted: Collection[str]) -> dict[str, float]:
    """What an absent object scores in the wanted measures."""
    return {name: MISSED[name] for group in wanted for name in FIELDS.get(group, ())}


def aligned_emd(predicted: SampledSurface, truth: SampledSurface) -> float:
    """Earth mover's distance of 1,024 points each, in units of the half box: both scaled to [-1, 1]
    by their longest side, then ICP.

    Mira-Scene's EMD (point-to-point ICP from the identity, correspondences up to 0.1, exact
    assignment, plain distances).
    """
    source = normalised(predicted, 1.0, "longest", "points").points[:EMD_POINTS]
    target = normalised(truth, 1.0, "longest", "points").points[:EMD_POINTS]
    fit = point_to_point(source, target, reach=EMD_REACH, iterations=100)
    moved = transform_points(fit.target_from_source, source)
    return earth_movers_distance(moved, target, EMD_POINTS)


def scene_average_precision(predicted: OrientedBoxes, truth: OrientedBoxes, pairs: Pairs) -> float:
    """AP@15 in percent within one scene, mean over its classes; matched objects are of the true
    one's class, others of their name's.
    """
    true_name = {other: name for name, other in pairs.items()}
    found = [
        Detection("", class_of(true_name.get(name, name)), box) for name, box in predicted.items()
    ]
    return average_precision(found, detections("", truth), AP_THRESHOLD).get("mean", 0.0)


def physics_extras(predicted: Meshes, unit_per_mesh: float) -> dict[str, float]:
    """Physical measures of a prediction by field of SceneScore; lengths are multiplied with
    ``unit_per_mesh``. {} without any surface.
    """
    solid = {name: mesh for name, mesh in predicted.items() if not why_no_surface(mesh, name)}
    if not solid:
        return {}
    found = scene_physics(solid)
    extras = {"penetration": 100.0 * found.share, "gap": found.gap * unit_per_mesh}
    return extras | {"floating": 100.0 * found.floating, "stable": 100.0 * found.stable}


def dynamics_extras(
    predicted: Meshes, metres_per_mesh: float, seed: int
) -> dict[str, float | None]:
    """Measures of a prediction in MuJoCo by field of SceneScore, after scaling its lengths to
    metres; None where it diverged. {} without any surface.
    """
    solid = {name: mesh for name, mesh in predicted.items() if not why_no_surface(mesh, name)}
    if not solid:
        return {}
    metric = {name: mesh.copy().apply_scale(metres_per_mesh) for name, mesh in solid.items()}
    found = scene_dynamics(metric, seed=seed)
    lengths = {"depth": found.depth, "displacement": found.displacement}
    return lengths | {"peak_energy": found.peak_energy}


def add_s_hits(values: Collection[float | None]) -> float | None:
    """Percent of objects with ADD-S below 0.1 (ADD-S@.1); None when it was not measured."""
    hits = [value < ADD_S_HIT for value in values if value is not None]
    return 100.0 * float(np.mean(hits)) if hits else None
