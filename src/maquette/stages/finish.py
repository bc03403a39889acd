"""The last stations of an object in one: its volume becomes the mesh that people get.

In the flow: ObjectVolume + Perception -> fuse -> decode -> texture (or colour) -> a mesh in the
scene frame, ready to be placed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from torch import Tensor

from maquette.geometry.boxes import pixel_box
from maquette.options import AUTO, NONE
from maquette.stages.closeup import closeup
from maquette.stages.colour import project_colours
from maquette.stages.decode import mesh_from_volume
from maquette.stages.fuse import fused_field
from maquette.stages.mirror import MirrorPlane
from maquette.stages.perceive import Perception
from maquette.stages.texture import textured

MOST_PIXELS = 1024  # of the longer side of a texture's sharp part, when nobody asks for more
MOST_TRIANGLES = 8000  # of an object that is at least LARGE
LEAST_TRIANGLES = 2000
LARGE = 0.35  # of the photo's longer side
COLOURED = 4  # times as many triangles for a mesh whose colours are those of its vertices


@dataclass(frozen=True)
class Finish:
    """What is asked of a mesh."""

    fit: bool = True  # hold the volume to the photo
    texture: int | str = AUTO  # pixels of its longer side, AUTO or NONE: colours per vertex
    triangles: int | None = None  # at most; None = by its size in the photo


def finished_mesh(
    volume: Tensor,
    perception: Perception,
    label: int,
    scene_from_cube: np.ndarray,
    finish: Finish | None = None,
) -> trimesh.Trimesh | None:
    """The mesh (scene frame) of a volume (4, R, R, R), with the photo's colours; None when it holds
    no surface.
    """
    finish = finish or Finish()
    field = None
    mirrors: tuple[MirrorPlane, ...] = ()
    if finish.fit:
        field, mirrors = fused_field(volume[0], perception, label, scene_from_cube)
    triangles = finish.triangles or _triangles(perception, label, finish)
    mesh = mesh_from_volume(volume, scene_from_cube, field, triangles)
    if mesh is None:
        return None
    if finish.texture == NONE:
        return project_colours(mesh, label, perception)
    pixels = MOST_PIXELS if finish.texture == AUTO else int(finish.texture)
    return textured(mesh, closeup(perception, label, pixels), mirrors)


def _triangles(perception: Perception, label: int, finish: Finish) -> int:
    """As many as an object of its size in the photo deserves."""
    left, top, right, bottom = pixel_box(perception.label_map == label)
    size = max(right - left, bottom - top) / max(perception.label_map.shape)
    most = MOST_TRIANGLES * min(1.0, size / LARGE)
    return round(max(LEAST_TRIANGLES, most)) * (COLOURED if finish.texture == NONE else 1)
