"""Transforms: group laws and handedness."""

import numpy as np
import pytest

from maquette.geometry.transforms import (
    any_angle,
    determinant,
    from_upright,
    rotation_x,
    rotation_y,
    rotation_z,
    scale_of,
    similarity,
    transform_points,
    unit_vectors,
)


def test_similarities_compose_and_invert_like_matrices():
    rng = np.random.default_rng(0)
    a, b = (
        similarity(s, rotation_y(s) @ rotation_x(2 * s), rng.normal(size=3)) for s in (0.7, 1.9)
    )
    points = rng.normal(size=(5, 3))
    np.testing.assert_allclose(
        transform_points(a @ b, points),
        transform_points(a, transform_points(b, points)),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        transform_points(np.linalg.inv(a), transform_points(a, points)), points, atol=1e-12
    )
    assert scale_of(a @ b) == pytest.approx(0.7 * 1.9)


def test_rotations_are_right_handed():
    np.testing.assert_allclose(rotation_y(np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_x(np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_a_reflection_has_negative_scale():
    assert scale_of(np.diag([-2.0, 2.0, 2.0, 1.0])) == pytest.approx(-2.0)


def test_unit_vectors_keep_their_direction_and_zero_stays_zero():
    vectors = np.array([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0], [0.0, -1e-9, 0.0]])
    np.testing.assert_allclose(unit_vectors(vectors), [[0.6, 0, 0.8], [0, 0, 0], [0, -1, 0]])
    assert unit_vectors(vectors.astype(np.float32)).dtype == np.float32


def test_a_turn_about_z_is_one_about_x_seen_from_elsewhere():
    cyclic = np.roll(np.eye(3), 1, axis=0)  # x -> y -> z -> x
    np.testing.assert_allclose(cyclic @ rotation_z(0.7) @ cyclic.T, rotation_x(0.7), atol=1e-15)


def test_a_determinant_is_the_factor_of_volumes():
    placed = similarity(2.0, rotation_z(0.3), (1.0, 2.0, 3.0))
    assert determinant(placed) == pytest.approx(8.0)
    assert determinant(np.diag([-1.0, 1.0, 1.0, 1.0])) == pytest.approx(-1.0)


def test_turning_about_the_vertical_keeps_the_distance_from_it():
    points = np.random.default_rng(0).normal(size=(20, 3))
    turned = points @ rotation_y(any_angle(np.random.default_rng(1))).T
    np.testing.assert_allclose(from_upright(turned), from_upright(points))
    np.testing.assert_allclose(from_upright(points), np.linalg.norm(points[:, ::2], axis=1))
