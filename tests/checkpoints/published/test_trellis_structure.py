"""TRELLIS's first stage: configurations, keys of the files, precision, and what the golden folders
cannot say.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maquette.checkpoints.published.trellis_structure import (
    build_flow,
    build_vae,
    flow_config,
    load_flow,
    load_vae,
    vae_shapes,
)
from maquette.errors import CheckpointError

GOLDEN = Path(__file__).parents[2] / "golden" / "trellis_ss_flow_p2_sharemod"
ARGS = {
    "resolution": 4,
    "in_channels": 2,
    "out_channels": 2,
    "model_channels": 24,
    "cond_channels": 10,
    "num_blocks": 2,
    "num_heads": 2,
    "mlp_ratio": 4,
    "patch_size": 1,
    "pe_mode": "ape",
    "qk_rms_norm": True,
}
FLOW = {"name": "SparseStructureFlowModel", "args": ARGS}
VAE = {"latent_channels": 2, "num_res_blocks": 1, "num_res_blocks_middle": 1}
ENCODER = {"name": "SparseStructureEncoder", "args": {"in_channels": 1, "channels": [4, 8], **VAE}}
DECODER = {"name": "SparseStructureDecoder", "args": {"out_channels": 1, "channels": [8, 4], **VAE}}


def test_with_the_recorded_time_embedding_the_rest_is_exact():
    """The embedding's rates depend on the maths library; everything else must not hide behind its
    tolerance.
    """

    record = {key: torch.from_numpy(array) for key, array in np.load(GOLDEN / "io.npz").items()}
    network = build_flow(json.loads((GOLDEN / "config.json").read_text()))
    load_flow(network, load_file(GOLDEN / "model.safetensors"))
    network.t_embedder.register_forward_hook(lambda *_: record["t_emb"])
    torch.testing.assert_close(
        network(record["x"], record["t"] / 1000, record["cond"]), record["out"], atol=5e-6, rtol=0
    )


def test_the_position_embedding_of_the_file_is_the_one_we_compute():
    network = build_flow({"args": {**ARGS, "resolution": 8, "model_channels": 64, "patch_size": 2}})
    assert torch.equal(network.pos_emb, load_file(GOLDEN / "model.safetensors")["pos_emb"])


@pytest.mark.parametrize(
    "change, named", [({"pe_mode": "rope"}, "rope"), ({"out_channels": 3}, "2 input and 3 output")]
)
def test_unknown_variants_are_refused(change, named):
    with pytest.raises(CheckpointError, match=named):
        flow_config({"args": {**ARGS, **change}})


def test_half_precision_is_for_the_blocks_only_and_changes_little():
    torch.manual_seed(0)
    source = build_flow(FLOW)
    for parameter in source.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    full = build_flow(FLOW)
    half = build_flow(FLOW)
    load_flow(full, source.state_dict())
    load_flow(half, source.state_dict(), torch.bfloat16)
    kinds = {key: tensor.dtype for key, tensor in half.state_dict().items()}
    assert kinds["blocks.0.self_attn.to_qkv.weight"] == torch.bfloat16
    assert {
        kinds[k]
        for k in (
            "input_layer.weight",
            "out_layer.weight",
            "blocks.0.norm2.weight",
            "pos_emb",
            "blocks.0.self_attn.q_rms_norm.gamma",
            "t_embedder.mlp.0.weight",
        )
    } == {torch.float32}
    x = torch.randn(2, 2, 4, 4, 4)
    t = torch.tensor([0.2, 0.9])
    context = torch.randn(2, 3, 10)
    expected = full(x, t, context)
    found = half(x, t, context)
    assert (
        found.dtype == torch.float32
        and 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()
    )


@pytest.mark.parametrize(
    "config, first", [(ENCODER, "input_layer.weight"), (DECODER, "input_layer.weight")]
)
def test_a_half_of_the_vae_has_published_names_only(config, first):
    shapes = vae_shapes(build_vae(config))
    assert first in shapes and not any(
        key.startswith(("latent_", "encoder.", "decoder.")) for key in shapes
    )
    assert {key.split(".")[0] for key in shapes} == {
        "input_layer",
        "blocks",
        "middle_block",
        "out_layer",
    }


def test_vae_halves_load_from_the_meta_device_in_half_precision():
    torch.manual_seed(0)
    with torch.device("meta"):
        network = build_vae(DECODER)
    tensors = {key: torch.randn(shape) * 0.1 for key, shape in vae_shapes(network).items()}
    load_vae(network, tensors, torch.bfloat16)
    exact = build_vae(DECODER)
    load_vae(exact, tensors)
    z = torch.randn(1, 2, 2, 2, 2)
    found = network.decode_raw(z)
    expected = exact.decode_raw(z)
    assert found.shape == (1, 1, 4, 4, 4) and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    assert (
        network.decoder[1].conv1.weight.dtype == torch.bfloat16
        and network.decoder[0].weight.dtype == torch.float32
    )


def test_a_missing_tensor_of_the_vae_is_named():
    tensors = {key: torch.zeros(shape) for key, shape in vae_shapes(build_vae(ENCODER)).items()}
    del tensors["blocks.1.conv.weight"]
    with pytest.raises(CheckpointError, match=r"1 missing \(blocks.1.conv.weight\)"):
        load_vae(build_vae(ENCODER), tensors)
