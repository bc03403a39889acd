"""The same numbers from Open3D, an independent implementation: ``pip install open3d-cpu`` and
``pytest -m tools`` run these.
"""

import numpy as np
import pytest

from maquette.evaluate.metrics import chamfer_distance, f_score, surface_distances
from maquette.evaluate.surfaces import sample_mesh
from maquette.geometry.oriented_boxes import smallest_box
from maquette.geometry.registration import RobustIcp, point_to_point, robust_icp
from maquette.geometry.transforms import rotation_x, rotation_y, similarity, transform_points
from tests.evaluate.scenes import chair
from tests.geometry.test_registration import angle_between

o3d = pytest.importorskip("open3d")
pytestmark = pytest.mark.tools


def cloud(points):
    return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.ascontiguousarray(points)))


def chair_points(count, seed):
    return sample_mesh(chair(), count, np.random.default_rng(seed)).points


def test_distances_chamfer_and_f():
    a = chair_points(20_480, 0)
    b = transform_points(similarity(1.1, rotation_y(0.1), [0.05, 0, 0.02]), chair_points(20_480, 1))
    ours = surface_distances(a, b)
    forth, back = (
        np.asarray(p.compute_point_cloud_distance(q))
        for p, q in ((cloud(a), cloud(b)), (cloud(b), cloud(a)))
    )
    np.testing.assert_allclose(ours.to_truth, forth, atol=1e-9)
    np.testing.assert_allclose(ours.to_predicted, back, atol=1e-9)
    assert chamfer_distance(ours) == pytest.approx((forth**2).mean() + (back**2).mean(), rel=1e-9)
    precision = (forth < 0.02).mean()
    recall = (back < 0.02).mean()
    assert f_score(ours, 0.02) == pytest.approx(
        100 * 2 * precision * recall / (precision + recall), rel=1e-6
    )


def test_point_to_point_icp():
    target = chair_points(5000, 0)
    source = transform_points(
        similarity(1.0, rotation_y(0.1) @ rotation_x(0.05), [0.02, 0.01, -0.02]),
        chair_points(5000, 1),
    )
    ours = point_to_point(source, target, reach=0.1, iterations=100)
    registration = o3d.pipelines.registration
    theirs = registration.registration_icp(
        cloud(source),
        cloud(target),
        0.1,
        np.eye(4),
        registration.TransformationEstimationPointToPoint(),
        registration.ICPConvergenceCriteria(max_iteration=100),
    )
    assert angle_between(ours.target_from_source, theirs.transformation) < 0.05
    np.testing.assert_allclose(ours.target_from_source, theirs.transformation, atol=2e-3)
    assert ours.fitness == pytest.approx(theirs.fitness, abs=1e-3) and ours.rmse == pytest.approx(
        theirs.inlier_rmse, rel=1e-2
    )


def test_fine_stage_with_tukey_weights():
    """Our robust ICP against Open3D's point-to-plane with the same Tukey width, from the same
    start, to the same truth.
    """
    icp = RobustIcp(spaces=("shared",), fine_points=20_000)
    target = sample_mesh(chair(), 20_000, np.random.default_rng(0))
    truth = similarity(1.0, rotation_y(0.08), [0.01, 0.0, 0.02])
    stray = np.random.default_rng(2).uniform(-0.4, 1.0, (2000, 3))
    source = transform_points(np.linalg.inv(truth), np.vstack([chair_points(18_000, 1), stray]))
    box = np.ptp(np.vstack([source, target.points]), axis=0).max()
    ours = robust_icp(
        source, target.points, target_normals=target.normals, options=icp
    ).target_from_source
    registration = o3d.pipelines.registration
    aimed = cloud(target.points)
    aimed.normals = o3d.utility.Vector3dVector(target.normals)
    theirs = registration.registration_icp(
        cloud(source),
        aimed,
        icp.voxel * box,
        np.eye(4),
        registration.TransformationEstimationPointToPlane(
            registration.TukeyLoss(k=icp.tukey * icp.voxel * box)
        ),
        registration.ICPConvergenceCriteria(max_iteration=80),
    ).transformation
    assert angle_between(ours, truth) < 0.1 and angle_between(theirs, truth) < 0.1
    assert angle_between(ours, theirs) < 0.1 and np.abs(ours - theirs)[:3, 3].max() < 2e-3


def test_smallest_box():
    rng = np.random.default_rng(3)
    for _ in range(5):
        points = (
            rng.normal(size=(200, 3))
            * rng.uniform(0.2, 2.0, 3)
            @ rotation_x(rng.uniform(0, 3))
            @ rotation_y(rng.uniform(0, 3))
        )
        theirs = cloud(points).get_minimal_oriented_bounding_box().volume()
        assert 0.95 * theirs < smallest_box(points).volume < 1.06 * theirs
