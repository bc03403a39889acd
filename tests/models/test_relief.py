"""The close look: where a window lies, what it takes from the whole picture, and that an untrained
one changes nothing.
"""

import dataclasses

import pytest
import torch

from maquette.models.image_encoder import GeometryNet
from maquette.models.relief import Windows, centred, coarse_relief, window_widths
from tests.tiny import GEOMETRY

PLACES = torch.tensor([[[0.25, 0.125, 0.5], [0.5, 0.5, 0.25]]])


def windows(side=32):
    """Two windows into a picture of two objects; the first object fills the left half of the
    picture, the second the right one.
    """
    pictures = torch.randn(1, 2, 7, side, side, generator=torch.Generator().manual_seed(0))
    steps = (torch.arange(side) + 0.5) / side
    pictures[0, 0, 6] = (PLACES[0, 0, 0] + PLACES[0, 0, 2] * steps < 0.5).float().expand(side, side)
    pictures[0, 1, 6] = 1
    return Windows(pictures, PLACES, torch.tensor([[1, 2]]))


def labels(size=64):
    found = torch.ones(1, size, size, dtype=torch.int64)
    found[..., size // 2 :] = 2
    return found


def camera(log_focal=0.3):
    return torch.tensor([[0.4, log_focal, 0.0, 0.0, 0.5]])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return GeometryNet(dataclasses.replace(GEOMETRY, close=32)).eval()


def test_a_slope_in_the_picture_is_the_same_slope_in_its_window():
    size = 64
    given = windows()
    steps = (torch.arange(size) + 0.5) / size
    depth = 0.2 * steps.expand(1, size, size) + 5 * (
        labels() == 2
    )  # a jump between the objects that must not be mixed in
    relief = coarse_relief(depth, camera(), labels(), given)
    inside = (torch.arange(32) + 0.5) / 32
    for k in range(2):
        own = given.own[0, k]
        # Within the first and last half pixel of an object nearest neighbours stand in.
        expected = centred(
            (0.2 * inside * PLACES[0, k, 2] / window_widths(PLACES, camera())[0, k]).expand(32, 32),
            own,
        )
        assert ((relief[0, k] - expected)[own]).abs().max() < 5e-3
        assert (relief[0, k][~own] == 0).all()


def test_relief_does_not_depend_on_the_distance_but_on_the_angle():
    given = windows()
    depth = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(1))
    relief = coarse_relief(depth, camera(), labels(), given)
    torch.testing.assert_close(
        coarse_relief(depth + 0.7, camera(), labels(), given), relief, atol=1e-5, rtol=0
    )
    longer = coarse_relief(
        0.5 * depth, camera(0.3 + 0.6931472), labels(), given
    )  # twice the focal length, half the depth
    torch.testing.assert_close(longer, relief, atol=1e-5, rtol=0)


def test_an_object_of_which_the_picture_shows_nothing_has_no_coarse_relief():
    given = dataclasses.replace(windows(), labels=torch.tensor([[-1, 2]]))
    relief = coarse_relief(torch.rand(1, 64, 64), camera(), labels(), given)
    assert (relief[0, 0] == 0).all() and relief[0, 1].any()


@torch.no_grad()
def test_an_untrained_close_look_repeats_the_whole_picture(network):
    picture = torch.randn(1, 6, 64, 64, generator=torch.Generator().manual_seed(2))
    made = network(picture, labels(), windows())
    assert made.relief.shape == (1, 2, 32, 32) and made.close_normal.shape == (1, 2, 3, 32, 32)
    expected = centred(coarse_relief(made.depth, made.camera, labels(), windows()), windows().own)
    torch.testing.assert_close(made.relief, expected)
    assert network(picture, labels()).relief is None
    plain = GeometryNet(GEOMETRY).eval()
    plain.load_state_dict(
        {
            name: tensor
            for name, tensor in network.state_dict().items()
            if name.split(".")[0] not in ("closer", "relief")
        }
    )
    torch.testing.assert_close(plain(picture, labels()).depth, made.depth)


@torch.no_grad()
def test_windows_do_not_see_one_another(network):
    trained = GeometryNet(network.config).eval()
    trained.load_state_dict(network.state_dict())
    for layer in (trained.closer, trained.relief[2]):
        torch.nn.init.normal_(layer.weight, std=0.1)
    picture = torch.randn(1, 6, 64, 64, generator=torch.Generator().manual_seed(3))
    given = windows()
    both = trained(picture, labels(), given).relief
    for k in range(2):
        one = Windows(
            given.pictures[:, k : k + 1], given.places[:, k : k + 1], given.labels[:, k : k + 1]
        )
        torch.testing.assert_close(
            trained(picture, labels(), one).relief[:, 0], both[:, k], atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(
        (both * given.own).sum((2, 3)), torch.zeros(1, 2), atol=1e-3, rtol=0
    )  # the mean is the whole picture's
    assert (
        both - coarse_relief(trained(picture).depth, trained(picture).camera, labels(), given)
    ).abs().max() > 0.01
