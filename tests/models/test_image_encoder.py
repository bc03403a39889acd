"""Laws of the two picture networks: nobody in a batch sees another, and what a head says before
training is known.
"""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from maquette.models.image_encoder import GeometryNet, PictureEncoder, PictureEncoderConfig, unit
from tests.tiny import GEOMETRY

PICTURE = PictureEncoderConfig(size=32, width=32, widths=(8, 16), blocks=1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = dataclasses.replace(GEOMETRY, layout_blocks=1, latitude=True)
    made = GeometryNet(config).eval()
    for parameter in made.parameters():
        if not parameter.any():  # heads start at zero
            torch.nn.init.normal_(parameter, std=0.05)
    return made


def pictures(count, size=64):
    return torch.randn(
        count, GEOMETRY.channels, size, size, generator=torch.Generator().manual_seed(1)
    )


def labels(count, size=64):
    found = torch.zeros(count, size, size, dtype=torch.int64)
    found[:, 8:30, 8:30] = 1
    found[:, 34:60, 20:50] = 2
    return found


@torch.no_grad()
def test_tokens_of_a_picture_do_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    encoder = PictureEncoder(PICTURE).eval()
    given = torch.randn(3, 5, 32, 32)
    together = encoder(given)
    assert together.shape == (3, PICTURE.tokens, PICTURE.width) == (3, 16, 32)
    for k in range(3):
        torch.testing.assert_close(encoder(given[k : k + 1])[0], together[k], atol=1e-5, rtol=0)
    assert (encoder(given.flip(-1)) - together).abs().max() > 1e-3  # positions are told apart


@torch.no_grad()
def test_geometry_of_a_picture_does_not_depend_on_its_neighbours(network):
    together = network(pictures(2), labels(2))
    for k in range(2):
        alone = network(pictures(2)[k : k + 1], labels(1))
        for name in ("depth", "normal", "camera", "boxes", "latitude"):
            torch.testing.assert_close(
                getattr(alone, name)[0], getattr(together, name)[k], atol=1e-4, rtol=1e-4
            )


@torch.no_grad()
def test_shapes_and_unit_normals(network):
    found = network(pictures(2), labels(2))
    assert (
        found.depth.shape == (2, 64, 64)
        and found.camera.shape == (2, 5)
        and found.boxes.shape == (2, 2, 2, 3)
    )
    assert found.latitude.shape == (2, 4, 4)
    torch.testing.assert_close(found.normal.norm(dim=1), torch.ones(2, 64, 64))


@torch.no_grad()
def test_boxes_are_asked_for_by_labels(network):
    assert (
        network(pictures(1)).boxes is None
        and network(pictures(1), torch.zeros(1, 64, 64, dtype=torch.int64)).boxes is None
    )
    swapped = labels(1)
    swapped = torch.where(swapped == 0, 0, 3 - swapped)
    torch.testing.assert_close(
        network(pictures(1), swapped).boxes,
        network(pictures(1), labels(1)).boxes.flip(1),
        atol=1e-4,
        rtol=1e-4,
    )


@torch.no_grad()
def test_another_size_of_picture_stretches_the_positions(network):
    larger = network(pictures(1, 96), None)
    assert (
        larger.depth.shape == (1, 96, 96)
        and larger.latitude.shape == (1, 6, 6)
        and larger.depth.isfinite().all()
    )


@torch.no_grad()
def test_before_training_the_camera_is_the_mean_one():
    torch.manual_seed(0)
    assert (GeometryNet(GEOMETRY).eval()(pictures(2)).camera == 0).all()


def test_unit_vectors_point_where_the_vectors_do():
    vectors = torch.randn(2, 3, 4, 5)
    vectors[0, :, 1, 2] = 0
    torch.testing.assert_close(unit(vectors), F.normalize(vectors, dim=1, eps=1e-6))
