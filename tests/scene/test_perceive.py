"""Perception: the frame, the depth and the labels belong together whatever the network says."""

import numpy as np
import pytest
import torch

from maquette.geometry.cameras import project
from maquette.models.conditioning import letterboxed_camera
from maquette.models.image_encoder import GeometryNet
from maquette.scene.perceive import BACKGROUND_DEPTH, depth_of_photo, label_map, perceive
from maquette.types import InstanceMask, SceneInput
from tests.tiny import GEOMETRY


def scene_input(height=90, width=140):
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    a, b = np.zeros((height, width), bool), np.zeros((height, width), bool)
    a[20:60, 20:60] = True
    b[40:80, 50:120] = True
    return SceneInput(image, (InstanceMask(1, a), InstanceMask(2, b)))


@pytest.fixture(scope="module")
def perception():
    torch.manual_seed(0)
    return perceive(GeometryNet(GEOMETRY).eval(), scene_input())


def test_smaller_masks_win_where_masks_overlap():
    labels = label_map(scene_input())
    assert labels[50, 55] == 1 and labels[70, 100] == 2 and labels[0, 0] == 0


def test_visible_surfaces_lie_in_the_cube(perception):
    points = perception.points[perception.picture.labels > 0]
    assert (np.quantile(np.abs(points), 0.98, axis=0) <= 0.5 + 1e-3).all()


def test_points_project_to_their_own_pixels(perception):
    square = letterboxed_camera(perception.camera, perception.picture)
    objects = perception.picture.labels > 0
    pixel, depth = project(square, perception.points.astype(np.float64))
    y, x = np.mgrid[: objects.shape[0], : objects.shape[1]] + 0.5
    np.testing.assert_allclose(pixel[objects], np.stack([x, y], -1)[objects], atol=0.02)
    np.testing.assert_allclose(depth[objects], perception.depth[objects], rtol=1e-4)


def test_background_is_far_and_the_photo_sees_the_same_depth(perception):
    assert (perception.depth[perception.picture.labels == 0] == BACKGROUND_DEPTH).all()
    depth = depth_of_photo(perception)
    assert depth.shape == perception.label_map.shape
    agree = (depth < BACKGROUND_DEPTH) == (perception.label_map > 0)
    assert agree.mean() > 0.97


def test_the_camera_is_upright_and_rigid(perception):
    rotation = perception.camera.world_from_camera[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert abs(rotation[1, 0]) < 1e-9  # no roll: the camera's x axis is horizontal


def test_visible_box_is_none_for_an_absent_label(perception):
    assert perception.visible_box(9) is None and perception.visible_box(1).shape == (2, 3)
