import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from maquette.evaluate.metrics import (
    SurfaceDistances,
    chamfer_distance,
    earth_movers_distance,
    f_score,
    mean_distance,
    normal_consistency,
    surface_distances,
)
from maquette.geometry.transforms import rotation_x, similarity, transform_points


def distances(to_truth, to_predicted):
    return SurfaceDistances(
        np.array(to_truth),
        np.zeros(len(to_truth), int),
        np.array(to_predicted),
        np.zeros(len(to_predicted), int),
    )


def test_surface_distances_equal_brute_force_after_a_similarity():
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=(300, 3))
    truth = rng.normal(size=(200, 3))
    matrix = similarity(0.7, rotation_x(1.0), [0.1, 0.2, 0.3])
    found = surface_distances(predicted, truth, matrix)
    expected = cdist(transform_points(matrix, predicted), truth)
    np.testing.assert_allclose(found.to_truth, expected.min(1), rtol=1e-10)
    np.testing.assert_allclose(found.to_predicted, expected.min(0), rtol=1e-10)
    np.testing.assert_array_equal(found.truth_index, expected.argmin(1))
    np.testing.assert_array_equal(found.predicted_index, expected.argmin(0))


def test_chamfer_is_squared_and_summed_and_mean_distance_is_neither():
    d = distances([0.1, 0.3], [0.2])
    assert chamfer_distance(d) == pytest.approx((0.01 + 0.09) / 2 + 0.04)
    assert mean_distance(d) == pytest.approx((0.2 + 0.2) / 2)


def test_chamfer_grows_with_the_square_of_the_unit():
    rng = np.random.default_rng(1)
    a = rng.random((100, 3))
    b = rng.random((100, 3))
    assert chamfer_distance(surface_distances(3 * a, 3 * b)) == pytest.approx(
        9 * chamfer_distance(surface_distances(a, b))
    )
    assert mean_distance(surface_distances(3 * a, 3 * b)) == pytest.approx(
        3 * mean_distance(surface_distances(a, b))
    )


def test_parallel_planes_have_analytic_scores():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 30), np.linspace(0, 1, 30)), -1).reshape(-1, 2)
    low, high = (np.column_stack([grid, np.full(len(grid), z)]) for z in (0.0, 0.05))
    d = surface_distances(low, high)
    assert chamfer_distance(d) == pytest.approx(2 * 0.05**2)
    assert f_score(d, 0.051) == 100.0 and f_score(d, 0.049) == 0.0
    up = np.tile([0.0, 0.0, 1.0], (len(grid), 1))
    assert normal_consistency(d, up, -up) == pytest.approx(1.0)
    tilted = np.tile([0.0, np.sin(0.3), np.cos(0.3)], (len(grid), 1))
    assert normal_consistency(d, up, tilted) == pytest.approx(np.cos(0.3))


def test_f_score_is_the_harmonic_mean_in_percent():
    d = distances([0.05, 0.05, 0.05, 0.5], [0.05, 0.5])
    assert f_score(d, 0.1) == pytest.approx(100 * 2 * 0.75 * 0.5 / 1.25)
    assert f_score(distances([1.0], [1.0]), 0.1) == 0.0


def test_earth_movers_distance_counts_density_where_chamfer_does_not():
    ends = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    predicted = np.repeat(ends, [9, 1], axis=0)
    truth = np.repeat(ends, [5, 5], axis=0)
    assert chamfer_distance(surface_distances(predicted, truth)) == 0.0
    assert earth_movers_distance(predicted, truth) == pytest.approx(0.4)


def test_earth_movers_distance_is_the_best_of_all_assignments():
    rng = np.random.default_rng(2)
    predicted = rng.random((6, 3))
    truth = rng.random((6, 3))
    every = [
        np.linalg.norm(predicted[list(order)] - truth, axis=1).mean()
        for order in itertools.permutations(range(6))
    ]
    assert earth_movers_distance(predicted, truth) == pytest.approx(min(every))
