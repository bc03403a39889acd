"""What an object stands on, told to its field."""

import numpy as np
import pytest
import torch

from maquette.geometry.volumes import TRUNCATION
from maquette.stages.floor import drawn_down, layers_below


def test_nothing_lies_below_a_floor():
    cube = np.diag([0.5, 0.5, 0.5, 1.0])
    cube[:3, 3] = [0, 0.1, 0]
    below = layers_below(64, 0.1, cube)[0, :, 0]
    assert below.shape == (64,) and (np.diff(below) <= 0).all()
    assert (below[:32] > 0).all() and (below[32:] < 0).all()


def slab(low, high):
    """(64, 64, 64) signed distances, in truncations, of what fills a cube's middle between two
    heights.
    """
    x, y, z = (np.indices((64, 64, 64)) + 0.5) / 64 - 0.5
    outside = np.maximum.reduce([np.abs(x) - 0.2, np.abs(z) - 0.2, low - y, y - high])
    return torch.from_numpy((outside / TRUNCATION).clip(-1, 1).astype(np.float32))


def ends(field):
    """Lowest and highest height at which there is something."""
    layers = np.flatnonzero((field < 0).any(2).any(0))
    return layers[0] / 64 - 0.5, (layers[-1] + 1) / 64 - 0.5


@pytest.mark.parametrize("floor", [-0.4, -0.3, -0.2])
def test_what_ends_above_its_floor_is_drawn_out_to_it_and_its_top_stays(floor):
    cube = np.diag([2.0, 2.0, 2.0, 1.0])
    cube[1, 3] = 3.0
    short = slab(-0.1, 0.35)
    drawn = drawn_down(short, 3.0 + 2.0 * floor, cube).numpy()
    assert ends(drawn) == pytest.approx((floor, 0.35), abs=1.5 / 64)
    assert ends(drawn.transpose(1, 0, 2)) == ends(short.numpy().transpose(1, 0, 2))


def test_what_reaches_its_floor_or_would_have_to_grow_a_lot_is_left_alone():
    cube = np.eye(4)
    reaching, high = slab(-0.3, 0.3), slab(0.3, 0.4)
    assert drawn_down(reaching, -0.3, cube) is reaching
    assert drawn_down(reaching, -0.2, cube) is reaching
    assert drawn_down(high, -0.4, cube) is high
    nothing = torch.ones(64, 64, 64)
    assert drawn_down(nothing, -0.4, cube) is nothing
