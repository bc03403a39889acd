"""Counts of operations: equal to torch's own counter on tiny networks, and to the known totals of
the published sizes.
"""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from maquette.models.flops import (
    iscene_structure_flops,
    scene_context_flops,
    structure_flow_flops,
    vecset_decode_flops,
    vecset_flow_flops,
    vision_flops,
)
from maquette.models.scene_context_flow import SceneContextFlowConfig
from maquette.models.structure_flow import StructureFlow, StructureFlowConfig
from maquette.models.vecset_flow import VecSetFlowConfig
from maquette.models.vecset_vae import VecSetVAEConfig
from maquette.models.vision import VisionConfig
from tests.models import test_scene_context_flow as iscene
from tests.models import test_vecset_flow as midi
from tests.models import test_vecset_vae as vae
from tests.models import test_vision as vision

PUBLISHED = StructureFlowConfig(
    resolution=16,
    channels=8,
    width=1024,
    blocks=24,
    heads=16,
    patch=1,
    context_width=1024,
    share_modulation=False,
    scene_context_blocks=0,
    lift_channels=0,
)
MIDI = VecSetFlowConfig(context_widths=(768, 1024), joint_blocks=(8, 9, 10, 11, 12))
TERA = 1e12


def counted(function, *arguments):
    # Torch counts attention where it is written out, not in the CPU's fused kernel.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        function(*arguments)
    return counter.get_total_flops()


def test_vision():
    assert counted(vision.network(), torch.rand(1, 3, 42, 42)) == vision_flops(vision.TINY)


def test_structure_flow():
    x = torch.randn(1, 2, 3, 3, 3)
    t = torch.tensor([0.5])
    context = torch.randn(1, 4, 10)
    network = StructureFlow(iscene.BASE)
    assert counted(network, x, t, context) == structure_flow_flops(iscene.BASE, 4)
    modulations = network.modulations(t)
    contexts = network.prepare(None, context[:, :1])
    plain = counted(lambda: network.velocity(x, modulations, contexts, [None] * 4))
    assert plain == structure_flow_flops(iscene.BASE, None, cached=True)


def test_scene_context_flow():
    network = iscene.network(gate=True)
    given = iscene.given()
    assert counted(network, *given) == scene_context_flops(
        network.config, 2, 4, cached=False, shared_scene=False
    )


def test_vector_set_flow():
    network = midi.network()
    (x, t, contexts) = midi.given()
    alone = vecset_flow_flops(network.config, 6, (1, 5))
    assert counted(network, x, t, contexts) == 4 * alone
    assert counted(network, x, t, contexts, (2, 2)) == 4 * vecset_flow_flops(
        network.config, 6, (1, 5), 2
    )


def test_vector_set_decoder():
    network = vae.network()
    latent = torch.randn(1, 5, 4)
    points = torch.rand(1, 30, 3)
    assert counted(lambda: network.field(points, network.prepare(latent))) == vecset_decode_flops(
        vae.TINY, 5, 30
    )


@pytest.mark.parametrize(
    "count, tera",
    [
        (vision_flops(VisionConfig()), 1.02),
        (structure_flow_flops(PUBLISHED, 1374), 5.227),
        (vecset_flow_flops(MIDI, 2048, (1, 257)), 6.98),
        (vecset_flow_flops(MIDI, 2048, (1, 257), 3), 7.32),
        (vecset_flow_flops(MIDI, 2048, (1, 257), 5), 7.67),
        (2 * vecset_decode_flops(VecSetVAEConfig(), 2048, 257**3), 1000),
    ],
)
def test_published_sizes(count, tera):
    assert count / TERA == pytest.approx(tera, rel=0.005)


def test_sharing_the_scene_and_constants_save_what_was_announced():
    config = SceneContextFlowConfig(PUBLISHED)
    shipped = 44 * scene_context_flops(config, 5, 1374, cached=False, shared_scene=False)
    ours = iscene_structure_flops(config, 5, 25, 19)
    assert shipped / 5 / TERA == pytest.approx(720, rel=0.01)
    assert ours < 0.68 * shipped
