"""A scene made ready to come to rest: on firm footings, in contact with what it stands on, and
nothing inside anything else. In the flow: the part of settling before physics; objects move along
their rays, supporters first, with what they carry. Footings, seats and cuts are of what collides:
what is seen stays as the photo made it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import trimesh

from maquette.document.appearance import appearance_of, mesh_with
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import similarity
from maquette.options import ScaleOptions, SimulationOptions
from maquette.render.silhouette import silhouettes_alone, visible_agreement
from maquette.simulation.bodies import Solid, bodies_of, span_of
from maquette.simulation.contact import fall, supported_by
from maquette.simulation.footing import (
    Standing,
    beyond,
    footed,
    levelled,
    with_hollow,
    with_patch,
)
from maquette.simulation.hulls import ConvexPart, overlap_along
from maquette.simulation.scale import scaled_scene
from maquette.simulation.selection import labels_of
from maquette.simulation.world import ENOUGH, PartOverlap, PhysicsWorld, world_of
from maquette.types import GROUND, Instance, Scene

REACHES = (0.15, 0.3, 0.5)  # of the way to its rim to which contacts reach, by round
MOST_ALONG = 0.1  # log factor along its ray by which an object may be brought into contact
LEAST_DROP = 0.05  # of the scene below the eye, for a place on a ray to tell a height
NEAR = 0.02  # of the scene; contacts reach to what is so near below an object, instead of moving it
CLEAR = 1.2  # times the overlap by which something is moved, or gives way, behind something else
THROUGH = 0.75  # of the thinner one, along the ray: what overlaps by more goes through it
SHOWN_THERE = 0.5  # agreement with its mask of what is where the photo shows it
BARELY = 1.0 + 1e-6  # times a length, to reach it
ROUNDS = 6  # of making room between objects that run into each other
UPWARD = np.array([0.0, 1.0, 0.0])


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

    def standing(self, label: int) -> Standing:
        """An object in the scene's axes."""
        mesh, shape = self.scene[label].mesh, self.solids[label].shape
        body = Standing(np.asarray(mesh.vertices), np.asarray(mesh.faces), shape.parts)
        return body.placed(self.scene[label].world_from_instance)

    def reshaped(self, label: int, made: Standing) -> CollidingScene:
        """With another shape of an object, where it stands."""
        instance = self.scene[label]
        own = made.placed(np.linalg.inv(instance.world_from_instance))
        vertices = own.vertices.astype(np.float32)  # as files have them
        mesh = mesh_with(vertices, own.faces, appearance_of(instance.mesh))
        shape = replace(self.solids[label].shape, parts=own.parts)
        scene = with_mesh(self.scene, label, mesh)
        return replace(self, scene=scene, solids=self.solids | {label: Solid(mesh, shape)})

    def seated(self, label: int, on: int) -> CollidingScene:
        """With room for an object in the convex parts of what it stands on, which fill the hollow
        in which it may be, and with a level patch under its base.
        """
        body, under = self.standing(label), self.standing(on)
        least = ENOUGH * span_of(self.scene.visible())
        if overlap_along(body.parts, under.parts, UPWARD) > least:
            under = with_hollow(under, bounding_box(body.corners))
        return self.reshaped(on, with_patch(under, body.base))


def agreement(scene: Scene) -> dict[int, float]:
    """Label -> IoU of a visible object with its mask, where it has one."""
    shown = scene.visible().instances
    labels = {instance.label for instance in shown}
    masks = [] if scene.input is None else [m for m in scene.input.masks if m.label in labels]
    found = visible_agreement(shown, masks, scene.camera) if masks else {}
    return {label: round(iou, 4) for label, iou in found.items()}


def hanging(scene: Scene) -> frozenset[int]:
    """The labels of what has nothing near below it, and of which nothing is known."""
    span = span_of(scene.visible())
    found = set()
    for instance in scene.visible().instances:
        on = supported_by(scene, instance)
        drop = np.inf if on is None else fall(scene, instance, on)
        is_known = on is not None and on == scene.support(instance.label).on
        if not (np.isfinite(drop) and (is_known or drop < NEAR * span)):
            found.add(instance.label)
    return frozenset(found)


def untangled(given: CollidingScene, still: Collection[int]) -> CollidingScene:
    """The scene in which what hangs or stands on another object, and is in something, leaves it
    along its ray, so that its picture stays: what the photo shows in front comes nearer, else what
    is behind goes farther, with what stands on it. What is on the ground stays, for its foot tells
    how far it is; so do those that are ``still``, what is hardly in what carries it, where a place
    is made for it, and what goes through the other, as a rider through the bicycle.
    """
    for _ in range(ROUNDS):
        before = given
        scene = given.scene
        loose = {label for label, on in scene.supports.items() if on.on in given.solids}
        loose = (loose | hanging(scene)) - set(still)
        for first, second, _ in given.world(()).pair_overlaps():
            if _sits_in(given.scene, first, second):
                continue
            front, back = _in_order(given.scene, first, second)
            if front in loose:
                given = _apart(given, front, back, -1.0)
            elif back in loose:
                given = _apart(given, back, front, 1.0)
        if given is before:
            break
    return given


def _sits_in(scene: Scene, first: int, second: int) -> bool:
    """Whether one of them stands on the other, and is hardly in it."""
    near = NEAR * span_of(scene.visible())
    for upper, lower in ((first, second), (second, first)):
        if scene.support(upper).on == lower:
            return -near < fall(scene, scene[upper], lower) < np.inf
    return False


def _in_order(scene: Scene, first: int, second: int) -> tuple[int, int]:
    """The one that the masks show where both are, and the other one; else the nearer one first."""
    masks = () if scene.input is None else scene.input.masks
    shown = {mask.label: mask.mask for mask in masks}
    counts = [0, 0]
    if first in shown and second in shown:
        alone = silhouettes_alone([scene[first], scene[second]], scene.camera)
        both = alone[first] & alone[second]
        counts = [(shown[label] & both).sum() for label in (first, second)]
    is_in_front = counts[0] > counts[1]
    if counts[0] == counts[1]:
        middles = np.stack([scene[first].box.mean(0), scene[second].box.mean(0)])
        distances = np.linalg.norm(middles - scene.camera.position, axis=1)
        is_in_front = distances[0] < distances[1]
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


def levelled_bodies(given: CollidingScene) -> dict[int, Standing]:
    """Label -> the object with a level underside, in its own frame."""
    eye = given.scene.camera.position
    made = {}
    for label in given.solids:
        back = np.linalg.inv(given.scene[label].world_from_instance)
        made[label] = levelled(given.standing(label), eye).placed(back)
    return made


def arranged(
    given: CollidingScene,
    bodies: Mapping[int, Standing],
    efforts: Mapping[int, int],
    still: Collection[int],
) -> CollidingScene:
    """The scene with each object on a firm footing, and where it is far from what it stands on
    moved along its ray until it touches that, supporters first; not those that are ``still``, but
    for going along with what carries them, unless they are static. The ground is where most lower
    ends are, for undersides that nobody sees have told its height before. ``bodies``: as
    ``levelled_bodies`` makes them.
    """
    scene = given.scene
    moving = [i.label for i in _supporters_first(scene) if i.label not in still]
    standing = [scene[label] for label in moving if supported_by(scene, scene[label]) == GROUND]
    placed = [bodies[one.label].placed(one.world_from_instance) for one in standing]
    lows = [body.corners[:, 1].min() for body in placed]
    scene = replace(scene, ground_height=float(np.median([*lows, scene.ground_height])))
    made = replace(given, scene=scene)
    for label in moving:
        made = made_to_stand(made, label, bodies[label], efforts.get(label, 0))
    scene = made.scene
    for label in labels_of(scene, given.options.static, "--static"):
        scene = scene.transform(label, given.scene[label].world_from_instance)
    return replace(made, scene=scene)


def made_to_stand(
    given: CollidingScene,
    label: int,
    level: Standing,
    effort: int,
) -> CollidingScene:
    """The scene with one object on a firm footing and in contact with what it stands on, to which
    its contacts reach where that is near; else it is moved. What is in an object that carries it
    stays, for its place there is made. ``level``: the object with a level underside, in its own
    frame; ``effort``: of REACHES.
    """
    scene = given.scene
    span = span_of(scene.visible())
    supporter = supported_by(scene, scene[label])
    near = NEAR * span
    floor = scene.ground_height if supporter == GROUND else -np.inf
    body = level.placed(scene[label].world_from_instance)
    gap = _reach_down(given, label, body, floor)
    made = footed(body, REACHES[effort], floor, gap)
    given = given.reshaped(label, made)
    scene = given.scene
    bottom = made.corners[:, 1].min()
    drop = np.inf if supporter is None else fall(scene, scene[label], supporter)
    drop = bottom - scene.ground_height if supporter == GROUND else drop
    if np.isfinite(drop) and (supporter == GROUND or drop > near):
        motion = along_ray(scene.camera.position, bottom, bottom - drop, LEAST_DROP * span)
        placed = motion @ scene[label].world_from_instance
        given = replace(given, scene=scene.transform(label, placed, carry=True))
    if isinstance(supporter, int) and np.isfinite(drop):
        return given.seated(label, supporter)
    return given


def _reach_down(given: CollidingScene, label: int, level: Standing, floor: float) -> float:
    """How far above the ground contacts of an object may be that are drawn down to it: a little, as
    much as levelling has raised them, or, where its ray would lead it far away from where the photo
    shows it, no more than it is high.
    """
    scene = given.scene
    span = span_of(scene.visible())
    near = NEAR * span
    drop = level.corners[:, 1].min() - floor
    if not np.isfinite(floor):
        return near
    was = given.standing(label).corners[:, 1].min() - floor
    below = max(scene.camera.position[1] - floor - drop, LEAST_DROP * span)
    is_far = np.log1p(max(drop, 0.0) / below) > MOST_ALONG
    is_low = drop < np.ptp(level.corners[:, 1])
    reaches = abs(was) < near
    if is_far and is_low and not reaches:  # which masks tell takes time
        reaches = agreement(scene).get(label, 0.0) > SHOWN_THERE
    return max(near, drop * BARELY) if reaches else near


def carved(given: CollidingScene) -> CollidingScene:
    """The scene in which of convex parts that overlap one is cut, that which loses less, where the
    other one ends: what is inside something else is not seen. What is seen stays.
    """
    for _ in range(ROUNDS):
        overlaps = given.world(()).part_overlaps()
        if not overlaps:
            break
        pieces = {label: [[p] for p in given.standing(label).parts] for label in given.solids}
        changed = {label for one in overlaps if (label := _cut(one, pieces)) is not None}
        for label in changed:
            parts = tuple(itertools.chain.from_iterable(pieces[label]))
            if parts:
                given = given.reshaped(label, replace(given.standing(label), parts=parts))
    return given


def _cut(overlap: PartOverlap, pieces: Mapping[int, list[list[ConvexPart]]]) -> int | None:
    """Cut one of two convex parts, in ``pieces``, by label what is left of each; tells whose."""
    ends = []
    for side, sign in ((overlap.first, -1.0), (overlap.second, 1.0)):
        if side is None:  # the ground gives way to nothing
            continue
        label, number = side
        for part in pieces[label][number]:
            outward = sign * overlap.direction
            place = float(outward @ overlap.middle) + overlap.depth / 2
            left = beyond(part, outward, place)
            lost = part.volume - sum(one.volume for one in left)
            ends.append((lost, label, number, left))
    if not ends:
        return None
    _, label, number, left = min(ends, key=lambda end: end[0])
    pieces[label][number] = left
    return label


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


def _supporters_first(scene: Scene) -> list[Instance]:
    visible = scene.visible().instances
    return sorted(visible, key=lambda i: (_level(scene, i.label), i.box[0, 1]))


def _level(scene: Scene, label: int) -> int:
    """How many objects are between an object and the ground."""
    level = 0
    on = scene.support(label).on
    while isinstance(on, int) and level < len(scene.instances):
        level += 1
        on = scene.support(on).on
    return level


def along_ray(
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
        if abs(np.log(factor)) < MOST_ALONG:
            return similarity(factor, None, (1 - factor) * eye)
    return similarity(1.0, None, np.array([0.0, target - bottom, 0.0]))


def with_mesh(scene: Scene, label: int, mesh: trimesh.Trimesh) -> Scene:
    """Another mesh in the same frame, which need not be the middle of its box."""
    return with_instance(scene, replace(scene[label], mesh=mesh))


def with_instance(scene: Scene, changed: Instance) -> Scene:
    """Another instance in the place of that with its label."""
    instances = tuple(changed if i.label == changed.label else i for i in scene.instances)
    return replace(scene, instances=instances)
