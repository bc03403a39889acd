"""Transforms: group laws and handedness."""

import numpy as np
import pytest

from maquette.geometry.transforms import (
    rotation_x,
    rotation_y,
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
