"""The denoisers: order never matters, company does through intra-scene attention only, sampling
recovers what a network knows.
"""

import dataclasses

import pytest
import torch

from maquette.models.coherent import SCHEDULE, Coherent, Objects
from maquette.models.pose_diffusion import OBJECT_CUES
from tests.methods.worlds import lively
from tests.tiny import COHERENT

N = 4


def network(**changes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lively(Coherent(dataclasses.replace(COHERENT, **changes)))


@pytest.fixture(scope="module")
def given():
    generator = torch.Generator().manual_seed(1)
    model = network()
    context = model.context(
        torch.randn(N, 5, COHERENT.context_width, generator=generator),
        torch.randn(N, OBJECT_CUES, generator=generator),
    )
    return context.detach(), model.split(torch.randn(N, model.count, generator=generator))


def rows(objects, index):
    return Objects(objects.pose[index], objects.gaussians[index], objects.intrinsic[index])


def all_numbers(objects):
    return torch.cat(
        [objects.pose.flatten(1), objects.gaussians.flatten(1), objects.intrinsic.flatten(1)], dim=1
    )


def sampled(model, context, groups, noise, **options):
    return all_numbers(model.sample(context, groups, noise, steps=4, **options))


def test_splitting_loses_nothing(given):
    model = network()
    numbers = torch.randn(3, model.count)
    assert torch.equal(all_numbers(model.split(numbers)), numbers)


def test_permuting_the_objects_permutes_the_scene(given):
    (context, noise) = given
    model = network()
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        sampled(model, context[order], (N,), rows(noise, order)),
        sampled(model, context, (N,), noise)[order],
        atol=1e-3,
        rtol=1e-3,
    )


def test_objects_see_their_scene_and_no_other(given):
    (context, noise) = given
    model = network()
    both = sampled(model, context, (3, 1), noise)
    torch.testing.assert_close(
        both[:3], sampled(model, context[:3], (3,), rows(noise, slice(3))), atol=1e-3, rtol=1e-3
    )
    alone = torch.cat([sampled(model, context[[k]], (1,), rows(noise, [k])) for k in range(N)])
    assert (both[:3] - alone[:3]).abs().max() > 0.01
    torch.testing.assert_close(both[3:], alone[3:], atol=1e-3, rtol=1e-3)


def test_without_intra_scene_attention_company_does_not_matter(given):
    (context, noise) = given
    model = network(intra_scene=False)
    alone = torch.cat([sampled(model, context[[k]], (1,), rows(noise, [k])) for k in range(N)])
    torch.testing.assert_close(sampled(model, context, (N,), noise), alone, atol=1e-3, rtol=1e-3)


def test_without_a_picture_only_the_noise_decides(given):
    (context, noise) = given
    model = network()
    dropped = model.context(
        context[:, :-1], torch.randn(N, OBJECT_CUES), torch.zeros(N, dtype=torch.bool)
    )
    assert not dropped.any() and dropped.shape == context.shape
    prior = sampled(model, dropped, (N,), noise)
    torch.testing.assert_close(
        sampled(model, context, (N,), noise, guidance=0.0), prior, atol=1e-3, rtol=1e-3
    )
    assert (
        sampled(model, context, (N,), noise, guidance=3.0) - sampled(model, context, (N,), noise)
    ).abs().max() > 1e-3


def test_regression_takes_one_step_and_no_noise(given):
    (context, noise) = given
    model = network(diffusion=False)
    other = rows(noise, [1, 0, 3, 2])
    assert torch.equal(sampled(model, context, (N,), noise), sampled(model, context, (N,), other))
    level = torch.ones(N)
    direct = model.pose(
        torch.zeros_like(noise.pose), level, [context] * len(model.pose.blocks), (N,)
    )
    torch.testing.assert_close(sampled(model, context, (N,), noise)[:, :7], direct[:, 0])


def test_sampling_is_ddim_of_the_network(given):
    (context, noise) = given
    model = network()
    step = SCHEDULE.steps - 1
    velocity = model.pose(noise.pose, torch.ones(N), [context] * len(model.pose.blocks), (N,))
    signal = SCHEDULE.signal()[step].float()
    one = (signal.sqrt() * noise.pose - (1 - signal).sqrt() * velocity).clamp(-8, 8)
    torch.testing.assert_close(
        model.sample(context, (N,), noise, steps=1).pose, one, atol=1e-4, rtol=1e-4
    )


def test_progress_reaches_the_end(given):
    seen = []
    network().sample(given[0], (N,), given[1], steps=5, progress=seen.append)
    assert seen == sorted(seen) and len(seen) == 15 and seen[-1] == pytest.approx(1.0)
