"""Blocks: folding is a bijection, new blocks start as nothing, positions are told apart."""

import torch

from maquette.nn.blocks import ModulatedCrossBlock, ResBlock2d, ResBlock3d, depth_to_space, space_to_depth
from maquette.nn.embeddings import TimestepEmbedder, grid_position_embedding


def test_folding_is_a_bijection_and_keeps_neighbourhoods():
    x = torch.randn(2, 3, 8, 8, 8)
    folded = space_to_depth(x, 4)
    assert torch.equal(depth_to_space(folded, 4), x)
    assert torch.equal(folded[0, :, 1, 0, 1].reshape(3, 4, 4, 4), x[0, :, 4:8, 0:4, 4:8])


def test_residual_blocks_start_as_the_identity():
    x3, x2 = torch.randn(1, 8, 4, 4, 4), torch.randn(1, 8, 6, 6)
    assert torch.equal(ResBlock3d(8)(x3), x3)
    assert torch.equal(ResBlock2d(8, 8)(x2), x2)


def test_shared_modulation_equals_the_own_one_for_equal_weights():
    torch.manual_seed(0)
    own, shared = ModulatedCrossBlock(16, 12, 2), ModulatedCrossBlock(16, 12, 2, share_modulation=True)
    shared.load_state_dict({k: v for k, v in own.state_dict().items() if not k.startswith("adaLN")})
    x, m, c = torch.randn(2, 5, 16), torch.randn(2, 16), torch.randn(2, 4, 12)
    assert torch.equal(own(x, own.modulation(m), c), shared(x, own.modulation(m), c))


def test_positions_are_all_different_and_axes_are_ordered_xyz():
    embedding = grid_position_embedding(4, 24)
    assert torch.cdist(embedding, embedding).fill_diagonal_(9).min() > 0.1
    rates = 24 // 6
    same_x = embedding.reshape(4, 4, 4, 24)[2, :, :, : 2 * rates]
    assert torch.equal(same_x[0, 0], same_x[3, 1])  # the first third depends on x only


def test_time_embedding_separates_levels():
    torch.manual_seed(0)
    embedded = TimestepEmbedder(32)(torch.tensor([0.0, 0.01, 0.5, 1.0]))
    assert torch.cdist(embedded, embedded).fill_diagonal_(9).min() > 1e-3
