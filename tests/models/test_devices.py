"""Every network runs on a graphics card and on a Mac, says there what it says on the processor, and
does not make the processor wait within a forward pass.
"""

import dataclasses
from functools import cache

import pytest
import torch

from maquette.flow.ddpm import LinearSchedule, ddim
from maquette.flow.distillation import sds_loss
from maquette.flow.trellis import TrellisSampling
from maquette.models.iscene3d import draw_noise, encode_slots, sample_slots
from maquette.models.midi3d import MidiCondition, MidiSampling, decode_field, sample_midi
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.models.part_shapes import PartShapes
from maquette.models.pose_diffusion import Pose
from maquette.models.slat_vae import (
    GaussianDecoder,
    GaussianHead,
    MeshDecoder,
    SLatTransformerConfig,
)
from maquette.models.trellis3d import LatentStage, decode_meshes, sample_latents
from maquette.nn.attention import SceneContext
from maquette.nn.sparse import Voxels
from tests.devices import install
from tests.models import test_coherent as coherent
from tests.models import test_generator as generator
from tests.models import test_image_encoder as geometry
from tests.models import test_pose_diffusion as poses
from tests.models import test_relief as relief
from tests.models import test_scene_context_flow as iscene
from tests.models import test_slat_flow as slat
from tests.models import test_text_to_image as text_to_image
from tests.models import test_vecset_flow as midi
from tests.models import test_vecset_vae as vecset
from tests.models import test_vision as vision
from tests.nn.test_sparse import cells
from tests.tiny import COHERENT, GENERATOR, SHAPES, ball_vae

STEPS = TrellisSampling(steps=1, strength=2.0)
# How often one run waits for the device; all others never do. Numbers that only shrink.
WAITS = {
    "field": 9,  # where the surface of a decoder's field is
    "meshes": 40,  # how many cells, vertices and faces a surface has
}


def a_vision_transformer(place):
    network, pictures = place(vision.network(), torch.rand(2, 3, 42, 42))
    return lambda: encode_slots(network, pictures[None])


def a_structure_flow_with_scenes(place):
    network, vae = place(*generator.made.__wrapped__())
    crops, lifted, x = place(*generator.given(3))
    plan = SceneContext.of(torch.tensor([-1, 0, 0])).to(x.device)
    t = torch.full((3,), 0.5, device=x.device)
    return lambda: network(x, t, network.encode(crops, lifted, vae), plan)


def a_multi_instance_generator(place):
    network, vae = place(MultiInstanceGenerator(MultiInstanceConfig(GENERATOR)), ball_vae())
    crops, lifted, x = place(*generator.given(3))
    (scene_of,) = place(torch.zeros(3, dtype=torch.int64))

    def run():
        own = network.base.encode(crops, lifted, vae)
        condition = network.with_scene(own, crops[:1], scene_of)
        return network.velocity(condition, (1, 2))(x, 0.5)

    return run


def a_geometry_network(place):
    config = dataclasses.replace(geometry.GEOMETRY, layout_blocks=1, latitude=True, close=32)
    (network,) = place(geometry.GeometryNet(config))
    pictures, labels = place(geometry.pictures(1), geometry.labels(1))
    given = relief.windows()
    windows = relief.Windows(*place(given.pictures, given.places, given.labels))
    return lambda: network(pictures, labels, windows, count=2)


def coherent_diffusion(place):
    network = coherent.network()
    noise = network.split(torch.randn(4, network.count))
    (network,) = place(network)
    noise = coherent.Objects(*place(noise.pose, noise.gaussians, noise.intrinsic))
    (context,) = place(torch.randn(4, 6, COHERENT.context_width))
    return lambda: network.sample(context, (3, 1), noise, steps=1, guidance=2.0)


def part_shapes(place):
    latent = torch.randn(2, SHAPES.channels, *(SHAPES.resolution,) * 3)
    network, latent = place(PartShapes(SHAPES), latent)
    return lambda: network.decode(*network.encode(latent))


def poses_of_objects(place):
    _, sight, pose = poses.seen.__wrapped__()
    sight = poses.Sight(*place(*(getattr(sight, f.name) for f in dataclasses.fields(sight))))
    pose = Pose(*place(pose.centre, pose.size, pose.yaw))
    return lambda: Pose.of(pose.numbers(sight), sight)


def iscene_with_all_savings(place):
    network = iscene.network(gate=True, bias=True)
    noise = draw_noise(network, torch.Generator().manual_seed(0))
    context = iscene.given()[2]
    network, context = place(network, context)
    return lambda: sample_slots(network, context, noise, STEPS)


def midi_with_all_savings(place):
    x, _, contexts = midi.given(3)
    network, x, *contexts = place(midi.network(), x, *contexts)
    condition = MidiCondition(*contexts)
    return lambda: sample_midi(network, condition, x, MidiSampling(2, 3.0))


def a_field(place):
    network, latent = place(vecset.network(), torch.randn(5, 4))
    return lambda: decode_field(network, latent, 16)[0].values


def a_vector_set_encoder(place):
    network, surface = place(vecset.network(), torch.randn(1, 40, 6))
    return lambda: network.encode(surface, surface[:, vecset.farthest_points(surface[0], 8)])


def voxels_on(place, resolution=8, share=0.3):
    found = cells(resolution=resolution, share=share)
    return Voxels(*place(found.coords), found.resolution, found.batch)


def structured_latents(place):
    (network,) = place(slat.randomised(slat.SLatFlow, slat.TINY))
    voxels = voxels_on(place)
    stage = LatentStage(network, torch.zeros(3), torch.ones(3))
    noise = torch.randn(len(voxels), 3)
    (context,) = place(slat.inputs(voxels)[2])
    return lambda: sample_latents(stage, voxels, context, noise, STEPS)


def gaussians(place):
    config = SLatTransformerConfig(3, 14 * 4, 8, 24, 2, 2, 1.0, 4)
    (network,) = place(slat.randomised(GaussianDecoder, config, GaussianHead(4)))
    voxels = voxels_on(place)
    (latents,) = place(torch.randn(len(voxels), 3))
    return lambda: network.gaussians(network(latents, voxels), voxels)


def meshes(place):
    config = SLatTransformerConfig(3, 101, 8, 256, 1, 2, 1.0, 4)
    (network,) = place(slat.randomised(MeshDecoder, config))
    voxels = voxels_on(place, share=0.01)
    (latents,) = place(torch.randn(len(voxels), 3))
    return lambda: decode_meshes(network, latents, voxels)


def noise_of_words(place):
    (network,) = place(text_to_image.prior.__wrapped__())
    x, step = place(*text_to_image.noisy())
    (context,) = place(network.context(["a red box", "blue"]).detach())
    gain = torch.ones(2, text_to_image.CONFIG.length)  # may be elsewhere
    return lambda: network.noise(x, step, context, gain)


def ddim_of_a_formula(place):
    (noise,) = place(torch.randn(2, 3))
    return lambda: ddim(lambda x, step: x * 0.5, noise, LinearSchedule(), 3, bound=1.0)


CASES = {
    "vision": a_vision_transformer,
    "structure": a_structure_flow_with_scenes,
    "multi-instance": a_multi_instance_generator,
    "geometry": a_geometry_network,
    "coherent": coherent_diffusion,
    "parts": part_shapes,
    "poses": poses_of_objects,
    "iscene": iscene_with_all_savings,
    "midi": midi_with_all_savings,
    "field": a_field,
    "surface": a_vector_set_encoder,
    "latents": structured_latents,
    "gaussians": gaussians,
    "meshes": meshes,
    "words": noise_of_words,
    "ddim": ddim_of_a_formula,
}


def tensors(made):
    """All tensors of a result."""
    if isinstance(made, torch.Tensor):
        return [made]
    if dataclasses.is_dataclass(made):
        made = [getattr(made, field.name) for field in dataclasses.fields(made)]
    if not isinstance(made, list | tuple):
        return []
    return [tensor for part in made for tensor in tensors(part)]


def prepared(case, place):
    torch.manual_seed(0)
    return CASES[case](lambda *given: [place(one) for one in given])


@cache
def said_here(case):
    return tensors(prepared(case, lambda given: given)())


@pytest.mark.parametrize("name, float64", [("cuda", True), ("mps", False)])
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_network_says_the_same_there_and_waits_for_nothing(case, name, float64):
    expected = said_here(case)
    with install(name, float64=float64) as device:
        run = prepared(case, lambda given: given.to(device.name))
        run()  # the first time, neighbours and windows of cells are looked up
        before = device.waits
        made = tensors(run())
        waits = device.waits - before
        found = [tensor.cpu() for tensor in made]
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    assert waits <= WAITS.get(case, 0), device.synchronisations
    assert {tensor.device.type for tensor in made} == {name}


@pytest.mark.parametrize("name, float64", [("cuda", True), ("mps", False)])
def test_a_prior_takes_pictures_of_the_processor_and_gives_them_back(name, float64):
    torch.manual_seed(0)
    pictures = torch.rand(1, 3, 32, 32)
    masks = (torch.rand(1, 1, 32, 32) > 0.5).float()

    def answers(prior):
        given = pictures.clone().requires_grad_()
        draw = torch.Generator().manual_seed(1)
        gain = torch.full((text_to_image.CONFIG.length,), 2.0)
        loss = sds_loss(prior, given, "a red box", generator=draw, gain=gain, guidance=2.0)
        (pull,) = torch.autograd.grad(loss, given)
        filled = prior.inpaint(pictures, masks, ["a blue chair"], [3], steps=2)
        return loss.detach(), pull, filled

    prior = text_to_image.prior.__wrapped__()
    expected = answers(prior)
    with install(name, float64=float64) as device:
        found = answers(prior.to(device.name))
    for one, other in zip(found, expected):
        assert one.device.type == "cpu"
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
