"""I-Scene's structure stage: who sees whom, which noise, and that any subset of instances may be
made. Savings: test_savings.py.
"""

import torch

from maquette.flow.trellis import TrellisSampling
from maquette.models.iscene3d import RELEASED, draw_noise, sample_slots
from tests.models.test_savings import EXACT
from tests.models.test_scene_context_flow import given, network

SAMPLING = TrellisSampling(steps=3, strength=2.0)


def one_photo(instances=2):
    _, _, context = given(instances)
    return torch.cat(
        [context[:, :1], context[:1, 1:2].expand(instances, -1, -1, -1), context[:, 2:]], 1
    )


def test_an_instance_does_not_depend_on_the_others():
    made = network(gate=True)
    context = one_photo()
    noise = draw_noise(made, torch.Generator().manual_seed(5))
    both = sample_slots(made, context, noise, SAMPLING)
    alone = torch.cat([sample_slots(made, context[i : i + 1], noise, SAMPLING) for i in range(2)])
    torch.testing.assert_close(both, alone, **EXACT)
    torch.testing.assert_close(both[0, 1], both[1, 1], **EXACT)  # the scene is the same for all
    assert (both[0, 0] - both[1, 0]).abs().max() > 1e-3


def test_noise_is_different_for_slots_the_same_for_instances_and_a_function_of_the_seed():
    made = network()
    noise = draw_noise(made, torch.Generator().manual_seed(43))
    assert noise.shape == (1, 3, 2, 3, 3, 3) and (noise[:, 0] - noise[:, 1]).abs().max() > 0.1
    torch.manual_seed(43)
    assert torch.equal(noise, torch.randn(1, 3, 2, 3, 3, 3))  # as the release draws it


def test_the_last_trace_is_the_result():
    made = network()
    context = one_photo()
    noise = draw_noise(made, torch.Generator().manual_seed(0))
    states = []
    final = sample_slots(
        made, context, noise, SAMPLING, trace=lambda step, x_t, x_0: states.append((step, x_t, x_0))
    )
    assert [step for step, _, _ in states] == [0, 1, 2] and torch.equal(states[-1][1], final)
    torch.testing.assert_close(
        states[-1][2], final, atol=1e-3, rtol=1e-3
    )  # at the end the predicted data is the sample


def test_the_release_guides_with_weight_four_in_nineteen_of_twenty_five_steps():
    low, high = RELEASED.interval
    guided = sum(low <= t <= high for t in RELEASED.schedule[:-1].tolist())
    assert (RELEASED.weight, RELEASED.steps, guided) == (4.0, 25, 19)
