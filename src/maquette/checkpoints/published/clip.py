"""CLIP's image tower with projection (ViT-L/14), the first of MIDI-3D's two conditions;
transformers' names.

The hidden activation is read from config.json: OpenAI's weights use the quick GELU, others the
exact one.
"""

from __future__ import annotations

from functools import partial

import torch

from maquette.checkpoints.published.base import (
    Config,
    Outputs,
    PublishedModel,
    Tensors,
    arguments,
    builder,
    configured,
)
from maquette.checkpoints.published.names import Rule, from_published, published_shapes, rules_of
from maquette.errors import CheckpointError
from maquette.models.vision import VisionConfig, VisionTransformer, clip_config

NAMES = (
    Rule("cls_token", ("vision_model.embeddings.class_embedding",), drop_leading=2),
    Rule("pos_embed", ("vision_model.embeddings.position_embedding.weight",), drop_leading=1),
    *rules_of(
        {
            r"attn\.to_qkv\.(.+)": tuple(rf"self_attn.{part}_proj.\2" for part in "qkv"),
            r"attn\.to_out\.(.+)": r"self_attn.out_proj.\2",
            r"mlp\.mlp\.0\.(.+)": r"mlp.fc1.\2",
            r"mlp\.mlp\.2\.(.+)": r"mlp.fc2.\2",
            r"norm(\d)\.(.+)": r"layer_norm\2.\3",
        },
        r"blocks\.(\d+)\.",
        r"vision_model.encoder.layers.\1.",
    ),
    *rules_of(
        {
            r"patch_embed\.weight": "vision_model.embeddings.patch_embedding.weight",
            r"norm_before\.(.+)": r"vision_model.pre_layrnorm.\1",  # sic
            r"norm\.(.+)": r"vision_model.post_layernorm.\1",
            r"projection\.weight": "visual_projection.weight",
        }
    ),
)
OPTIONAL = "vision_model.embeddings.position_ids"  # 0, 1, 2, ... in files of transformers 4.x
FIELDS = {  # ours -> config.json
    "width": "hidden_size",
    "blocks": "num_hidden_layers",
    "heads": "num_attention_heads",
    "image_size": "image_size",
    "projection": "projection_dim",
    "patch": "patch_size",
    "activation": "hidden_act",
}
ACTIVATIONS = ("gelu", "quick_gelu")


def vision_config(config: Config) -> VisionConfig:
    """From the config.json that transformers writes; OpenAI's ViT-L/14 where it is silent."""
    a = arguments(config)
    activation = a.get("hidden_act", "quick_gelu")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"CLIP with the activation {activation!r} is not supported; expected one of "
            f"{list(ACTIVATIONS)}"
        )
    width = a.get("hidden_size", 1024)
    ratio = a.get("intermediate_size", 4 * width) / width
    return configured(clip_config, a, FIELDS, mlp_ratio=ratio)


build = builder(VisionTransformer, vision_config)
shapes = partial(published_shapes, rules=NAMES)


def load(network: VisionTransformer, tensors: Tensors, dtype: torch.dtype = torch.float32) -> None:
    """Load strictly."""
    needed = {key: tensor for key, tensor in tensors.items() if key != OPTIONAL}
    from_published(network, needed, dtype, rules=NAMES)


def run(network: VisionTransformer, given: Tensors, config: Config) -> Outputs:
    """Normalised pictures -> image embeddings."""
    return {"image_embeds": network.summary(given["pixel_values"])}


CLIP = PublishedModel(
    "clip-vision",
    ("CLIPVisionModelWithProjection",),
    run,
    frozenset({"pixel_values"}),
    build,
    load,
    shapes,
)
MODELS = (CLIP,)
