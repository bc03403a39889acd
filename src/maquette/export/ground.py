"""The ground as a mesh of its own under the objects of a scene, for programs that show or collide
one. In the flow: a Scene -> the same with one more surface around it, right before it is written.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh

from maquette.document.appearance import Appearance, mesh_with
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import similarity
from maquette.types import Instance, Scene, free_label, own_node

NODE = "ground"
REACH = 1.5  # of the half diagonal of all objects' plan
CORNERS = {"plane": 4, "disc": 64}
COLOR = (200, 198, 192, 255)


def with_ground(scene: Scene, kind: str | None) -> Scene:
    """The scene with a horizontal surface at its ground's height, a square ("plane") or a "disc",
    around it, whose node is ``ground``; None leaves the scene as it is.
    """
    visible = scene.visible().instances
    if kind is None or not visible:
        return scene
    box = bounding_box(np.concatenate([instance.box for instance in visible]))
    half = REACH * float(np.linalg.norm(np.ptp(box, axis=0)[[0, 2]])) / 2
    middle = box.mean(0)
    middle[1] = scene.ground_height
    around = tuple(surface for surface in scene.around if surface.name != NODE)
    scene = dataclasses.replace(scene, around=around)
    ground = Instance(
        free_label(scene.labels),
        _polygon(CORNERS[kind], half),
        similarity(1.0, None, middle),
        seed=0,
        name=NODE,
        node=own_node(NODE, scene.nodes),
    )
    return dataclasses.replace(scene, around=(*around, ground))


def _polygon(corners: int, half: float) -> trimesh.Trimesh:
    """A regular polygon in the plane y = 0 that faces up and around which a square or circle of a
    half side fits.
    """
    angles = (np.arange(corners) + 0.5) * 2 * np.pi / corners
    radius = half * np.sqrt(2.0) if corners == CORNERS["plane"] else half
    rim = radius * np.stack([np.cos(angles), np.zeros(corners), -np.sin(angles)], axis=1)
    fan = np.arange(1, corners - 1)
    faces = np.stack([np.zeros_like(fan), fan, fan + 1], axis=1)
    colors = np.tile(np.array(COLOR, np.uint8), (corners, 1))
    return mesh_with(rim, faces, Appearance(colors=colors))
