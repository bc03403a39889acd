"""Seven numbers and back: exact for any camera, the same as numpy's projection, and placing is what
the pose says.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from maquette.geometry.cameras import project
from maquette.geometry.transforms import rotation_y, similarity
from maquette.models.conditioning import camera_from_parameters
from maquette.models.part_shapes import CANONICAL_SIZE
from maquette.models.pose_diffusion import (
    OBJECT_CUES,
    SMALLEST,
    Pose,
    Sight,
    object_cues,
    picture_box,
    visible_extent,
)
from tests.geometry.test_part_gaussians import mixtures


@pytest.fixture(scope="module")
def seen():
    camera = camera_from_parameters(np.array([0.4, 0.2, 0.05, -0.03, 0.1]), 320, 240)
    depth = float(project(camera, np.zeros(3))[1])
    pose = torch.from_numpy(camera.world_from_camera).float().expand(3, 4, 4)
    boxes = torch.tensor([[-0.3, -0.1, -0.1, 0.1], [0.0, 0.0, 0.2, 0.3], [0.1, -0.3, 0.4, 0.0]])
    surface = torch.tensor(
        [[0.1, -1.2, -1.0, -2.0], [-0.2, -2.5, -1.1, -3.0], [0.0, -0.7, -1.5, -1.2]]
    )
    known = torch.ones(3, dtype=torch.bool)
    sight = Sight(
        torch.full((3,), camera.intrinsics[0, 0] / 320),
        torch.full((3,), depth),
        pose,
        boxes,
        surface,
        known,
    )
    centre = torch.tensor([[-0.2, 0.0, 0.1], [0.1, -0.3, 0.2], [0.3, 0.2, -0.4]])
    size = torch.tensor([[0.2, 0.3, 0.1], [0.05, 0.4, 0.05], [0.5, 0.2, 0.3]])
    return camera, sight, Pose(centre, size, torch.tensor([0.3, -2.5, 3.0]))


def test_poses_round_trip(seen):
    _, sight, pose = seen
    again = Pose.of(pose.numbers(sight), sight)
    for name in ("centre", "size", "yaw"):
        torch.testing.assert_close(getattr(again, name), getattr(pose, name), atol=1e-5, rtol=1e-5)


def test_the_offset_is_from_the_box_to_where_the_centre_appears(seen):
    camera, sight, pose = seen
    pixel, depth = project(camera, pose.centre.double().numpy())
    middle = (pixel - np.array([camera.width, camera.height]) / 2) / camera.width
    mean, spread = (values.numpy() for values in sight.normalisation())
    values = pose.numbers(sight).numpy() * spread + mean
    np.testing.assert_allclose(values[:, :2], middle - sight.centres.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        np.exp(values[:, 2] + sight.surface[:, 0].numpy()) * sight.depth.numpy(), depth, rtol=1e-5
    )
    np.testing.assert_allclose(
        values[:, 3:6] + sight.surface[:, 1:].numpy(), np.log(pose.size.numpy()), atol=1e-5
    )


def test_what_is_not_seen_counts_from_the_middle_and_knows_no_surface(seen):
    _, sight, pose = seen
    free = sight.unseen(torch.tensor([True, False, True]))
    assert (
        not free.boxes[[0, 2]].any()
        and torch.equal(free.boxes[1], sight.boxes[1])
        and free.seen.tolist() == [False, True, False]
    )
    torch.testing.assert_close(
        Pose.of(pose.numbers(free), free).centre, pose.centre, atol=1e-5, rtol=1e-5
    )
    other = replace(sight, boxes=sight.boxes + 0.1, surface=sight.surface - 0.3).unseen(
        torch.ones(3, dtype=torch.bool)
    )
    torch.testing.assert_close(
        pose.numbers(other), pose.numbers(sight.unseen(torch.ones(3, dtype=torch.bool)))
    )


def test_some_of_the_objects_are_those_objects(seen):
    _, sight, pose = seen
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(
        Pose.of(pose.numbers(sight)[rows], sight.of(rows)).centre,
        pose.centre[rows],
        atol=1e-5,
        rtol=1e-5,
    )


def test_the_extent_of_a_surface_is_measured_in_the_scene(seen):
    camera = seen[0]
    points = np.random.default_rng(1).uniform([-0.2, -0.1, 0.0], [0.2, 0.3, 0.0], (4000, 3))
    extent = np.exp(visible_extent(points, camera))
    np.testing.assert_allclose(extent[1:], [0.96 * 0.4, 0.96 * 0.4, SMALLEST], rtol=0.03)
    assert extent[0] == pytest.approx(
        np.median(project(camera, points)[1]) / project(camera, np.zeros(3))[1], rel=1e-5
    )


def test_yaw_is_wound_into_one_turn(seen):
    _, sight, pose = seen
    wound = Pose(pose.centre, pose.size, pose.yaw + 4 * math.pi).numbers(sight)
    torch.testing.assert_close(wound, pose.numbers(sight), atol=1e-5, rtol=1e-5)
    assert wound[:, 6].abs().max() <= 1


def test_gaussians_are_placed_by_centre_longest_side_and_yaw(seen):
    pose = seen[2]
    g = mixtures(3, 4)
    placed = pose.placed(g)
    for k in range(3):
        scale = float(pose.size[k].max()) / CANONICAL_SIZE
        matrix = similarity(scale, rotation_y(float(pose.yaw[k])), pose.centre[k].numpy())
        expected = g.mean[k].numpy() @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(placed.mean[k].numpy(), expected, atol=1e-5)


def test_gradients_reach_all_seven_numbers(seen):
    _, sight, pose = seen
    numbers = pose.numbers(sight).requires_grad_()
    Pose.of(numbers, sight).placed(mixtures(3, 4)).mean.square().sum().backward()
    assert (numbers.grad[:, [0, 1, 2, 6]].abs() > 0).all() and (
        numbers.grad[:, 3:6].abs().sum(1) > 0
    ).all()


def test_boxes_and_cues():
    own = np.zeros((64, 64), bool)
    own[16:48, 32:64] = True
    np.testing.assert_allclose(picture_box(own), [0.0, -0.25, 0.5, 0.25])
    points = np.random.default_rng(0).uniform(-0.2, 0.3, (500, 3))
    cues = object_cues(picture_box(own), points, 2.0, 0.3, 1.5)
    assert cues.shape == (OBJECT_CUES,) == (93,) and np.isfinite(cues).all()
    np.testing.assert_allclose(cues[-3:], [math.log(2), 0.3, math.log(1.5)], rtol=1e-6)
    np.testing.assert_allclose(cues[84:90], [-0.2] * 3 + [0.3] * 3, atol=0.03)
