"""TripoSG: the vector-set transformer, its VAE and its scheduler, as diffusers folders
(config.json, safetensors).

MIDI-3D's transformer is the same class with a second cross-attention; both answer to one class
name, so the configuration tells. Queries, keys and values are interleaved by head across the three
published matrices; they are disentangled once, when loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from maquette.checkpoints.published.base import (
    Config,
    PublishedModel,
    Shapes,
    arguments,
    configured,
)
from maquette.checkpoints.published.names import Rule, from_published, published_shapes
from maquette.flow.path import interpolate
from maquette.flow.sample import euler
from maquette.flow.schedule import shifted_schedule
from maquette.models.vecset_flow import VecSetFlow, VecSetFlowConfig, midi_joint_blocks
from maquette.models.vecset_vae import VecSetVAE, VecSetVAEConfig

_BLOCK = r"(.*blocks\.\d+)\."


def attention_rules(heads: int) -> tuple[Rule, ...]:
    """Names of a block's attentions and feed-forward layer; ``attn2_2`` is the second
    cross-attention.
    """
    rules = [
        Rule(
            _BLOCK + r"self_attn\.to_qkv\.(.+)",
            tuple(rf"\1.attn1.to_{part}.\2" for part in "qkv"),
            heads,
        ),
        Rule(_BLOCK + r"self_attn\.(q|k)_rms_norm\.(.+)", (r"\1.attn1.norm_\2.\3",)),
        Rule(_BLOCK + r"self_attn\.to_out\.(.+)", (r"\1.attn1.to_out.0.\2",)),
        Rule(_BLOCK + r"mlp\.mlp\.0\.(.+)", (r"\1.ff.net.0.proj.\2",)),
        Rule(_BLOCK + r"mlp\.mlp\.2\.(.+)", (r"\1.ff.net.2.\2",)),
    ]
    for index, suffix in enumerate(("2", "2_2")):
        cross = _BLOCK + rf"cross_attns\.{index}\."
        rules += [
            Rule(_BLOCK + rf"cross_norms\.{index}\.(.+)", (rf"\1.norm{suffix}.\2",)),
            Rule(_BLOCK + rf"context_norms\.{index}\.(.+)", (rf"\1.attn{suffix}.norm_cross.\2",)),
            Rule(cross + r"to_q\.(.+)", (rf"\1.attn{suffix}.to_q.\2",)),
            Rule(
                cross + r"to_kv\.(.+)",
                tuple(rf"\1.attn{suffix}.to_{part}.\2" for part in "kv"),
                heads,
            ),
            Rule(cross + r"(q|k)_rms_norm\.(.+)", (rf"\1.attn{suffix}.norm_\2.\3",)),
            Rule(cross + r"to_out\.(.+)", (rf"\1.attn{suffix}.to_out.0.\2",)),
        ]
    return tuple(rules)


FLOW_FIELDS = {  # ours -> config.json
    "channels": "in_channels",
    "width": "width",
    "blocks": "num_layers",
    "heads": "num_attention_heads",
}
VAE_FIELDS = {
    "channels": "in_channels",
    "latent_channels": "latent_channels",
    "heads": "num_attention_heads",
    "encoder_width": "width_encoder",
    "encoder_blocks": "num_layers_encoder",
    "decoder_width": "width_decoder",
    "decoder_blocks": "num_layers_decoder",
    "frequencies": "embed_frequency",
    "include_pi": "embed_include_pi",
}


def flow_config(config: Config) -> VecSetFlowConfig:
    """From a transformer's config.json, of TripoSG or of MIDI-3D (a second cross-attention, joint
    middle blocks).
    """
    a = arguments(config)
    flow = configured(VecSetFlowConfig, a, FLOW_FIELDS)
    if not is_midi(config):
        return replace(flow, context_widths=(a.get("cross_attention_dim", 1024),))
    widths = (a.get("cross_attention_dim", 768), a.get("cross_attention_2_dim", 1024))
    joint = midi_joint_blocks(flow.blocks)
    if "mi_blocks" in config:
        joint = tuple(int(name.rsplit(".", 1)[-1]) for name in config["mi_blocks"])
    return replace(flow, context_widths=widths, joint_blocks=joint)


def is_midi(config: Config) -> bool:
    """Whether the transformer has the second cross-attention."""
    a = arguments(config)
    return bool(a.get("use_cross_attention_2", a.get("cross_attention_2_dim") is not None))


def vae_config(config: Config) -> VecSetVAEConfig:
    """From a VAE's config.json."""
    return configured(VecSetVAEConfig, arguments(config), VAE_FIELDS)


def build_flow(config: Config) -> nn.Module:
    """The transformer of a configuration."""
    return VecSetFlow(flow_config(config))


def build_vae(config: Config) -> nn.Module:
    """The VAE of a configuration."""
    return VecSetVAE(vae_config(config))


def load(
    network: VecSetFlow | VecSetVAE,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Load a transformer or a VAE strictly."""
    trunk = ("blocks", "encoder.blocks", "decoder.blocks")
    from_published(network, tensors, attention_rules(network.config.heads), dtype, trunk)


def shapes(network: VecSetFlow | VecSetVAE) -> Shapes:
    """Keys and shapes of the published file."""
    return published_shapes(network, attention_rules(network.config.heads))


@torch.no_grad()
def _run_flow(
    network: VecSetFlow, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    levels = given["timestep"] / 1000.0
    return {"out": -network(given["x"], levels, [given["encoder_hidden_states"]])}


@torch.no_grad()
def _run_vae(network: VecSetVAE, given: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    mean, log_variance = network.encode(given["surface"], given["sampled_surface"])
    points = given["queries"]
    decoded = network.field(points, network.prepare(given["z"]))
    return {
        "mean": mean,
        "logvar": log_variance,
        "decoded": decoded[..., None],
        "latent_kv": network.decoder_tokens(given["z"]),
        "embed_first4": network.embed(points[:, :4]),
    }


def _run_scheduler(network: None, given: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    found: dict[str, Any] = {}
    for steps, shift in ((50, 1), (25, 1), (10, 3)):
        levels = shifted_schedule(steps, shift)
        found[f"sigmas_{steps}_shift{shift}"] = levels
        found[f"timesteps_{steps}_shift{shift}"] = 1000.0 * levels[:-1]
    velocities = iter(given["trace_v"])
    trace: list[Tensor] = []
    euler(
        lambda x, t: -next(velocities),
        given["trace_x0"],
        shifted_schedule(config["trace"]["steps"], config["trace"]["shift"]),
        lambda step, x: trace.append(x),
    )
    noised = interpolate(given["noise_x0"], given["noise_eps"], given["noise_t"] / 1000.0)
    return found | {"trace_x": torch.stack(trace), "noise_xt": noised}


FLOW = PublishedModel(
    "triposg-flow",
    ("TripoSGDiTModel(TripoSG)", "TripoSGDiTModel"),
    _run_flow,
    frozenset({"x", "timestep", "encoder_hidden_states"}),
    build_flow,
    load,
    shapes,
)
VAE = PublishedModel(
    "triposg-vae",
    ("TripoSGVAEModel", "Tripo2VAEModel"),
    _run_vae,
    frozenset({"surface", "sampled_surface", "z", "queries"}),
    build_vae,
    load,
    shapes,
)
SCHEDULER = PublishedModel(
    "triposg-scheduler",
    ("RectifiedFlowScheduler",),
    _run_scheduler,
    frozenset({"trace_x0", "trace_v", "noise_x0", "noise_eps", "noise_t"}),
)
MODELS = (FLOW, VAE, SCHEDULER)
