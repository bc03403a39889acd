"""Counts against torch's own counter on tiny networks, and the published sizes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from maquette.models.slat_flops import (
    CellCounts,
    Terms,
    mesh_decoder_flops,
    slat_flow_flops,
    slat_transformer_flops,
    structure_vae_flops,
)
from maquette.models.slat_flow import SLatFlow, SLatFlowConfig
from maquette.models.slat_vae import MeshDecoder, SLatTransformer, SLatTransformerConfig
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.nn.sparse import Voxels
from tests.models.test_slat_flow import TINY, randomised
from tests.nn.test_sparse import cells

DECODER = VolumeVAEConfig(
    channels=1,
    patch=1,
    latent_channels=8,
    encoder_channels=(),
    decoder_channels=(512, 128, 32),
    decoder_blocks=2,
    middle_blocks=2,
    stem_kernel=3,
)


def counted(run):
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


def full(side):
    return Voxels.of(
        torch.cat(
            [
                torch.zeros(side**3, 1, dtype=torch.int64),
                torch.cartesian_prod(*[torch.arange(side)] * 3),
            ],
            1,
        ),
        side,
    )


@pytest.mark.parametrize("skips", [True, False])
def test_the_slat_flow_equals_torchs_count(skips):
    config = SLatFlowConfig(**{**TINY.__dict__, "skips": skips})
    network = randomised(SLatFlow, config)
    voxels = cells(resolution=8, batch=1)
    x = torch.randn(len(voxels), 3)
    context = torch.randn(1, 5, 10)
    found = counted(lambda: network(x, voxels, torch.tensor([0.5]), context))
    assert abs(found / slat_flow_flops(config, CellCounts.of(voxels), 5) - 1) < 1e-9


def test_a_cached_unconditional_evaluation_equals_torchs_count():
    network = randomised(SLatFlow, TINY)
    voxels = cells(resolution=8, batch=1)
    modulations = network.modulations(torch.tensor([0.5]))
    contexts = network.prepare(None, torch.zeros(1, 1, 10))
    found = counted(
        lambda: network.velocity(torch.randn(len(voxels), 3), voxels, modulations, contexts)
    )
    assert abs(found / slat_flow_flops(TINY, CellCounts.of(voxels), None, cached=True) - 1) < 1e-9


def test_the_windowed_transformer_equals_torchs_count_without_padding():
    config = SLatTransformerConfig(3, 10, 8, 24, 2, 2, 2.0, 8)
    voxels = full(8)
    network = randomised(SLatTransformer, config)
    found = counted(lambda: network.blocks[0](torch.randn(1, 512, 24)))
    assert slat_transformer_flops(config, len(voxels), 512) == 2 * found + 2 * 512 * 24 * 13


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_mesh_decoder_equals_torchs_count(shortcut):
    config = SLatTransformerConfig(3, 101, 8, 256, 1, 2, 1.0, 8)
    voxels = cells(resolution=8, batch=1, share=0.1)
    network = randomised(MeshDecoder, config)
    h = torch.randn(len(voxels), 256)
    found = counted(lambda: network.out_layer(network.subdivide(h, voxels, shortcut)))
    trunk = slat_transformer_flops(config, len(voxels), 0) - 2 * len(voxels) * 256 * 101
    assert found == mesh_decoder_flops(config, Terms.of(voxels), 0, shortcut) - trunk


def test_terms_of_split_cells_are_those_of_the_children():
    voxels = cells(resolution=8, batch=1)
    assert Terms.of(voxels).split() == Terms.of(voxels.children)


def test_the_terms_of_a_whole_grid():
    assert Terms.of(full(2)) == Terms(8, 24, 24, 8) and Terms(1, 0, 0, 0).products == 8


def test_the_structure_vae_equals_torchs_count_and_the_published_size():
    small = VolumeVAEConfig(
        channels=1,
        patch=1,
        latent_channels=2,
        encoder_channels=(4, 8),
        decoder_channels=(),
        encoder_middle_blocks=1,
        stem_kernel=3,
        moments_kernel=3,
    )
    encoder = VolumeVAE(small)
    assert counted(lambda: encoder.moments(torch.randn(1, 1, 8, 8, 8))) == structure_vae_flops(
        small, 8
    )
    tiny = VolumeVAEConfig(**{**DECODER.__dict__, "decoder_channels": (8, 4, 2)})
    assert counted(
        lambda: VolumeVAE(tiny).decode_raw(torch.randn(1, 8, 2, 2, 2))
    ) == structure_vae_flops(tiny, 8)
    assert abs(structure_vae_flops(DECODER, 64) / 0.813e12 - 1) < 0.01


@pytest.mark.parametrize(
    "voxels, tokens, tera", [(8000, 1900, 2.26), (12000, 2800, 3.52), (20000, 4700, 6.68)]
)
def test_one_evaluation_at_full_size_is_near_what_the_plain_network_costs(voxels, tokens, tera):
    """Recorded for the original, which multiplies copied features once per child; ours does so once
    per parent.
    """
    found = slat_flow_flops(
        SLatFlowConfig(), CellCounts(Terms.typical(voxels), Terms.typical(tokens)), 1374
    )
    assert 0.8 < found / (tera * 1e12) <= 1.1
