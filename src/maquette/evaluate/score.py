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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.detection import OrientedBoxes
from maquette.evaluate.further import (
    add_s_hits,
    dynamics_extras,
    missed_extras,
    object_extras,
    physics_extras,
    scene_average_precision,
)
from maquette.evaluate.hints import (
    dynamics_hints,
    name_hints,
    turn_hints,
    unit_hints,
    winding_hints,
)
from maquette.evaluate.matching import Boxes, Pairs, match_objects, require_common_name
from maquette.evaluate.measure import (
    SurfaceComparison,
    aligned_box_iou,
    chamfer_of,
    compare_all,
    miss_distance,
)
from maquette.evaluate.metrics import f_score
from maquette.evaluate.protocols import ISCENE, Protocol, protocol_named
from maquette.evaluate.surfaces import (
    Meshes,
    Surfaces,
    require_surfaces,
    sample_mesh,
    shares,
    stream,
    subset,
    triangle_areas,
    used_vertices,
    why_no_surface,
)
from maquette.geometry.boxes import bounding_box, longest_side, scene_from_world
from maquette.geometry.cameras import project
from maquette.geometry.oriented_boxes import smallest_yaw_box
from maquette.geometry.transforms import scale_of, similarity
from maquette.options.benchmark import EXTRAS
from maquette.types import Camera, JsonObject

# Numbers by field of a score; which fields, only the protocol and what is wanted say.
ByField = JsonObject
# Averaged over a scene's true objects, always and where they were measured.
OBJECT_MEANS = ("cd_o", "f_o", "iou_b", "cd_o_raw", "f_o_raw", "iou_b_raw", "normals")
OBJECT_EXTRAS = ("add_s", "icp_rotation", "emd", "iou_obb", "iou_v")


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
    # This and what follows only where the protocol or the caller asks for it.
    add_s: float | None = None  # poses.add_s, 0 is best
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
    # This and what follows only where the protocol or the caller asks for it.
    f_s_2: float | None = None  # F of the aligned scene at the protocol's second threshold
    f_s_3: float | None = None  # and at its third
    cd_s_one: float | None = None  # mean squared distance from prediction to truth only, aligned
    add_s: float | None = None  # means over ALL true objects, as in ObjectScore
    add_s_01: float | None = None  # percent of true objects with ADD-S below 0.1
    icp_rotation: float | None = None
    emd: float | None = None
    iou_obb: float | None = None
    iou_v: float | None = None
    ap15: float | None = None  # average precision in percent at box IoU 0.15, within this scene
    # percent of the predicted volume that lies in another object or below the ground
    penetration: float | None = None
    gap: float | None = None  # mean distance that predicted objects can fall, in scene units
    floating: float | None = None  # percent of predicted objects that touch nothing
    # percent of predicted objects that touch something and would not tip
    stable: float | None = None
    # of the prediction in MuJoCo, the true scene's longest side being 1 m (dynamics.py)
    depth: float | None = None  # metres, mean of surface samples in other objects
    displacement: float | None = None  # metres, mean of the same samples; None where it diverged
    peak_energy: float | None = None  # J/kg

    def to_dict(self) -> JsonObject:
        """Nested dicts, lists and JSON scalars."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class _Terms:
    """How one pair of scenes is compared."""

    protocol: Protocol
    wanted: tuple[str, ...]  # names of EXTRAS
    match: str
    seed: int
    unit_from_world: np.ndarray  # (4, 4), to the protocol's scene units
    camera: Camera | None  # whose picture limits what counts


@dataclass(frozen=True, eq=False)
class _Sides:
    """Both scenes, ready to be compared: usable meshes, their samples, and who stands for whom."""

    predicted_meshes: Meshes
    true_meshes: Meshes
    predicted: Surfaces
    truth: Surfaces
    pairs: Pairs  # true -> predicted name


def score_scene(
    pred: Meshes,
    gt: Meshes,
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
    protocol (``EXTRAS``). With a ``camera`` of the same world frame only what lies in its
    picture counts, where the protocol is about one view. ``workers`` threads change the time, not
    the numbers. The same inputs and seed give the same result bit for bit. An empty ``pred`` is a
    scene of misses. Raises InputError for an empty or surfaceless ground truth, vertices that are
    not finite, an unknown protocol or extra, and a prediction none of whose names occur in the
    ground truth.
    """
    start = time.perf_counter()
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    wanted = require_extras([*protocol.also, *extra])
    if not gt:
        raise InputError(
            "the ground truth has no objects; give a scene with one named node per object"
        )
    require_surfaces(gt)
    if match == "names":
        require_common_name(pred, gt)
    view = camera if protocol.of_one_view else None
    terms = _Terms(protocol, wanted, match, seed, _unit_from_world(gt, protocol), view)
    unusable = {
        name: reason for name, mesh in pred.items() if (reason := why_no_surface(mesh, name))
    }
    sides = _sides({name: pred[name] for name in pred if name not in unusable}, gt, terms)
    whole, each = compare_all(sides.predicted, sides.truth, sides.pairs, protocol, workers)
    transform = np.eye(4) if whole is None else whole.truth_from_predicted
    rows = []
    for name in sides.truth:
        if name in each:
            rows.append(_found(name, sides, each[name], transform, terms))
        else:
            rows.append(_missed(name, sides, unusable, terms))
    numbers = _scene_numbers(whole, sides, terms)
    scored = SceneScore(
        protocol=protocol.id,
        **numbers,
        **_object_means(rows),
        objects=tuple(rows),
        missing=tuple(row.name for row in rows if row.miss),
        extra=_extra(pred, gt, sides, unusable),
        truth_from_predicted=tuple(map(tuple, transform.tolist())),
        seed=seed,
        hints=(*_hints(sides, terms), *dynamics_hints(numbers)),
    )
    return dataclasses.replace(scored, seconds=time.perf_counter() - start)


def _extra(
    pred: Meshes,
    gt: Meshes,
    sides: _Sides,
    unusable: Collection[str],
) -> tuple[str, ...]:
    """Predicted objects that no true one was matched with; not those that are only misses."""
    counted = {*sides.predicted, *(name for name in unusable if name not in gt)}
    return tuple(name for name in pred if name in counted - {*sides.pairs.values()})


def require_extras(names: Sequence[str]) -> tuple[str, ...]:
    """The names of further measures, each once. InputError for an unknown one."""
    for name in names:
        if name not in EXTRAS:
            raise InputError(f"extra {name!r} is unknown; choose from {', '.join(EXTRAS)}")
    return tuple(dict.fromkeys(names))


def _unit_from_world(truth: Meshes, protocol: Protocol) -> np.ndarray:
    """The similarity (4, 4) from the true scene into the protocol's unit."""
    if protocol.scene_unit == "given":
        return np.eye(4)
    return similarity(2.0) @ scene_from_world(_box(truth))


def _box(meshes: Meshes) -> np.ndarray:
    """(2, 3) box of the vertices that faces use."""
    used = [np.asarray(mesh.vertices)[used_vertices(mesh)] for mesh in meshes.values()]
    return bounding_box(np.concatenate(used).astype(np.float64))


def _sides(predicted_meshes: Meshes, true_meshes: Meshes, terms: _Terms) -> _Sides:
    """Both scenes sampled, and who is compared with whom; InputError when nothing is to be seen."""
    truth = _sampled(true_meshes, "truth", terms)
    predicted = _sampled(predicted_meshes, "predicted", terms)
    if not truth:
        raise InputError(
            f"the camera sees none of the {len(true_meshes)} true objects; "
            "give the camera in the frame of the meshes"
        )
    pairs = match_objects(_boxes(predicted), _boxes(truth), terms.match)
    return _Sides(predicted_meshes, true_meshes, predicted, truth, pairs)


def _boxes(surfaces: Surfaces) -> Boxes:
    """Name -> box (2, 3)."""
    return {name: surface.box for name, surface in surfaces.items()}


def _sampled(meshes: Meshes, role: str, terms: _Terms) -> Surfaces:
    """Seeded samples of every mesh; with a camera, of what lies in its picture, and only of objects
    that do.
    """
    protocol = terms.protocol
    counts = [protocol.points] * len(meshes)
    if protocol.scene_points and meshes:
        areas = [float(triangle_areas(m.vertices, m.faces).sum()) for m in meshes.values()]
        counts = [max(protocol.points, count) for count in shares(areas, protocol.scene_points)]
    surfaces = {}
    for (name, mesh), count in zip(meshes.items(), counts):
        surface = sample_mesh(mesh, count, stream(terms.seed, role, name), terms.unit_from_world)
        if terms.camera is None:
            surfaces[name] = surface
            continue
        seen = _in_picture(surface.points, terms.camera)
        if seen.sum() >= 3:
            surfaces[name] = subset(surface, seen)
    return surfaces


def _in_picture(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(N,) which points (N, 3) a camera has in its picture."""
    pixels, depth = project(camera, points)
    inside = (pixels >= 0) & (pixels < camera.size)
    return (depth > 0) & inside.all(1)


def _found(
    name: str,
    sides: _Sides,
    comparison: SurfaceComparison,
    truth_from_predicted: np.ndarray,
    terms: _Terms,
) -> ObjectScore:
    """The score of a true object that something stands for."""
    protocol = terms.protocol
    other = sides.pairs[name]
    surfaces = sides.predicted[other], sides.truth[name]
    meshes = sides.predicted_meshes[other], sides.true_meshes[name]
    placed = np.eye(4) if protocol.boxes == "raw" else truth_from_predicted
    numbers = _distance_scores("o", comparison, 0.0, protocol)
    numbers["iou_b"] = aligned_box_iou(*surfaces, placed, protocol)
    numbers["iou_b_raw"] = aligned_box_iou(*surfaces, np.eye(4), protocol)
    numbers["normals"] = comparison.normals
    numbers |= object_extras(terms.wanted, *surfaces, *meshes)
    return ObjectScore(name, other, **numbers)


def _missed(
    name: str,
    sides: _Sides,
    unusable: Mapping[str, str],
    terms: _Terms,
) -> ObjectScore:
    """The score of a true object that nothing stands for, with the reason."""
    protocol = terms.protocol
    in_scene = protocol.object_unit == "scene"
    half_side = sides.truth[name].half_side if in_scene else protocol.object_half
    there = name in sides.predicted_meshes
    reason = "out of the picture" if there else "no predicted object stands for it"
    numbers = _distance_scores("o", None, half_side, protocol)
    numbers |= dict.fromkeys(("iou_b", "iou_b_raw", "normals"), 0.0)
    numbers |= missed_extras(terms.wanted)
    return ObjectScore(name, "", miss=unusable.get(name, reason), **numbers)


def _distance_scores(
    of: str,
    comparison: SurfaceComparison | None,
    half_side: float,
    protocol: Protocol,
) -> ByField:
    """Chamfer distance and F of the scene ("s") or an object ("o"), aligned and raw, by field;
    those of a miss when there is no comparison.
    """
    scores: ByField = {}
    if comparison is None:
        distance = miss_distance(half_side, protocol)
        scores |= {f"cd_{of}": distance, f"cd_{of}_raw": distance}
        return scores | {f"f_{of}": 0.0, f"f_{of}_raw": 0.0}
    for suffix, distances in (("", comparison.aligned), ("_raw", comparison.raw)):
        scores[f"cd_{of}{suffix}"] = chamfer_of(distances, protocol)
        scores[f"f_{of}{suffix}"] = f_score(distances, protocol.threshold)
    return scores


def _object_means(rows: Sequence[ObjectScore]) -> ByField:
    """Means over the objects of everything that was measured of all of them."""
    means: ByField = {"add_s_01": add_s_hits([row.add_s for row in rows])}
    for field in (*OBJECT_MEANS, *OBJECT_EXTRAS):
        values = [getattr(row, field) for row in rows]
        if None not in values:
            means[field] = float(np.mean(values))
    return means


def _scene_numbers(whole: SurfaceComparison | None, sides: _Sides, terms: _Terms) -> ByField:
    """Measures of the scene as a whole, by field of SceneScore."""
    truth_box = np.concatenate([surface.box for surface in sides.truth.values()])
    more = _distance_scores("s", whole, longest_side(truth_box) / 2, terms.protocol)
    for field, threshold in zip(("f_s_2", "f_s_3"), terms.protocol.more_thresholds):
        more[field] = 0.0 if whole is None else f_score(whole.aligned, threshold)
    if "one-way" in terms.wanted and whole is not None:
        more["cd_s_one"] = float((whole.aligned.to_truth**2).mean())
    if "boxes" in terms.wanted:
        boxes = _turned_boxes(sides.predicted), _turned_boxes(sides.truth)
        more["ap15"] = scene_average_precision(*boxes, sides.pairs)
    if "physics" in terms.wanted:
        more |= physics_extras(sides.predicted_meshes, scale_of(terms.unit_from_world))
    if "dynamics" in terms.wanted:
        metres = 1.0 / longest_side(_box(sides.true_meshes))
        more |= dynamics_extras(sides.predicted_meshes, metres, terms.seed)
    return more


def _turned_boxes(surfaces: Surfaces) -> OrientedBoxes:
    """Name -> the smallest box that is turned about +Y only."""
    return {name: smallest_yaw_box(surface.corners) for name, surface in surfaces.items()}


def _hints(sides: _Sides, terms: _Terms) -> list[str]:
    """What is probably not meant."""
    protocol = terms.protocol
    meshes = sides.predicted_meshes
    predicted_size = longest_side(_box(meshes)) if meshes else 0.0
    hints = unit_hints(predicted_size, longest_side(_box(sides.true_meshes)), protocol)
    hints += winding_hints({**sides.true_meshes, **meshes}, terms.wanted)
    if terms.match == "names":
        hints += name_hints(_boxes(sides.predicted), _boxes(sides.truth), sides.pairs)
        hints += turn_hints(_boxes(sides.predicted), _boxes(sides.truth), sides.pairs)
    if protocol.of_one_view and terms.camera is None:
        hints.append(
            f"{protocol.id} counts only what the camera sees, but no camera was given: "
            "everything counts"
        )
    return hints
