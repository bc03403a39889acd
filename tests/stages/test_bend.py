"""A body that falls short of what is seen grows there, and stays what it was elsewhere."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.stages.bend import _distances, _shares, bent
from maquette.stages.mirror import sampled

CELLS = 32


def ball(radius, cells=CELLS):
    return ((cell_centres(cells).norm(dim=-1) - radius) / TRUNCATION).clamp(-1, 1)


def front(radius):
    """Points of the front of a ball."""
    points = np.random.default_rng(0).normal(size=(800, 3))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    return points[points[:, 2] > 0]


def test_a_ball_that_is_too_small_reaches_its_front_and_keeps_its_back():
    seen = front(0.27)
    before, after = (sampled(f.numpy(), seen) for f in (ball(0.23), bent(ball(0.23), seen, CELLS)))
    assert np.abs(after).mean() < 0.4 * np.abs(before).mean()
    back = seen * [1, 1, -1] * 0.23 / 0.27
    back = back[back[:, 2] < -0.15]
    assert np.abs(sampled(bent(ball(0.23), seen, CELLS).numpy(), back)).mean() * TRUNCATION < 0.012


@pytest.mark.parametrize(
    ("field", "points"),
    [
        (ball(0.25), np.zeros((0, 3))),
        (ball(0.25), front(0.2)),  # it reaches farther than that
        (torch.ones(CELLS, CELLS, CELLS), front(0.2)),
        (-torch.ones(CELLS, CELLS, CELLS), front(0.2)),
    ],
)
def test_what_does_not_fall_short_is_only_made_finer(field, points):
    finer = F.interpolate(field[None, None], (2 * CELLS,) * 3, mode="trilinear")[0, 0]
    torch.testing.assert_close(bent(field, points, 2 * CELLS), finer, atol=1e-5, rtol=0)


def test_what_lies_far_off_is_another_part_and_pulls_nothing():
    far = front(0.02) + [0.0, 0.45, 0.0]
    moved = bent(ball(0.15), far, CELLS)
    assert ((moved < 0) != (ball(0.15) < 0)).float().mean() < 0.001


def test_shares_of_control_points_are_linear():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 3))
    side = round(_shares(points).shape[1] ** (1 / 3))
    steps = np.linspace(-0.5, 0.5, side)
    places = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    np.testing.assert_allclose(_shares(points) @ places, points, atol=1e-12)


def test_distances_go_on_beyond_the_truncation():
    exact = cell_centres(64).norm(dim=-1).numpy() - 0.3
    assert np.abs(_distances(ball(0.3, 64).numpy()) - exact).max() < 1.0 / 64
