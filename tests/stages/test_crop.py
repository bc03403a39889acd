"""Cubes around objects: they cover what is known of the object, and resampling keeps its place."""

import numpy as np
import torch

from maquette.stages.crop import ZOOM_MARGIN, box_cube, coarse_in_cube, cube_around


def test_a_box_cube_is_centred_on_all_boxes_with_a_margin():
    cube = box_cube(
        [
            np.array([[-0.2, 0.0, 0.0], [0.0, 0.1, 0.1]]),
            np.array([[0.0, -0.1, 0.0], [0.1, 0.0, 0.1]]),
        ]
    )
    np.testing.assert_allclose(cube[:3, 3], [-0.05, 0.0, 0.05])
    np.testing.assert_allclose(cube[:3, :3], 0.3 * ZOOM_MARGIN * np.eye(3))


def test_zoom_cube_covers_both_boxes_and_the_coarse_volume_keeps_its_place():
    coarse = torch.ones(32, 32, 32)
    coarse[20:24, 10:14, 8:12] = -1
    visible = np.array([[-0.3, -0.2, 0.0], [-0.1, 0.0, 0.1]])
    cube = cube_around(coarse, visible)
    low = cube[:3, 3] - cube[0, 0] / 2
    high = cube[:3, 3] + cube[0, 0] / 2
    assert (low <= visible[0]).all() and (high >= [0.25, -0.0625, -0.125]).all()
    inside = np.argwhere(coarse_in_cube(coarse, cube, 16) < 0)
    centre = ((inside.mean(0) + 0.5) / 16 - 0.5) * cube[0, 0] + cube[:3, 3]
    np.testing.assert_allclose(centre, [0.1875, -0.125, -0.1875], atol=0.04)
