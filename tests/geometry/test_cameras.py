"""Cameras: round trips, the view-centric convention, and changes of pixel grid and frame."""

import numpy as np
import pytest

from maquette.geometry.cameras import (
    azimuth_of,
    intrinsics_from_fov,
    lift,
    look_at,
    moved,
    pitch_of,
    pixel_rays,
    project,
    resized,
    view_centric_rotation,
)
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.types import Camera


def camera(pitch=0.4, width=64, height=48, position=(0.1, 0.9, 1.8)):
    return Camera(
        intrinsics_from_fov(0.8, width, height),
        similarity(1.0, view_centric_rotation(pitch), np.array(position)),
        width,
        height,
    )


def test_lift_and_project_are_inverse():
    view = camera()
    depth = np.random.default_rng(0).uniform(1, 3, (48, 64))
    pixel, z = project(view, lift(view, depth))
    y, x = np.mgrid[0:48, 0:64] + 0.5
    np.testing.assert_allclose(pixel, np.stack([x, y], -1), atol=1e-9)
    np.testing.assert_allclose(z, depth, atol=1e-12)


def test_centre_of_the_picture_is_the_optical_axis():
    view = camera(width=64, height=64)
    forward = view.world_from_camera[:3, 2]
    pixel, _ = project(view, view.position + 2 * forward)
    np.testing.assert_allclose(pixel, [32, 32], atol=1e-9)


def test_view_centric_camera_looks_along_minus_z_and_down_and_stands_upright():
    rotation = view_centric_rotation(0.3)
    np.testing.assert_allclose(rotation[:, 2], [0, -np.sin(0.3), -np.cos(0.3)], atol=1e-12)
    np.testing.assert_allclose(rotation[:, 0], [1, 0, 0], atol=1e-12)
    assert rotation[1, 1] < 0 and np.isclose(np.linalg.det(rotation), 1)
    assert pitch_of(camera(0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("angle", [-2.5, -0.7, 0.0, 1.1, 3.0])
def test_turning_by_the_azimuth_makes_any_camera_view_centric(angle):
    eye = np.array([2 * np.sin(angle), 1.0, 2 * np.cos(angle)])
    view = Camera(intrinsics_from_fov(0.8, 8, 8), look_at(eye, np.zeros(3)), 8, 8)
    turned = moved(view, similarity(1.0, rotation_y(azimuth_of(view))))
    np.testing.assert_allclose(
        turned.world_from_camera[:3, :3], view_centric_rotation(pitch_of(view)), atol=1e-9
    )


def test_look_at_sees_its_target_in_the_middle():
    view = Camera(
        intrinsics_from_fov(0.8, 10, 10),
        look_at(np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.1, 0.0])),
        10,
        10,
    )
    pixel, depth = project(view, np.array([0.2, 0.1, 0.0]))
    np.testing.assert_allclose(pixel, [5, 5], atol=1e-9)
    assert depth == pytest.approx(np.linalg.norm([0.8, 1.9, 3.0]))


def test_resizing_scales_pixels_and_moving_keeps_them():
    view = camera()
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (20, 3))
    pixel, depth = project(view, points)
    half, _ = project(resized(view, 32, 24), points)
    np.testing.assert_allclose(half, pixel / 2, atol=1e-9)
    new_from_world = similarity(2.5, rotation_y(0.7), np.array([1.0, 2.0, 3.0]))
    same, scaled = project(moved(view, new_from_world), transform_points(new_from_world, points))
    np.testing.assert_allclose(same, pixel, atol=1e-8)
    np.testing.assert_allclose(scaled, 2.5 * depth, atol=1e-9)


def test_pixel_rays_have_unit_z():
    rays = pixel_rays(camera())
    assert rays.shape == (48, 64, 3) and (rays[..., 2] == 1).all()
