"""Objects at rest: a scene in which everything stands as it would stand in the world.

One photo leaves gaps, overlaps and ragged undersides. Each object is first brought into contact
along its own ray, so that its picture stays; what overlaps is moved apart along the shortest way;
then MuJoCo lets all of it come to rest. What topples or slides away is set back and gets a flatter
underside, more of it each time, for the photo shows that it stands; what falls all the same is held
where it was, and named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import trimesh

from maquette.document.appearance import appearance_of, mesh_with
from maquette.errors import InputError, require_extra
from maquette.geometry.cameras import project
from maquette.geometry.transforms import similarity, transform_points
from maquette.options import ScaleOptions, SimulationOptions
from maquette.render.silhouette import silhouette_scores
from maquette.simulation.bodies import bodies_of, span_of
from maquette.simulation.contact import fall, supported_by
from maquette.simulation.footing import Shown, Standing, footed, levelled, squeezed
from maquette.simulation.parts import Decomposition, decomposed, remember
from maquette.simulation.scale import scaled_scene
from maquette.simulation.selection import labels_of
from maquette.simulation.world import PhysicsWorld, world_of
from maquette.types import GROUND, Instance, Scene

REACHES = (0.15, 0.3, 0.5)  # of the way to its rim to which an object's contacts reach, by round
UNCHANGED = 0.01  # of its longest side by which an object changes without a remark
LARGEST_STEP = 0.1  # log factor along its ray by which an object may be brought into contact
LEAST_DROP = 0.05  # of the scene below the eye, for a place on a ray to tell a height
MOST_LOST = 0.04  # of a scene's mean agreement with its masks
NEAR = 0.02  # of the scene; an object of which nothing is known stands on what is so near below it
ROUNDS = 4  # of making room between objects that run into each other
SIDEWAYS = 0.5  # of an overlap that must be horizontal for room to be made
MOST_SQUEEZED = 0.1  # of its width by which a side of an object gives way, in each round
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

    def drop(self, label: int, on: int | str) -> float:
        """How far what collides of an object can fall onto what collides of its supporter."""
        scene = self.scene
        for each in (label, on):
            if isinstance(each, int):
                parts = [trimesh.Trimesh(p.vertices, p.faces) for p in self.shapes[each].parts]
                scene = _with_mesh(scene, each, trimesh.util.concatenate(parts))
        return fall(scene, scene[label], on)

    def standing(self, label: int) -> Standing:
        """An object in the scene's axes."""
        instance = self.scene[label]
        pose = instance.world_from_instance
        shape = self.shapes[label].parts
        parts = [replace(p, vertices=transform_points(pose, p.vertices)) for p in shape]
        vertices = transform_points(pose, np.asarray(instance.mesh.vertices))
        return Standing(vertices, np.asarray(instance.mesh.faces), tuple(parts))

    def reshaped(self, label: int, made: Standing) -> _Settling:
        """With another shape of an object, where it stands. Convex parts are those that were made;
        a hull or a box is found anew.
        """
        instance = self.scene[label]
        back = np.linalg.inv(instance.world_from_instance)
        vertices = transform_points(back, made.vertices).astype(np.float32)  # as files have them
        mesh = mesh_with(vertices, made.faces, appearance_of(instance.mesh))
        parts = [replace(p, vertices=transform_points(back, p.vertices)) for p in made.parts]
        shape = replace(self.shapes[label], parts=tuple(parts))
        if self.options.collision != "parts":
            (shape,) = decomposed([mesh], self.options.collision)
        scene = _with_mesh(self.scene, label, mesh)
        return replace(self, scene=scene, shapes={**self.shapes, label: shape})


@dataclass(frozen=True, eq=False)
class _Round:
    """One try: what there was before physics, and what physics made of it."""

    start: _Settling
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
    require_extra("mujoco", "settling", "sim")
    options = replace(options or SimulationOptions(), up="y")
    visible = scene.visible().instances
    if not visible:
        raise InputError("the scene has no visible object that could settle")
    parts = decomposed([instance.mesh for instance in visible], options.collision)
    given = _Settling(scene, {i.label: part for i, part in zip(visible, parts)}, options)
    hanging = _hanging(scene)
    held = hanging | labels_of(scene, options.static, "--static")
    tried, remarks = _until_at_rest(given, held)
    remarks |= dict.fromkeys(hanging, "nothing is near below it, so it hangs where it was")
    return _reported(scene, tried, given.world(()).penetrations(), remarks)


def _until_at_rest(given: _Settling, held: frozenset[int]) -> tuple[_Round, dict[int, str]]:
    """Tries with ever wider footings, and holding what they do not help; with a remark for each
    object to which something was done.
    """
    unsteady: set[int] = set()
    kept: set[int] = set()
    efforts: dict[int, int] = {}
    looks = _agreement(given.scene)
    while True:
        start = _with_room(_standing(given, efforts, held | kept), held | kept)
        tried = _try(start, held | unsteady | kept)
        wanting = _first(start.scene, tried.fallen) or _first(start.scene, tried.leaning)
        wider = [label for label in wanting if efforts.get(label, 0) + 1 < len(REACHES)]
        efforts |= {label: efforts.get(label, 0) + 1 for label in wider}
        if wider:
            continue
        unsteady |= tried.fallen.intersection(wanting)
        lost = set() if tried.fallen else _lost(looks, _moved(tried), held | kept)
        if not (tried.fallen or lost):
            break
        kept |= lost
        efforts = {label: effort for label, effort in efforts.items() if label not in kept}
    remarks = _changes(given.scene, tried.start.scene)
    remarks |= dict.fromkeys(unsteady, "it would fall over, so it is held where it stands")
    remarks |= dict.fromkeys(kept, "it would leave its place in the photo, so it is held there")
    return tried, remarks | dict.fromkeys(tried.moving, "it had not come to rest")


def _changes(before: Scene, after: Scene) -> dict[int, str]:
    """A remark for each object whose underside is another one."""
    remarks = {}
    for old in before.visible().instances:
        was = np.asarray(old.mesh.vertices)
        moved = (
            np.abs(np.asarray(after[old.label].mesh.vertices) - was).max() / np.ptp(was, 0).max()
        )
        if moved > UNCHANGED:
            remarks[old.label] = f"its underside was moved by up to {moved:.0%} of its size"
    return remarks


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


# Before physics


def _hanging(scene: Scene) -> frozenset[int]:
    """The labels of what has nothing near below it, and of which nothing is known."""
    span = span_of(scene.visible())
    found = set()
    for instance in scene.visible().instances:
        on = supported_by(scene, instance)
        drop = np.inf if on is None else fall(scene, instance, on)
        is_known = on is not None and on == scene.support(instance.label).on
        if not np.isfinite(drop) or not (is_known or drop < NEAR * span):
            found.add(instance.label)
    return frozenset(found)


def _standing(given: _Settling, efforts: Mapping[int, int], still: Collection[int]) -> _Settling:
    """The scene with each object on a firm footing, and moved along its ray until it touches what
    it stands on, supporters first; not those that are ``still``. The ground is where most lower
    ends are, for undersides that nobody sees have told its height before.
    """
    scene = given.scene
    eye = scene.camera.position
    least = LEAST_DROP * span_of(scene.visible())
    moving = [i.label for i in _supporters_first(scene) if i.label not in still]
    on = {label: supported_by(scene, scene[label]) for label in moving}
    bodies = {label: levelled(given.standing(label), eye) for label in moving}
    lows = [bodies[label].corners[:, 1].min() for label in moving if on[label] == GROUND]
    if lows:
        scene = replace(scene, ground_height=float(np.median([*lows, scene.ground_height])))
    for label in moving:
        supporter = on[label]
        reach = REACHES[efforts.get(label, 0)]
        floor = scene.ground_height if supporter == GROUND else -np.inf
        made = footed(bodies[label], reach, floor, _shown(scene, label))
        given = replace(given, scene=scene).reshaped(label, made)
        scene = given.scene
        drop = np.inf if supporter is None else given.drop(label, supporter)
        if np.isfinite(drop):
            bottom = float(scene[label].box[0, 1])
            motion = _along_ray(eye, bottom, bottom - drop, least)
            scene = scene.transform(label, motion @ scene[label].world_from_instance)
    return replace(given, scene=scene)


def _with_room(given: _Settling, still: Collection[int]) -> _Settling:
    """Objects that run into each other made narrower on the sides that do, for moving them would
    leave the photo; each by a share of its width, and not by much. Not what stands on the other.
    """
    for _ in range(ROUNDS):
        pressed = _pressed(given, still)
        if not pressed:
            break
        for label, push in pressed:
            given = given.reshaped(label, squeezed(given.standing(label), push, MOST_SQUEEZED))
    return given


def _pressed(given: _Settling, still: Collection[int]) -> list[tuple[int, np.ndarray]]:
    """Labels of overlapping objects with the way (3,) that their side has to give, horizontal."""
    found = []
    for first, second, way in given.world(still).pair_overlaps():
        level = way * (1.0, 0.0, 1.0)
        depth = np.linalg.norm(way)
        stands = second == given.scene.support(first).on or first == given.scene.support(second).on
        if stands or np.linalg.norm(level) < SIDEWAYS * depth:
            continue
        direction = level / np.linalg.norm(level)
        needed = depth**2 / np.linalg.norm(level)
        widths = {
            label: float(np.ptp(given.scene[label].box, axis=0) @ np.abs(direction))
            for label in (first, second)
            if label not in still
        }
        for label, width in widths.items():
            outward = direction if label == first else -direction
            found.append((label, outward * needed * width / sum(widths.values())))
    return found


def _shown(scene: Scene, label: int) -> Shown:
    """Whether the photo tells that there is nothing of an object at points (N, 3): what it shows
    there is neither the object nor another one that is nearer. False everywhere without a photo.
    """
    camera = scene.camera
    hidden_from = np.full((camera.height, camera.width), np.inf)  # depth
    made = {instance.label: instance for instance in scene.visible().instances}
    for mask in scene.input.masks if scene.input is not None else ():
        if mask.label in made:
            middle = made[mask.label].box.mean(0)
            nearest = 0.0 if mask.label == label else float(project(camera, middle)[1])
            hidden_from[mask.mask] = nearest

    def shown(points: np.ndarray) -> np.ndarray:
        pixels, depth = project(camera, points)
        column, row = np.floor(pixels).astype(int).T
        inside = (depth > 0) & (row >= 0) & (row < camera.height)
        inside &= (column >= 0) & (column < camera.width)
        inside[inside] = depth[inside] < hidden_from[row[inside], column[inside]]
        return inside & (scene.input is not None)

    return shown


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


def _with_mesh(scene: Scene, label: int, mesh: trimesh.Trimesh) -> Scene:
    """Another mesh in the same frame, which need not be the middle of its box."""
    changed = replace(scene[label], mesh=mesh)
    instances = tuple(changed if i.label == label else i for i in scene.instances)
    return replace(scene, instances=instances)


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
    return _Round(start, motions, *moved, world.penetrations())


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
        middle = (vertices.min(0) + vertices.max(0)) / 2
        centred = (vertices - middle).astype(np.float32)
        mesh = mesh_with(centred, instance.mesh.faces, appearance_of(instance.mesh))
        placed = motion @ instance.world_from_instance @ similarity(1.0, None, middle)
        scene = _with_mesh(scene, label, mesh).transform(label, placed)
    return scene


# What is said


def _reported(
    before: Scene, tried: _Round, overlaps: Mapping[int, float], remarks: Mapping[int, str]
) -> SettledScene:
    after = _moved(tried)
    for label, shape in tried.start.shapes.items():
        if tried.start.options.collision == "parts":
            remember(after[label].mesh, tried.start.scene[label].mesh, shape)
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
    checked = [
        replace(i, confidence=looks_after.get(i.label, i.confidence)) for i in after.instances
    ]
    made = replace(after, instances=tuple(checked), provenance=provenance)
    return SettledScene(made, tuple(rows))


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
