"""A ball in front of a camera, perceived exactly: what several stages are tested with."""

import numpy as np

from maquette.geometry.cameras import intrinsics_from_fov, lift, view_centric_rotation
from maquette.geometry.transforms import similarity
from maquette.models.conditioning import letterbox, letterboxed_camera
from maquette.stages.frame import BACKGROUND_DEPTH
from maquette.stages.perceive import LIFT_SIZE, Perception
from maquette.types import Camera, SceneInput

RADIUS = 0.3


def front_camera(size):
    """Two units in front of the origin."""
    pose = similarity(1.0, view_centric_rotation(0.0), np.array([0.0, 0.0, 2.0]))
    return Camera(intrinsics_from_fov(0.6, size, size), pose, size, size)


def ball_depth(camera):
    """(H, W) exact z-depth of a ball of RADIUS at the origin, beside it where a line of sight is
    nearest; and (H, W) bool where it is.
    """
    direction = lift(camera, np.ones((camera.height, camera.width))) - camera.position
    a = (direction**2).sum(-1)
    b = 2 * direction @ camera.position
    c = camera.position @ camera.position - RADIUS**2
    root = b**2 - 4 * a * c
    depth = (-b - np.sqrt(np.maximum(root, 0))) / (2 * a)
    return depth.astype(np.float32), root > 0


def perceived_ball(size, image=None):
    """What a photo (size, size, 3), plain red by default, of the ball says."""
    camera = front_camera(size)
    labels = ball_depth(camera)[1].astype(np.int32)
    image = np.full((size, size, 3), (200, 40, 40), np.uint8) if image is None else image
    picture = letterbox(image, labels, LIFT_SIZE)
    square = letterboxed_camera(camera, picture)
    depth = np.where(picture.labels > 0, ball_depth(square)[0], np.float32(BACKGROUND_DEPTH))
    points = lift(square, depth).astype(np.float32)
    return Perception(SceneInput(image, ()), camera, picture, depth, points, labels)
