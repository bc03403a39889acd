"""DINOv2: the hub's release with registers (conditioner of TRELLIS and I-Scene) and transformers'
(3 or 7 channels, TripoSG and MIDI-3D).

Three naming schemes carry the same numbers: the hub's, transformers 4.x and transformers 5. All are
read; the released encoders of TripoSG and MIDI-3D use 4.x.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from maquette.checkpoints.layouts import dinov2_hub_names
from maquette.checkpoints.published.base import (
    Config,
    PublishedModel,
    Shapes,
    arguments,
    configured,
)
from maquette.checkpoints.published.names import Rule, from_published, published_shapes
from maquette.errors import CheckpointError
from maquette.models.vision import (
    VisionConfig,
    VisionTransformer,
    normalise_colours,
    trellis_tokens,
)

_BLOCK = r"blocks\.(\d+)\."
HUB_NAMES = (
    Rule(r"patch_embed\.(.+)", (r"patch_embed.proj.\1",)),
    Rule(_BLOCK + r"attn\.to_qkv\.(.+)", (r"blocks.\1.attn.qkv.\2",)),
    Rule(_BLOCK + r"attn\.to_out\.(.+)", (r"blocks.\1.attn.proj.\2",)),
    Rule(_BLOCK + r"mlp\.mlp\.0\.(.+)", (r"blocks.\1.mlp.fc1.\2",)),
    Rule(_BLOCK + r"mlp\.mlp\.2\.(.+)", (r"blocks.\1.mlp.fc2.\2",)),
    Rule(_BLOCK + r"scale(\d)", (r"blocks.\1.ls\2.gamma",)),
)
_LAYER = r"encoder.layer.\1."
TRANSFORMERS_NAMES = (
    Rule("cls_token", ("embeddings.cls_token",)),
    Rule("register_tokens", ("embeddings.register_tokens",)),
    Rule("pos_embed", ("embeddings.position_embeddings",)),
    Rule(r"patch_embed\.(.+)", (r"embeddings.patch_embeddings.projection.\1",)),
    Rule(
        _BLOCK + r"attn\.to_qkv\.(.+)",
        tuple(_LAYER + rf"attention.attention.{part}.\2" for part in ("query", "key", "value")),
    ),
    Rule(_BLOCK + r"attn\.to_out\.(.+)", (_LAYER + r"attention.output.dense.\2",)),
    Rule(_BLOCK + r"mlp\.mlp\.0\.(.+)", (_LAYER + r"mlp.fc1.\2",)),
    Rule(_BLOCK + r"mlp\.mlp\.2\.(.+)", (_LAYER + r"mlp.fc2.\2",)),
    Rule(_BLOCK + r"scale(\d)", (_LAYER + r"layer_scale\2.lambda1",)),
    Rule(_BLOCK + r"(norm\d\..+)", (_LAYER + r"\2",)),
    Rule(r"norm\.(.+)", (r"layernorm.\1",)),
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
            f"DINOv2 with the feed-forward layer {a['ffn_layer']!r} is not supported; the published "
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


def load(
    network: VisionTransformer, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> None:
    """Load weights under any of the three naming schemes, strictly. The mask token of the
    pre-training is not needed.
    """
    named = dinov2_hub_names(tensors)
    named.pop("mask_token", None)
    from_published(network, named, HUB_NAMES, dtype)


def hub_shapes(network: VisionTransformer) -> Shapes:
    """Keys and shapes of the hub's file."""
    return published_shapes(network, HUB_NAMES) | {"mask_token": (1, network.config.width)}


def transformers_shapes(network: VisionTransformer) -> Shapes:
    """Keys and shapes of a file of transformers 4.x."""
    own = published_shapes(network, TRANSFORMERS_NAMES)
    return own | {"embeddings.mask_token": (1, network.config.width)}


def build_hub(config: Config) -> nn.Module:
    """The network of a hub configuration."""
    return VisionTransformer(hub_config(config))


def build_transformers(config: Config) -> nn.Module:
    """The network of a transformers configuration."""
    return VisionTransformer(transformers_config(config))


@torch.no_grad()
def _run_hub(
    network: VisionTransformer, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    tokens, stretched = (
        network(normalise_colours(given[name])) for name in ("image", "image_interp")
    )
    return {
        "x_prenorm": tokens,
        "cond_tokens": trellis_tokens(network, given["image"]),
        "x_prenorm_interp": stretched,
    }


@torch.no_grad()
def _run_transformers(
    network: VisionTransformer, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
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
