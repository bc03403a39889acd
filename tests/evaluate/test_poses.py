import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from maquette.errors import InputError
from maquette.evaluate.metrics import surface_distances
from maquette.evaluate.poses import (
    add_s,
    axis_error,
    diameter,
    fold_symmetry,
    icp_rotation,
    rotation_angle,
    rotation_error,
)
from maquette.evaluate.surfaces import sample_mesh
from maquette.geometry.transforms import rotation_x, rotation_y
from tests.evaluate.scenes import chair


def chair_points(seed, count=3000):
    return sample_mesh(chair(), count, np.random.default_rng(seed)).points


@pytest.mark.parametrize("flatten", [[1, 1, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]])
def test_diameter_is_the_largest_of_all_distances(flatten):
    points = np.random.default_rng(0).normal(size=(300, 3)) * flatten
    assert diameter(points) == pytest.approx(pdist(points).max())


def test_diameter_of_many_flat_points():
    points = np.random.default_rng(1).normal(size=(5000, 3)) * [1, 0, 1]
    assert diameter(points) == pytest.approx(pdist(points[::1]).max(), rel=1e-3)


def test_add_s_of_a_shift_is_the_shift_over_the_diameter_at_most():
    points = chair_points(0)
    size = diameter(points)
    assert add_s(surface_distances(points, points), size) == 0.0
    shifted = add_s(surface_distances(points + [0, 5.0, 0], points), size)
    assert 4.0 / size < shifted < 5.0 / size
    assert add_s(
        surface_distances(10 * points + [0, 50.0, 0], 10 * points), 10 * size
    ) == pytest.approx(shifted)


def test_rotation_error_is_the_geodesic_angle():
    rng = np.random.default_rng(2)
    turns = Rotation.from_quat(rng.normal(size=(20, 4)))
    for a, b in zip(turns[:10], turns[10:]):
        expected = np.degrees((a.inv() * b).magnitude())
        assert rotation_error(a.as_matrix(), b.as_matrix()) == pytest.approx(expected, abs=1e-4)
        assert rotation_angle((a.inv() * b).as_matrix()) == pytest.approx(expected, abs=1e-4)


def test_symmetries_forgive_exactly_their_turns():
    truth = rotation_x(0.3)
    square = fold_symmetry([0, 1, 0], 4)
    for quarter in range(4):
        turned = truth @ rotation_y(quarter * np.pi / 2)
        assert rotation_error(turned, truth, square) == pytest.approx(0.0, abs=1e-5)
    assert rotation_error(truth @ rotation_y(np.radians(60)), truth, square) == pytest.approx(30.0)
    assert rotation_error(truth @ rotation_y(np.radians(60)), truth) == pytest.approx(60.0)
    assert axis_error(truth @ rotation_y(1.0), truth, np.array([0, 2.0, 0])) == pytest.approx(
        0.0, abs=1e-5
    )
    assert axis_error(rotation_x(0.5), np.eye(3), np.array([0, 1.0, 0])) == pytest.approx(
        np.degrees(0.5)
    )


def test_reflections_and_nonsense_are_no_rotations():
    with pytest.raises(InputError, match="predicted orientation"):
        rotation_error(np.diag([-1.0, 1, 1]), np.eye(3))
    with pytest.raises(InputError, match="true orientation"):
        rotation_error(np.eye(3), 2 * np.eye(3))


def test_icp_rotation_finds_small_turns_whatever_place_and_size():
    truth = chair_points(1)
    for angle in (0.0, 8.0):
        predicted = 3.0 * chair_points(2) @ rotation_y(np.radians(angle)).T + [5, 6, 7]
        assert icp_rotation(predicted / 3.0, truth, diameter(truth)) == pytest.approx(
            angle, abs=0.7
        )
    assert (
        icp_rotation(1e6 * truth, truth, diameter(truth)) is None
    )  # nothing within reach: no angle, not an angle of 0
