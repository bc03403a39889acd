"""Windowed transformers and their heads: who sees whom, where Gaussians may lie, what meshes are
made of.
"""

import torch

from maquette.models.slat_vae import (
    GaussianDecoder,
    GaussianHead,
    MeshDecoder,
    SLatTransformer,
    SLatTransformerConfig,
    hammersley,
    radiance_fields,
)
from maquette.nn.sparse import Voxels
from tests.models.test_slat_flow import randomised
from tests.nn.test_sparse import cells

TINY = SLatTransformerConfig(
    channels_in=3,
    channels_out=10,
    resolution=8,
    width=24,
    blocks=2,
    heads=2,
    mlp_ratio=1.0,
    window=4,
)


def test_samples_and_distant_windows_do_not_touch_each_other():
    """Two blocks with windows of 4, the second shifted by 2: nothing reaches farther than
    7 cells.
    """
    network = randomised(SLatTransformer, TINY)
    voxels = cells(resolution=8)
    x = torch.randn(len(voxels), 3)
    changed = x.clone()
    changed[0] += 1.0
    moved = (network(changed, voxels) - network(x, voxels)).abs().amax(1) > 0
    distance = (voxels.coords[:, 1:] - voxels.coords[0, 1:]).abs().amax(1)
    assert (
        moved[0] and not moved[(voxels.coords[:, 0] != voxels.coords[0, 0]) | (distance > 6)].any()
    )


def test_both_moments_have_the_size_of_the_latent():
    network = randomised(SLatTransformer, TINY)
    voxels = cells(resolution=8)
    mean, log_variance = network.moments(torch.randn(len(voxels), 3), voxels)
    assert mean.shape == log_variance.shape == (len(voxels), 5)


def test_hammersley_points_are_the_textbook_ones():
    expected = [[0, 0, 0], [1 / 4, 1 / 2, 1 / 3], [2 / 4, 1 / 4, 2 / 3], [3 / 4, 3 / 4, 1 / 9]]
    torch.testing.assert_close(hammersley(4), torch.tensor(expected, dtype=torch.float64))


def test_gaussians_start_spread_in_their_cell_and_stay_near_it():
    voxels = cells(resolution=8)
    head = GaussianHead(8)
    decoder = GaussianDecoder(SLatTransformerConfig(3, 14 * 8, 8, 24, 1, 2), head)
    first, second = decoder.gaussians(torch.zeros(len(voxels), 14 * 8), voxels)
    assert [len(first), len(second)] == [8 * n for n in voxels.counts]
    torch.testing.assert_close(
        first.scales, torch.full_like(first.scales, (4e-3**2 + 9e-4**2) ** 0.5)
    )
    torch.testing.assert_close(first.opacities, torch.full_like(first.opacities, 0.1))
    assert (first.rotations == torch.tensor([1.0, 0, 0, 0])).all()
    offsets = (
        (first.positions + 0.5) * 8
        - voxels.coords[: voxels.counts[0], 1:].repeat_interleave(8, 0)
        - 0.5
    )
    torch.testing.assert_close(offsets[:8].double(), hammersley(8) - 0.5, atol=1e-5, rtol=0)
    wild = decoder.gaussians(100 * torch.randn(len(voxels), 14 * 8), voxels)[0]
    assert (
        (
            (wild.positions + 0.5) * 8
            - voxels.coords[: voxels.counts[0], 1:].repeat_interleave(8, 0)
            - 0.5
        ).abs()
        <= 0.75 + 1e-5
    ).all()


def test_radiance_fields_split_by_sample():
    voxels = cells(resolution=8)
    fields = radiance_fields(torch.zeros(len(voxels), 2 * (3 * 4 + 4)), voxels, 2, 4)
    assert [len(f.position) for f in fields] == list(voxels.counts) and fields[0].vectors.shape[
        1:
    ] == (2, 3, 4)
    assert (fields[0].vectors == 1).all() and fields[0].colour.shape[1:] == (2, 1, 3)


def test_meshes_of_a_batch_are_those_of_each_sample():
    network = randomised(MeshDecoder, SLatTransformerConfig(3, 101, 8, 256, 1, 2, 1.0, 4))
    voxels = cells(resolution=8, share=0.04)
    x = torch.randn(len(voxels), 3)
    both = network.meshes(x, voxels)
    alone = network.meshes(x[: voxels.counts[0]], voxels.sample(0))
    assert len(both) == 2 and torch.equal(both[0].faces, alone[0].faces)
    torch.testing.assert_close(both[0].vertices, alone[0].vertices, atol=1e-5, rtol=0)


def test_the_shortcut_of_subdivision_changes_nothing():
    network = randomised(MeshDecoder, SLatTransformerConfig(3, 101, 8, 256, 1, 2, 1.0, 4))
    voxels = cells(resolution=8, share=0.04, batch=1)
    x = torch.randn(len(voxels), 3)
    found = network(x, voxels)
    expected = network(x, voxels, shortcut=False)
    assert found.shape == (64 * len(voxels), 101)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_sample_without_cells_has_an_empty_mesh():
    network = randomised(MeshDecoder, SLatTransformerConfig(3, 101, 8, 256, 1, 2, 1.0, 4))
    voxels = Voxels.of(torch.tensor([[1, 3, 3, 3], [1, 3, 3, 4]]), 8, 2)
    empty, full = network.meshes(torch.randn(2, 3), voxels)
    assert len(empty.faces) == 0 and full.vertices.shape[1] == 3
