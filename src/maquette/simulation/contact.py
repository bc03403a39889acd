"""Objects put on others: straight up or down until they touch, as an editor does."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import numpy as np
from trimesh.sample import sample_surface

from maquette.errors import InputError
from maquette.geometry.boxes import shared_box
from maquette.geometry.transforms import transform_points
from maquette.types import GROUND, Instance, Scene, Support

SAMPLES = 20_000  # points on each surface
SUNK = 0.5  # of its height that an object may be below the surface that it stands on
CELLS = 48  # along the longer side of the plan that two objects share


def stand(scene: Scene, label: int, on: int | str) -> Scene:
    """The scene in which an instance stands on another one or on the ground, and that is what its
    support says; what stands on it goes with it.

    InputError for an unknown label, an instance on itself or on what it carries, or one that is
    not above its supporter in plan.
    """
    if on == GROUND:
        rise = -fall(scene, scene[label], GROUND)
    elif on in (label, *scene.carried(label)):
        raise InputError(f"instance {label} cannot stand on {on}, which is itself or stands on it")
    else:
        rise = -_gap(scene[label], scene[on])
    moved = scene.move(label, (0.0, rise, 0.0), carry=True)
    return dataclasses.replace(moved, supports={**scene.supports, label: Support(on, 1.0)})


def supported_by(scene: Scene, instance: Instance) -> int | str | None:
    """What an object stands on: as the scene says, if that is below it, or else what is nearest
    below it; None when nothing is there.
    """
    known = scene.support(instance.label).on
    if known == GROUND or (known is not None and _is_below(scene, int(known), instance)):
        return known
    carried = scene.carried(instance.label)
    falls: dict[int | str, float] = {GROUND: fall(scene, instance, GROUND)}
    for other in scene.visible().instances:
        if other.label not in (instance.label, *carried):
            with contextlib.suppress(InputError):
                falls[other.label] = _gap(instance, other)
    limit = -SUNK * float(np.ptp(instance.box[:, 1]))  # it does not stand on what it is deep in
    near = {on: gap for on, gap in falls.items() if gap > limit}
    return min(near, key=lambda on: near[on]) if near else None


def _is_below(scene: Scene, label: int, instance: Instance) -> bool:
    """Whether a visible instance with this label shares some of the plan of another one."""
    shown = [i.box for i in scene.visible().instances if i.label == label]
    return any(_shared_plan(instance.box, box) is not None for box in shown)


def _shared_plan(one: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """(2, 2) lowest and highest x and z that two boxes (2, 3) share; None where they share none."""
    plan = shared_box(one, other)[:, [0, 2]]
    return plan if (plan[1] > plan[0]).all() else None


def fall(scene: Scene, instance: Instance, on: int | str) -> float:
    """How far an object can fall onto its supporter, below 0 when it must rise; far when it is
    nowhere above it.
    """
    if on == GROUND:
        return float(instance.box[0, 1]) - scene.ground_height
    try:
        return _gap(instance, scene[int(on)])
    except InputError:
        return math.inf


def _gap(upper: Instance, lower: Instance) -> float:
    """How far an instance can fall onto another one; below 0 when it must rise."""
    plan = _shared_plan(upper.box, lower.box)
    apart = InputError(
        f"instance {upper.label} is nowhere above instance {lower.label}; move it there first"
    )
    if plan is None:
        raise apart
    low, high = plan
    cell = (high - low).max() / CELLS
    counts = np.maximum(1, np.ceil((high - low) / cell).astype(int))
    bottoms = np.full(counts, np.inf)
    tops = np.full(counts, -np.inf)
    for surface, instance, extreme in ((bottoms, upper, np.minimum), (tops, lower, np.maximum)):
        points = _surface(instance)
        place = ((points[:, [0, 2]] - low) / cell).astype(int)
        inside = ((points[:, [0, 2]] >= low) & (place < counts)).all(1)
        extreme.at(surface, tuple(place[inside].T), points[inside, 1])
    shared = np.isfinite(bottoms) & np.isfinite(tops)
    if not shared.any():
        raise apart
    return (bottoms - tops)[shared].min()


def _surface(instance: Instance) -> np.ndarray:
    """(N, 3) points on its surface and its vertices, in the scene."""
    vertices = np.asarray(instance.mesh.vertices)
    sampled, _ = sample_surface(instance.mesh, SAMPLES, seed=0)
    points = np.concatenate([vertices, np.asarray(sampled)])
    return transform_points(instance.world_from_instance, points)
