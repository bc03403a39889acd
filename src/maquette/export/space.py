"""Unit, size and upward axis of files that do not say theirs: OBJ, PLY and STL.

In the flow: ``export_scene`` -> a scene that stands in the file's space -> the writers. Slicers
read millimetres with +Z up; a scene is one unit long with +Y up until it is told.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from maquette.errors import InputError
from maquette.geometry.transforms import similarity
from maquette.options import METRES, FileSpace
from maquette.types import Scene

Z_UP_FROM_Y_UP = np.array(
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def in_file_space(scene: Scene, space: FileSpace) -> Scene:
    """The scene with its instances where the file has them: its unit is the file's.

    Raises InputError when a unit is asked for and neither scale nor size is known.
    """
    scale = _file_units_per_unit(scene, space)
    turn = Z_UP_FROM_Y_UP if space.up == "z" else np.eye(4)
    file_from_world = turn @ similarity(scale)
    instances = tuple(
        dataclasses.replace(
            instance, world_from_instance=file_from_world @ instance.world_from_instance
        )
        for instance in scene.instances
    )
    return dataclasses.replace(scene, instances=instances, metres_per_unit=None)


def _file_units_per_unit(scene: Scene, space: FileSpace) -> float:
    """Units of the file in one unit of the scene; InputError when it cannot be told."""
    if space.size is not None:
        boxes = [instance.box for instance in scene.visible().instances]
        if not boxes:
            raise InputError("the scene has no object whose size could be set; leave size out")
        low = np.min([box[0] for box in boxes], axis=0)
        high = np.max([box[1] for box in boxes], axis=0)
        longest = float((high - low).max())
        if not longest > 0:
            raise InputError("the scene is a single point, which has no size; leave size out")
        return space.size / longest
    metres = scene.metres_per_unit
    if metres is None and space.unit is not None:
        raise InputError(
            f"one photo does not tell the scale, so {space.unit} cannot be filled in; "
            "give the longest side of the scene, too (size)"
        )
    return (metres or 1.0) / METRES[space.unit or "m"]
