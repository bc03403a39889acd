"""A scene made ready to come to rest: on firm footings, in contact with what it stands on, with
room between what runs into each other. In the flow: the part of settling before physics; objects
move along their rays and change where the photo does not show them, supporters first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import trimesh

from maquette.document.appearance import appearance_of, mesh_with
from maquette.geometry.cameras import project
from maquette.geometry.transforms import similarity, transform_points
from maquette.options import ScaleOptions, SimulationOptions
from maquette.render.silhouette import silhouettes_alone
from maquette.simulation.bodies import Solid, bodies_of, span_of
from maquette.simulation.contact import fall, supported_by
from maquette.simulation.footing import (
    LEVEL,
    Shown,
    Standing,
    footed,
    levelled,
    squeezed,
    with_base,
    with_hollow,
    with_patch,
)
from maquette.simulation.hulls import overlap_along
from maquette.simulation.parts import decomposed
from maquette.simulation.scale import scaled_scene
from maquette.simulation.world import PhysicsWorld, world_of
from maquette.types import GROUND, Instance, Scene, Support

REACHES = (0.08, 0.15, 0.3, 0.5)  # of the way to its rim to which contacts reach, by round
BASE_REACH = 0.3  # of the same, to which a base reaches that nobody sees
LARGEST_STEP = 0.7  # log factor along its ray by which an object may be brought into contact
LEAST_DROP = 0.05  # of the scene below the eye, for a place on a ray to tell a height
NEAR = 0.02  # of the scene; an object of which nothing is known stands on what is so near below it
CLEAR = 1.2  # times the overlap by which something is moved, or gives way, behind something else
THROUGH = 0.75  # of the thinner one, along the ray: what overlaps by more goes through it
HOLLOW = 1.0  # of its height; what would have to rise by more lies in a hollow of its supporter
HARDLY = 0.05  # of a foot that the photo may show where it is not
ROUNDS = 6  # of making room between objects that run into each other
ALONG_RAYS = 4  # of them, at first, in which they give way along the rays of the photo
REARS = 2  # of these, at first, in which the nearer one gives way alone
SIDEWAYS = 0.5  # of an overlap that must be horizontal for room to be made


@dataclass(frozen=True)
class Manner:
    """How an object is made to stand. The photo decides: what it shows otherwise is not done."""

    effort: int = 0  # of REACHES
    is_levelled: bool = True  # before it gets feet
    is_raised: bool = True  # what of it is below the ground, before it is moved along its ray


@dataclass(frozen=True, eq=False)
class CollidingScene:
    """A scene on its way to rest, and what collides of its visible instances."""

    scene: Scene
    solids: dict[int, Solid]  # by label
    options: SimulationOptions

    def world(self, held: Collection[int]) -> PhysicsWorld:
        """The bodies in a unit of length in which the scene is one long; ``held`` do not move."""
        visible = self.scene.visible().instances
        unit = ScaleOptions(metres_per_unit=1.0 / span_of(self.scene.visible()))
        scaled = scaled_scene(self.scene, unit)
        made = bodies_of(scaled, self.options, [self.solids[i.label] for i in visible])
        bodies = tuple(replace(b, is_static=b.is_static or b.label in held) for b in made.bodies)
        return world_of(replace(made, bodies=bodies))

    def drop(self, label: int, on: int | str) -> float:
        """How far what collides of an object can fall onto what collides of its supporter."""
        scene = self.scene
        if not isinstance(on, int):
            return float(self.standing(label).corners[:, 1].min()) - scene.ground_height
        for each in (label, on):
            parts = [trimesh.Trimesh(p.vertices, p.faces) for p in self.solids[each].shape.parts]
            whole = trimesh.util.concatenate(parts)
            assert isinstance(whole, trimesh.Trimesh)
            scene = with_mesh(scene, each, whole)
        return fall(scene, scene[label], on)

    def standing(self, label: int) -> Standing:
        """An object in the scene's axes."""
        instance = self.scene[label]
        pose = instance.world_from_instance
        shape = self.solids[label].shape.parts
        parts = [replace(p, vertices=transform_points(pose, p.vertices)) for p in shape]
        vertices = transform_points(pose, np.asarray(instance.mesh.vertices))
        return Standing(vertices, np.asarray(instance.mesh.faces), tuple(parts))

    def reshaped(self, label: int, made: Standing) -> CollidingScene:
        """With another shape of an object, where it stands. Convex parts are those that were made;
        a hull or a box is found anew.
        """
        instance = self.scene[label]
        back = np.linalg.inv(instance.world_from_instance)
        vertices = transform_points(back, made.vertices).astype(np.float32)  # as files have them
        mesh = mesh_with(vertices, made.faces, appearance_of(instance.mesh))
        parts = [replace(p, vertices=transform_points(back, p.vertices)) for p in made.parts]
        shape = replace(self.solids[label].shape, parts=tuple(parts))
        if self.options.collision != "parts":
            (shape,) = decomposed([mesh], self.options.collision)
        scene = with_mesh(self.scene, label, mesh)
        return replace(self, scene=scene, solids=self.solids | {label: Solid(mesh, shape)})


def hanging(scene: Scene) -> frozenset[int]:
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


def untangled(given: CollidingScene, still: Collection[int]) -> CollidingScene:
    """The scene in which what hangs or stands on another object, and is in something, leaves it
    along its ray, so that its picture stays: what the photo shows in front comes nearer, else what
    is behind goes farther, with what stands on it. What is on the ground stays, for its foot tells
    how far it is; so do those that are ``still``, and what goes through the other, as a rider
    through the bicycle.
    """
    for _ in range(ROUNDS):
        before = given
        scene = given.scene
        loose = {label for label, on in scene.supports.items() if on.on in given.solids}
        loose = (loose | hanging(scene)) - set(still)
        for first, second, _ in given.world(()).pair_overlaps():
            front, back = _in_order(given.scene, first, second)
            if front in loose:
                given = _apart(given, front, back, -1.0)
            elif back in loose:
                given = _apart(given, back, front, 1.0)
        if given is before:
            break
    return given


def _in_order(scene: Scene, first: int, second: int) -> tuple[int, int]:
    """The one that the masks show where both are, and the other one; else the nearer one first."""
    masks = () if scene.input is None else scene.input.masks
    shown = {mask.label: mask.mask for mask in masks}
    counts = [0, 0]
    if first in shown and second in shown:
        alone = silhouettes_alone([scene[first], scene[second]], scene.camera)
        both = alone[first] & alone[second]
        counts = [int((shown[label] & both).sum()) for label in (first, second)]
    is_in_front = counts[0] > counts[1]
    if counts[0] == counts[1]:
        middles = np.stack([scene[first].box.mean(0), scene[second].box.mean(0)])
        distances = np.linalg.norm(middles - scene.camera.position, axis=1)
        is_in_front = bool(distances[0] < distances[1])
    return (first, second) if is_in_front else (second, first)


def _apart(
    given: CollidingScene,
    label: int,
    other: int,
    way: float,
) -> CollidingScene:
    """The scene with one object farther from the eye (``way`` 1) or nearer (-1), and with it what
    stands on it, until it is out of another one; as it was where they go through each other.
    """
    scene = given.scene
    eye = scene.camera.position
    ray = scene[label].box.mean(0) - eye
    depth, thickness = _depth_along(given, other, label, way * ray / np.linalg.norm(ray))
    nearest = np.linalg.norm(given.standing(label).corners - eye, axis=1).min()
    factor = 1 + way * CLEAR * depth / nearest  # rays are not quite parallel
    if depth > THROUGH * thickness or factor <= 0:
        return given
    motion = similarity(factor, None, (1 - factor) * eye)
    placed = motion @ scene[label].world_from_instance
    return replace(given, scene=scene.transform(label, placed, carry=True))


def grounded(given: CollidingScene, label: int) -> CollidingScene:
    """The scene in which something that hangs has a foot on the ground, where that ends behind
    something nearer, so that the photo does not show it; not above another object, on which it may
    stand, nor farther below than it is high.
    """
    scene = given.scene
    height = float(np.ptp(scene[label].box[:, 1]))
    drop = fall(scene, scene[label], GROUND)
    if supported_by(scene, scene[label]) != GROUND or drop > height:
        return given
    body = given.standing(label)
    made = with_base(body, scene.ground_height, BASE_REACH)
    way = made.vertices - body.vertices
    is_drawn = np.abs(way).max(1) > 0
    drawn = [(body.vertices + share * way)[is_drawn] for share in (0.25, 0.5, 0.75, 1.0)]
    if scene.input is None or _shown(scene, label)(np.concatenate(drawn)).mean() > HARDLY:
        return given
    supports = {**scene.supports, label: Support(GROUND, 0.0)}
    return replace(given, scene=replace(scene, supports=supports)).reshaped(label, made)


def levelled_bodies(given: CollidingScene) -> dict[int, Standing]:
    """Label -> the object with a level underside."""
    eye = given.scene.camera.position
    return {label: levelled(given.standing(label), eye) for label in given.solids}


def arranged(
    given: CollidingScene,
    bodies: Mapping[int, Standing],
    manners: Mapping[int, Manner],
    still: Collection[int],
) -> CollidingScene:
    """The scene with each object on a firm footing, and moved along its ray until it touches what
    it stands on, supporters first; not those that are ``still``. The ground is where most lower
    ends are, for undersides that nobody sees have told its height before. ``bodies``: as
    ``levelled_bodies`` makes them.
    """
    scene = given.scene
    moving = [i.label for i in _supporters_first(scene) if i.label not in still]
    on = {label: supported_by(scene, scene[label]) for label in moving}
    lows = [bodies[label].corners[:, 1].min() for label in moving if on[label] == GROUND]
    if lows:
        scene = replace(scene, ground_height=float(np.median([*lows, scene.ground_height])))
    made = replace(given, scene=scene)
    for label in moving:
        made = made_to_stand(made, label, bodies[label], manners.get(label, Manner()))
    return made


def made_to_stand(
    given: CollidingScene,
    label: int,
    level: Standing,
    manner: Manner,
) -> CollidingScene:
    """The scene with one object on a firm footing and in contact with what it stands on. ``level``:
    the object with a level underside.
    """
    scene = given.scene
    supporter = supported_by(scene, scene[label])
    body = level if manner.is_levelled else given.standing(label)
    is_raised = manner.is_raised and supporter == GROUND
    floor = scene.ground_height if is_raised else -np.inf
    made = footed(body, REACHES[manner.effort], floor, _shown(scene, label))
    given = given.reshaped(label, made)
    drop = np.inf if supporter is None else given.drop(label, supporter)
    box = given.scene[label].box
    if isinstance(supporter, int) and -drop > HOLLOW * np.ptp(box[:, 1]):
        given = given.reshaped(supporter, with_hollow(given.standing(supporter), box))
        drop = given.drop(label, supporter)
    scene = given.scene
    if not np.isfinite(drop):
        return given
    bottom = float(scene[label].box[0, 1])
    least = LEAST_DROP * span_of(scene.visible())
    motion = _along_ray(scene.camera.position, bottom, bottom - drop, least)
    placed = motion @ scene[label].world_from_instance
    made_there = replace(given, scene=scene.transform(label, placed))
    if not isinstance(supporter, int):
        return made_there
    base = made_there.standing(label).base
    return made_there.reshaped(supporter, with_patch(made_there.standing(supporter), base))


def with_room(given: CollidingScene, still: Collection[int]) -> CollidingScene:
    """Objects that run into each other made narrower on the sides that do, for moving them would
    leave the photo, and not by much: along the rays of the photo where one is behind the other, so
    that the picture stays, the hidden rear of the nearer one first, but nothing on which another
    stands; else each by a share of its width. Not what stands on the other.
    """
    visible = given.scene.visible().instances
    on = {instance.label: supported_by(given.scene, instance) for instance in visible}
    for turn in range(ROUNDS):
        pushes = _pushes(given, on, still, turn)
        if not pushes:
            break
        for push in pushes:
            made = squeezed(given.standing(push.label), push.way, push.eye)
            given = given.reshaped(push.label, made)
    return given


@dataclass(frozen=True, eq=False)
class _Push:
    """By what a side of an object has to give."""

    label: int
    way: np.ndarray  # (3,) outward, horizontal
    eye: np.ndarray | None  # (3,) along whose rays points move; None: along the way


def _pushes(
    given: CollidingScene,
    on: Mapping[int, int | str | None],
    still: Collection[int],
    turn: int,
) -> list[_Push]:
    """For all objects that overlap. ``on``: label -> what it stands on."""
    found = []
    fixed = {*still, *on.values()}
    for first, second, way in given.world(still).pair_overlaps():
        if on[first] == second or on[second] == first:
            continue
        front, back = _in_order(given.scene, first, second)
        eye = given.scene.camera.position
        boxes = [given.scene[label].box for label in (front, back)]
        away = (np.mean(boxes, axis=(0, 1)) - eye) * LEVEL
        away /= np.linalg.norm(away)
        level = way * LEVEL
        depth = np.linalg.norm(way)
        giving = {front, back} - fixed
        behind, thickness = np.inf, 0.0
        if giving and turn < ALONG_RAYS:
            behind, thickness = _depth_along(given, front, back, away)
        if 0 < behind < THROUGH * thickness:
            giving = {front} if turn < REARS and front in giving else giving
            found += _shared(given, front, giving, CLEAR * behind * away, eye)
        elif np.linalg.norm(level) >= SIDEWAYS * depth:
            outward = level * (depth / np.linalg.norm(level)) ** 2
            found += _shared(given, first, {first, second} - {*still}, outward, None)
    return found


def _shared(
    given: CollidingScene,
    first: int,
    giving: Collection[int],
    way: np.ndarray,
    eye: np.ndarray | None,
) -> list[_Push]:
    """A way (3,) from the first of two objects into the other, shared by those that give, by their
    widths.
    """
    direction = way / np.linalg.norm(way)
    sizes = {label: np.ptp(given.scene[label].box, axis=0) for label in giving}
    widths = {label: float(size @ np.abs(direction)) for label, size in sizes.items()}
    whole = sum(widths.values())
    outward = {label: way if label == first else -way for label in giving}
    return [_Push(label, outward[label] * widths[label] / whole, eye) for label in giving]


def _depth_along(
    given: CollidingScene,
    front: int,
    back: int,
    away: np.ndarray,
) -> tuple[float, float]:
    """How far one object must move along a direction (3,) to be behind another, and how thick the
    thinner one is along it.
    """
    body, obstacle = given.standing(front), given.standing(back)
    thickness = min(np.ptp(one.corners @ away) for one in (body, obstacle))
    return overlap_along(body.parts, obstacle.parts, away), float(thickness)


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


def _along_ray(
    eye: np.ndarray,
    bottom: float,
    target: float,
    least: float,
) -> np.ndarray:
    """(4, 4) what brings an object's lower end to another height: about the eye, so that its
    picture is the same, or straight up or down where that would be far, or less than ``least``
    below the eye.
    """
    if min(eye[1] - bottom, eye[1] - target) > least:
        factor = (eye[1] - target) / (eye[1] - bottom)
        if abs(np.log(factor)) < LARGEST_STEP:
            return similarity(factor, None, (1 - factor) * eye)
    return similarity(1.0, None, np.array([0.0, target - bottom, 0.0]))


def with_mesh(scene: Scene, label: int, mesh: trimesh.Trimesh) -> Scene:
    """Another mesh in the same frame, which need not be the middle of its box."""
    return with_instance(scene, replace(scene[label], mesh=mesh))


def with_instance(scene: Scene, changed: Instance) -> Scene:
    """Another instance in the place of that with its label."""
    instances = tuple(changed if i.label == changed.label else i for i in scene.instances)
    return replace(scene, instances=instances)
