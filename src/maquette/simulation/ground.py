"""What ends above what it stands on, brought down to it.

In the flow: the part of settling before objects are arranged. Where nothing shows the foot of an
object, either its distance is wrong or what was made of it is too short; it comes along its ray,
and is drawn down, as far as the errors of both make likely (docs/log.md, "Why settling lost scenes
of rooms"). The photo decides: nothing is drawn that belies a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np

from maquette.geometry.cameras import project
from maquette.simulation.arrange import (
    LEAST_DROP,
    MOST_ALONG,
    NEAR,
    SHOWN_THERE,
    CollidingScene,
    agreement,
    along_ray,
    hanging,
)
from maquette.simulation.bodies import span_of
from maquette.simulation.contact import fall, supported_by
from maquette.simulation.footing import with_base
from maquette.stages.support import LIKELY
from maquette.types import GROUND, Instance, Scene, Support

BASE_REACH = 0.3  # of the way to its rim to which a base reaches that nobody sees
# Of what ends above the ground, on 34 objects of held-out scenes: what it lacks of its height on
# average, and standard deviations of that and of its distance, in shares of them
TOO_SHORT = 0.35
HEIGHT_ERROR = 0.3
DISTANCE_ERROR = 0.04
MOST_LOST = 0.02  # of agreement with a mask, by standing; of a scene on average
HARDLY = 0.05  # of a foot that the photo may show where it is not


def on_common_ground(given: CollidingScene) -> CollidingScene:
    """The scene with its ground where most of what surely stands on it ends."""
    scene = given.scene
    standing = _on_ground(scene)
    sure = [one for one in standing if scene.support(one.label).confidence > LIKELY]
    lows = [one.box[0, 1] for one in sure]
    if not lows:
        return given
    height = float(np.median([*lows, scene.ground_height]))
    return replace(given, scene=replace(scene, ground_height=height))


def brought_down(given: CollidingScene, still: Collection[int]) -> CollidingScene:
    """The scene in which what stands on something, or hangs above the ground, reaches it where that
    belies no mask; not those that are ``still``, nor what is not where the photo shows it.
    """
    for label in sorted((hanging(given.scene) | raised(given.scene)) - set(still)):
        was = agreement(given.scene)
        ways = _ways_down(given, label) if was.get(label, 0.0) > SHOWN_THERE else ()
        for made in ways:
            looks = agreement(made.scene)
            lost = {one: was[one] - looks[one] for one in was}
            if max(lost.values()) < MOST_LOST:
                given = made
                break
    return given


def raised(scene: Scene) -> frozenset[int]:
    """The labels of what ends well above that on which it stands."""
    near = NEAR * span_of(scene.visible())
    drops = {one.label: _drop(scene, one.label) for one in scene.visible().instances}
    return frozenset(label for label, drop in drops.items() if near < drop < np.inf)


def _on_ground(scene: Scene) -> list[Instance]:
    return [i for i in scene.visible().instances if scene.support(i.label).on == GROUND]


def _drop(scene: Scene, label: int) -> float:
    """How far an object ends above what it is known to stand on; far where nothing is known."""
    on = supported_by(scene, scene[label])
    if on is None or on != scene.support(label).on:
        return np.inf
    return fall(scene, scene[label], on)


def _ways_down(given: CollidingScene, label: int) -> Iterator[CollidingScene]:
    """The scenes with a foot of an object on what it stands on, likeliest first."""
    scene = given.scene
    drop = _drop(scene, label)
    if not np.isfinite(drop):
        if (hung := grounded(given, label)) is not given:
            yield hung
        return
    eye = scene.camera.position
    low, high = scene[label].box[:, 1]
    least = LEAST_DROP * span_of(scene.visible())
    below = max(float(eye[1] - low), least)
    likeliest = _by_its_ray(drop, float(high - low), below)
    for fallen in (likeliest, 0.0, (likeliest + drop) / 2):
        is_near = np.log1p(fallen / below) <= MOST_ALONG
        if is_near and drop - fallen <= high - low:
            motion = along_ray(eye, low, low - fallen, least)
            placed = motion @ scene[label].world_from_instance
            nearer = replace(given, scene=scene.transform(label, placed, carry=True))
            made = with_base(nearer.standing(label), float(low) - drop, BASE_REACH)
            yield nearer.reshaped(label, made)


def _by_its_ray(drop: float, height: float, below: float) -> float:
    """How much of its way down to the ground an object comes along its ray, so that what it is
    drawn down and what it is moved are about as likely. ``below``: how far it ends below the eye.
    """
    left = max(drop - TOO_SHORT * height, 0.0)
    by_distance = (DISTANCE_ERROR * below) ** 2
    return left * by_distance / (by_distance + (HEIGHT_ERROR * height) ** 2)


def grounded(given: CollidingScene, label: int) -> CollidingScene:
    """The scene in which something that hangs has a foot on the ground, where that ends behind
    something nearer, so that the photo does not show it; not above another object, on which it may
    stand, nor farther below than it is high.
    """
    scene = given.scene
    height = np.ptp(scene[label].box[:, 1])
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


def _shown(scene: Scene, label: int) -> Callable[[np.ndarray], np.ndarray]:
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
