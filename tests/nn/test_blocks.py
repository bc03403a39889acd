"""Blocks: folding is a bijection, new blocks start as nothing, positions are told apart."""

import pytest
import torch
import torch.nn.functional as F

from maquette.nn.attention import Joint, SceneContext
from maquette.nn.blocks import (
    LayerNorm,
    ModulatedCrossBlock,
    PointwiseConv2d,
    ResBlock2d,
    ResBlock3d,
    TransformerBlock,
    VectorSetBlock,
    activation_module,
    depth_to_space,
    space_to_depth,
)
from maquette.nn.embeddings import TimestepEmbedder, grid_position_embedding, time_rates
from tests.shapes import leave_unchecked


def test_folding_is_a_bijection_and_keeps_neighbourhoods():
    x = torch.randn(2, 3, 8, 8, 8)
    folded = space_to_depth(x, 4)
    assert torch.equal(depth_to_space(folded, 4), x)
    assert torch.equal(folded[0, :, 1, 0, 1].reshape(3, 4, 4, 4), x[0, :, 4:8, 0:4, 4:8])


def test_residual_blocks_start_as_the_identity():
    x3 = torch.randn(1, 8, 4, 4, 4)
    x2 = torch.randn(1, 8, 6, 6)
    assert torch.equal(ResBlock3d(8)(x3), x3)
    assert torch.equal(ResBlock2d(8, 8)(x2), x2)


def test_shared_modulation_equals_the_own_one_for_equal_weights():
    torch.manual_seed(0)
    own = ModulatedCrossBlock(16, 12, 2)
    shared = ModulatedCrossBlock(16, 12, 2, share_modulation=True)
    shared.load_state_dict({k: v for k, v in own.state_dict().items() if not k.startswith("adaLN")})
    x = torch.randn(2, 5, 16)
    m = torch.randn(2, 16)
    c = torch.randn(2, 4, 12)
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


@pytest.mark.parametrize(
    "name, at_minus_one",
    [("gelu", -0.15865525), ("gelu_tanh", -0.15880801), ("quick_gelu", -0.15420423)],
)
def test_the_three_kinds_of_gelu_are_told_apart(name, at_minus_one):
    assert float(activation_module(name)(torch.tensor(-1.0))) == pytest.approx(
        at_minus_one, abs=1e-7
    )


def test_layer_norm_takes_half_inputs_with_full_weights():
    torch.manual_seed(0)
    norm = LayerNorm(16)
    x = torch.randn(4, 16)
    torch.nn.init.normal_(norm.weight)
    assert torch.equal(norm(x), torch.nn.functional.layer_norm(x, (16,), norm.weight, norm.bias))
    half = norm(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), norm(x), atol=0.05, rtol=0.05)


def test_a_layer_scale_of_zero_is_the_identity():
    block = TransformerBlock(16, 2, layer_scale=True)
    x = torch.randn(2, 5, 16)
    torch.nn.init.zeros_(block.scale1), torch.nn.init.zeros_(block.scale2)
    assert torch.equal(block(x), x)


def test_cross_attentions_of_a_vector_set_block_read_the_same_tokens():
    """Their outputs are added, so their order does not matter."""
    torch.manual_seed(0)
    block = VectorSetBlock(16, 2, (12, 12))
    x = torch.randn(2, 5, 16)
    a = torch.randn(2, 3, 12)
    b = torch.randn(2, 4, 12)
    swapped = VectorSetBlock(16, 2, (12, 12))
    other = {"0": "1", "1": "0"}
    swapped.load_state_dict(
        {
            ".".join(
                [
                    p if i != 1 or not key.startswith(("cross", "context")) else other[p]
                    for i, p in enumerate(key.split("."))
                ]
            ): t
            for key, t in block.state_dict().items()
        }
    )
    torch.testing.assert_close(block(x, [a, b]), swapped(x, [b, a]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        block(x, block.prepare([a, b], [None, None])), block(x, [a, b]), atol=1e-6, rtol=1e-5
    )


def test_a_skip_joins_the_earlier_output_first_and_norms_last():
    torch.manual_seed(0)
    block = VectorSetBlock(16, 2, skip=True)
    x = torch.randn(2, 5, 16)
    earlier = torch.randn(2, 5, 16)
    joined = block.skip_norm(block.skip_linear(torch.cat([earlier, x], -1)))
    plain = VectorSetBlock(16, 2)
    plain.load_state_dict(
        {key: t for key, t in block.state_dict().items() if not key.startswith("skip")}
    )
    assert torch.equal(block(x, skipped=earlier), plain(joined))


def test_time_rates_fall_geometrically_from_one():
    rates = time_rates(128).double()
    assert rates[0] == 1
    torch.testing.assert_close(
        (rates[1:] / rates[:-1]).log(),
        torch.full((127,), -9.210340371976184 / 128).double(),
        atol=2e-6,
        rtol=0,
    )


def test_a_pointwise_convolution_is_a_convolution():
    layer = PointwiseConv2d(5, 3)
    x = torch.randn(2, 5, 4, 6)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias))


def blocks():
    """Every transformer block, with what it is given."""
    x = torch.randn(4, 5, 16)
    context = torch.randn(4, 3, 12)
    modulation = torch.randn(1, 96)
    plan = SceneContext.of(torch.tensor([-1, 0, 0, -1]))
    modulated = ModulatedCrossBlock(16, 12, 2, share_modulation=True)
    vectors = VectorSetBlock(16, 2, (12,))
    return {
        "plain": (TransformerBlock(16, 2), x),
        "modulated": (modulated, x, modulation, modulated.cross_attn.prepare(context)),
        "scene": (modulated, x, modulation, modulated.cross_attn.prepare(context), plan),
        "picture": (ResBlock2d(16, 8), torch.randn(2, 16, 6, 6)),
        "vectors": (vectors, x, vectors.prepare([context], [None]), Joint((2, 2))),
    }


@pytest.mark.parametrize("kind", blocks())
@torch.no_grad()
def test_a_block_compiles_as_one_graph(kind, monkeypatch):
    leave_unchecked(monkeypatch)  # checks are no part of it
    block, *given = blocks()[kind]
    torch._dynamo.reset()
    found = torch._dynamo.explain(block)(*given)
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons
