"""Meshes of the scene frame -> placed instances: each mesh centred on its own origin, its place in
``world_from_instance``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import trimesh

from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.transforms import similarity
from maquette.stages.support import UNKNOWN
from maquette.types import GROUND, Instance, Support

UNIT = "unit"  # of an instance's state: how much larger it is than its method made it


def place(
    label: int,
    mesh: trimesh.Trimesh,
    seed: int,
    **fields: Any,
) -> Instance:
    """An Instance from a mesh in scene coordinates: the mesh moves to its box's centre, the
    transform remembers where that was.
    """
    centre = mesh.bounds.mean(0)
    centred = mesh.copy()
    centred.apply_translation(-centre)
    # what every file format stores, so that saving loses nothing
    centred.vertices = np.asarray(centred.vertices, np.float32)
    return Instance(
        label=label,
        mesh=centred,
        world_from_instance=similarity(1.0, None, centre),
        seed=seed,
        **fields,
    )


def frame_of_instances(instances: Sequence[Instance]) -> np.ndarray:
    """(4, 4) new_from_old in which the scene is what its frame says: its box centred at the origin,
    with a longest side of 1.

    What the image network said of the unit has done its work by then; finished objects tell it
    better (docs/log.md).
    """
    boxes = np.array([instance.box for instance in instances])
    return scene_from_world(bounding_box(boxes.reshape(-1, 3)))


def instance_in_frame(instance: Instance, new_from_old: np.ndarray) -> Instance:
    """The same object in another frame, a similarity (4, 4) that does not turn: what is scaled is
    its mesh.
    """
    scale = float(new_from_old[0, 0])
    placed = new_from_old @ instance.world_from_instance
    placed[:3, :3] /= scale
    state = instance.state
    if state:  # whoever makes it again from there has to scale it, too
        state = state | {UNIT: np.array(scale * float(state.get(UNIT, 1.0)))}
    mesh = scaled(instance.mesh, scale)
    return replace(instance, mesh=mesh, world_from_instance=placed, state=state)


def scaled(mesh: trimesh.Trimesh, scale: float) -> trimesh.Trimesh:
    """A mesh ``scale`` times as large."""
    larger = mesh.copy()
    larger.vertices = np.asarray(scale * np.asarray(mesh.vertices), np.float32)
    return larger


def ground_height(instances: Sequence[Instance], supports: Mapping[int, Support]) -> float:
    """Y of the ground: the lowest box bottom that the bulk of what stands on it agrees with (one
    object sunk by an error does not count). supports: what stands on what, by label; where nothing
    is said to stand on the ground, all may.
    """
    if not instances:
        return -0.5
    said = [one for one in instances if supports.get(one.label, UNKNOWN).on == GROUND]
    lows = [one.box[0, 1] for one in said or instances]
    return float(np.quantile(lows, 0.1 if len(lows) > 3 else 0.0))
