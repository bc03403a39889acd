"""The ground's normal, by any camera, through noise and holes, and not a wall's."""

import numpy as np
import pytest

from maquette.geometry.ground import ground_down
from tests.given.scenery import scenery


def angle(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


@pytest.mark.parametrize("roll", [0.0, 0.2])
def test_down_is_found_through_noise_and_holes(roll):
    truth = scenery(roll)
    rng = np.random.default_rng(0)
    depth = truth.depth * (1 + 0.005 * rng.standard_normal(truth.depth.shape))
    depth[~np.isfinite(depth) | (rng.random(depth.shape) < 0.1)] = np.nan
    down = -truth.camera.world_from_camera[1, :3]
    expected = scenery().camera.world_from_camera[1, :3] * -1
    found = ground_down(depth, truth.camera.intrinsics, truth.labels > 0, expected)
    assert angle(found, down) < 0.7


def test_a_wall_is_no_ground():
    depth = np.full((60, 80), 2.0)
    matrix = np.array([[80.0, 0, 40], [0, 80, 30], [0, 0, 1]])
    level = np.array([0.0, 1.0, 0.0])
    assert ground_down(depth, matrix, np.zeros(depth.shape, bool), level) is None
    assert ground_down(np.full((60, 80), np.nan), matrix, np.zeros((60, 80), bool), level) is None
