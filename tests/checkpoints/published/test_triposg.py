"""TripoSG: configurations, names, precision, the scheduler. The golden folders check the
numbers.
"""

import torch

from maquette.checkpoints.published import triposg
from maquette.checkpoints.published.names import to_published
from maquette.flow.schedule import shifted_schedule
from maquette.models.vecset_flow import VecSetFlowConfig
from tests.models.test_vecset_flow import given, network
from tests.models.test_vecset_vae import network as vae

CONFIG = {
    "num_attention_heads": 2,
    "width": 32,
    "in_channels": 4,
    "num_layers": 5,
    "cross_attention_dim": 12,
    "cross_attention_2_dim": 20,
}


def test_a_second_cross_attention_means_midi():
    assert triposg.flow_config({"_class_name": "TripoSGDiTModel"}) == VecSetFlowConfig()
    midi = triposg.flow_config({**CONFIG, "_class_name": "TripoSGDiTModel"})
    assert midi.context_widths == (12, 20) and midi.joint_blocks == (0, 1, 2, 3, 4)
    assert triposg.flow_config({**CONFIG, "mi_blocks": ["blocks.1", "blocks.3"]}).joint_blocks == (
        1,
        3,
    )
    assert not triposg.is_midi({**CONFIG, "use_cross_attention_2": False})


def test_the_round_trip_is_exact_for_both_networks():
    rules = triposg.attention_rules(2)
    for source in (network(), vae()):
        target = type(source)(source.config)
        published = to_published(source.state_dict(), rules)
        triposg.load(target, published)
        assert all(
            torch.equal(a, b)
            for a, b in zip(source.state_dict().values(), target.state_dict().values())
        )
        assert triposg.shapes(source) == {
            key: tuple(tensor.shape) for key, tensor in published.items()
        }


def test_published_names_are_interleaved_by_head():
    source = network()
    published = to_published(source.state_dict(), triposg.attention_rules(2))
    stacked = torch.cat(
        [published[f"blocks.0.attn1.to_{part}.weight"] for part in "qkv"]
    ).unflatten(0, (2, 3, 16))
    ours = source.blocks[0].self_attn.to_qkv.weight.unflatten(0, (3, 2, 16))
    assert torch.equal(stacked.transpose(0, 1), ours)


def test_half_precision_keeps_norms_and_first_and_last_layers():
    source = network()
    half = network()
    triposg.load(
        half, to_published(source.state_dict(), triposg.attention_rules(2)), torch.bfloat16
    )
    kinds = {key: tensor.dtype for key, tensor in half.state_dict().items()}
    assert (
        kinds["blocks.0.self_attn.to_qkv.weight"] == torch.bfloat16
        and kinds["blocks.0.norm1.weight"] == torch.float32
    )
    x, t, contexts = given()
    expected = source(x, t, contexts, (2, 2))
    found = half(x, t, contexts, (2, 2))
    assert 0 < (found.float() - expected).abs().max() < 0.1 * expected.abs().max()


def test_the_schedule_ends_at_zero_and_shifts():
    assert shifted_schedule(4, 1.0).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert shifted_schedule(4, 3.0)[2] == 0.75
