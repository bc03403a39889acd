"""Holding a volume to the photo: a true volume stays, lies in view are corrected, what is hidden is
left alone.
"""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.geometry.cameras import intrinsics_from_fov, lift, view_centric_rotation
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.models.conditioning import letterbox, letterboxed_camera
from maquette.stages.frame import BACKGROUND_DEPTH
from maquette.stages.fuse import fuse_evidence
from maquette.stages.perceive import Perception
from maquette.types import Camera, SceneInput

SIZE = 256
RADIUS = 0.3


@pytest.fixture(scope="module")
def seen():
    """A ball of radius 0.3 at the origin, seen exactly by a camera two units in front of it."""
    pose = similarity(1.0, view_centric_rotation(0.0), np.array([0.0, 0.0, 2.0]))
    camera = Camera(intrinsics_from_fov(0.6, SIZE, SIZE), pose, SIZE, SIZE)
    points = lift(camera, np.ones((SIZE, SIZE)))
    direction = points - camera.position  # per unit of z-depth
    a = (direction**2).sum(-1)
    b = 2 * direction @ camera.position
    c = camera.position @ camera.position - RADIUS**2
    root = b**2 - 4 * a * c
    hit = root > 0
    depth = np.where(hit, (-b - np.sqrt(np.maximum(root, 0))) / (2 * a), BACKGROUND_DEPTH).astype(
        np.float32
    )
    labels = hit.astype(np.int32)
    image = np.full((SIZE, SIZE, 3), (200, 40, 40), np.uint8)
    picture = letterbox(image, labels, SIZE)
    return Perception(
        SceneInput(image, ()),
        camera,
        picture,
        depth,
        lift(letterboxed_camera(camera, picture), depth).astype(np.float32),
        labels,
    )


def ball(radius=RADIUS, centre=(0, 0, 0)):
    distance = (cell_centres(64) - torch.tensor(centre)).norm(dim=-1) - radius
    return torch.cat([(distance / TRUNCATION).clamp(-1, 1)[None], torch.zeros(3, 64, 64, 64)])


def inside(volume):
    return volume[0] < 0


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


def test_the_truth_is_nearly_left_alone(seen):
    fused = fuse_evidence(ball(), seen, 1, np.eye(4))
    assert iou(inside(fused), inside(ball())) > 0.93


@pytest.mark.parametrize("wrong", [ball(0.42), ball(0.3, (0.15, 0.1, 0.0))])
def test_what_sticks_out_of_the_silhouette_goes_and_the_visible_side_returns(seen, wrong):
    fused = fuse_evidence(wrong, seen, 1, np.eye(4))
    assert iou(inside(fused), inside(ball())) > iou(inside(wrong), inside(ball())) + 0.1
    side = cell_centres(64)[..., :2].norm(dim=-1) > RADIUS * 1.15
    assert not bool((inside(fused) & side).any())


def test_an_empty_volume_becomes_the_visible_shell(seen):
    fused = fuse_evidence(
        ball(0.0) + torch.tensor([2.0, 0, 0, 0]).reshape(4, 1, 1, 1), seen, 1, np.eye(4)
    )
    solid = inside(fused)
    z = cell_centres(64)[..., 2]
    assert bool(solid.any()) and not bool((solid & (z < -0.05)).any())
    assert fused[1][solid].max() > 0.5  # coloured by the photo


def test_islands_that_nothing_visible_is_connected_with_go(seen):
    pebble = ball(0.05, (0.0, 0.0, -0.45))
    both = ball()
    both[0] = torch.minimum(both[0], pebble[0])
    fused = fuse_evidence(both, seen, 1, np.eye(4))
    assert bool((inside(both) & inside(pebble)).any()) and not bool(
        (inside(fused) & inside(pebble)).any()
    )
    assert iou(inside(fused), inside(ball())) > 0.93


def test_hidden_cells_are_left_alone(seen):
    labels = seen.label_map.copy()
    depth = seen.depth.copy()
    labels[:, :128] = 2
    depth[:, :128] = 1.0  # a wall in front of the left half
    picture = letterbox(seen.photo, labels, SIZE)
    hidden = dataclasses.replace(seen, picture=picture, depth=depth, label_map=labels)
    wrong = ball(0.42)
    fused = fuse_evidence(wrong, hidden, 1, np.eye(4))
    left = cell_centres(64)[..., 0] < -0.06
    assert torch.equal(inside(fused) & left, inside(wrong) & left)
    assert inside(fused)[~left].sum() < inside(wrong)[~left].sum()
