"""Every exact saving, alone and together, gives what the plain path gives: I-Scene's structure
stage, MIDI-3D's sampling and decoding.
"""

from dataclasses import fields, replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from maquette.flow.trellis import TrellisSampling
from maquette.models.iscene3d import draw_noise, encode_slots, sample_slots
from maquette.models.midi3d import MidiCondition, MidiSampling, decode_field, sample_midi
from maquette.models.savings import ALL, PLAIN, Savings
from tests.models import test_scene_context_flow as iscene
from tests.models import test_vecset_flow as midi
from tests.models import test_vecset_vae as vae
from tests.models import test_vision as vision

SWITCHES = [field.name for field in fields(Savings)]
CHOICES = (
    {name: replace(PLAIN, **{name: True}) for name in SWITCHES}
    | {"all": ALL}
    | {f"all but {name}": replace(ALL, **{name: False}) for name in SWITCHES}
)
EXACT = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def structure():
    network = iscene.network(gate=True, bias=True)
    (_, _, context) = iscene.given()
    context = torch.cat(
        [context[:, :1], context[:1, 1:2].expand(2, -1, -1, -1), context[:, 2:]], 1
    )  # one photo: one scene
    noise = draw_noise(network, torch.Generator().manual_seed(0))
    sampling = TrellisSampling(steps=4, strength=2.0)
    return (
        network,
        context,
        noise,
        sampling,
        sample_slots(network, context, noise, sampling, PLAIN),
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_structure_latents(structure, choice):
    *arguments, plain = structure
    torch.testing.assert_close(sample_slots(*arguments, CHOICES[choice]), plain, **EXACT)


@pytest.fixture(scope="module")
def joint():
    network = midi.network()
    (x, _, contexts) = midi.given(3)
    condition = MidiCondition(contexts[0], contexts[1])
    sampling = MidiSampling(4, 3.0)
    return network, condition, x, sampling, sample_midi(network, condition, x, sampling, PLAIN)


@pytest.mark.parametrize("choice", CHOICES)
def test_latents_of_all_instances(joint, choice):
    *arguments, plain = joint
    torch.testing.assert_close(sample_midi(*arguments, CHOICES[choice]), plain, **EXACT)


def test_the_plain_path_is_two_separate_passes_of_the_plain_network(joint):
    network, condition, x, _, _ = joint
    given = [condition.summary, condition.tokens]
    t = torch.ones(3)
    cond = network(x, t, given, (3,))
    uncond = network(x, t, [torch.zeros_like(c) for c in given], (3,))
    expected = x - (uncond + 3.0 * (cond - uncond))
    torch.testing.assert_close(
        sample_midi(network, condition, x, MidiSampling(1, 3.0), PLAIN), expected, **EXACT
    )


def test_fields_on_an_octree():
    network = vae.network()
    torch.manual_seed(3)
    network.decoder.proj_out.bias.data.fill_(0.0)
    latent = torch.randn(5, 4)
    centre = network.field(torch.zeros(1, 1, 3), network.prepare(latent[None]))
    network.decoder.proj_out.bias.data += (
        centre.item()
    )  # the surface now passes through the middle of the cube
    (dense, grid), (sparse, _) = (
        decode_field(network, latent, 64, savings) for savings in (PLAIN, ALL)
    )
    near = torch.nn.functional.max_pool3d(((dense.values > 0).float())[None, None], 3, 1, 1)[
        0, 0
    ] != (dense.values > 0)
    assert near.any() and torch.equal(dense.values > 0, sparse.values > 0) and grid.cells == 64
    torch.testing.assert_close(sparse.values[near], dense.values[near], **EXACT)
    assert sparse.asked < 0.7 * dense.asked


def test_pictures_of_slots():
    encoder = vision.network()
    pictures = torch.rand(3, 3, 3, 42, 42)
    pictures[:, 1] = pictures[0, 1]
    seen = []
    encoder.register_forward_hook(lambda _, args, out: seen.append(len(args[0])))
    plain, shared = (encode_slots(encoder, pictures, savings, chunk=4) for savings in (PLAIN, ALL))
    torch.testing.assert_close(shared, plain, **EXACT)
    assert sum(seen[:3]) == 9 and sum(seen[3:]) == 7


def operations(run):
    """Counted where attention is written out: torch does not count the CPU's fused kernel."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("switch", ["constants", "cache", "shared_scene"])
def test_a_saving_of_the_structure_stage_saves_operations(structure, switch):
    *arguments, _ = structure
    plain, saved = (
        operations(lambda savings=savings: sample_slots(*arguments, savings))
        for savings in (PLAIN, CHOICES[switch])
    )
    assert saved < plain
