import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from maquette.errors import InputError
from maquette.geometry.registration import (
    RobustIcp,
    estimate_normals,
    point_to_point,
    robust_icp,
    thin,
    umeyama,
    voxel_downsample,
)
from maquette.geometry.transforms import rotation_x, rotation_y, similarity, transform_points


def chair(count, seed):
    """Points on the seat, back, armrest and leg of something without any symmetry, about 1 tall."""
    rng = np.random.default_rng(seed)
    seat = ([0, 0.4, 0], [0.5, 0.0, 0.4])
    back = ([0, 0.7, -0.2], [0.5, 0.6, 0.0])
    plates = [seat, back, ([0.25, 0.55, 0], [0.0, 0.3, 0.4]), ([-0.2, 0.2, 0.1], [0, 0.4, 0.1])]
    shares = np.array([np.prod(np.sort(size)[1:]) for _, size in plates])
    which = rng.choice(len(plates), count, p=shares / shares.sum())
    centres, sizes = (np.array([plate[k] for plate in plates], dtype=float) for k in (0, 1))
    return centres[which] + (rng.random((count, 3)) - 0.5) * sizes[which]


def angle_between(a, b):
    return np.degrees(
        np.arccos(
            np.clip(
                (
                    np.trace(a[:3, :3].T @ b[:3, :3] / np.cbrt(np.linalg.det(a) * np.linalg.det(b)))
                    - 1
                )
                / 2,
                -1,
                1,
            )
        )
    )


def random_rotation(rng):
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("with_scale", [False, True])
def test_umeyama_recovers_a_known_transform(with_scale):
    rng = np.random.default_rng(0)
    truth = similarity(1.7 if with_scale else 1.0, random_rotation(rng), [1.0, -2.0, 3.0])
    points = rng.normal(size=(30, 3))
    np.testing.assert_allclose(
        umeyama(points, transform_points(truth, points), with_scale=with_scale), truth, atol=1e-12
    )


def test_umeyama_never_reflects_even_when_that_would_fit_perfectly():
    rng = np.random.default_rng(1)
    for _ in range(20):
        points = rng.normal(size=(12, 3))
        matrix = umeyama(points, points * [-1.0, 1.0, 1.0], with_scale=True)
        assert np.linalg.det(matrix) > 0
        rotation = matrix[:3, :3] / np.cbrt(np.linalg.det(matrix))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_umeyama_is_the_least_squares_optimum():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(40, 3))
    target = rng.normal(size=(40, 3))
    weights = rng.random(40)

    def cost(matrix):
        return float(weights @ ((transform_points(matrix, points) - target) ** 2).sum(1))

    best = umeyama(points, target, weights=weights)
    nudges = [
        similarity(1.0, rotation_y(1e-3)),
        similarity(1.0, rotation_x(-1e-3)),
        similarity(1.0, None, [1e-3, 0, -1e-3]),
    ]
    assert all(cost(nudge @ best) > cost(best) for nudge in nudges)


def test_umeyama_ignores_points_of_weight_zero():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(10, 3))
    truth = similarity(1.0, rotation_y(0.4), [0.1, 0.2, 0.3])
    target = transform_points(truth, points)
    target[0] += 100.0
    np.testing.assert_allclose(
        umeyama(points, target, weights=np.r_[0.0, np.ones(9)]), truth, atol=1e-12
    )


@pytest.mark.parametrize("yaw", [0.0, 0.2, 1.0, 2.2, np.pi, 5.0])
def test_robust_icp_recovers_any_yaw_and_shift(yaw):
    target = chair(5000, 0)
    truth = similarity(1.0, rotation_y(yaw), [0.15, -0.1, 0.2])
    source = transform_points(np.linalg.inv(truth), chair(5000, 1))
    fit = robust_icp(source, target)
    assert angle_between(fit.target_from_source, truth) < 0.5
    assert (
        np.linalg.norm(
            transform_points(fit.target_from_source, source).mean(0) - chair(5000, 1).mean(0)
        )
        < 0.005
    )
    assert fit.fitness > 0.999


def test_robust_icp_recovers_scale_in_the_own_space_only():
    truth = similarity(0.4, None, [1.0, 2.0, 3.0])
    source = transform_points(np.linalg.inv(truth), chair(5000, 1))
    fit = robust_icp(source, chair(5000, 0))
    assert fit.space == "own"
    np.testing.assert_allclose(fit.target_from_source, truth, atol=0.02)
    rigid = robust_icp(source, chair(5000, 0), options=RobustIcp(spaces=("shared",)))
    assert np.linalg.det(rigid.target_from_source[:3, :3]) == pytest.approx(1.0)
    assert rigid.score > 2 * fit.score


def test_isotropic_scale_is_found_where_the_boxes_ratio_misleads():
    """A stray point makes the source's box a fifth too long, so the boxes' ratio is wrong and only
    the refinement finds the scale.
    """
    truth = similarity(0.93, rotation_y(0.2), [0.05, 0.0, 0.1])
    stray = np.array([[0.0, 1.3, 0.0]])
    source = transform_points(np.linalg.inv(truth), np.vstack([chair(5000, 1), stray]))
    rigid, scaled = (
        robust_icp(source, chair(5000, 0), options=RobustIcp(with_scale=flag))
        for flag in (False, True)
    )
    scale = [np.cbrt(np.linalg.det(fit.target_from_source[:3, :3])) for fit in (rigid, scaled)]
    assert scale[0] == pytest.approx(1.0) and scale[1] == pytest.approx(0.93, abs=0.01)
    assert scaled.score < rigid.score
    exact = robust_icp(chair(5000, 1), chair(5000, 0), options=RobustIcp(with_scale=True))
    assert np.cbrt(np.linalg.det(exact.target_from_source[:3, :3])) == pytest.approx(
        1.0, abs=0.005
    )  # nothing collapses


def test_point_to_point_recovers_small_motions_and_stays_rigid():
    points = chair(3000, 0)
    truth = similarity(1.0, rotation_y(0.05), [0.01, 0.02, -0.01])
    fit = point_to_point(transform_points(np.linalg.inv(truth), points), points, reach=0.1)
    np.testing.assert_allclose(fit.target_from_source, truth, atol=1e-3)
    assert fit.fitness == 1.0 and np.linalg.det(fit.target_from_source[:3, :3]) == pytest.approx(
        1.0, abs=1e-12
    )


def test_robust_icp_result_is_a_proper_similarity_for_a_mirrored_source():
    target = chair(4000, 0)
    fit = robust_icp(chair(4000, 1) * [-1.0, 1.0, 1.0], target)
    linear = fit.target_from_source[:3, :3]
    assert np.linalg.det(linear) > 0
    np.testing.assert_allclose(
        linear @ linear.T, np.cbrt(np.linalg.det(linear)) ** 2 * np.eye(3), atol=1e-9
    )
    same = robust_icp(chair(4000, 1), target)
    assert fit.score > 1.5 * same.score


def test_robust_icp_ignores_a_fifth_of_outliers():
    target = chair(5000, 0)
    truth = similarity(1.0, rotation_y(0.3), [0.05, 0.0, 0.1])
    stray = np.random.default_rng(4).uniform([-0.3, 0, -0.3], [0.3, 1, 0.3], (1000, 3))
    source = transform_points(np.linalg.inv(truth), np.vstack([chair(5000, 1), stray]))
    assert angle_between(robust_icp(source, target).target_from_source, truth) < 1.0


def test_robust_icp_follows_a_change_of_units_and_of_frame():
    """Scaling, shifting and yawing both clouds together by a multiple of the sweep's step
    conjugates the answer.
    """
    source = transform_points(similarity(1.0, rotation_y(0.5)), chair(3000, 1))
    target = chair(3000, 0)
    moved = similarity(10.0, rotation_y(np.pi / 2), [5.0, 6.0, 7.0])
    fit = robust_icp(source, target)
    other = robust_icp(transform_points(moved, source), transform_points(moved, target))
    assert (
        angle_between(
            np.linalg.inv(moved) @ other.target_from_source @ moved, fit.target_from_source
        )
        < 0.3
    )
    assert other.score == pytest.approx(fit.score, rel=0.1)


def test_robust_icp_repeats_bit_for_bit():
    source = chair(3000, 1)
    target = chair(3000, 0)
    np.testing.assert_array_equal(
        robust_icp(source, target).target_from_source, robust_icp(source, target).target_from_source
    )


def test_robust_icp_refuses_what_it_cannot_align():
    good = chair(50, 0)
    with pytest.raises(InputError, match="2 points"):
        robust_icp(good[:2], good)
    with pytest.raises(InputError, match="finite"):
        robust_icp(good, np.where(np.arange(50)[:, None] == 3, np.nan, good))
    with pytest.raises(InputError, match="'shared' or 'own'"):
        robust_icp(good, good, options=RobustIcp(spaces=("mine",)))


@pytest.mark.parametrize("shape", ["plane", "line", "point"])
def test_degenerate_clouds_give_finite_answers(shape):
    points = (
        np.random.default_rng(5).random((200, 3))
        * {"plane": [1, 0, 1], "line": [1, 0, 0], "point": [0, 0, 0]}[shape]
    )
    fit = robust_icp(points, points + [0.1, 0.0, 0.0])
    assert np.isfinite(fit.target_from_source).all() and np.linalg.det(fit.target_from_source) > 0


def test_normals_of_a_plane_are_its_normal():
    rng = np.random.default_rng(6)
    axes = random_rotation(rng)
    points = (rng.random((500, 3)) * [1, 0, 1]) @ axes.T
    np.testing.assert_allclose(np.abs(estimate_normals(points) @ axes[:, 1]), 1.0, atol=1e-9)


def test_voxels_hold_the_mean_of_their_points():
    points = np.array([[0.0, 0, 0], [0.2, 0, 0], [0.9, 0, 0], [5.5, 3.5, 0]])
    np.testing.assert_allclose(voxel_downsample(points, 1.0), [[1.1 / 3, 0, 0], [5.5, 3.5, 0]])


def test_thinning_keeps_few_and_is_even():
    points = np.arange(300.0).reshape(100, 3)
    np.testing.assert_array_equal(thin(points, 100), points)
    kept = thin(points, 10)[:, 0] / 3
    assert len(kept) == 10 and np.ptp(np.diff(kept)) <= 1


def test_umeyama_finds_the_rotation_that_scipy_finds():
    rng = np.random.default_rng(7)
    for _ in range(10):
        points = rng.normal(size=(15, 3))
        target = rng.normal(size=(15, 3))
        weights = rng.random(15)
        centred = [cloud - weights @ cloud / weights.sum() for cloud in (points, target)]
        expected, _ = Rotation.align_vectors(centred[1], centred[0], weights=weights)
        np.testing.assert_allclose(
            umeyama(points, target, weights=weights)[:3, :3], expected.as_matrix(), atol=1e-9
        )
