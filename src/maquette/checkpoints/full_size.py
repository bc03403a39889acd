"""The configurations of the published networks, as their releases have them: for planning memory
and for dry runs without any file.

Loading never looks here: a network is built from the configuration that lies beside its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from maquette.checkpoints.memory import ReleaseSize
from maquette.checkpoints.verify import model_of

Config = dict[str, Any]

_DIT = {
    "model_channels": 1024,
    "cond_channels": 1024,
    "num_blocks": 24,
    "num_heads": 16,
    "mlp_ratio": 4,
    "pe_mode": "ape",
    "qk_rms_norm": True,
    "use_fp16": True,
}
_SWIN = {
    "resolution": 64,
    "model_channels": 768,
    "latent_channels": 8,
    "num_blocks": 12,
    "num_heads": 12,
    "mlp_ratio": 4,
    "attn_mode": "swin",
    "window_size": 8,
    "use_fp16": True,
}
_GAUSSIANS = {
    "lr": {"_xyz": 1.0, "_features_dc": 1.0, "_opacity": 1.0, "_scaling": 1.0, "_rotation": 0.1},
    "perturb_offset": True,
    "voxel_size": 1.5,
    "num_gaussians": 32,
    "2d_filter_kernel_size": 0.1,
    "3d_filter_kernel_size": 0.0009,
    "scaling_bias": 0.004,
    "opacity_bias": 0.1,
    "scaling_activation": "softplus",
}
_STRUCTURE = {
    "latent_channels": 8,
    "num_res_blocks": 2,
    "num_res_blocks_middle": 2,
    "use_fp16": True,
}


def _named(name: str, **arguments: Any) -> Config:
    return {"name": name, "args": arguments}


# The names are those of the published files; iscene_denoiser is the network with every option that
# its code has.
CONFIGS: dict[str, Config] = {
    "ss_flow_img_dit_L_16l8_fp16": _named(
        "SparseStructureFlowModel",
        resolution=16,
        in_channels=8,
        out_channels=8,
        patch_size=1,
        **_DIT,
    ),
    "ss_dec_conv3d_16l8_fp16": _named(
        "SparseStructureDecoder", out_channels=1, channels=[512, 128, 32], **_STRUCTURE
    ),
    "ss_enc_conv3d_16l8_fp16": _named(
        "SparseStructureEncoder", in_channels=1, channels=[32, 128, 512], **_STRUCTURE
    ),
    "slat_flow_img_dit_L_64l8p2_fp16": _named(
        "SLatFlowModel",
        resolution=64,
        in_channels=8,
        out_channels=8,
        patch_size=2,
        num_io_res_blocks=2,
        io_block_channels=[128],
        use_skip_connection=True,
        **_DIT,
    ),
    "slat_dec_gs_swin8_B_64l8gs32_fp16": _named(
        "SLatGaussianDecoder", representation_config=_GAUSSIANS, **_SWIN
    ),
    "slat_dec_rf_swin8_B_64l8r16_fp16": _named(
        "SLatRadianceFieldDecoder", representation_config={"rank": 16, "dim": 8}, **_SWIN
    ),
    "slat_dec_mesh_swin8_B_64l8m256c_fp16": _named(
        "SLatMeshDecoder", representation_config={"use_color": True}, **_SWIN
    ),
    "slat_enc_swin8_B_64l8_fp16": _named("SLatEncoder", in_channels=1024, **_SWIN),
    "dinov2_vitl14_reg": {"class_": "dinov2_vitl14_reg", "args": {}},
    "iscene_denoiser": _named(
        "SparseStructureSceneContextFlowModel",
        resolution=16,
        in_channels=8,
        out_channels=8,
        patch_size=1,
        scene_context_attn_num=5,
        exp_setting="global local",
        type_embedding_type="enable_gate enable_k_bias",
        k_bias_scale=0.2,
        **_DIT,
    ),
    "iscene_v1": _named(
        "SparseStructureSceneContextFlowModel",
        resolution=16,
        in_channels=8,
        out_channels=8,
        patch_size=1,
        scene_context_attn_num=5,
        exp_setting="global",
        **_DIT,
    ),  # what is released: two slots, no gates
    "iscene_img_conditioner": _named(
        "ImageConditioner", image_cond_model="dinov2_vitl14_reg", cond_in_channels=3, use_fp16=False
    ),
    "dinov2_large_3ch": {"_class_name": "Dinov2Model", "num_channels": 3},
    "dinov2_large_7ch": {"_class_name": "Dinov2Model", "num_channels": 7},
    "clip_vit_l14_proj": {"_class_name": "CLIPVisionModelWithProjection"},
    "triposg_transformer": {
        "_class_name": "TripoSGDiTModel",
        "num_attention_heads": 16,
        "width": 2048,
        "in_channels": 64,
        "num_layers": 21,
        "cross_attention_dim": 1024,
    },
    "midi_transformer": {
        "_class_name": "TripoSGDiTModel",
        "num_attention_heads": 16,
        "width": 2048,
        "in_channels": 64,
        "num_layers": 21,
        "cross_attention_dim": 768,
        "cross_attention_2_dim": 1024,
    },
    "triposg_vae": {"_class_name": "TripoSGVAEModel"},
}

# The networks that ``generate`` runs, by the names they have in ``released``.
RELEASE_NETWORKS: dict[str, dict[str, str]] = {
    "trellis-iscene": {
        "dino": "iscene_img_conditioner",
        "structure-flow": "iscene_v1",
        "structure-decoder": "ss_dec_conv3d_16l8_fp16",
        "slat-flow": "slat_flow_img_dit_L_64l8p2_fp16",
        "mesh-decoder": "slat_dec_mesh_swin8_B_64l8m256c_fp16",
    },
    "trellis-large": {
        "dino": "dinov2_vitl14_reg",
        "structure-flow": "ss_flow_img_dit_L_16l8_fp16",
        "structure-decoder": "ss_dec_conv3d_16l8_fp16",
        "slat-flow": "slat_flow_img_dit_L_64l8p2_fp16",
        "mesh-decoder": "slat_dec_mesh_swin8_B_64l8m256c_fp16",
    },
    "midi-3d": {
        "clip": "clip_vit_l14_proj",
        "dino": "dinov2_large_7ch",
        "flow": "midi_transformer",
        "vae": "triposg_vae",
    },
    "triposg": {"dino": "dinov2_large_3ch", "flow": "triposg_transformer", "vae": "triposg_vae"},
}


def parameters(config: Mapping[str, Any]) -> int:
    """Number of stored values of a network, without making it."""
    model = model_of(config, "the configuration")
    with torch.device("meta"):
        network = model.build(config)
    return sum(math.prod(shape) for shape in model.shapes(network).values())


def release_size(name: str) -> ReleaseSize:
    """Configuration and size of every network that a release runs."""
    configs = {part: CONFIGS[config] for part, config in RELEASE_NETWORKS[name].items()}
    sizes = {part: parameters(config) for part, config in configs.items()}
    return ReleaseSize(name, configs, sizes)
