import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_fov, look_at, resized
from maquette.geometry.transforms import similarity
from maquette.render.assemble import assemble, vertex_normals
from maquette.render.silhouette import (
    instance_silhouettes,
    resample_mask,
    silhouette_iou,
    silhouette_scores,
    silhouettes_alone,
)
from maquette.types import Camera, Instance, InstanceMask, Scene

CAMERA = Camera(
    intrinsics_from_fov(0.8, 120, 90), look_at(np.array([0.0, 0.4, 2.0]), np.zeros(3)), 120, 90
)


def ball(label, position, radius=0.2):
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
    mesh.visual.vertex_colors = [10 * label, 20, 30, 255]
    return Instance(label, mesh, similarity(radius, None, np.array(position)), seed=0)


NEAR_BALL = ball(3, (0.0, 0.0, 0.3))
FAR_BALL = ball(5, (0.12, 0.0, -0.3))
SIDE_BALL = ball(8, (-0.5, 0.0, 0.0))
SCENE = Scene((NEAR_BALL, FAR_BALL, SIDE_BALL), CAMERA)


def masks_of(label_map):
    return [InstanceMask(int(label), label_map == label) for label in np.unique(label_map) if label]


def test_a_sphere_has_the_silhouette_of_its_tangent_cone():
    silhouette = silhouettes_alone([NEAR_BALL], CAMERA)[3]
    x, y = np.meshgrid(np.arange(120) + 0.5, np.arange(90) + 0.5)
    rays = (
        np.stack([x, y, np.ones_like(x)], -1)
        @ np.linalg.inv(CAMERA.intrinsics).T
        @ CAMERA.world_from_camera[:3, :3].T
    )
    centre = np.array([0.0, 0.0, 0.3]) - CAMERA.position
    cosine = rays @ centre / np.linalg.norm(rays, axis=-1) / np.linalg.norm(centre)
    expected = cosine > np.sqrt(1 - 0.04 / (centre @ centre))
    assert np.count_nonzero(silhouette ^ expected) < 0.03 * expected.sum()


def test_the_nearer_instance_hides_the_farther_one():
    label_map = instance_silhouettes(SCENE)
    alone = silhouettes_alone(SCENE)
    np.testing.assert_array_equal(label_map == 3, alone[3])
    np.testing.assert_array_equal(label_map == 5, alone[5] & ~alone[3])
    np.testing.assert_array_equal(label_map > 0, alone[3] | alone[5] | alone[8])
    assert np.count_nonzero(alone[5] & alone[3]) > 50
    np.testing.assert_array_equal(label_map, instance_silhouettes(SCENE.instances[::-1], CAMERA))


def test_iou_with_itself_is_one_and_with_a_known_crop_is_the_ratio():
    label_map = instance_silhouettes(SCENE)
    masks = masks_of(label_map)
    assert silhouette_iou(label_map, masks) == {3: 1.0, 5: 1.0, 8: 1.0}
    rows = np.nonzero(label_map == 8)[0]
    half = (label_map == 8) & (np.arange(90)[:, None] < np.median(rows))
    assert (
        silhouette_iou(label_map, [InstanceMask(8, half)])[8] == half.sum() / (label_map == 8).sum()
    )
    assert silhouette_iou(label_map, [InstanceMask(4, half)]) == {4: 0.0}


def test_scores_forgive_a_silhouette_only_where_another_mask_hides_it():
    masks = masks_of(instance_silhouettes(SCENE))
    perfect = silhouette_scores(SCENE, masks)
    assert all(score.visible == score.alone == 1.0 for score in perfect.values())
    without_side = silhouette_scores(SCENE.delete(8), masks)
    assert set(without_side) == {3, 5}
    moved = silhouette_scores(SCENE.move(3, (-0.15, 0.0, 0.0)), masks)
    assert moved[3].visible < 0.6 and moved[3].alone < 0.75
    assert moved[5].visible < moved[5].alone == 1.0  # it is the other one that moved


def test_scores_at_a_lower_resolution_are_close():
    large = resized(CAMERA, 960, 720)
    masks = masks_of(instance_silhouettes(SCENE.move(5, (0.05, 0.0, 0.0)), large))
    fine = silhouette_scores(SCENE, masks, large, size=960)
    coarse = silhouette_scores(SCENE, masks, large, size=240)
    for label in fine:
        assert coarse[label].visible == pytest.approx(fine[label].visible, abs=0.03)


def test_resampling_a_mask_keeps_where_it_is():
    mask = np.zeros((64, 96), bool)
    mask[16:32, 24:72] = True
    np.testing.assert_array_equal(resample_mask(resample_mask(mask, 192, 128), 96, 64), mask)
    small = resample_mask(mask, 12, 8)
    np.testing.assert_array_equal(np.argwhere(small)[[0, -1]], [[2, 3], [3, 8]])


def test_assembled_scene_keeps_places_colours_and_owners():
    mesh = assemble(SCENE.instances)
    for position, instance in enumerate(SCENE.instances):
        used = mesh.faces[mesh.face_instance == position]
        corners = mesh.vertices[used].reshape(-1, 3)
        np.testing.assert_allclose([corners.min(0), corners.max(0)], instance.box, atol=1e-6)
        assert (mesh.colors[used] == [10 * instance.label, 20, 30]).all()
    normals = vertex_normals(mesh.vertices[: len(NEAR_BALL.mesh.vertices)], NEAR_BALL.mesh.faces)
    np.testing.assert_allclose(normals, NEAR_BALL.mesh.vertices, atol=0.02)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="camera"):
        instance_silhouettes(SCENE.instances)
    with pytest.raises(InputError, match="mask 3"):
        silhouette_iou(np.zeros((5, 5), np.int32), [InstanceMask(3, np.ones((4, 5), bool))])
    assert (instance_silhouettes([], CAMERA) == 0).all()
