"""What a published model is given and what it makes: meshes instead of volumes, in a cube of its
own.

In the flow: ``checkpoints.released.Networks`` and a photo with masks -> Made; the pipeline turns it
into the scene frame, colours what has no colour, and checks it like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import trimesh

from maquette.checkpoints.released import Networks
from maquette.geometry.cameras import moved
from maquette.geometry.transforms import transform_points
from maquette.methods.base import Progress
from maquette.models.conditioning import letterboxed_camera
from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.scene.decode import project_colours
from maquette.scene.perceive import BACKGROUND_DEPTH, Perception
from maquette.scene.viewpoint import normalising, place_alone, placed, scene_frame
from maquette.types import Camera, Failure, Instance, SceneInput


@dataclass(frozen=True)
class Settings:
    """What the user decides; None = as the release does it."""

    seed: int = 0
    steps: int | None = None
    guidance: float | None = None  # v_u + w (v_c - v_u); 1 = off


@dataclass(frozen=True, eq=False)
class Made:
    """Meshes by label, upright (+Y up)."""

    meshes: Mapping[int, trimesh.Trimesh]
    seeds: Mapping[int, int]
    failures: tuple[Failure, ...] = ()
    together: bool = True  # all in one cube, where they stand; False = each in a cube of its own
    coloured: bool = True  # False = the photo is the only colour there is


Maker = Callable[[Networks, SceneInput, Settings, Progress], Made]

EMPTY = "the model left its cube empty; try another seed"


def in_scene(
    made: Made, scene: SceneInput, perception: Perception
) -> tuple[tuple[Instance, ...], Camera]:
    """The instances in the scene frame, and the camera of the photo there. What has no colour gets
    the photo's.
    """
    names = {mask.label: mask.name for mask in scene.masks}
    if made.together:
        frame, camera = scene_frame(made.meshes, scene.masks, perception.camera)
        frames = dict.fromkeys(made.meshes, frame)
    else:
        masks = {mask.label: mask for mask in scene.masks}
        frames = {
            label: place_alone(mesh, masks[label], perception)
            for label, mesh in made.meshes.items()
        }
        frames, camera = _centred(made.meshes, frames, perception.camera)
    instances = tuple(
        placed(label, made.meshes[label], frames[label], made.seeds[label], name=names[label])
        for label in made.meshes
    )
    return instances if made.coloured else painted(
        instances, scene, replace(perception, camera=camera)
    ), camera


def _centred(
    meshes: Mapping[int, trimesh.Trimesh], frames: Mapping[int, np.ndarray], camera: Camera
) -> tuple[dict[int, np.ndarray], Camera]:
    """The same scene and camera with its box at the origin and its longest side 1, as the scene
    frame is defined.
    """
    points = [
        transform_points(frames[label], np.asarray(mesh.vertices)) for label, mesh in meshes.items()
    ]
    new_from_old = normalising(points, np.eye(3))
    return {label: new_from_old @ frame for label, frame in frames.items()}, moved(
        camera, new_from_old
    )


def painted(
    instances: tuple[Instance, ...], scene: SceneInput, perception: Perception
) -> tuple[Instance, ...]:
    """Instances with the photo's colours where it shows them, and the mean colour of their pixels
    elsewhere.
    """
    picture = perception.picture
    whole = assemble(instances)
    depth = rasterize(
        whole.vertices, whole.faces, letterboxed_camera(perception.camera, picture)
    ).depth
    seen = replace(
        perception, depth=np.where(np.isfinite(depth), depth, BACKGROUND_DEPTH).astype(np.float32)
    )
    masks = {mask.label: mask.mask for mask in scene.masks}
    done = []
    for instance in instances:
        mesh = instance.mesh.copy()
        mesh.apply_transform(instance.world_from_instance)
        mesh.visual.vertex_colors[:, :3] = scene.image[masks[instance.label]].mean(0).round()
        mesh = project_colours(mesh, instance.label, scene.image, seen)
        mesh.apply_transform(np.linalg.inv(instance.world_from_instance))
        mesh.vertices = np.asarray(
            instance.mesh.vertices
        )  # colours only: the shape stays as it was, to the bit
        done.append(replace(instance, mesh=mesh))
    return tuple(done)
