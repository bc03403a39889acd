"""The configurations of the published networks, as their releases have them: for planning memory
and for dry runs without any file.

Loading never looks here: a network is built from the configuration that lies beside its weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import torch

from maquette.checkpoints.memory import ReleaseSize
from maquette.checkpoints.verify import model_of

Config = dict[str, Any]

# The names are those of the published files. ``iscene_denoiser`` is the network with every option
# that its code has, ``iscene_v1`` what is released: two slots, no gates.
CONFIGS: dict[str, Config] = json.loads(
    resources.files("maquette.checkpoints.published").joinpath("configs.json").read_text()
)

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
    "triposg": {
        "dino": "dinov2_large_3ch",
        "flow": "triposg_transformer",
        "vae": "triposg_vae",
    },
}


def parameters(config: Mapping[str, Any]) -> int:
    """Number of stored values of a network, without making it."""
    model = model_of(config, "the configuration")
    with torch.device("meta"):
        network = model.network(config)
    return sum(math.prod(shape) for shape in model.shapes(network).values())


@cache
def release_size(name: str) -> ReleaseSize:
    """Configuration and size of every network that a release runs."""
    configs = {part: CONFIGS[config] for part, config in RELEASE_NETWORKS[name].items()}
    sizes = {part: parameters(config) for part, config in configs.items()}
    return ReleaseSize(name, configs, sizes)
