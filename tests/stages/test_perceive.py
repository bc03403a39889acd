"""Perception: the frame, the depth and the labels belong together whatever the network says."""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.geometry.cameras import project
from maquette.masks.labels import painted_labels
from maquette.models.conditioning import letterboxed_camera
from maquette.models.image_encoder import GeometryNet
from maquette.stages.frame import BACKGROUND_DEPTH
from maquette.stages.perceive import perceive
from maquette.types import Focal, InstanceMask, SceneInput
from tests.tiny import GEOMETRY


def scene_input(height=90, width=140):
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    a = np.zeros((height, width), bool)
    b = np.zeros((height, width), bool)
    a[20:60, 20:60] = True
    b[40:80, 50:120] = True
    return SceneInput(image, (InstanceMask(1, a), InstanceMask(2, b)))


@pytest.fixture(scope="module")
def perception():
    torch.manual_seed(0)
    return perceive(GeometryNet(GEOMETRY).eval(), scene_input())


def test_smaller_masks_win_where_masks_overlap():
    labels = painted_labels(scene_input().masks, (90, 140))
    assert labels[50, 55] == 1 and labels[70, 100] == 2 and labels[0, 0] == 0


def test_visible_surfaces_lie_in_the_cube(perception):
    points = perception.points[perception.picture.labels > 0]
    assert (np.quantile(np.abs(points), 0.98, axis=0) <= 0.5 + 1e-3).all()


def test_points_project_to_their_own_pixels(perception):
    square = letterboxed_camera(perception.camera, perception.picture)
    objects = perception.picture.labels > 0
    pixel, depth = project(square, perception.points.astype(np.float64))
    y, x = np.mgrid[: objects.shape[0], : objects.shape[1]] + 0.5
    np.testing.assert_allclose(pixel[objects], np.stack([x, y], -1)[objects], atol=0.02)
    np.testing.assert_allclose(depth[objects], perception.depth[objects], rtol=1e-4)


def test_background_is_far_and_the_photo_sees_the_same_depth(perception):
    assert (perception.depth[perception.picture.labels == 0] == BACKGROUND_DEPTH).all()
    depth = perception.photo_depth
    assert depth.shape == perception.label_map.shape
    np.testing.assert_array_equal(depth < BACKGROUND_DEPTH, perception.label_map > 0)


def test_an_objects_pixels_have_depths_of_that_object_however_thin_it_is():
    height, width = 700, 1000  # the lifted picture has a quarter of the pixels
    pole, plate = (np.zeros((height, width), bool) for _ in range(2))
    pole[100:600, 501] = True
    pole[580:620, 480:530] = True
    plate[300:400, 502:900] = True
    image = np.full((height, width, 3), 128, np.uint8)
    torch.manual_seed(0)
    masks = (InstanceMask(1, pole), InstanceMask(2, plate))
    seen = perceive(GeometryNet(GEOMETRY).eval(), SceneInput(image, masks))
    for label, mask in ((1, pole), (2, plate)):
        own = seen.depth[seen.picture.labels == label]
        assert np.isin(seen.photo_depth[mask], own).all()
    assert (seen.photo_depth[~(pole | plate)] == BACKGROUND_DEPTH).all()


def test_what_follows_from_it_is_made_once_and_belongs_to_it(perception):
    assert perception.view is perception.view and perception.photo_depth is perception.photo_depth
    nearer = dataclasses.replace(perception, depth=0.5 * perception.depth)
    np.testing.assert_array_equal(nearer.view.depth, 0.5 * perception.view.depth)
    np.testing.assert_array_equal(nearer.photo_depth, 0.5 * perception.photo_depth)
    assert perception.photo is perception.given.image


def test_the_camera_is_upright_and_rigid(perception):
    rotation = perception.camera.world_from_camera[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert abs(rotation[1, 0]) < 1e-9  # no roll: the camera's x axis is horizontal


def test_a_focal_length_that_is_known_is_the_cameras(perception):
    torch.manual_seed(0)
    told = perceive(
        GeometryNet(GEOMETRY).eval(), dataclasses.replace(scene_input(), focal=Focal(1.7, "given"))
    )
    assert told.camera.intrinsics[0, 0] == pytest.approx(
        1.7 * 140
    ) and perception.camera.intrinsics[0, 0] != pytest.approx(1.7 * 140)
    np.testing.assert_allclose(
        told.camera.world_from_camera[:3, :3],
        perception.camera.world_from_camera[:3, :3],
        atol=1e-9,
    )


def test_visible_box_is_none_for_an_absent_label(perception):
    assert perception.visible_box(9) is None and perception.visible_box(1).shape == (2, 3)


CLOSE = ("closer", "relief")  # what only a network with close looks has


class Slope(torch.nn.Module):
    """A dense head that says one smooth depth of every picture."""

    def forward(self, features):
        """(B, F, S / 2, S / 2) -> (B, 16, S / 2, S / 2)."""
        b, _, height, width = features.shape
        y, x = torch.meshgrid(
            torch.linspace(-0.2, 0.2, 2 * height),
            torch.linspace(-0.3, 0.3, 2 * width),
            indexing="ij",
        )
        planes = torch.stack([y + x, 0 * x, 0 * x, 1 + 0 * x])
        return torch.nn.functional.pixel_unshuffle(planes.expand(b, 4, 2 * height, 2 * width), 2)


def test_an_untrained_close_look_changes_no_depth():
    torch.manual_seed(0)
    nets = [GeometryNet(dataclasses.replace(GEOMETRY, close=close)).eval() for close in (32, 0)]
    nets[1].load_state_dict(
        {
            name: tensor
            for name, tensor in nets[0].state_dict().items()
            if name.split(".")[0] not in CLOSE
        }
    )
    for net in nets:
        net.dense = Slope()
    looked, blind = (perceive(net, scene_input()) for net in nets)
    objects = looked.picture.labels > 0
    assert np.ptp(np.log(blind.depth[objects])) > 0.15
    np.testing.assert_allclose(
        np.log(looked.depth / blind.depth)[objects], 0, atol=0.02
    )  # two more interpolations


def test_a_relief_is_put_where_its_window_lies():
    """Two objects with a slope across their windows: the slope of log depth is the window's width
    at distance 1, and means stay.
    """
    from maquette.models.conditioning import letterbox
    from maquette.stages.perceive import _Estimate, _looks, _with_reliefs

    photo = scene_input()
    labels = painted_labels(photo.masks, photo.image.shape[:2])
    picture = letterbox(photo.image, labels, 256)
    looks = _looks(photo.image, labels, picture, 32)
    assert set(looks) == {1, 2}
    across = np.broadcast_to((np.arange(32, dtype=np.float32) + 0.5) / 32, (32, 32))
    estimate = _Estimate(
        np.zeros((64, 64)), np.array([0.3, 0.4, 0, 0, 0.5]), {}, {1: across, 2: -across}
    )
    relative = np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32)
    made = _with_reliefs(relative, picture.labels, looks, estimate)
    assert (made[picture.labels == 0] == relative[picture.labels == 0]).all()
    columns = np.broadcast_to((np.arange(256) + 0.5) / 256, (256, 256))
    for label, sign in ((1, 1.0), (2, -1.0)):
        own = picture.labels == label
        assert made[own].mean() == pytest.approx(relative[own].mean(), abs=1e-5)
        expected = (
            sign * columns[own] * np.exp(-0.4)
        )  # a window's width times its share is the share of the whole picture
        error = made[own] - relative[own].mean() - (expected - expected.mean())
        assert (
            np.quantile(np.abs(error), 0.95) < 0.004 and np.abs(error).max() < 0.015
        )  # outlines of 32 pixels are coarse


def test_smoothing_a_relief_mixes_own_pixels_only():
    from maquette.stages.perceive import _smooth

    rng = np.random.default_rng(0)
    own = np.zeros((32, 32), bool)
    own[4:28, 10:14] = True  # thin: all its pixels are near others'
    clean = np.where(own, np.linspace(-0.3, 0.3, 32)[:, None], 50.0)
    noisy = clean + rng.normal(0, 0.05, clean.shape)
    smooth = _smooth(noisy, own)
    assert np.allclose(_smooth(np.where(own, 0.7, -9.0), own)[own], 0.7)
    inner = own & np.roll(own, 4, 0) & np.roll(own, -4, 0)
    assert np.allclose(_smooth(clean, own)[inner], clean[inner])  # a slope stays one
    slopes = [
        np.abs(np.diff(relief - clean, axis=0)[own[1:] & own[:-1]]).mean()
        for relief in (noisy, smooth)
    ]
    assert (
        slopes[1] < 0.5 * slopes[0]
        and np.abs(smooth - clean)[own].mean() < np.abs(noisy - clean)[own].mean()
    )
