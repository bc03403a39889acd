"""Two scenes -> one frozen result under a protocol. The heart of the evaluation: sample, match,
align, measure, count misses.

What is counted: every true object, always. An absent or surfaceless predicted object is a miss: F
0, IoU 0 and the Chamfer distance of `miss_distance`; it also lowers the scene scores, because its
points are absent there. Extra predicted objects are listed, and their points count against the
scene scores. Alignment-free numbers stand beside the aligned ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.further import (
    add_s_hits,
    missed_extras,
    object_extras,
    physics_extras,
    scene_average_precision,
)
from maquette.evaluate.hints import name_hints, unit_hints, winding_hints
from maquette.evaluate.matching import match_objects, require_common_name
from maquette.evaluate.measure import (
    Comparison,
    aligned_box_iou,
    chamfer_of,
    compare_all,
    miss_distance,
)
from maquette.evaluate.metrics import f_score
from maquette.evaluate.protocols import EXTRAS, ISCENE, Protocol, protocol_named
from maquette.evaluate.surfaces import (
    Surface,
    check_mesh,
    chosen,
    joined,
    sample_mesh,
    shares,
    stream,
    triangle_areas,
)
from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.cameras import project
from maquette.geometry.oriented_boxes import smallest_yaw_box
from maquette.geometry.transforms import scale_of, similarity

if TYPE_CHECKING:
    import trimesh

    from maquette.types import Camera

OBJECT_MEANS = (
    "cd_o",
    "f_o",
    "iou_b",
    "cd_o_raw",
    "f_o_raw",
    "iou_b_raw",
    "normals",
)  # averaged over a scene's true objects
OBJECT_EXTRAS = (
    "add_s",
    "icp_rotation",
    "emd",
    "iou_obb",
    "iou_v",
)  # the same, where they were measured


@dataclass(frozen=True)
class ObjectScore:
    """One true object. Distances in the protocol's object units; F in percent; ``*_raw`` without
    any alignment.
    """

    name: str
    predicted: str  # name of the matched prediction; "" for a miss
    cd_o: float
    f_o: float
    iou_b: float
    cd_o_raw: float
    f_o_raw: float
    iou_b_raw: float
    normals: float  # normal consistency after alignment, in [0, 1]
    miss: str = ""  # why it counts as a miss; "" when it does not
    add_s: float | None = (
        # poses.add_s, 0 is best; this and what follows only where the protocol or the caller asks
        # for it
        None
    )
    icp_rotation: float | None = None  # degrees that a plain ICP still turns (poses.icp_rotation)
    emd: float | None = None  # further.aligned_emd, in half sides of the object's box
    iou_obb: float | None = None  # of the smallest boxes with a vertical axis, as predicted
    iou_v: float | None = None  # volumetric, as predicted


@dataclass(frozen=True)
class SceneScore:
    """One scene. Distances in the protocol's scene units; F in percent; ``*_o`` and ``iou_b`` are
    means over ALL true objects.
    """

    protocol: str  # id, such as "iscene/1"
    cd_s: float
    f_s: float
    cd_o: float
    f_o: float
    iou_b: float
    cd_s_raw: float
    f_s_raw: float
    cd_o_raw: float
    f_o_raw: float
    iou_b_raw: float
    normals: float  # normal consistency of the aligned objects, in [0, 1]
    objects: tuple[ObjectScore, ...]
    missing: tuple[str, ...]  # true objects counted as misses
    extra: tuple[str, ...]  # predicted objects that no true one was matched with
    truth_from_predicted: tuple[tuple[float, ...], ...]  # (4, 4) scene alignment, in scene units
    seed: int
    seconds: float = dataclasses.field(compare=False, default=0.0)
    hints: tuple[str, ...] = ()  # what is probably not meant: wrong units, permuted names
    f_s_2: float | None = (
        # F of the aligned scene at the protocol's second threshold; this and what follows only
        # where asked for
        None
    )
    f_s_3: float | None = None  # and at its third
    cd_s_one: float | None = None  # mean squared distance from prediction to truth only, aligned
    add_s: float | None = None  # means over ALL true objects, as in ObjectScore
    add_s_01: float | None = None  # percent of true objects with ADD-S below 0.1
    icp_rotation: float | None = None
    emd: float | None = None
    iou_obb: float | None = None
    iou_v: float | None = None
    ap15: float | None = None  # average precision in percent at box IoU 0.15, within this scene
    penetration: float | None = (
        None  # percent of the predicted volume that lies in another object or below the ground
    )
    gap: float | None = None  # mean distance that predicted objects can fall, in scene units
    floating: float | None = None  # percent of predicted objects that touch nothing
    stable: float | None = (
        None  # percent of predicted objects that touch something and would not tip
    )

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts, lists and JSON scalars."""
        return dataclasses.asdict(self)


def score_scene(
    pred: Mapping[str, trimesh.Trimesh],
    gt: Mapping[str, trimesh.Trimesh],
    protocol: str | Protocol = ISCENE,
    seed: int = 0,
    *,
    match: str = "names",
    extra: Collection[str] = (),
    camera: Camera | None = None,
    workers: int = 2,
) -> SceneScore:
    """Score predicted meshes against true ones, both name -> mesh in one world frame (+Y up, any
    unit).

    ``match`` is "names" or "hungarian" (matching.py). ``extra`` adds measures to those of the
    protocol (``protocols.EXTRAS``). With a ``camera`` of the same world frame only what lies in its
    picture counts, where the protocol is about one view. ``workers`` threads change the time, not
    the numbers. The same inputs and seed give the same result bit for bit. An empty ``pred`` is a
    scene of misses. Raises InputError for an empty or surfaceless ground truth, vertices that are
    not finite, an unknown protocol or extra, and a prediction none of whose names occur in the
    ground truth.
    """
    start = time.perf_counter()
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    wanted = tuple(dict.fromkeys([*protocol.also, *extra]))
    if unknown := [name for name in wanted if name not in EXTRAS]:
        raise InputError(f"extra {unknown[0]!r} is unknown; choose from {', '.join(EXTRAS)}")
    _require_truth(gt)
    if match == "names":
        require_common_name(pred, gt)
    unusable = {name: reason for name, mesh in pred.items() if (reason := check_mesh(mesh, name))}
    solid = {name: mesh for name, mesh in pred.items() if name not in unusable}
    unit = (
        np.eye(4)
        if protocol.scene_unit == "given"
        else similarity(2.0) @ scene_from_world(_scene_box(gt))
    )
    view = camera if protocol.frame == "camera" and protocol.scene_unit == "given" else None
    truth = _sampled(gt, protocol, seed, "truth", unit, view)
    predicted = _sampled(solid, protocol, seed, "predicted", unit, view)
    if not truth:
        raise InputError(
            f"the camera sees none of the {len(gt)} true objects; give the camera in the frame of the meshes"
        )
    boxes = [
        {name: surface.box for name, surface in surfaces.items()} for surfaces in (predicted, truth)
    ]
    pairs = match_objects(*boxes, match)
    whole, each = compare_all(predicted, truth, pairs, protocol, workers)

    def row(name: str) -> ObjectScore:
        if name not in pairs:
            reason = unusable.get(
                name,
                "no predicted object stands for it" if name not in solid else "out of the picture",
            )
            return _miss(name, truth[name], reason, protocol, missed_extras(wanted))
        other = pairs[name]
        transform = (
            np.eye(4) if whole is None or protocol.boxes == "raw" else whole.truth_from_predicted
        )
        more = object_extras(wanted, predicted[other], truth[name], pred[other], gt[name])
        return _found(
            name, other, predicted[other], truth[name], each[name], transform, protocol, more
        )

    rows = [row(name) for name in truth]
    used = set(pairs.values())
    more = _scene_extras(wanted, protocol, whole, predicted, truth, pairs, solid, scale_of(unit))
    score = _sum_up(whole, rows, joined(truth.values()), protocol, more)
    return dataclasses.replace(
        score,
        extra=tuple(
            name
            for name in pred
            if name not in used and (name in predicted or (name in unusable and name not in gt))
        ),
        hints=_hints(solid, gt, boxes, pairs, protocol, match, wanted, view),
        seed=seed,
        seconds=time.perf_counter() - start,
    )


def _require_truth(gt: Mapping[str, trimesh.Trimesh]) -> None:
    if not gt:
        raise InputError(
            "the ground truth has no objects; give a scene with one named node per object"
        )
    for name, mesh in gt.items():
        if reason := check_mesh(mesh, name):
            raise InputError(
                f"ground truth object {name!r} cannot be scored: {reason}; repair it or take it out"
            )


def _scene_box(meshes: Mapping[str, trimesh.Trimesh]) -> np.ndarray:
    """(2, 3) box of the vertices that faces use."""
    boxes = []
    for mesh in meshes.values():
        used = np.zeros(len(mesh.vertices), dtype=bool)
        used[np.asarray(mesh.faces).reshape(-1)] = True
        boxes.append(bounding_box(np.asarray(mesh.vertices, dtype=np.float64)[used]))
    return bounding_box(np.concatenate(boxes))


def _sampled(
    meshes: Mapping[str, trimesh.Trimesh],
    protocol: Protocol,
    seed: int,
    role: str,
    unit: np.ndarray,
    camera: Camera | None,
) -> dict[str, Surface]:
    """Seeded samples of every mesh; with a camera, of what lies in its picture, and only of objects
    that do.
    """
    counts = [protocol.points] * len(meshes)
    if protocol.scene_points and meshes:
        areas = [
            float(triangle_areas(mesh.vertices, np.asarray(mesh.faces)).sum())
            for mesh in meshes.values()
        ]
        counts = [max(protocol.points, count) for count in shares(areas, protocol.scene_points)]
    surfaces = {
        name: sample_mesh(mesh, count, stream(seed, role, name), unit)
        for (name, mesh), count in zip(meshes.items(), counts)
    }
    if camera is None:
        return surfaces
    seen = {name: _in_picture(surface.points, camera) for name, surface in surfaces.items()}
    return {name: chosen(surfaces[name], keep) for name, keep in seen.items() if keep.sum() >= 3}


def _in_picture(points: np.ndarray, camera: Camera) -> np.ndarray:
    pixels, depth = project(camera, points)
    return (
        (depth > 0)
        & (pixels >= 0).all(1)
        & (pixels[:, 0] < camera.width)
        & (pixels[:, 1] < camera.height)
    )


def _scene_extras(
    wanted: Collection[str],
    protocol: Protocol,
    whole: Comparison | None,
    predicted: Mapping[str, Surface],
    truth: Mapping[str, Surface],
    pairs: Mapping[str, str],
    solid: Mapping[str, trimesh.Trimesh],
    scale: float,
) -> dict[str, float]:
    """Measures of the scene as a whole, by field of SceneScore."""
    more: dict[str, float] = {}
    for field, threshold in zip(("f_s_2", "f_s_3"), protocol.more_thresholds):
        more[field] = 0.0 if whole is None else f_score(whole.aligned, threshold)
    if "one-way" in wanted and whole is not None:
        more["cd_s_one"] = float((whole.aligned.to_truth**2).mean())
    if "boxes" in wanted:
        boxes = (
            {name: smallest_yaw_box(surface.corners) for name, surface in surfaces.items()}
            for surfaces in (predicted, truth)
        )
        more["ap15"] = scene_average_precision(*boxes, pairs)
    if "physics" in wanted:
        more |= physics_extras(solid, scale)
    return more


def _hints(
    solid: Mapping[str, trimesh.Trimesh],
    gt: Mapping[str, trimesh.Trimesh],
    boxes: list[dict[str, np.ndarray]],
    pairs: Mapping[str, str],
    protocol: Protocol,
    match: str,
    wanted: Collection[str],
    camera: Camera | None,
) -> tuple[str, ...]:
    """What is probably not meant."""
    sizes = [
        float(np.ptp(_scene_box(meshes), axis=0).max()) if meshes else 0.0 for meshes in (solid, gt)
    ]
    hints = unit_hints(*sizes, protocol) + winding_hints({**gt, **solid}, wanted)
    if match == "names":
        hints += name_hints(*boxes, pairs)
    if protocol.frame == "camera" and protocol.scene_unit == "given" and camera is None:
        hints.append(
            f"{protocol.id} counts only what the camera sees, but no camera was given: everything counts"
        )
    return tuple(hints)


def _found(
    name: str,
    predicted_name: str,
    predicted: Surface,
    truth: Surface,
    comparison: Comparison,
    transform: np.ndarray,
    protocol: Protocol,
    more: Mapping[str, float],
) -> ObjectScore:
    return ObjectScore(
        name=name,
        predicted=predicted_name,
        cd_o=chamfer_of(comparison.aligned, protocol),
        f_o=f_score(comparison.aligned, protocol.threshold),
        iou_b=aligned_box_iou(predicted, truth, transform, protocol),
        cd_o_raw=chamfer_of(comparison.raw, protocol),
        f_o_raw=f_score(comparison.raw, protocol.threshold),
        iou_b_raw=aligned_box_iou(predicted, truth, np.eye(4), protocol),
        normals=comparison.normals,
        **more,
    )


def _miss(
    name: str, truth: Surface, reason: str, protocol: Protocol, more: Mapping[str, float]
) -> ObjectScore:
    half = (
        protocol.object_half
        if protocol.object_unit != "scene"
        else float(np.ptp(truth.box, axis=0).max()) / 2
    )
    distance = miss_distance(half, protocol)
    return ObjectScore(name, "", distance, 0.0, 0.0, distance, 0.0, 0.0, 0.0, reason, **more)


def _sum_up(
    whole: Comparison | None,
    rows: list[ObjectScore],
    truth: Surface,
    protocol: Protocol,
    more: Mapping[str, float],
) -> SceneScore:
    nothing = miss_distance(float(np.ptp(truth.box, axis=0).max()) / 2, protocol)
    means = {key: float(np.mean([getattr(row, key) for row in rows])) for key in OBJECT_MEANS}
    extras = {key: [getattr(row, key) for row in rows] for key in OBJECT_EXTRAS}
    means |= {key: float(np.mean(values)) for key, values in extras.items() if None not in values}
    return SceneScore(
        protocol=protocol.id,
        cd_s=nothing if whole is None else chamfer_of(whole.aligned, protocol),
        f_s=0.0 if whole is None else f_score(whole.aligned, protocol.threshold),
        cd_s_raw=nothing if whole is None else chamfer_of(whole.raw, protocol),
        f_s_raw=0.0 if whole is None else f_score(whole.raw, protocol.threshold),
        **means,
        objects=tuple(rows),
        missing=tuple(row.name for row in rows if row.miss),
        extra=(),
        truth_from_predicted=tuple(
            tuple(float(x) for x in line)
            for line in (np.eye(4) if whole is None else whole.truth_from_predicted)
        ),
        seed=0,
        add_s_01=add_s_hits(extras["add_s"]),
        **more,
    )
