"""MIDI end to end on tiny weights: one instance alone is the base model, company matters only
through joint attention, order never.
"""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.flow.guidance import guide
from maquette.methods.midi import MIDI, JointModels, joint_pass, make_midi
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.stages.decode import decode
from maquette.stages.lift import CubeRow, encode
from maquette.stages.sample import label_noise, sample
from tests.methods.worlds import FAST, lively, result, world
from tests.tiny import GENERATOR


def networks(**changes):
    w = world()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = lively(
            MultiInstanceGenerator(
                MultiInstanceConfig(GENERATOR, **{"joint_blocks": 2, "tuned_blocks": 1} | changes)
            )
        )
    model.base.load_state_dict(w.models.generator.state_dict())
    return JointModels(model, w.models.generator, w.models.vae)


def coarse(labels, seed=0, models=None, **changes):
    with torch.inference_mode():
        return joint_pass(
            models or networks(**changes),
            world().perception,
            labels,
            dataclasses.replace(FAST, seed=seed),
        )


def run(labels, sampling=FAST, **changes):
    return result(make_midi, networks(**changes), labels, sampling)


def test_one_instance_equals_the_base_model():
    w = world()
    with torch.inference_mode():
        condition = encode(w.models, w.perception, [CubeRow(1, np.eye(4))])
        noise = label_noise(w.models, 0, [1])
        base = decode(
            w.models, sample(w.models.generator.velocity, condition, noise, FAST.steps, FAST)
        )[0, 0]
    assert torch.equal(coarse([1], scene_image=False)[1], base)


def test_order_does_not_matter_and_company_does():
    models = networks()
    for block in models.joint.base.flow.blocks:  # random attention says little; it is to be heard
        block.self_attn.to_out.weight.data *= 30
    both = coarse([1, 2], models=models)
    swapped = coarse([2, 1], models=models)
    alone = coarse([2], models=models)
    torch.testing.assert_close(swapped[2], both[2], atol=1e-4, rtol=1e-4)
    assert (both[2] - alone[2]).abs().max() > 10 * (both[2] - swapped[2]).abs().max()


def test_without_joint_blocks_company_does_not_matter():
    torch.testing.assert_close(
        coarse([1, 2], joint_blocks=0)[2], coarse([2], joint_blocks=0)[2], atol=1e-5, rtol=1e-5
    )


def test_guidance_is_against_the_same_rows_without_their_pictures():
    plain, guided = (
        run([1, 2], dataclasses.replace(FAST, guidance=w)).shapes[0].volume for w in (1.0, 7.0)
    )
    assert not torch.equal(plain, guided)
    velocity = guide(lambda x, t: 3 * x, lambda x, t: 2 * x, 7.0)
    assert float(velocity(torch.ones(1), 0.5)) == pytest.approx(9.0)


def test_the_same_seed_gives_the_same_bytes_and_states_remake():
    a = run([1, 2])
    b = run([1, 2])
    assert all(torch.equal(x.volume, y.volume) for x, y in zip(a.shapes, b.shapes))
    w = world()
    with torch.inference_mode():
        again = MIDI.remake(networks(), w.perception, 2, a.shapes[1].state, FAST)
    assert torch.equal(again.volume, a.shapes[1].volume)


def test_an_object_without_pixels_fails_alone():
    outcome = run([1, 9])
    assert [s.label for s in outcome.shapes] == [1] and [f.label for f in outcome.failures] == [9]
