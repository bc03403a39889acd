import numpy as np
import pytest

from maquette.geometry.nearest import build_tree
from maquette.geometry.registration import occupied_cells, umeyama
from maquette.geometry.soft_registration import (
    EXPONENTIALS,
    ChamferFit,
    FilterReg,
    _chamfer_gradient,
    _Pair,
    _similarity_of,
    _weighted_means,
    chamfer_fit,
    filter_registration,
)
from maquette.geometry.transforms import rotation_y, scale_of, similarity, transform_points
from tests.geometry.test_registration import angle_between, chair


@pytest.mark.compiles
def test_weighted_means_equal_the_formula():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3))
    centres = rng.normal(size=(30, 3))
    masses = rng.random(30)
    weights = masses * np.exp(-((points[:, None] - centres) ** 2).sum(-1) / 0.7)
    found = _weighted_means(points, centres, masses, 0.7, EXPONENTIALS)
    np.testing.assert_allclose(found, weights @ centres / weights.sum(1, keepdims=True), atol=1e-4)


def test_cells_keep_mass_and_middle():
    points = np.random.default_rng(1).normal(size=(1000, 3))
    centres, counts = occupied_cells(points, 0.4)
    assert counts.sum() == 1000 and len(counts) < 1000
    np.testing.assert_allclose(counts @ centres / 1000, points.mean(0), atol=1e-12)


def test_filter_registration_moves_equal_clouds_a_little_and_finds_shifts():
    """Each point is drawn to a mean whose weights are normalised per point, so even equal clouds
    are turned: by degrees, not more.
    """
    points = chair(4000, 0)
    drift = filter_registration(points, points)
    assert 0.2 < angle_between(drift, np.eye(4)) < 3.0
    shift = np.array([0.3, -0.2, 0.1])
    found = filter_registration(points, points + shift)
    np.testing.assert_allclose(
        transform_points(found, points).mean(0),
        transform_points(drift, points).mean(0) + shift,
        atol=2e-3,
    )


def test_filter_registration_finds_a_moderate_turn_and_cells_replace_points():
    """Against the same algorithm on all points, without cells."""
    target = chair(400, 0)
    truth = similarity(1.0, rotation_y(0.3), [0.05, 0.0, 0.1])
    source = transform_points(np.linalg.inv(truth), chair(400, 1))
    found = filter_registration(source, target, FilterReg(cells=12))
    assert angle_between(found, truth) < 10.0 and np.linalg.det(found[:3, :3]) == pytest.approx(1.0)
    variance = ((source[:, None] - target) ** 2).sum(-1).mean() / 3
    transform = np.eye(4)
    for _ in range(150):
        moved = transform_points(transform, source)
        transform = (
            umeyama(
                moved,
                _weighted_means(moved, target, np.ones(len(target)), 2 * variance, EXPONENTIALS),
            )
            @ transform
        )
    assert angle_between(found, transform) < 0.5 and np.abs(found - transform)[:3, 3].max() < 0.005


def test_a_mirrored_cloud_is_turned_never_mirrored():
    points = chair(1000, 0)
    for align in (
        filter_registration,
        lambda a, b: chamfer_fit(a, b, ChamferFit(steps=40, points=200)),
    ):
        assert np.linalg.det(align(points * [-1.0, 1, 1], points)) > 0


def test_chamfer_gradient_is_that_of_finite_differences():
    clouds = (chair(200, 0), chair(150, 1) + 0.05)
    pair = _Pair([build_tree(cloud) for cloud in clouds], np.eye(4))
    numbers = np.array([0.1, -0.2, 0.3, 0.05, 0.02, -0.03, 1.1])

    def at(numbers):
        return _chamfer_gradient(numbers, pair)

    for k in range(7):
        step = 1e-6 * np.eye(7)[k]
        slope = (at(numbers + step)[1] - at(numbers - step)[1]) / 2e-6
        assert at(numbers)[0][k] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_numbers_are_a_similarity():
    matrix = _similarity_of(np.array([0.1, 0.2, 0.3, 1.0, 2.0, 3.0, 2.0]))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, 4 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(matrix[:3, 3], [2, 4, 6])


@pytest.mark.parametrize("yaw", [0.2, 2.5])
def test_chamfer_fit_recovers_yaw_shift_and_scale(yaw):
    target = chair(2000, 0)
    truth = similarity(1.4, rotation_y(yaw), [0.5, -0.3, 1.0])
    source = transform_points(np.linalg.inv(truth), chair(2000, 1))
    found = chamfer_fit(source, target, ChamferFit(points=300))
    assert angle_between(found, truth) < 4.0 and scale_of(found) == pytest.approx(1.4, rel=0.03)
    assert (
        np.linalg.norm(
            transform_points(found, source) - transform_points(truth, source), axis=1
        ).mean()
        < 0.03
    )


@pytest.mark.parametrize("flatten", [[1, 0, 1], [1, 0, 0]])
def test_flat_clouds_give_finite_answers(flatten):
    points = np.random.default_rng(2).random((100, 3)) * flatten
    for found in (
        filter_registration(points, points + 0.1),
        chamfer_fit(points, points + 0.1, ChamferFit(steps=8)),
    ):
        assert np.isfinite(found).all() and np.linalg.det(found[:3, :3]) > 0
