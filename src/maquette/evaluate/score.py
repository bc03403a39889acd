"""Two scenes -> one frozen result under a protocol. The heart of the evaluation: sample, match, align, measure, count misses.

What is counted: every true object, always. An absent or surfaceless predicted object is a miss: F 0, IoU 0 and the Chamfer
distance of `miss_distance`; it also lowers the scene scores, because its points are absent there. Extra predicted objects are
listed, and their points count against the scene scores. Alignment-free numbers stand beside the aligned ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.alignment import align
from maquette.evaluate.matching import match_objects, require_common_name
from maquette.evaluate.metrics import SurfaceDistances, chamfer_distance, f_score, mean_distance, normal_consistency, surface_distances
from maquette.evaluate.protocols import ISCENE, Protocol, protocol_named
from maquette.evaluate.surfaces import Surface, check_mesh, joined, normalised, sample_mesh, stream
from maquette.geometry.boxes import bounding_box, box_iou, scene_from_world
from maquette.geometry.nearest import build_tree
from maquette.geometry.transforms import scale_of, similarity, transform_points

if TYPE_CHECKING:
    import trimesh

OBJECT_HALF = 0.95  # half side of an object's box after its own normalisation, as in MIDI
THINNEST_BOX = 1e-3  # of the longer box's longest side: flat objects get this thickness, so that an IoU of volumes exists
OBJECT_MEANS = ("cd_o", "f_o", "iou_b", "cd_o_raw", "f_o_raw", "iou_b_raw", "normals")  # averaged over a scene's true objects


@dataclass(frozen=True)
class ObjectScore:
    """One true object. Distances in the protocol's object units; F in percent; ``*_raw`` without any alignment."""

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


@dataclass(frozen=True)
class SceneScore:
    """One scene. Distances in the protocol's scene units; F in percent; ``*_o`` and ``iou_b`` are means over ALL true objects."""

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

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts, lists and JSON scalars."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class _Comparison:
    truth_from_predicted: np.ndarray  # (4, 4)
    aligned: SurfaceDistances
    raw: SurfaceDistances
    normals: float


def score_scene(
    pred: Mapping[str, trimesh.Trimesh],
    gt: Mapping[str, trimesh.Trimesh],
    protocol: str | Protocol = ISCENE,
    seed: int = 0,
    *,
    match: str = "name",
    workers: int = 2,
) -> SceneScore:
    """Score predicted meshes against true ones, both name -> mesh in one world frame (+Y up, any unit).

    ``match`` is "name" or "box" (matching.py); ``workers`` threads change the time, not the numbers. The same inputs and seed
    give the same result bit for bit. An empty ``pred`` is a scene of misses. Raises InputError for an empty or surfaceless ground
    truth, vertices that are not finite, an unknown protocol, and a prediction none of whose names occur in the ground truth.
    """
    start = time.perf_counter()
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    unit = _unit_from_world(gt, protocol)
    if match == "name":
        require_common_name(pred, gt)
    unusable = {name: reason for name, mesh in pred.items() if (reason := check_mesh(mesh, name))}
    truth = {name: sample_mesh(mesh, protocol.points, stream(seed, "truth", name), unit) for name, mesh in gt.items()}
    predicted = {
        name: sample_mesh(mesh, protocol.points, stream(seed, "predicted", name), unit)
        for name, mesh in pred.items()
        if name not in unusable
    }
    pairs = match_objects({n: s.box for n, s in predicted.items()}, {n: s.box for n, s in truth.items()}, match)
    whole, each = _compare_all(predicted, truth, pairs, protocol, workers)

    def row(name: str) -> ObjectScore:
        if name not in pairs:
            return _miss(name, truth[name], unusable.get(name, "no predicted object stands for it"), protocol)
        transform = np.eye(4) if whole is None or protocol.boxes == "raw" else whole.truth_from_predicted
        return _found(name, pairs[name], predicted[pairs[name]], truth[name], each[name], transform, protocol)

    used = set(pairs.values())
    extra = tuple(name for name in pred if name not in used and not (name in unusable and name in gt))
    return _sum_up(whole, [row(name) for name in truth], joined(truth.values()), extra, protocol, seed, time.perf_counter() - start)


def _unit_from_world(gt: Mapping[str, trimesh.Trimesh], protocol: Protocol) -> np.ndarray:
    """(4, 4) similarity into the protocol's scene units, decided by the ground truth alone. Raises InputError when it is unusable."""
    if not gt:
        raise InputError("the ground truth has no objects; give a scene with one named node per object")
    for name, mesh in gt.items():
        if reason := check_mesh(mesh, name):
            raise InputError(f"ground truth object {name!r} cannot be scored: {reason}; repair it or take it out")
    if protocol.scene_unit == "given":
        return np.eye(4)
    boxes = [bounding_box(np.asarray(mesh.vertices, dtype=np.float64)[np.unique(mesh.faces)]) for mesh in gt.values()]
    return similarity(2.0) @ scene_from_world(bounding_box(np.concatenate(boxes)))


def _compare_all(
    predicted: dict[str, Surface], truth: dict[str, Surface], pairs: dict[str, str], protocol: Protocol, workers: int
) -> tuple[_Comparison | None, dict[str, _Comparison]]:
    """Compare the whole scene and every pair, on a few threads; the searches release Python's lock."""
    if not predicted:
        return None, {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        whole = pool.submit(_compare, joined(predicted.values()), joined(truth.values()), protocol.scene_aligner, protocol)
        each = {name: pool.submit(_compare_object, predicted[other], truth[name], protocol) for name, other in pairs.items()}
        return whole.result(), {name: future.result() for name, future in each.items()}


def _compare_object(predicted: Surface, truth: Surface, protocol: Protocol) -> _Comparison:
    if protocol.object_unit != "scene":
        predicted, truth = (normalised(s, OBJECT_HALF, protocol.object_unit, protocol.box_of) for s in (predicted, truth))
    return _compare(predicted, truth, protocol.object_aligner, protocol)


def _compare(predicted: Surface, truth: Surface, aligner: str, protocol: Protocol) -> _Comparison:
    predicted_tree, truth_tree = build_tree(predicted.points), build_tree(truth.points)
    transform = align(aligner, protocol, predicted_tree, truth_tree, truth.normals)
    raw = surface_distances(predicted_tree, truth_tree)
    aligned = raw if aligner == "none" else surface_distances(predicted_tree, truth_tree, transform)
    turned = predicted.normals @ (transform[:3, :3] / scale_of(transform)).T
    return _Comparison(transform, aligned, raw, normal_consistency(aligned, turned, truth.normals))


def _chamfer(distances: SurfaceDistances, protocol: Protocol) -> float:
    return chamfer_distance(distances) if protocol.chamfer == "squared-sum" else mean_distance(distances)


def miss_distance(half_side: float, protocol: Protocol) -> float:
    """Chamfer distance of a miss: as if every point were off by half the longest side of the true box, both ways.

    2 h^2 where distances are squared and summed, h where they are plain and averaged. A prediction may be worse; it is not capped.
    """
    return 2.0 * half_side**2 if protocol.chamfer == "squared-sum" else half_side


def _found(
    name: str, predicted_name: str, predicted: Surface, truth: Surface, comparison: _Comparison, transform: np.ndarray, protocol: Protocol
) -> ObjectScore:
    return ObjectScore(
        name=name,
        predicted=predicted_name,
        cd_o=_chamfer(comparison.aligned, protocol),
        f_o=f_score(comparison.aligned, protocol.threshold),
        iou_b=_iou(predicted, truth, transform, protocol),
        cd_o_raw=_chamfer(comparison.raw, protocol),
        f_o_raw=f_score(comparison.raw, protocol.threshold),
        iou_b_raw=_iou(predicted, truth, np.eye(4), protocol),
        normals=comparison.normals,
    )


def _iou(predicted: Surface, truth: Surface, transform: np.ndarray, protocol: Protocol) -> float:
    """IoU of the axis-aligned boxes, the prediction's after ``transform``; flat boxes are thickened."""
    clouds = [s.corners if protocol.box_of == "mesh" else s.points for s in (predicted, truth)]
    boxes = [bounding_box(transform_points(transform, clouds[0])), bounding_box(clouds[1])]
    thinnest = THINNEST_BOX * max(float(np.ptp(box, axis=0).max()) for box in boxes)
    return box_iou(*(_at_least(box, thinnest) for box in boxes))


def _at_least(box: np.ndarray, side: float) -> np.ndarray:
    half = np.maximum(np.ptp(box, axis=0), side) / 2
    return np.stack([box.mean(0) - half, box.mean(0) + half])


def _miss(name: str, truth: Surface, reason: str, protocol: Protocol) -> ObjectScore:
    half = OBJECT_HALF if protocol.object_unit != "scene" else float(np.ptp(truth.box, axis=0).max()) / 2
    distance = miss_distance(half, protocol)
    return ObjectScore(name, "", distance, 0.0, 0.0, distance, 0.0, 0.0, 0.0, reason)


def _sum_up(
    whole: _Comparison | None,
    rows: list[ObjectScore],
    truth: Surface,
    extra: tuple[str, ...],
    protocol: Protocol,
    seed: int,
    seconds: float,
) -> SceneScore:
    nothing = miss_distance(float(np.ptp(truth.box, axis=0).max()) / 2, protocol)
    means = {key: float(np.mean([getattr(row, key) for row in rows])) for key in OBJECT_MEANS}
    return SceneScore(
        protocol=protocol.id,
        cd_s=nothing if whole is None else _chamfer(whole.aligned, protocol),
        f_s=0.0 if whole is None else f_score(whole.aligned, protocol.threshold),
        cd_s_raw=nothing if whole is None else _chamfer(whole.raw, protocol),
        f_s_raw=0.0 if whole is None else f_score(whole.raw, protocol.threshold),
        **means,
        objects=tuple(rows),
        missing=tuple(row.name for row in rows if row.miss),
        extra=extra,
        truth_from_predicted=tuple(tuple(float(x) for x in line) for line in (np.eye(4) if whole is None else whole.truth_from_predicted)),
        seed=seed,
        seconds=seconds,
    )
