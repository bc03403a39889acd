"""Sparse grids against dense ones: neighbours, parents and children, on random cells of several
samples.
"""

import pytest
import torch

from maquette.nn.sparse import OCTANTS, OFFSETS, Voxels, downsample, upsample


def cells(resolution=6, batch=2, share=0.3, seed=0):
    occupied = (
        torch.rand(batch, *(resolution,) * 3, generator=torch.Generator().manual_seed(seed)) < share
    )
    return Voxels.of(torch.nonzero(occupied), resolution, batch)


def dense(features, voxels):
    grid = torch.zeros(
        voxels.batch, *(voxels.resolution,) * 3, features.shape[1], dtype=features.dtype
    )
    grid[tuple(voxels.coords.T)] = features
    return grid.movedim(-1, 1)


def test_neighbours_are_those_of_a_dense_search():
    voxels = cells()
    rows = {tuple(row): i for i, row in enumerate(voxels.coords.tolist())}
    for index, (i, j, k) in enumerate(OFFSETS):
        expected = [rows.get((b, x + i, y + j, z + k), -1) for b, x, y, z in voxels.coords.tolist()]
        assert voxels.neighbours[index].tolist() == expected


def test_neighbourhood_is_mutual():
    neighbours = cells().neighbours
    for k in range(27):
        rows = torch.nonzero(neighbours[k] >= 0)[:, 0]
        assert torch.equal(neighbours[26 - k][neighbours[k][rows].long()].long(), rows)


def test_neighbours_of_children_need_no_search():
    fine = cells().children
    searched = Voxels.of(fine.coords, fine.resolution, fine.batch)
    assert torch.equal(fine.neighbours, searched.neighbours)


def test_children_are_the_octants_in_order_and_their_parents_are_the_cells():
    voxels = cells()
    assert (voxels.children.coords[:8, 1:] - 2 * voxels.coords[0, 1:]).tolist() == [
        list(o) for o in OCTANTS
    ]
    coarse, inverse = voxels.children.parents
    assert torch.equal(coarse.coords, voxels.coords) and torch.equal(
        inverse, torch.arange(len(voxels)).repeat_interleave(8)
    )


def test_downsampling_divides_by_one_more_than_the_number_of_children():
    voxels = cells()
    features = torch.randn(len(cells()), 3)
    sums = 8 * torch.nn.functional.avg_pool3d(dense(features, voxels), 2)
    counts = 8 * torch.nn.functional.avg_pool3d(dense(torch.ones(len(voxels), 1), voxels), 2)
    found = dense(downsample(features, voxels), voxels.parents[0])
    torch.testing.assert_close(found, sums / (counts + 1), atol=1e-6, rtol=1e-5)


def test_upsampling_copies():
    voxels = cells()
    coarse, _ = voxels.parents
    assert torch.equal(
        upsample(coarse.coords.float(), voxels)[:, 1:], (voxels.coords[:, 1:] // 2).float()
    )


def test_one_sample_is_cut_out_with_or_without_known_neighbours():
    fresh = cells()
    known = cells()
    assert known.neighbours.shape[1] == sum(known.counts)
    for b in range(2):
        assert torch.equal(fresh.sample(b).coords, known.sample(b).coords)
        assert torch.equal(fresh.sample(b).neighbours, known.sample(b).neighbours)


def test_chunks_hold_every_term_once():
    voxels = cells()

    def terms(chunks):
        return [
            (chunk.cells.start + int(row), int(source))
            for chunk in chunks
            for _, rows, sources in chunk.terms
            for row, source in zip(rows, sources)
        ]

    whole = terms(voxels.chunks())
    assert sorted(whole) == sorted(terms(voxels.chunks(7)))


def test_an_empty_sample_and_an_empty_grid_are_allowed():
    voxels = Voxels.of(torch.tensor([[1, 0, 0, 0]]), 4, 3)
    assert voxels.counts == (0, 1, 0) and int((voxels.neighbours >= 0).sum()) == 1
    empty = Voxels.of(torch.zeros(0, 4, dtype=torch.int64), 4, 1)
    assert empty.neighbours.shape == (27, 0) and len(empty.children) == 0


@pytest.mark.parametrize(
    "rows, named", [([[0, 0, 0, 4]], "grid of 4"), ([[1, 0, 0, 0], [0, 0, 0, 0]], "contiguous")]
)
def test_cells_outside_of_the_grid_or_unsorted_are_refused(rows, named):
    with pytest.raises(ValueError, match=named):
        Voxels.of(torch.tensor(rows), 4)
