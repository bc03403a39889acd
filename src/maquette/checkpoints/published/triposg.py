"""TripoSG: the vector-set transformer, its VAE and its scheduler, as diffusers folders
(config.json, safetensors).

MIDI-3D's transformer is the same class with a second cross-attention; both answer to one class
name, so the configuration tells. Queries, keys and values are interleaved by head across the three
published matrices; they are disentangled once, when loading.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

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
from maquette.checkpoints.published.names import Rule, from_published, published_shapes, rules_of
from maquette.flow.path import interpolate
from maquette.flow.sample import euler
from maquette.flow.schedule import shifted_schedule
from maquette.models.vecset_flow import VecSetFlow, VecSetFlowConfig, midi_joint_blocks
from maquette.models.vecset_vae import VecSetVAE, VecSetVAEConfig

# of a block's self-attention and feed-forward layer
BLOCK: dict[str, str | tuple[str, ...]] = {
    r"self_attn\.to_qkv\.(.+)": (r"attn1.to_q.\2", r"attn1.to_k.\2", r"attn1.to_v.\2"),
    r"self_attn\.(q|k)_rms_norm\.(.+)": r"attn1.norm_\2.\3",
    r"self_attn\.to_out\.(.+)": r"attn1.to_out.0.\2",
    r"mlp\.mlp\.0\.(.+)": r"ff.net.0.proj.\2",
    r"mlp\.mlp\.2\.(.+)": r"ff.net.2.\2",
}


def attention_rules(heads: int) -> tuple[Rule, ...]:
    """Names of a block's attentions and feed-forward layer; ``attn2_2`` is the second
    cross-attention.
    """
    table = dict(BLOCK)
    for index, suffix in enumerate(("2", "2_2")):
        ours = rf"cross_attns\.{index}\."
        theirs = f"attn{suffix}."
        table[rf"cross_norms\.{index}\.(.+)"] = rf"norm{suffix}.\2"
        table[rf"context_norms\.{index}\.(.+)"] = rf"{theirs}norm_cross.\2"
        table[rf"{ours}to_q\.(.+)"] = rf"{theirs}to_q.\2"
        table[rf"{ours}to_kv\.(.+)"] = (rf"{theirs}to_k.\2", rf"{theirs}to_v.\2")
        table[rf"{ours}(q|k)_rms_norm\.(.+)"] = rf"{theirs}norm_\2.\3"
        table[rf"{ours}to_out\.(.+)"] = rf"{theirs}to_out.0.\2"
    return rules_of(table, r"(.*blocks\.\d+)\.", r"\1.", heads)


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


build_flow = builder(VecSetFlow, flow_config)
build_vae = builder(VecSetVAE, vae_config)


def load(
    network: VecSetFlow | VecSetVAE,
    tensors: Tensors,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Load a transformer or a VAE strictly."""
    trunk = ("blocks", "encoder.blocks", "decoder.blocks")
    rules = attention_rules(network.config.heads)
    from_published(network, tensors, dtype, rules=rules, trunk=trunk)


def shapes(network: VecSetFlow | VecSetVAE) -> Shapes:
    """Keys and shapes of the published file."""
    return published_shapes(network, attention_rules(network.config.heads))


def _run_flow(network: VecSetFlow, given: Tensors, config: Config) -> Outputs:
    levels = given["timestep"] / 1000.0
    return {"out": -network(given["x"], levels, [given["encoder_hidden_states"]])}


def _run_vae(network: VecSetVAE, given: Tensors, config: Config) -> Outputs:
    mean, log_variance = network.encode(given["surface"], given["sampled_surface"])
    points = given["queries"]
    decoded = network.field(points, network.prepare(given["z"]))
    outputs = {
        "mean": mean,
        "logvar": log_variance,
        "decoded": decoded[..., None],
    }
    outputs["latent_kv"] = network.decoder_tokens(given["z"])
    outputs["embed_first4"] = network.embed(points[:, :4])
    return outputs


def _run_scheduler(network: nn.Module | None, given: Tensors, config: Config) -> Outputs:
    found: dict[str, Any] = {}
    for steps, shift in ((50, 1), (25, 1), (10, 3)):
        levels = shifted_schedule(steps, shift)
        found[f"sigmas_{steps}_shift{shift}"] = levels
        found[f"timesteps_{steps}_shift{shift}"] = 1000.0 * levels[:-1]
    velocities = iter(given["trace_v"])
    trace: list[Tensor] = []
    schedule = shifted_schedule(config["trace"]["steps"], config["trace"]["shift"])

    def keep(step: int, x: Tensor) -> None:
        trace.append(x)

    euler(lambda x, t: -next(velocities), given["trace_x0"], schedule, keep)
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
SCHEDULER: PublishedModel[nn.Module] = PublishedModel(
    "triposg-scheduler",
    ("RectifiedFlowScheduler",),
    _run_scheduler,
    frozenset({"trace_x0", "trace_v", "noise_x0", "noise_eps", "noise_t"}),
)
MODELS = (FLOW, VAE, SCHEDULER)
