from dataclasses import replace

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.alignment import align, plain_icp, wrong_rotation
from maquette.evaluate.protocols import ISCENE
from maquette.geometry.nearest import build_tree
from maquette.geometry.registration import umeyama
from maquette.geometry.transforms import rotation_y, similarity, transform_points


def test_plain_icp_recovers_a_small_known_transform_exactly_from_the_same_points():
    points = np.random.default_rng(0).normal(size=(500, 3))
    truth = similarity(1.0, rotation_y(0.05), [0.02, -0.01, 0.03])
    found = plain_icp(
        transform_points(np.linalg.inv(truth), points), build_tree(points), umeyama, tolerance=1e-12
    )
    np.testing.assert_allclose(found, truth, atol=1e-9)


def test_wrong_rotation_turns_points_that_need_no_turning():
    points = (
        np.random.default_rng(1).normal(size=(100, 3))
        @ np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
        * [1, 2, 3]
    )
    wrong = wrong_rotation(points, points)
    assert np.linalg.det(wrong[:3, :3]) == pytest.approx(1.0)
    assert np.abs(wrong[:3, :3] - np.eye(3)).max() > 0.1
    np.testing.assert_allclose(umeyama(points, points), np.eye(4), atol=1e-12)


def test_wrong_rotation_is_v_transposed_times_u_transposed():
    """Against the formula written out, with V as torch.svd would return it."""
    rng = np.random.default_rng(3)
    for _ in range(10):
        source = rng.normal(size=(20, 3))
        target = rng.normal(size=(20, 3))
        u, _, vt = np.linalg.svd((source - source.mean(0)).T @ (target - target.mean(0)))
        expected = vt @ u.T
        if np.linalg.det(expected) > 0:
            np.testing.assert_allclose(wrong_rotation(source, target)[:3, :3], expected, atol=1e-12)
        assert np.linalg.det(wrong_rotation(source, target)) == pytest.approx(1.0)


def test_no_aligner_is_the_identity_and_unknown_ones_are_refused():
    tree = build_tree(np.random.default_rng(4).random((50, 3)))
    np.testing.assert_array_equal(align("none", ISCENE, tree, tree, tree.points), np.eye(4))
    with pytest.raises(InputError, match="'magnet' of protocol mine/1"):
        align("magnet", replace(ISCENE, name="mine"), tree, tree, tree.points)
