"""Parts of MoGe; the whole network is compared in ``tests/checkpoints/published/test_moge.py``."""

import torch

from maquette.models.moge import Pyramid, PyramidConfig, view_plane


def test_the_corners_of_the_view_plane_are_half_a_diagonal_away():
    plane = view_plane((600, 800), 800 / 600)
    corner = plane[:, -1, -1] * torch.tensor([800 / 799, 600 / 599])
    assert torch.allclose(corner, torch.tensor([0.8, 0.6]), atol=1e-5)
    assert torch.allclose(plane, -plane.flip(1, 2), atol=1e-6)


def test_every_level_of_a_pyramid_has_twice_the_sides():
    config = PyramidConfig((3, 2), (4, 6), (None, 1), (0, 1), (True,))
    coarse, fine = Pyramid(config)([torch.rand(1, 3, 5, 7), torch.rand(1, 2, 10, 14)])
    assert coarse.shape == (1, 4, 5, 7) and fine.shape == (1, 1, 10, 14)
