"""The self-check: what stands where the photo shows it is trusted, what was moved is not."""

from dataclasses import replace

import numpy as np
import trimesh

from maquette.geometry.cameras import project
from maquette.stages.check import check
from maquette.stages.perceive import Perception
from maquette.stages.place import place
from maquette.types import InstanceMask
from tests.methods.worlds import world


def ball_and_its_mask(perception: Perception):
    """A ball before the camera, and the pixels whose rays meet it, by intersection."""
    camera = perception.camera
    centre = np.array([0.05, -0.1, 0.0])
    radius = 0.2
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    towards = (np.stack([x, y, np.ones_like(x)], -1)) @ np.linalg.inv(camera.intrinsics).T
    rays = towards @ camera.world_from_camera[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    offset = centre - camera.position
    along = rays @ offset
    distance = np.sqrt(np.maximum(offset @ offset - along**2, 0))
    pixel, _ = project(camera, centre[None])
    assert 0 <= pixel[0, 0] < camera.width and 0 <= pixel[0, 1] < camera.height
    ball = trimesh.creation.icosphere(4, radius).apply_translation(centre)
    return place(5, ball, 0), (distance < radius) & (along > 0)


def test_confidence_is_the_silhouettes_agreement():
    perception = world().perception
    ball, mask = ball_and_its_mask(perception)
    given = replace(perception.given, masks=(InstanceMask(5, mask),))
    perception = replace(perception, given=given)
    (right,) = check([ball], perception)
    away = ball.world_from_instance.copy()
    away[0, 3] += 0.2
    (wrong,) = check([replace(ball, world_from_instance=away)], perception)
    assert right.confidence > 0.93 and wrong.confidence < 0.6
    assert right.mesh is ball.mesh and right.label == ball.label
