"""DINOv2: the hub's release with registers (conditioner of TRELLIS and I-Scene) and transformers'
(3 or 7 channels, TripoSG and MIDI-3D).

Three naming schemes carry the same numbers: the hub's, transformers 4.x and transformers 5. All are
read; the released encoders of TripoSG and MIDI-3D use 4.x.
"""

from __future__ import annotations

import torch

from maquette.checkpoints.layouts import dinov2_hub_names
from maquette.checkpoints.published.base import (
    Config,
    Outputs,
    PublishedModel,
    Shapes,
    Tensors,
    arguments,
    builder,
    configured,
)
from maquette.checkpoints.published.names import from_published, published_shapes, rules_of
from maquette.errors import CheckpointError
from maquette.models.vision import (
    VisionConfig,
    VisionTransformer,
    normalise_colours,
    trellis_tokens,
)

_BLOCK = r"blocks\.(\d+)\."
HUB_NAMES = rules_of({r"patch_embed\.(.+)": r"patch_embed.proj.\1"}) + rules_of(
    {
        r"attn\.to_qkv\.(.+)": r"attn.qkv.\2",
        r"attn\.to_out\.(.+)": r"attn.proj.\2",
        r"mlp\.mlp\.0\.(.+)": r"mlp.fc1.\2",
        r"mlp\.mlp\.2\.(.+)": r"mlp.fc2.\2",
        r"scale(\d)": r"ls\2.gamma",
    },
    _BLOCK,
    r"blocks.\1.",
)
_ATTENTION = "attention.attention."
TRANSFORMERS_NAMES = rules_of(
    {
        r"attn\.to_qkv\.(.+)": tuple(
            rf"{_ATTENTION}{part}.\2" for part in ("query", "key", "value")
        ),
        r"attn\.to_out\.(.+)": r"attention.output.dense.\2",
        r"mlp\.mlp\.0\.(.+)": r"mlp.fc1.\2",
        r"mlp\.mlp\.2\.(.+)": r"mlp.fc2.\2",
        r"scale(\d)": r"layer_scale\2.lambda1",
        r"(norm\d\..+)": r"\2",
    },
    _BLOCK,
    r"encoder.layer.\1.",
) + rules_of(
    {
        "cls_token": "embeddings.cls_token",
        "register_tokens": "embeddings.register_tokens",
        "pos_embed": "embeddings.position_embeddings",
        r"patch_embed\.(.+)": r"embeddings.patch_embeddings.projection.\1",
        r"norm\.(.+)": r"layernorm.\1",
    }
)


HUB_FIELDS = {  # ours -> the hub's constructor
    "image_size": "img_size",
    "patch": "patch_size",
    "channels": "in_chans",
    "width": "embed_dim",
    "blocks": "depth",
    "heads": "num_heads",
    "mlp_ratio": "mlp_ratio",
    "registers": "num_register_tokens",
}
TRANSFORMERS_FIELDS = {  # ours -> config.json
    "image_size": "image_size",
    "patch": "patch_size",
    "channels": "num_channels",
    "width": "hidden_size",
    "blocks": "num_hidden_layers",
    "heads": "num_attention_heads",
    "mlp_ratio": "mlp_ratio",
    "registers": "num_register_tokens",
    "eps": "layer_norm_eps",
}


def hub_config(config: Config) -> VisionConfig:
    """From the hub's constructor arguments; ViT-L/14 with registers when there are none."""
    a = arguments(config)
    if a.get("ffn_layer", "mlp") != "mlp":
        raise CheckpointError(
            f"DINOv2 with the feed-forward layer {a['ffn_layer']!r} is not supported; the "
            "published "
            "models use 'mlp'"
        )
    return configured(VisionConfig, a, HUB_FIELDS)


def transformers_config(config: Config) -> VisionConfig:
    """From the config.json that transformers writes; ViT-L/14 where it is silent."""
    a = arguments(config)
    if a.get("hidden_act", "gelu") != "gelu" or a.get("use_swiglu_ffn", False):
        raise CheckpointError(
            "DINOv2 with another activation than 'gelu' is not supported; the published models use "
            "'gelu'"
        )
    return configured(VisionConfig, a, TRANSFORMERS_FIELDS, registers=0, antialias=False)


def load(network: VisionTransformer, tensors: Tensors, dtype: torch.dtype = torch.float32) -> None:
    """Load weights under any of the three naming schemes, strictly. The mask token of the
    pre-training is not needed.
    """
    named = dinov2_hub_names(tensors)
    named.pop("mask_token", None)
    from_published(network, named, dtype, rules=HUB_NAMES)


def hub_shapes(network: VisionTransformer) -> Shapes:
    """Keys and shapes of the hub's file."""
    return published_shapes(network, HUB_NAMES) | {"mask_token": (1, network.config.width)}


def transformers_shapes(network: VisionTransformer) -> Shapes:
    """Keys and shapes of a file of transformers 4.x."""
    own = published_shapes(network, TRANSFORMERS_NAMES)
    return own | {"embeddings.mask_token": (1, network.config.width)}


build_hub = builder(VisionTransformer, hub_config)
build_transformers = builder(VisionTransformer, transformers_config)


def _run_hub(network: VisionTransformer, given: Tensors, config: Config) -> Outputs:
    tokens, stretched = (
        network(normalise_colours(given[name])) for name in ("image", "image_interp")
    )
    return {
        "x_prenorm": tokens,
        "cond_tokens": trellis_tokens(network, given["image"]),
        "x_prenorm_interp": stretched,
    }


def _run_transformers(network: VisionTransformer, given: Tensors, config: Config) -> Outputs:
    return {"last_hidden_state": network.normed(given["pixel_values"])}


HUB = PublishedModel(
    "dinov2-registers",
    ("dinov2 hub vit (registers)", "dinov2_vitl14_reg"),
    _run_hub,
    frozenset({"image", "image_interp"}),
    build_hub,
    load,
    hub_shapes,
)
TRANSFORMERS = PublishedModel(
    "dinov2",
    ("Dinov2Model", "Dinov2WithRegistersModel"),
    _run_transformers,
    frozenset({"pixel_values"}),
    build_transformers,
    load,
    transformers_shapes,
)
MODELS = (HUB, TRANSFORMERS)
