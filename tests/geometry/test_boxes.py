"""Boxes: IoU by analysis, and the normalisation that defines the scene frame."""

import numpy as np
import pytest

from maquette.geometry.boxes import (
    bounding_box,
    box_iou,
    longest_side,
    middle_of,
    pixel_box,
    scene_from_world,
    shared_box,
)
from maquette.geometry.transforms import rotation_y, transform_points


def test_iou_of_known_boxes():
    a = np.array([[0, 0, 0], [2, 2, 2.0]])
    assert box_iou(a, a) == 1.0
    assert box_iou(a, a + 3) == 0.0
    assert box_iou(a, a + [1, 0, 0]) == pytest.approx(4 / 12)


def test_scene_frame_is_centred_with_longest_side_one():
    rng = np.random.default_rng(0)
    yaw = rotation_y(0.8)
    points = rng.uniform([-3, 0, -1], [5, 2, 1], (200, 3))
    scene = transform_points(scene_from_world(bounding_box(points @ yaw.T), yaw), points)
    box = bounding_box(scene)
    np.testing.assert_allclose(box.mean(0), 0, atol=1e-12)
    assert (box[1] - box[0]).max() == pytest.approx(1.0)
    assert longest_side(box) == longest_side(scene) == (box[1] - box[0]).max()


def test_the_box_of_a_mask_holds_its_pixels_and_no_more():
    mask = np.zeros((6, 9), bool)
    mask[2, 3] = mask[4, 7] = True
    assert pixel_box(mask) == (3, 2, 8, 5)


def test_what_two_boxes_share_lies_in_both():
    a = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(shared_box(a, a + 1.0), [[1.0] * 3, [2.0] * 3])
    low, high = shared_box(a, a + 3.0)
    assert (high < low).all()


def test_the_middle_of_a_box_of_a_picture():
    np.testing.assert_array_equal(middle_of(np.array([1.0, 2.0, 5.0, 4.0])), [3.0, 3.0])
