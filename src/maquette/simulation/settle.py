"""Objects at rest: a scene in which everything stands as it would stand in the world.

One photo leaves gaps, overlaps and ragged undersides. Each object is first brought into contact
along its own ray, so that its picture stays; what overlaps is moved apart along the shortest way;
then MuJoCo lets all of it come to rest. What topples or slides away is set back and gets a flatter
underside, more of it each time, for the photo shows that it stands; what falls all the same is held
where it was, and named.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import trimesh

from maquette.document.appearance import appearance_of, mesh_with
from maquette.errors import InputError, MissingExtraError
from maquette.export.glb import smooth_normals
from maquette.geometry.transforms import similarity, transform_points
from maquette.options import ScaleOptions, SimulationOptions
from maquette.render.silhouette import silhouette_scores
from maquette.simulation.bodies import bodies_of, span_of
from maquette.simulation.contact import fall, supported_by
from maquette.simulation.hulls import convex_part, least_thickness
from maquette.simulation.parts import INSTALL, Decomposition, decomposed
from maquette.simulation.scale import scaled_scene
from maquette.simulation.selection import labels_of
from maquette.simulation.world import PhysicsWorld, world_of
from maquette.types import Instance, Scene

BANDS = (0.0, 0.03, 0.06, 0.12)  # of an object's height that becomes its flat underside, by round
DOWNWARD = -0.3  # y of a normal; what faces down more than this is underside
LARGEST_STEP = 0.1  # log factor along its ray by which an object may be brought into contact
LEAST_DROP = 0.05  # of the scene below the eye, for a place on a ray to tell a height
MOST_LOST = 0.02  # of the objects' mean agreement with their masks
NEAR = 0.02  # of the scene; an object of which nothing is known stands on what is so near below it
LEANING = np.deg2rad(1.0)  # what leans more gets a flatter underside
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
class _Settling:
    """A scene on its way to rest, and what collides of its visible instances."""

    scene: Scene
    shapes: dict[int, Decomposition]  # by label, in the meshes' frames
    options: SimulationOptions

    def world(self, held: Collection[int]) -> PhysicsWorld:
        """The bodies in a unit of length in which the scene is one long; ``held`` do not move."""
        visible = self.scene.visible().instances
        unit = ScaleOptions(metres_per_unit=1.0 / span_of(self.scene.visible()))
        scaled = scaled_scene(self.scene, unit)
        made = bodies_of(scaled, self.options, [self.shapes[i.label] for i in visible])
        bodies = tuple(replace(b, is_static=b.is_static or b.label in held) for b in made.bodies)
        return world_of(replace(made, bodies=bodies))


@dataclass(frozen=True, eq=False)
class _Round:
    """One try: what there was before physics, and what physics made of it."""

    start: Scene
    moved: dict[int, np.ndarray]  # label -> (4, 4) what its placement is multiplied with
    leaning: frozenset[int]  # labels of what moved more than it should
    fallen: frozenset[int]  # labels of what did not stay standing
    moving: frozenset[int]  # labels that had not come to rest
    penetration: dict[int, float]  # by label, at the end


def settle(scene: Scene, options: SimulationOptions | None = None) -> SettledScene:
    """The scene with its visible objects at rest; hidden ones stay. ``options``: what collides and
    what is static; no lengths.

    MissingExtraError without MuJoCo (and, for convex parts, CoACD); InputError for a scene without
    visible objects.
    """
    if importlib.util.find_spec("mujoco") is None:
        raise MissingExtraError(f"settling needs mujoco; install it with: {INSTALL}")
    options = replace(options or SimulationOptions(), up="y")
    visible = scene.visible().instances
    if not visible:
        raise InputError("the scene has no visible object that could settle")
    parts = decomposed([instance.mesh for instance in visible], options.collision)
    given = _Settling(scene, {i.label: part for i, part in zip(visible, parts)}, options)
    touching, hanging = _in_contact(scene)
    start = replace(given, scene=touching)
    held = hanging | labels_of(scene, options.static, "--static")
    tried, remarks = _until_at_rest(start, scene, held)
    remarks |= dict.fromkeys(hanging, "nothing is near below it, so it hangs where it was")
    return _reported(scene, tried, given.world(()).penetrations(), remarks)


def _until_at_rest(
    start: _Settling, given: Scene, held: frozenset[int]
) -> tuple[_Round, dict[int, str]]:
    """Tries with ever flatter undersides, and holding what they do not help; with a remark for each
    object to which something was done. ``given``: the scene as the photo shows it.
    """
    unsteady: set[int] = set()
    kept: set[int] = set()
    bands: dict[int, int] = {}
    looks = _agreement(given)
    while True:
        tried = _try(_flattened(start, bands), held | unsteady | kept)
        wanting = _first(start.scene, tried.fallen) or _first(start.scene, tried.leaning)
        flatter = [label for label in wanting if bands.get(label, 0) + 1 < len(BANDS)]
        bands |= {label: bands.get(label, 0) + 1 for label in flatter}
        if flatter:
            continue
        unsteady |= tried.fallen.intersection(wanting)
        lost = set() if tried.fallen else _lost(looks, _moved(tried), held | kept)
        if not (tried.fallen or lost):
            break
        kept |= lost
        start = replace(start, scene=_set_back(start.scene, given, lost))
        bands = {label: band for label, band in bands.items() if label not in unsteady | kept}
    remarks = {label: f"the lowest {BANDS[b]:.0%} of it became flat" for label, b in bands.items()}
    remarks |= dict.fromkeys(unsteady, "it would fall over, so it is held where it stands")
    remarks |= dict.fromkeys(kept, "it would leave its place in the photo, so it is held there")
    return tried, remarks | dict.fromkeys(tried.moving, "it had not come to rest")


def _lost(looks: Mapping[int, float], settled: Scene, still: Collection[int]) -> set[int]:
    """The label of the object that lost most agreement, where they lost too much on average; not
    of one that is held anyway.
    """
    now = _agreement(settled)
    losses = {label: before - now[label] for label, before in looks.items()}
    free = losses.keys() - still
    if not free or np.mean(list(losses.values())) <= MOST_LOST:
        return set()
    return {max(free, key=lambda label: losses[label])}


def _set_back(scene: Scene, given: Scene, labels: Collection[int]) -> Scene:
    """The scene with some objects where they were given."""
    for label in labels:
        scene = scene.transform(label, given[label].world_from_instance)
    return scene


# Before physics


def _in_contact(scene: Scene) -> tuple[Scene, frozenset[int]]:
    """Each object moved along its ray until it touches what it stands on, supporters first, and the
    labels of those that hang, which stay where they are.
    """
    hanging = set()
    given = scene
    span = span_of(scene.visible())
    for instance in _supporters_first(given):
        on = supported_by(given, instance)
        current = scene[instance.label]
        drop = np.inf if on is None else fall(scene, current, on)
        is_known = on is not None and on == given.support(instance.label).on
        is_near = on is not None and fall(given, instance, on) < NEAR * span
        if not (np.isfinite(drop) and (is_known or is_near)):
            hanging.add(instance.label)
            continue
        bottom = float(current.box[0, 1])
        motion = _along_ray(scene.camera.position, bottom, bottom - drop, LEAST_DROP * span)
        scene = scene.transform(instance.label, motion @ current.world_from_instance)
    return scene, frozenset(hanging)


def _supporters_first(scene: Scene) -> list[Instance]:
    visible = scene.visible().instances
    return sorted(visible, key=lambda i: (_level(scene, i.label), float(i.box[0, 1])))


def _level(scene: Scene, label: int) -> int:
    """How many objects are between an object and the ground."""
    level = 0
    on = scene.support(label).on
    while isinstance(on, int) and level < len(scene.instances):
        level += 1
        on = scene.support(on).on
    return level


def _along_ray(eye: np.ndarray, bottom: float, target: float, least: float) -> np.ndarray:
    """(4, 4) what brings an object's lower end to another height: about the eye, so that its
    picture is the same, or straight up or down where that would be far, or less than ``least``
    below the eye.
    """
    if min(eye[1] - bottom, eye[1] - target) > least:
        factor = (eye[1] - target) / (eye[1] - bottom)
        if abs(np.log(factor)) < LARGEST_STEP:
            return similarity(factor, None, (1 - factor) * eye)
    return similarity(1.0, None, np.array([0.0, target - bottom, 0.0]))


def _flattened(start: _Settling, bands: Mapping[int, int]) -> _Settling:
    """The scene with flat undersides of the objects in ``bands``, parts included."""
    scene = start.scene
    shapes = dict(start.shapes)
    for label, band in bands.items():
        instance = scene[label]
        thickness = least_thickness(np.asarray(instance.mesh.vertices))
        parts = shapes[label].parts
        corners = [_base_moved(instance, part.vertices, BANDS[band]) for part in parts]
        flat = tuple(convex_part(points, thickness) for points in corners)
        shapes[label] = replace(shapes[label], parts=flat)
        scene = _with_mesh(scene, label, _with_flat_base(instance, BANDS[band]))
    return replace(start, scene=scene, shapes=shapes)


def _with_mesh(scene: Scene, label: int, mesh: trimesh.Trimesh) -> Scene:
    """Another mesh in the same frame, which need not be the middle of its box."""
    changed = replace(scene[label], mesh=mesh)
    instances = tuple(changed if i.label == label else i for i in scene.instances)
    return replace(scene, instances=instances)


def _base_moved(
    instance: Instance, vertices: np.ndarray, share: float, down: np.ndarray | bool = True
) -> np.ndarray:
    """Vertices (V, 3) of the mesh's frame, those in the lowest ``share`` of the object's height
    moved down to its lower end where ``down``.
    """
    low, high = instance.box[:, 1]
    placed = transform_points(instance.world_from_instance, vertices)
    is_low = placed[:, 1] < low + share * (high - low)
    placed[is_low & down, 1] = low
    return transform_points(np.linalg.inv(instance.world_from_instance), placed)


def _with_flat_base(instance: Instance, share: float) -> trimesh.Trimesh:
    """The mesh with what faces down in the lowest ``share`` of its height moved down to its lower
    end, so that it stands on all of it.
    """
    mesh = instance.mesh
    vertices = np.asarray(mesh.vertices)
    faces = np.asarray(mesh.faces)
    placed = transform_points(instance.world_from_instance, vertices)
    down = smooth_normals(placed, faces)[:, 1] < DOWNWARD
    moved = _base_moved(instance, vertices, share, down)
    return mesh_with(moved, faces, appearance_of(mesh))


# Physics


def _try(start: _Settling, held: Collection[int]) -> _Round:
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
    return _Round(start.scene, motions, *moved, world.penetrations())


def tilt_of(rotation: np.ndarray) -> float:
    """Radians between up before and up after a rotation (3, 3) in a frame with +Y up."""
    return float(np.arccos(np.clip(rotation[1, 1], -1.0, 1.0)))


def _first(scene: Scene, labels: frozenset[int]) -> list[int]:
    """Those whose supporter is not among them; the others may have lost their footing."""
    first = [label for label in sorted(labels) if scene.support(label).on not in labels]
    return first or sorted(labels)


def _moved(tried: _Round) -> Scene:
    scene = tried.start
    for label, motion in tried.moved.items():
        instance = scene[label]
        middle = np.asarray(instance.mesh.bounds).mean(0)
        centred = instance.mesh.copy()
        centred.apply_translation(-middle)
        placed = motion @ instance.world_from_instance @ similarity(1.0, None, middle)
        scene = _with_mesh(scene, label, centred).transform(label, placed)
    return scene


# What is said


def _reported(
    before: Scene, tried: _Round, overlaps: Mapping[int, float], remarks: Mapping[int, str]
) -> SettledScene:
    after = _moved(tried)
    looks_before = _agreement(before)
    looks_after = _agreement(after)
    rows = []
    for old in before.visible().instances:
        label = old.label
        new = after[label]
        remark = remarks.get(label, "")
        tilt = tilt_of(_rotation(new) @ _rotation(old).T)
        displacement = float(np.linalg.norm(new.box.mean(0) - old.box.mean(0)))
        overlap = overlaps[label], tried.penetration[label]
        rests = label not in tried.moving and not _is_held(remark)
        looks = looks_before.get(label), looks_after.get(label)
        motion = displacement, float(np.rad2deg(tilt))
        row = RestingObject(label, old.node_name, *motion, *overlap, rests, remark, *looks)
        rows.append(row)
    told = [dataclasses.asdict(row) for row in rows]
    provenance = {**after.provenance, "settled": told}
    return SettledScene(replace(after, provenance=provenance), tuple(rows))


def _is_held(remark: str) -> bool:
    return "held" in remark or "hangs" in remark


def _rotation(instance: Instance) -> np.ndarray:
    linear = instance.world_from_instance[:3, :3]
    return linear / np.cbrt(np.linalg.det(linear))


def _agreement(scene: Scene) -> dict[int, float]:
    """IoU of each visible object with its mask."""
    if scene.input is None:
        return {}
    shown = {i.label for i in scene.visible().instances}
    masks = [mask for mask in scene.input.masks if mask.label in shown]
    instances = [i for i in scene.visible().instances if i.label in {m.label for m in masks}]
    if not instances:
        return {}
    scores = silhouette_scores(scene.visible().instances, scene.input.masks, scene.camera)
    return {i.label: round(float(scores[i.label].visible), 4) for i in instances}
