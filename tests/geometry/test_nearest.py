import numpy as np
import pytest
from scipy.spatial import cKDTree

from maquette.geometry.nearest import build_tree, nearest


def brute_force(points, queries):
    squared = ((queries[:, None] - points[None]) ** 2).sum(-1)
    return np.sqrt(squared.min(1)), squared.argmin(1)


@pytest.mark.compiles
@pytest.mark.parametrize("count", [1, 2, 8, 9, 17, 1000])
def test_equals_brute_force(count):
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, 3))
    queries = 2 * rng.normal(size=(300, 3))
    distance, index = nearest(build_tree(points), queries)
    expected, expected_index = brute_force(points, queries)
    np.testing.assert_allclose(distance, expected, rtol=1e-12)
    np.testing.assert_array_equal(index, expected_index)


def test_agrees_with_scipy_within_a_reach():
    rng = np.random.default_rng(0)
    points = rng.random((3000, 3))
    queries = rng.random((2000, 3))
    distance, index = nearest(build_tree(points), queries, 0.03)
    expected, expected_index = cKDTree(points).query(queries, distance_upper_bound=0.03)
    assert 0 < np.isinf(expected).sum() < 2000
    np.testing.assert_allclose(distance, expected, rtol=1e-12)
    np.testing.assert_array_equal(index, expected_index)


def test_order_of_queries_changes_no_distance():
    rng = np.random.default_rng(1)
    tree = build_tree(rng.random((500, 3)))
    queries = rng.random((400, 3))
    shuffled = rng.permutation(400)
    np.testing.assert_array_equal(
        nearest(tree, queries)[0][shuffled], nearest(tree, queries[shuffled])[0]
    )


def test_repeated_and_flat_points_are_found():
    points = np.repeat([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 100, axis=0)
    distance, index = nearest(build_tree(points), np.array([[0.2, 0.0, 0.0], [0.9, 0.5, 0.0]]))
    np.testing.assert_allclose(distance, [0.2, np.hypot(0.1, 0.5)])
    assert index[0] < 100 <= index[1]


def test_sorted_points_are_the_points():
    points = np.random.default_rng(2).random((77, 3))
    tree = build_tree(points)
    np.testing.assert_array_equal(np.sort(tree.order), np.arange(77))
    np.testing.assert_array_equal(points[tree.order], tree.sorted_points)
