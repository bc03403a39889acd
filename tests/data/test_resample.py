"""Fields of balls, whose distances are known everywhere."""

import numpy as np
import pytest

from maquette.data.fields import FIELD_EXTENT, FIELD_RESOLUTION
from maquette.data.resample import placed_volume
from maquette.geometry.transforms import rotation_x, rotation_y, similarity

RADIUS = 0.4  # in asset units
COLOURS = ((200, 40, 90), (10, 250, 120))


class Balls:
    """Two assets: the same ball in two colours."""

    def sdf(self, index):
        axis = ((np.arange(FIELD_RESOLUTION) + 0.5) / FIELD_RESOLUTION - 0.5) * FIELD_EXTENT
        distance = np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij"))) - RADIUS
        return distance.astype(np.float16)

    def rgb(self, index):
        return np.broadcast_to(np.uint8(COLOURS[index]), (FIELD_RESOLUTION,) * 3 + (3,)).copy()


def distances(resolution, scale, centre):
    axis = (np.arange(resolution) + 0.5) / resolution - 0.5
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return np.linalg.norm(points - centre, axis=-1) - scale * RADIUS


@pytest.mark.compiles
@pytest.mark.parametrize(
    ("scale", "centre"), [(1.0, (0, 0, 0)), (0.5, (0.2, -0.1, 0.15)), (0.3, (-0.3, 0.3, 0.0))]
)
def test_a_placed_ball_has_the_distances_of_a_ball(scale, centre):
    turn = rotation_y(0.6) @ rotation_x(0.3)
    volume = placed_volume(Balls(), [(0, similarity(scale, turn, np.array(centre)))], 32)
    wanted = np.clip(distances(32, scale, centre) * 16, -1, 1)
    near = np.abs(wanted) < 1
    assert (
        np.abs(volume[0] - wanted)[near].max() < 0.05
        and (np.sign(volume[0]) == np.sign(wanted))[np.abs(wanted) > 0.05].all()
    )
    assert (
        np.abs(volume[1:, np.abs(wanted) < 0.9].T - (np.array(COLOURS[0]) / 127.5 - 1)).max() < 0.01
    )
    assert (volume[1:, np.abs(volume[0]) >= 1] == 0).all()


def test_a_union_is_the_nearest_of_all_in_any_order():
    left = similarity(0.4, None, np.array([-0.2, 0, 0]))
    right = similarity(0.4, None, np.array([0.2, 0.1, 0]))
    both, turned = (
        placed_volume(Balls(), order, 24)
        for order in ([(0, left), (1, right)], [(1, right), (0, left)])
    )
    alone = [placed_volume(Balls(), [pair], 24) for pair in ((0, left), (1, right))]
    assert np.allclose(both[0], np.minimum(alone[0][0], alone[1][0]), atol=1e-6) and np.allclose(
        both[0], turned[0], atol=1e-6
    )
    apart = np.abs(alone[0][0] - alone[1][0]) > 1e-3
    assert np.allclose(both[1:, apart], turned[1:, apart], atol=1e-6)


def test_nothing_is_empty_space():
    volume = placed_volume(Balls(), [], 8)
    assert (volume[0] == 1).all() and (volume[1:] == 0).all()
