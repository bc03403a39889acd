"""I-Scene end to end on tiny weights: neighbours never change an instance, whole scenes repeat bit
for bit.
"""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.methods.base import Models, Sampling
from maquette.methods.iscene import make_iscene
from maquette.models.generator import Generator
from maquette.stages.zoom import zoom_again
from tests.methods.worlds import FAST, result, world
from tests.tiny import GENERATOR


def run(labels, sampling=FAST, models=None, **more):
    return result(make_iscene, models or world().models, labels, sampling, **more)


@torch.inference_mode()
def again(shape, models=None):
    return zoom_again(models or world().models, world().perception, shape.label, shape.state, FAST)


def test_the_same_seed_gives_the_same_scene_bit_for_bit():
    a = run([1, 2])
    b = run([1, 2])
    assert all(
        torch.equal(x.volume, y.volume) and (x.scene_from_cube == y.scene_from_cube).all()
        for x, y in zip(a.shapes, b.shapes)
    )


def test_order_of_the_labels_and_absence_of_others_do_not_matter():
    both = run([1, 2])
    swapped = run([2, 1])
    alone = run([2])
    first, second, third = (
        {s.label: s for s in outcome.shapes} for outcome in (both, swapped, alone)
    )
    for other in (second, third):
        assert other[2].seed == first[2].seed
        torch.testing.assert_close(other[2].volume, first[2].volume, atol=2e-3, rtol=1e-3)
        np.testing.assert_allclose(other[2].scene_from_cube, first[2].scene_from_cube, atol=1e-3)


def test_another_seed_changes_the_noise_of_every_instance():
    assert all(
        a.seed != b.seed
        for a, b in zip(run([1, 2]).shapes, run([1, 2], Sampling(2, 2, seed=1)).shapes)
    )


def test_zoom_pass_repeats_an_instance_from_its_state():
    shape = run([1, 2]).shapes[0]
    assert torch.equal(again(shape).volume, shape.volume)


def test_an_instance_without_pixels_is_a_failure_with_a_reason():
    outcome = run([1, 7])
    assert [s.label for s in outcome.shapes] == [1]
    assert outcome.failures[0].label == 7 and "pixel" in outcome.failures[0].reason


def test_progress_ends_at_one():
    seen = []
    run([1, 2], progress=lambda stage, share: seen.append((stage, share)))
    assert ("scene", 1.0) in seen and seen[-1] == ("objects", 1.0)


def test_guidance_of_one_never_runs_the_unconditional_branch():
    guided = run([1], sampling=dataclasses.replace(FAST, guidance=3.0))
    plain = run([1])
    assert not torch.equal(guided.shapes[0].volume, plain.shapes[0].volume)


def test_a_generator_in_the_canonical_frame_is_turned_to_the_view():
    generator = Generator(dataclasses.replace(GENERATOR, frame="canonical")).eval()
    generator.load_state_dict(world().models.generator.state_dict())
    canonical = Models(generator, world().models.vae)
    turned = run([1, 2], models=canonical).shapes
    azimuths = {float(shape.state["azimuth"]) for shape in turned}
    assert len(azimuths) == 1  # one for the scene
    assert all("azimuth" not in shape.state for shape in run([1, 2]).shapes)
    assert torch.equal(again(turned[0], canonical).volume, turned[0].volume)


def divided(sees, scene_context_blocks):
    """The world's networks with another division of labour between instances and scene branch."""
    flow = dataclasses.replace(GENERATOR.flow, scene_context_blocks=scene_context_blocks)
    generator = Generator(dataclasses.replace(GENERATOR, flow=flow, instances_see=sees)).eval()
    generator.load_state_dict(world().models.generator.state_dict())
    return Models(generator, world().models.vae)


@pytest.mark.parametrize("sees", ["all", "own"])
@pytest.mark.parametrize("blocks", [0, 1])
def test_what_another_object_does_comes_by_the_lift_or_by_scene_context(sees, blocks):
    seen = world().perception
    nearer = np.where(seen.picture.labels == 2, 0.9 * seen.depth, seen.depth)
    moved = dataclasses.replace(seen, depth=nearer)
    models = divided(sees, blocks)
    still, changed = (run([1, 2], models=models, perception=p).shapes[0] for p in (seen, moved))
    assert still.label == changed.label == 1
    independent = sees == "own" and blocks == 0
    assert torch.equal(still.volume, changed.volume) == independent


def test_all_surfaces_in_every_branch_is_the_generator_as_it_ships():
    assert GENERATOR.instances_see == "all"
    for mine, shipped in zip(run([1, 2], models=divided("all", 1)).shapes, run([1, 2]).shapes):
        assert torch.equal(mine.volume, shipped.volume)
