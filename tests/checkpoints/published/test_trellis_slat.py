"""TRELLIS's second stage: configurations, precision and both spellings; the numbers are in the
golden folders.
"""

import pytest
import torch

from maquette.checkpoints.published.base import own_shapes
from maquette.checkpoints.published.trellis_slat import (
    MODELS,
    build_encoder,
    build_flow,
    build_gaussian_decoder,
    build_mesh_decoder,
    flow_config,
    gaussian_head,
    latent_normalisation,
    load,
    trunk_config,
)
from maquette.errors import CheckpointError

FLOW = {
    "resolution": 8,
    "in_channels": 2,
    "out_channels": 2,
    "model_channels": 24,
    "cond_channels": 10,
    "num_blocks": 1,
    "num_heads": 2,
    "patch_size": 2,
    "num_io_res_blocks": 2,
    "io_block_channels": [8],
    "pe_mode": "ape",
    "qk_rms_norm": True,
}
TRUNK = {
    "resolution": 8,
    "model_channels": 256,
    "latent_channels": 3,
    "num_blocks": 1,
    "num_heads": 2,
    "attn_mode": "swin",
    "window_size": 4,
}
GAUSSIANS = {
    "num_gaussians": 4,
    "voxel_size": 1.5,
    "perturb_offset": True,
    "lr": {"_rotation": 0.1},
    "scaling_bias": 0.01,
}


@pytest.mark.parametrize(
    "change", [{"pe_mode": "rope"}, {"qk_rms_norm_cross": True}, {"patch_size": 4}]
)
def test_variants_that_no_release_uses_are_refused(change):
    with pytest.raises(CheckpointError, match="as in the released model"):
        flow_config({"args": {**FLOW, **change}})


def test_other_attention_is_refused():
    with pytest.raises(CheckpointError, match="shift_serialized"):
        trunk_config({"args": {**TRUNK, "attn_mode": "shift_serialized"}}, 4)


def test_both_spellings_mean_the_same_network():
    for model in MODELS[:5]:
        assert (
            any(model.answers({"name": name}) for name in model.classes)
            and f"Elastic{model.classes[0]}" in model.classes
        )


def test_half_precision_is_for_matrices_of_the_blocks_only():
    with torch.device("meta"):
        network = build_flow({"args": FLOW})
    load(
        network,
        {key: torch.zeros(shape) for key, shape in own_shapes(network).items()},
        torch.bfloat16,
    )
    half = {key for key, tensor in network.state_dict().items() if tensor.dtype == torch.bfloat16}
    assert {
        "input_blocks.0.conv1.conv.weight",
        "out_blocks.1.skip_connection.weight",
        "blocks.0.mlp.mlp.0.bias",
    } <= half
    assert not any(
        "norm" in key or key.startswith(("input_layer", "out_layer", "t_embedder")) for key in half
    )


def test_the_mesh_decoder_has_colours_when_it_is_told_so():
    plain, coloured = (
        {"args": {**TRUNK, "representation_config": {"use_color": yes}}} for yes in (False, True)
    )
    assert own_shapes(build_mesh_decoder(plain))["out_layer.weight"] == (53, 32)
    assert own_shapes(build_mesh_decoder(coloured))["out_layer.weight"] == (101, 32)


def test_the_gaussian_head_is_read_and_the_pattern_is_part_of_the_file():
    config = {"args": {**TRUNK, "representation_config": GAUSSIANS}}
    assert (
        gaussian_head(config).rates == (1.0, 1.0, 1.0, 0.1, 1.0)
        and gaussian_head(config).scale_bias == 0.01
    )
    shapes = own_shapes(build_gaussian_decoder(config))
    assert shapes["offset_perturbation"] == (4, 3) and shapes["out_layer.weight"] == (56, 256)


def test_an_encoder_reads_features_and_writes_two_moments():
    shapes = own_shapes(build_encoder({"args": {**TRUNK, "in_channels": 20}}))
    assert shapes["input_layer.weight"] == (256, 20) and shapes["out_layer.weight"] == (6, 256)


def test_the_normalisation_is_read():
    mean, deviation = latent_normalisation(
        {"slat_normalization": {"mean": [1.0, 2.0], "std": [3.0, 4.0]}}
    )
    assert mean.tolist() == [1.0, 2.0] and deviation.tolist() == [3.0, 4.0]
