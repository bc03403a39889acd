"""A scene of boxes that stand on the ground, one on top of another."""

import dataclasses

import numpy as np

from maquette.geometry.transforms import rotation_y, similarity
from maquette.options import SimulationOptions
from maquette.render.silhouette import instance_silhouettes
from maquette.simulation.arrange import CollidingScene
from maquette.simulation.bodies import solids_of
from maquette.types import Instance, InstanceMask, Scene, SceneInput
from tests.document.scenes import coloured, make_scene

GROUND = -0.4


def box(label, sides, place, name, **more):
    import trimesh

    mesh = coloured(trimesh.creation.box(sides), label)
    return Instance(label, mesh, place, seed=0, name=name, **more)


def standing() -> Scene:
    """A table, a cup on it, and a crate beside it that is turned."""
    table = box(1, (0.5, 0.2, 0.4), similarity(1.0, None, np.array([0.0, -0.3, 0.0])), "table")
    cup = box(2, (0.1, 0.1, 0.1), similarity(0.5, None, np.array([0.1, -0.175, 0.1])), "cup")
    turn = rotation_y(0.5)
    crate = box(4, (0.3, 0.2, 0.2), similarity(1.0, turn, np.array([-0.4, -0.3, -0.3])), "crate")
    return make_scene(instances=(table, cup, crate), ground_height=GROUND, input=None, failures=())


def colliding(scene: Scene) -> CollidingScene:
    """The scene whose objects collide as their convex hulls."""
    visible = scene.visible().instances
    solids = solids_of([instance.mesh for instance in visible], "hull")
    by_label = {instance.label: solid for instance, solid in zip(visible, solids)}
    return CollidingScene(scene, by_label, SimulationOptions(collision="hull", up="y"))


def photographed(scene: Scene) -> Scene:
    """With a photo, and the masks of what it shows."""
    seen = instance_silhouettes(scene)
    masks = tuple(InstanceMask(one.label, seen == one.label) for one in scene.instances)
    photo = SceneInput(np.zeros((*seen.shape, 3), np.uint8), masks)
    return dataclasses.replace(scene, input=photo)
