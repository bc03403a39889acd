"""I-Scene's scene-context flow: what slots see, for any weights. What the original computes is in
tests/golden.
"""

import torch

from maquette.models.scene_context_flow import (
    SceneContextFlow,
    SceneContextFlowConfig,
    shared_sources,
    slot_sources,
)
from maquette.models.structure_flow import StructureFlowConfig

BASE = StructureFlowConfig(
    resolution=3,
    channels=2,
    width=24,
    blocks=4,
    heads=2,
    patch=1,
    context_width=10,
    share_modulation=False,
    scene_context_blocks=0,
    lift_channels=0,
)


def network(slots=3, gate=False, bias=False, blocks=2):
    torch.manual_seed(0)
    made = SceneContextFlow(SceneContextFlowConfig(BASE, blocks, slots, gate, bias)).eval()
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    return made


def given(instances=2, slots=3):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(instances, slots, 2, 3, 3, 3, generator=generator),
        torch.tensor([0.3, 0.8])[:instances],
        torch.randn(instances, slots, 4, 10, generator=generator),
    )


def test_all_slots_but_the_first_run_the_plain_network():
    made = network(gate=True, bias=True)
    (x, t, context) = given()
    plain = torch.stack([made.flow(x[:, s], t, context[:, s]) for s in range(3)], 1)
    out = made(x, t, context)
    torch.testing.assert_close(out[:, 1:], plain[:, 1:], atol=1e-5, rtol=1e-4)
    assert (out[:, 0] - plain[:, 0]).abs().max() > 1e-3


def test_three_equal_slots_without_gates_are_plain_self_attention():
    """The paper's proposition: keys and values that are repeated leave the average unchanged."""
    made = network()
    (x, t, context) = given()
    out = made(x[:, :1].expand(-1, 3, -1, -1, -1, -1), t, context[:, :1].expand(-1, 3, -1, -1))
    torch.testing.assert_close(
        out[:, 0], made.flow(x[:, 0], t, context[:, 0]), atol=1e-5, rtol=1e-4
    )
    gated = network(gate=True)
    x = x[:, :1].expand(-1, 3, -1, -1, -1, -1)
    context = context[:, :1].expand(-1, 3, -1, -1)
    assert (
        gated(x, t, context)[:, 0] - gated.flow(x[:, 0], t, context[:, 0])
    ).abs().max() > 1e-3  # gates break it


def test_instances_never_see_each_other():
    made = network(gate=True)
    (x, t, context) = given()
    torch.testing.assert_close(
        made(x, t, context)[1:], made(x[1:], t[1:], context[1:]), atol=1e-5, rtol=1e-4
    )


def test_two_slots_are_the_papers_form():
    made = network(slots=2)
    (x, t, context) = given(slots=2)
    other = x.clone()
    other[:, 1] += 1.0
    assert (made(other, t, context)[:, 0] - made(x, t, context)[:, 0]).abs().max() > 1e-3


def test_context_blocks_are_the_middle_ones():
    assert list(SceneContextFlowConfig(StructureFlowConfig(blocks=24)).context_range) == [
        10,
        11,
        12,
        13,
        14,
    ]
    assert list(SceneContextFlowConfig(BASE, 4).context_range) == [0, 1, 2, 3]
    gated = network(gate=True, bias=True)
    assert {key.split(".")[2] for key in gated.state_dict() if "external" in key} == {"1", "2"}


def test_rows_know_their_scene_and_their_own_crop():
    assert slot_sources(2, 3).tolist() == [[1, 2], [-1, -1], [-1, -1], [4, 5], [-1, -1], [-1, -1]]
    assert shared_sources(2, 3).tolist() == [[-1, -1], [0, 2], [-1, -1], [0, 4], [-1, -1]]
    assert shared_sources(3, 2).tolist() == [[-1], [0], [0], [0]]


def test_nothing_depends_on_values_of_tensors():
    """So nothing waits for an accelerator, and graphs can be captured: it also runs where tensors
    have no values.
    """
    with torch.device("meta"):
        made = SceneContextFlow(SceneContextFlowConfig(BASE, 2, 3, True, True))
        x = torch.empty(2, 3, 2, 3, 3, 3)
        t = torch.empty(2)
        context = torch.empty(2, 3, 4, 10)
    assert made(x, t, context).shape == x.shape
