"""I-Scene end to end on tiny weights: neighbours never change an instance, whole scenes repeat bit
for bit.
"""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.methods.base import Models, Sampling
from maquette.methods.iscene import generate_iscene
from maquette.models.generator import Generator
from maquette.models.image_encoder import GeometryNet
from maquette.scene.perceive import perceive
from maquette.scene.zoom import zoom_pass
from tests.scene.test_perceive import scene_input
from tests.tiny import GENERATOR, GEOMETRY, ball_vae

FAST = Sampling(steps=2, zoom_steps=2)


@pytest.fixture(scope="module")
def world():
    torch.manual_seed(0)
    photo = scene_input()
    with torch.inference_mode():
        perception = perceive(GeometryNet(GEOMETRY).eval(), photo)
    generator = Generator(GENERATOR).eval()
    for parameter in (
        generator.parameters()
    ):  # the output layer starts at zero, which would hide what the picture does
        parameter.data += 0.05 * torch.randn_like(parameter)
    return Models(generator, ball_vae().eval()), photo.image, perception


def run(world, labels, seed=0, sampling=FAST):
    with torch.inference_mode():
        return generate_iscene(*world, labels, seed, sampling)


def test_the_same_seed_gives_the_same_scene_bit_for_bit(world):
    a = run(world, [1, 2])
    b = run(world, [1, 2])
    assert all(
        torch.equal(x.volume, y.volume) and (x.scene_from_cube == y.scene_from_cube).all()
        for x, y in zip(a.shapes, b.shapes)
    )


def test_order_of_the_labels_and_absence_of_others_do_not_matter(world):
    both = run(world, [1, 2])
    swapped = run(world, [2, 1])
    alone = run(world, [2])
    first, second, third = (
        {s.label: s for s in outcome.shapes} for outcome in (both, swapped, alone)
    )
    for other in (second, third):
        assert other[2].seed == first[2].seed
        torch.testing.assert_close(other[2].volume, first[2].volume, atol=2e-3, rtol=1e-3)
        np.testing.assert_allclose(other[2].scene_from_cube, first[2].scene_from_cube, atol=1e-3)


def test_another_seed_changes_the_noise_of_every_instance(world):
    assert all(
        a.seed != b.seed for a, b in zip(run(world, [1, 2], 0).shapes, run(world, [1, 2], 1).shapes)
    )


def test_zoom_pass_repeats_an_instance_from_its_state(world):
    shape = run(world, [1, 2]).shapes[0]
    models, image, perception = world
    with torch.inference_mode():
        again = zoom_pass(models, image, perception, shape.label, shape.seed, shape.state, FAST)
    assert torch.equal(again.volume, shape.volume)


def test_an_instance_without_pixels_is_a_failure_with_a_reason(world):
    outcome = run(world, [1, 7])
    assert [s.label for s in outcome.shapes] == [1]
    assert outcome.failures[0].label == 7 and "pixel" in outcome.failures[0].reason


def test_progress_ends_at_one(world):
    seen = []
    with torch.inference_mode():
        generate_iscene(*world, [1, 2], 0, FAST, lambda stage, share: seen.append((stage, share)))
    assert ("scene", 1.0) in seen and seen[-1] == ("objects", 1.0)


def test_guidance_of_one_never_runs_the_unconditional_branch(world):
    guided = run(world, [1], sampling=dataclasses.replace(FAST, guidance=3.0))
    plain = run(world, [1])
    assert not torch.equal(guided.shapes[0].volume, plain.shapes[0].volume)


def test_a_generator_in_the_canonical_frame_is_turned_to_the_view(world):
    models, image, perception = world
    canonical = Generator(dataclasses.replace(GENERATOR, frame="canonical")).eval()
    canonical.load_state_dict(models.generator.state_dict())
    turned = run((Models(canonical, models.vae), image, perception), [1, 2]).shapes
    azimuths = {float(shape.state["azimuth"]) for shape in turned}
    assert len(azimuths) == 1  # one for the scene
    plain = run(world, [1, 2]).shapes
    assert all("azimuth" not in shape.state for shape in plain)
    with torch.inference_mode():
        again = zoom_pass(
            Models(canonical, models.vae),
            image,
            perception,
            1,
            turned[0].seed,
            turned[0].state,
            FAST,
        )
    assert torch.equal(again.volume, turned[0].volume)
