"""Octree evaluation: the same mesh as the full grid, with far fewer questions."""

import numpy as np
import pytest
import torch
from skimage.measure import marching_cubes

from maquette.errors import InputError
from maquette.geometry.octree import Grid, evaluate_dense, evaluate_octree

GRID = Grid((-1.0, -1.2, -0.9), (1.1, 1.0, 1.3), 64)


def ball(points):
    return 0.6 - (points - torch.tensor([0.1, -0.2, 0.05])).norm(dim=-1)


def two_rings(points):
    x, y, z = points.unbind(-1)
    one = 0.12 - ((x.square() + y.square()).sqrt() - 0.5).square().add(z.square()).sqrt()
    two = (
        0.12
        - (((x - 0.4).square() + (z - 0.1).square()).sqrt() - 0.4).square().add(y.square()).sqrt()
    )
    return torch.maximum(one, two)


def waves(points):
    return (4 * points).sin().prod(-1) + 0.1


@pytest.mark.parametrize("field", [ball, two_rings, waves])
@pytest.mark.parametrize("margin", [0, 2])
def test_the_mesh_is_that_of_the_full_grid(field, margin):
    dense = evaluate_dense(field, GRID)
    sparse = evaluate_octree(field, GRID, 16, margin)
    assert torch.equal(dense.values > 0, sparse.values > 0)
    for expected, found in zip(
        marching_cubes(dense.values.numpy(), 0.0)[:2],
        marching_cubes(sparse.values.numpy(), 0.0)[:2],
    ):
        np.testing.assert_array_equal(found, expected)
    assert dense.asked == 65**3 and sparse.asked < dense.asked


def test_few_points_are_asked_on_fine_grids():
    asked = {
        cells: evaluate_octree(ball, Grid(GRID.low, GRID.high, cells), 16).asked
        for cells in (64, 128)
    }
    assert asked[128] < 0.05 * 129**3
    assert asked[128] < 6 * asked[64]  # a surface, not a volume


def test_a_surface_is_followed_where_the_coarse_grid_did_not_see_it():
    """A thin rod leaves a ball: the coarsest grid sees the ball only."""

    def field(points):
        rod = torch.minimum(0.02 - points[:, 1:].norm(dim=-1), 0.9 - points[:, 0].abs())
        return torch.maximum(0.3 - points.norm(dim=-1), rod)

    grid = Grid((-1.01, -1.01, -1.01), (1.03, 1.03, 1.03), 128)
    assert torch.equal(
        evaluate_octree(field, grid, 16).values > 0, evaluate_dense(field, grid).values > 0
    )


def test_within_the_margin_values_are_exact():
    """So a filter over neighbouring points gives the same where it matters."""
    dense = evaluate_dense(ball, GRID).values
    sparse = evaluate_octree(ball, GRID, 16, margin=2).values
    spacing = 2.2 / 64
    near = (
        ball(GRID.points(torch.cartesian_prod(*(torch.arange(65),) * 3))).abs().reshape(65, 65, 65)
        < 2 * spacing
    )
    assert torch.equal(sparse[near], dense[near]) and not torch.equal(sparse, dense)


def test_no_point_is_asked_twice():
    seen = []
    evaluate_octree(lambda p: seen.append(p) or ball(p), GRID, 16)
    points = torch.cat(seen)
    assert len(points.unique(dim=0)) == len(points)


def test_a_coarser_grid_has_the_same_points():
    fine = GRID
    coarse = Grid(GRID.low, GRID.high, 16)
    index = torch.cartesian_prod(*(torch.arange(17),) * 3)
    assert torch.equal(fine.points(4 * index), coarse.points(index))
    assert torch.equal(coarse.points(torch.tensor([[16, 0, 16]])), torch.tensor([[1.1, -1.2, 1.3]]))


def test_impossible_levels_are_named():
    with pytest.raises(InputError, match="64 cells cannot start at 20"):
        evaluate_octree(ball, GRID, 20)
