"""Objects at rest: a scene in which everything stands as it would stand in the world.

One photo leaves gaps, overlaps and ragged undersides. Each object is first brought into contact
along its own ray, so that its picture stays; of convex parts that overlap one is cut; then MuJoCo
lets all of it come to rest. What topples or slides away is set back and gets wider contacts, for
the photo shows that it stands; what falls all the same is held where it was, and named. What is
seen of objects stays but for its place, so the scene tells with which parts it was settled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from maquette.document.appearance import appearance_of, mesh_with
from maquette.errors import InputError, require_extra
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import similarity
from maquette.methods.base import Progress, silent
from maquette.options import SimulationOptions
from maquette.simulation.arrange import (
    REACHES,
    CollidingScene,
    agreement,
    arranged,
    carved,
    hanging,
    levelled_bodies,
    untangled,
    with_mesh,
)
from maquette.simulation.bodies import Solid, solids_of, span_of
from maquette.simulation.ground import MOST_LOST, brought_down, on_common_ground
from maquette.simulation.parts import CUTS, told
from maquette.simulation.selection import labels_of
from maquette.types import Instance, Scene

STAGE = "settle"
FINDING_PARTS = 0.3  # of the time, about
UNCHANGED = 0.01  # of its longest side by which an object changes without a remark
MOST_FOR_PARTING = 0.01  # of the same, by leaving what it is in
LEANING = np.deg2rad(1.0)  # what leans more gets a flatter underside
LARGEST = 1e5  # units that a scene may be long
TOPPLED = np.deg2rad(15.0)
GONE = 0.05  # of the scene's longest side; what moves farther has left its place


@dataclass(frozen=True)
class RestingObject:
    """How one object came to rest. Lengths in scene units."""

    label: int
    node: str
    displacement: float  # of its middle, from where the scene had it
    tilt: float  # degrees from where it stood upright in the scene
    penetration_before: float  # deepest overlap with another object or the ground
    penetration_after: float
    rests: bool  # physics leaves it where it is now
    remark: str = ""
    agreement_before: float | None = None  # IoU with its mask; None without one
    agreement_after: float | None = None


@dataclass(frozen=True, eq=False)
class SettledScene:
    """A scene at rest, and how each visible object got there."""

    scene: Scene
    objects: tuple[RestingObject, ...]


@dataclass(frozen=True, eq=False)
class _Round:
    """One try: what there was before physics, and what physics made of it."""

    start: CollidingScene
    moved: dict[int, np.ndarray]  # label -> (4, 4) what its placement is multiplied with
    leaning: frozenset[int]  # labels of what moved more than it should
    fallen: frozenset[int]  # labels of what did not stay standing
    moving: frozenset[int]  # labels that had not come to rest


def settle(
    scene: Scene,
    options: SimulationOptions | None = None,
    progress: Progress | None = None,
) -> SettledScene:
    """The scene with its visible objects at rest; hidden ones stay. ``options``: what collides and
    what is static; no lengths. ``progress`` is told of the stage "settle".

    MissingExtraError without MuJoCo; InputError for a scene without visible objects, or far
    too large or small.
    """
    require_extra("mujoco", "settling", "sim")
    options = replace(options or SimulationOptions(), up="y")
    progress = progress or silent
    visible = scene.visible().instances
    if not visible:
        raise InputError("the scene has no visible object that could settle")
    span = span_of(scene.visible())
    if not 1.0 / LARGEST < span < LARGEST:
        raise InputError(
            f"the visible objects lie within {span:.3g} units, which is not between {1 / LARGEST} "
            f"and {LARGEST}: scale the scene, or bring back what is far away"
        )
    collision = CUTS if options.collision == "parts" else options.collision
    solids: dict[int, Solid] = {}
    for instance in visible:
        progress(STAGE, FINDING_PARTS * len(solids) / len(visible))
        (solids[instance.label],) = solids_of([instance.mesh], collision)
    given = CollidingScene(scene, solids, options)
    overlaps = given.world(()).penetrations()
    static = labels_of(scene, options.static, "--static")
    looks = agreement(scene)
    parted = untangled(given, static)
    if _mean_loss(looks, agreement(parted.scene)) <= MOST_FOR_PARTING:
        given = parted
    given = brought_down(on_common_ground(given), static)
    hung = hanging(given.scene)
    tried, remarks = _until_at_rest(given, agreement(scene), hung | static, progress)
    remarks = _changes(scene, tried.start.scene) | remarks
    remarks |= dict.fromkeys(hung, "nothing is near below it, so it hangs where it was")
    return _reported(scene, tried, overlaps, remarks)


def _until_at_rest(
    given: CollidingScene,
    looks: Mapping[int, float],
    held: frozenset[int],
    progress: Progress,
) -> tuple[_Round, dict[int, str]]:
    """Tries with ever wider footings, and holding what they do not help; with a remark for each
    object that is held or still moves. ``looks``: how each agreed with its mask at first.
    """
    unsteady = set[int]()
    kept = set[int]()
    efforts = dict.fromkeys(given.solids, 0)
    bodies = levelled_bodies(given)
    while True:
        still = held | kept
        start = carved(arranged(given, bodies, efforts, still))
        tried = _try(start, still | unsteady)
        fallen = tried.fallen
        falling = len(fallen) / len(given.solids)
        progress(STAGE, 1.0 - (1.0 - FINDING_PARTS) * falling)
        wanting = _first(start.scene, fallen) or _first(start.scene, tried.leaning)
        wider = [label for label in wanting if efforts[label] + 1 < len(REACHES)]
        efforts |= {label: efforts[label] + 1 for label in wider}
        if wider:
            continue
        unsteady |= fallen.intersection(wanting)
        losers = set() if fallen else _losers(looks, _moved(tried), still)
        if not (fallen or losers):
            break
        kept |= losers
    remarks = dict.fromkeys(unsteady, "it would fall over, so it is held where it stands")
    remarks |= dict.fromkeys(kept, "it would leave its place in the photo, so it is held there")
    return tried, remarks | dict.fromkeys(tried.moving, "it had not come to rest")


def _changes(before: Scene, after: Scene) -> dict[int, str]:
    """A remark for each object whose underside is another one."""
    remarks = {}
    for old in before.visible().instances:
        was = np.asarray(old.mesh.vertices)
        now = np.asarray(after[old.label].mesh.vertices)
        moved = np.abs(now - was).max() / np.ptp(was, axis=0).max()
        if moved > UNCHANGED:
            remarks[old.label] = f"its underside was moved by up to {moved:.0%} of its size"
    return remarks


def _losers(looks: Mapping[int, float], settled: Scene, still: Collection[int]) -> set[int]:
    """The label of the object that lost most agreement, where all lost too much on average; not of
    one that is held anyway.
    """
    now = agreement(settled)
    too_much = _mean_loss(looks, now) > MOST_LOST
    lost = {label: looks[label] - now[label] for label in looks.keys() - still}
    worst = sorted(lost, key=lambda label: -lost[label])[:1]
    return {label for label in worst if too_much and lost[label] > MOST_LOST}


def _mean_loss(before: Mapping[int, float], now: Mapping[int, float]) -> float:
    """Of agreement with masks; 0 without any."""
    return float(np.mean([before[label] - now[label] for label in before] or [0.0]))


# Physics


def _try(start: CollidingScene, held: Collection[int]) -> _Round:
    world = start.world(held)
    world.move_apart()
    apart = world.poses()
    moving = world.come_to_rest()
    ended = world.poses()
    motions = {}
    leaning = set()
    fallen = set(moving)
    for label, before in world.start.items():
        motions[label] = world.scene_motion(before, ended[label])
        change = np.linalg.inv(apart[label]) @ ended[label]
        tilt = tilt_of(change[:3, :3])
        if tilt > LEANING:
            leaning.add(label)
        if tilt > TOPPLED or np.linalg.norm(change[:3, 3]) > GONE:
            fallen.add(label)
    moved = frozenset(leaning), frozenset(fallen), moving
    return _Round(start, motions, *moved)


def tilt_of(rotation: np.ndarray) -> float:
    """Radians between up before and up after a rotation (3, 3) in a frame with +Y up."""
    return float(np.arccos(np.clip(rotation[1, 1], -1.0, 1.0)))


def _first(scene: Scene, labels: frozenset[int]) -> list[int]:
    """Those whose supporter is not among them; the others may have lost their footing."""
    first = [label for label in sorted(labels) if scene.support(label).on not in labels]
    return first or sorted(labels)


def _moved(tried: _Round) -> Scene:
    scene = tried.start.scene
    for label, motion in tried.moved.items():
        instance = scene[label]
        vertices = np.asarray(instance.mesh.vertices)
        middle = bounding_box(vertices).mean(0)
        centred = (vertices - middle).astype(np.float32)
        mesh = mesh_with(centred, instance.mesh.faces, appearance_of(instance.mesh))
        placed = motion @ instance.world_from_instance @ similarity(1.0, None, middle)
        scene = with_mesh(scene, label, mesh).transform(label, placed)
    return scene


# What is said


def _reported(
    before: Scene,
    tried: _Round,
    overlaps: Mapping[int, float],
    remarks: Mapping[int, str],
) -> SettledScene:
    after = _moved(tried)
    left = _overlaps_left(tried)
    looks_before = agreement(before)
    looks_after = agreement(after)
    rows = []
    said = []
    for old in before.visible().instances:
        label = old.label
        new = after[label]
        remark = remarks.get(label, "")
        tilt = tilt_of(_rotation(new) @ _rotation(old).T)
        displacement = float(np.linalg.norm(new.box.mean(0) - old.box.mean(0)))
        overlap = overlaps[label], left[label]
        rests = label not in tried.moving and not _is_held(remark)
        looks = looks_before.get(label), looks_after.get(label)
        motion = displacement, float(np.rad2deg(tilt))
        row = RestingObject(label, old.node_name, *motion, *overlap, rests, remark, *looks)
        rows.append(row)
        start, shape = tried.start.scene[label].mesh, tried.start.solids[label].shape
        said.append(dataclasses.asdict(row) | {"parts": told(new.mesh, start, shape)})
    provenance = {**after.provenance, "settled": said}
    checked = [
        replace(i, confidence=looks_after.get(i.label, i.confidence)) for i in after.instances
    ]
    made = replace(after, instances=tuple(checked), provenance=provenance)
    return SettledScene(made, tuple(rows))


def _overlaps_left(tried: _Round) -> dict[int, float]:
    """Label -> deepest overlap, of what is held as well."""
    scene = tried.start.scene
    for label, motion in tried.moved.items():
        scene = scene.transform(label, motion @ scene[label].world_from_instance)
    return replace(tried.start, scene=scene).world(()).penetrations()


def _is_held(remark: str) -> bool:
    return "held" in remark or "hangs" in remark


def _rotation(instance: Instance) -> np.ndarray:
    linear = instance.world_from_instance[:3, :3]
    return linear / np.cbrt(np.linalg.det(linear))
