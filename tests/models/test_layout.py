"""Boxes from the image network: the same geometry as the camera's, and laws of the head."""

import numpy as np
import pytest
import torch

from maquette.geometry.cameras import lift
from maquette.models.conditioning import camera_from_parameters, centre_depth
from maquette.models.image_encoder import GeometryNet, GeometryNetConfig
from maquette.models.layout import CUE_WIDTH, lift_points, ray_latitudes, visible_cues

CONFIG = GeometryNetConfig(size=64, widths=(8, 16, 32, 32), blocks=1, heads=2, layout_blocks=2)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    net = GeometryNet(CONFIG).eval()
    for parameter in net.parameters():  # no zero layers: laws must hold for any weights
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def picture_and_labels():
    torch.manual_seed(1)
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[:, 10:30, 5:25] = 1
    labels[:, 30:50, 20:60] = 2
    labels[:, 52:54, 2:4] = 3
    return torch.randn(1, 6, 64, 64), labels


def test_lifted_points_are_those_of_the_camera():
    parameters = np.array([0.4, 0.2, 0.05, -0.1, 0.3])
    relative = np.random.default_rng(0).normal(0, 0.1, (16, 16))
    expected = lift(
        camera_from_parameters(parameters, 16, 16), centre_depth(parameters) * np.exp(relative)
    )
    points = lift_points(torch.from_numpy(relative)[None], torch.from_numpy(parameters)[None])[0]
    np.testing.assert_allclose(points.permute(1, 2, 0), expected, atol=1e-12)


def test_cues_hold_the_visible_box():
    points = torch.rand(2, 3, 16, 16)
    masks = torch.zeros(2, 3, 16, 16, dtype=torch.bool)
    masks[:, 0, 2:9, 3:12] = True
    masks[:, 1, 12:15, 1:4] = True
    cues = visible_cues(points, masks, torch.zeros(2, 5))
    inside = points[1][:, masks[1, 1]]
    assert cues.numbers.shape == (2, 3, CUE_WIDTH)
    assert bool(torch.isfinite(cues.numbers).all())  # row 2 has no pixel
    expected = torch.stack([inside.amin(1), inside.amax(1)])
    torch.testing.assert_close(cues.box[1, 1], expected, atol=0.2, rtol=0)
    assert bool((cues.box[:, :, 0] <= cues.box[:, :, 1]).all())


def test_cues_say_where_in_the_picture_an_instance_is():
    masks = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    masks[0, 0, 0:4, 2:8] = True
    cues = visible_cues(torch.rand(1, 3, 8, 8), masks, torch.zeros(1, 5))
    middles = torch.tensor([2.5, 7.5, 0.5, 3.5]) / 8 - 0.5
    torch.testing.assert_close(cues.outline[0], torch.stack([middles, torch.zeros(4)]))
    torch.testing.assert_close(cues.touched[0, 0], torch.tensor([6, 0, 0, 4]) / 8)
    assert cues.share[0, 0] == 24 / 64


def test_permuting_labels_permutes_boxes(net):
    picture, labels = picture_and_labels()
    order = torch.tensor([0, 3, 1, 2])
    boxes = net(picture, labels).boxes
    permuted = net(picture, order[labels]).boxes
    torch.testing.assert_close(permuted[:, order[1:] - 1], boxes, atol=1e-5, rtol=1e-4)


def test_boxes_do_not_depend_on_the_rest_of_the_batch(net):
    picture, labels = picture_and_labels()
    fewer = torch.where(labels == 3, 0, labels)
    together = net(torch.cat([picture, picture]), torch.cat([fewer, labels])).boxes
    torch.testing.assert_close(together[:1, :2], net(picture, fewer).boxes, atol=1e-5, rtol=1e-4)


def test_boxes_are_ordered_and_need_labels(net):
    picture, labels = picture_and_labels()
    boxes = net(picture, labels).boxes
    assert (
        bool((boxes[:, :, 0] <= boxes[:, :, 1]).all())
        and net(picture).boxes is None
        and net(picture, labels * 0).boxes is None
    )


def test_latitudes_are_those_of_the_lifted_rays():
    camera = torch.tensor([[0.4, 0.2, 0.1, -0.05, 0.3], [-0.1, 0.6, 0.0, 0.2, -0.2]])
    near, far = (lift_points(torch.full((2, 6, 6), relative), camera) for relative in (-0.5, 0.5))
    rays = torch.nn.functional.normalize(far - near, dim=1)
    torch.testing.assert_close(ray_latitudes(camera, 6), rays[:, 1], rtol=0, atol=1e-6)


def test_gradients_of_the_cues_reach_the_outermost_points_and_the_moments():
    points = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    masks = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    masks[0, 0, 1:6, 2:7] = True

    def direct(p):
        own = p[0][:, masks[0, 0]]
        mean = own.mean(1)
        spread = (own.var(1, unbiased=False) + 1e-8).sqrt()
        box = torch.stack(
            [
                torch.maximum(own.amin(1), mean - 2.5 * spread),
                torch.minimum(own.amax(1), mean + 2.5 * spread),
            ]
        )
        return torch.cat([box.flatten(), mean, spread])

    cues = visible_cues(points, masks, torch.zeros(1, 5, dtype=torch.float64)).numbers
    torch.testing.assert_close(cues[0, 0, :12], direct(points))
    weights = torch.rand(12, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((c * weights).sum(), points)[0]
        for c in (cues[0, 0, :12], direct(points))
    )
    torch.testing.assert_close(found, expected)
