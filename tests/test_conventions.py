"""The conventions of docs/conventions.md that belong to no single module, executed; and the
document's references, checked.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.cameras import (
    azimuth_of,
    intrinsics_from_fov,
    lift,
    look_at,
    moved,
    pixel_rays,
    project,
    view_centric_rotation,
)
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.geometry.volumes import cell_centres, sample_volume
from maquette.types import Camera

ROOT = Path(__file__).parents[1]


def camera_at(position: tuple[float, float, float], size: tuple[int, int] = (64, 48)) -> Camera:
    return Camera(intrinsics_from_fov(0.8, *size), look_at(np.array(position), np.zeros(3)), *size)


def test_every_test_named_in_the_document_exists():
    named = re.findall(
        r"`(tests/[\w/]+\.py)::(\w+)`",
        (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8"),
    )
    assert len(named) >= 12
    assert [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")
    ] == []


def test_a_from_b_maps_column_vectors_and_chains_by_name():
    a_from_b = similarity(2.0, rotation_y(0.3), [1, 2, 3])
    b_from_c = similarity(0.5, rotation_y(-1.0), [0, 1, 0])
    points_c = np.random.default_rng(0).normal(size=(5, 3))
    homogeneous = np.c_[points_c, np.ones(5)]
    points_a = transform_points(a_from_b @ b_from_c, points_c)
    np.testing.assert_allclose(points_a, (a_from_b @ b_from_c @ homogeneous.T).T[:, :3])
    np.testing.assert_allclose(
        points_a, transform_points(a_from_b, transform_points(b_from_c, points_c))
    )


def test_camera_axes_are_x_right_y_down_z_forward():
    camera = camera_at((0.0, 0.0, 3.0))  # looks along -Z
    centre = project(camera, np.zeros(3))[0]
    assert project(camera, np.array([0.1, 0.0, 0.0]))[0][0] > centre[0]  # +X of the world is right
    assert (
        project(camera, np.array([0.0, 0.1, 0.0]))[0][1] < centre[1]
    )  # +Y of the world is up, that is, less y
    assert (
        project(camera, np.array([0.0, 0.0, 0.1]))[1] < project(camera, np.zeros(3))[1]
    )  # nearer is less depth


def test_pixel_centres_lie_at_one_half():
    camera = camera_at((1.0, 2.0, 3.0), (64, 48))
    np.testing.assert_allclose(camera.intrinsics[:2, 2], [32.0, 24.0])
    pixels, depth = project(camera, lift(camera, np.full((48, 64), 2.5)))
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([x, y], -1), atol=1e-9)
    np.testing.assert_allclose(depth, 2.5)  # z-depth, not distance along the ray
    np.testing.assert_allclose(pixel_rays(camera).reshape(-1, 3).mean(0), [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("azimuth", [-2.5, -0.4, 0.0, 1.3, 3.0])
def test_the_scene_frame_is_view_centric_centred_and_of_longest_side_one(azimuth):
    camera = camera_at((3 * np.sin(azimuth), 1.5, 3 * np.cos(azimuth)))
    points = np.random.default_rng(1).uniform([-1, 0, -2], [2, 1, 1], (100, 3))
    yaw = rotation_y(azimuth_of(camera))
    scene_from_given = scene_from_world(bounding_box(points @ yaw.T), yaw)
    box = bounding_box(transform_points(scene_from_given, points))
    np.testing.assert_allclose(box.mean(0), 0, atol=1e-12)
    assert (box[1] - box[0]).max() == pytest.approx(1.0)
    seen = moved(camera, scene_from_given).world_from_camera[:3, :3]
    pitch = np.arcsin(-seen[1, 2])
    assert pitch == pytest.approx(np.arctan2(1.5, 3.0))
    np.testing.assert_allclose(
        seen, view_centric_rotation(pitch), atol=1e-12
    )  # no azimuth, no roll


def test_the_world_frame_does_not_change_the_picture():
    camera = camera_at((1.0, 2.0, 3.0))
    new_from_world = similarity(0.3, rotation_y(0.7), [1, -1, 2])
    points = np.random.default_rng(2).normal(size=(20, 3)) * 0.3
    pixels, depth = project(camera, points)
    again, scaled = project(moved(camera, new_from_world), transform_points(new_from_world, points))
    np.testing.assert_allclose(again, pixels)
    np.testing.assert_allclose(scaled, 0.3 * depth)


def test_volumes_index_xyz_with_centres_at_one_half():
    centres = cell_centres(4)
    np.testing.assert_allclose(
        centres[1, 2, 3], [(1.5 / 4) - 0.5, (2.5 / 4) - 0.5, (3.5 / 4) - 0.5]
    )
    volume = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sample_volume(volume, centres), volume)
    points = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.3, -0.1]])
    torch.testing.assert_close(
        sample_volume(centres.permute(3, 0, 1, 2), points), points.T
    )  # a coordinate is linear
