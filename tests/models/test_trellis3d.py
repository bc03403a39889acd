"""Both stages on tiny random networks: every saving gives what the plain path gives, samples are
independent, noise has its order.
"""

import pytest
import torch

from maquette.flow.trellis import TrellisSampling
from maquette.models.savings import ALL, PLAIN, Savings
from maquette.models.slat_flow import SLatFlow
from maquette.models.slat_vae import (
    GaussianDecoder,
    GaussianHead,
    MeshDecoder,
    SLatTransformerConfig,
)
from maquette.models.structure_flow import StructureFlow, StructureFlowConfig
from maquette.models.trellis3d import (
    LatentStage,
    active_cells,
    decode_meshes,
    occupied,
    sample_latents,
    sample_structure,
)
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from tests.models.test_slat_flow import TINY, randomised
from tests.nn.test_sparse import cells

SAMPLING = TrellisSampling(steps=3, strength=2.0)
ONE_BY_ONE = [
    Savings(**{**PLAIN.__dict__, name: True}) for name in ("one_batch", "constants", "cache")
]


def structure():
    return randomised(
        StructureFlow,
        StructureFlowConfig(
            resolution=4,
            channels=2,
            width=24,
            blocks=2,
            heads=2,
            patch=1,
            context_width=10,
            scene_context_blocks=0,
            lift_channels=0,
            share_modulation=False,
        ),
    )


def latents():
    return LatentStage(
        randomised(SLatFlow, TINY), torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 1.0, 3.0])
    )


def tokens(samples):
    return torch.randn(samples, 5, 10, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("savings", [ALL, *ONE_BY_ONE])
def test_savings_do_not_change_the_structure(savings):
    network = structure()
    noise = torch.randn(2, 2, 4, 4, 4)
    expected = sample_structure(network, tokens(2), noise, SAMPLING, PLAIN)
    torch.testing.assert_close(
        sample_structure(network, tokens(2), noise, SAMPLING, savings),
        expected,
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("savings", [ALL, *ONE_BY_ONE])
def test_savings_do_not_change_the_latents(savings):
    stage = latents()
    voxels = cells(resolution=8)
    noise = torch.randn(len(voxels), 3)
    expected = sample_latents(stage, voxels, tokens(2), noise, SAMPLING, PLAIN)
    torch.testing.assert_close(
        sample_latents(stage, voxels, tokens(2), noise, SAMPLING, savings),
        expected,
        atol=2e-5,
        rtol=1e-5,
    )


def test_samples_of_different_size_do_not_touch_each_other():
    stage = latents()
    voxels = cells(resolution=8)
    noise = torch.randn(len(voxels), 3)
    first = voxels.counts[0]
    both = sample_latents(stage, voxels, tokens(2), noise, SAMPLING)
    alone = sample_latents(stage, voxels.sample(0), tokens(2)[:1], noise[:first], SAMPLING)
    torch.testing.assert_close(both[:first], alone, atol=1e-5, rtol=1e-5)


def test_the_mean_and_deviation_are_applied_last():
    stage = latents()
    voxels = cells(resolution=8)
    plain = LatentStage(stage.flow, torch.zeros(3), torch.ones(3))
    noise = torch.randn(len(voxels), 3)
    found, raw = (sample_latents(s, voxels, tokens(2), noise, SAMPLING) for s in (stage, plain))
    torch.testing.assert_close(found, raw * stage.deviation + stage.mean)


def test_occupied_cells_come_in_lexicographic_order():
    logits = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    found = occupied(logits)
    keys = (found.long() * torch.tensor([64, 16, 4, 1])).sum(1)
    assert (
        (keys.diff() > 0).all()
        and (logits[:, 0][tuple(found.long().T)] > 0).all()
        and len(found) == int((logits > 0).sum())
    )


def test_a_sample_without_cells_is_not_dropped():
    decoder = randomised(
        VolumeVAE,
        VolumeVAEConfig(
            channels=1,
            patch=1,
            latent_channels=2,
            encoder_channels=(),
            decoder_channels=(8, 4),
            stem_kernel=3,
        ),
    )
    voxels = active_cells(decoder, torch.randn(3, 2, 4, 4, 4), chunk=2)
    assert voxels.batch == 3 and voxels.resolution == 8
    decoder.to_volume[2].bias.data.fill_(-1e3)
    assert active_cells(decoder, torch.randn(3, 2, 4, 4, 4)).counts == (0, 0, 0)


def test_latents_decode_to_a_mesh_and_gaussians_for_each_sample():
    config = SLatTransformerConfig(3, 101, 8, 256, 1, 2, 1.0, 4)
    voxels = cells(resolution=8, share=0.05)
    values = torch.randn(len(voxels), 3)
    meshes = decode_meshes(randomised(MeshDecoder, config), values, voxels)
    assert len(meshes) == 2 and all(
        len(mesh.faces) and mesh.attributes.shape[1] == 6 for mesh in meshes
    )
    config = SLatTransformerConfig(3, 14 * 4, 8, 24, 1, 2, 1.0, 4)
    decoder = randomised(GaussianDecoder, config, GaussianHead(4))
    sets = decoder.gaussians(decoder(values, voxels), voxels)
    assert [len(one) for one in sets] == [4 * n for n in voxels.counts]
