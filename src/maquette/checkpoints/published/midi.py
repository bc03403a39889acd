"""MIDI-3D: its transformer (TripoSG's with a second cross-attention and multi-instance attention)
and its whole pipeline.

As released: folders transformer, vae, image_encoder_1 (CLIP), image_encoder_2 (DINOv2, 7 channels),
feature_extractor_1 and _2, scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from maquette.checkpoints.published import clip, dinov2, triposg
from maquette.checkpoints.published.base import Config, PublishedModel, Shapes
from maquette.checkpoints.published.names import without_prefix
from maquette.geometry.octree import Grid, evaluate_dense
from maquette.images.framing import Framing, framing_from_config, whiten
from maquette.models.midi3d import (
    HALF_SIDE,
    MidiModels,
    MidiSampling,
    midi_condition,
    midi_pictures,
    sample_midi,
)
from maquette.models.vecset_flow import VecSetFlow
from maquette.models.vecset_vae import field_in_chunks
from maquette.models.vision import CLIP_MEAN, CLIP_STD

Part = tuple[
    str, str, Callable[[Config], nn.Module], Callable[..., None], Callable[[nn.Module], Shapes]
]
PARTS: tuple[Part, ...] = (  # folder, name in a combined configuration, build, load, shapes
    ("image_encoder_1", "clip", clip.build, clip.load, clip.shapes),
    (
        "image_encoder_2",
        "dinov2",
        dinov2.build_transformers,
        dinov2.load,
        dinov2.transformers_shapes,
    ),
    ("transformer", "transformer", triposg.build_flow, triposg.load, triposg.shapes),
    ("vae", "vae", triposg.build_vae, triposg.load, triposg.shapes),
)


def build(config: Config) -> nn.ModuleDict:
    """All four networks of a pipeline, by folder name."""
    joint = {"mi_blocks": config["mi_blocks"]} if "mi_blocks" in config else {}
    return nn.ModuleDict(
        {
            folder: build_part({**config[name], **(joint if name == "transformer" else {})})
            for folder, name, build_part, _, _ in PARTS
        }
    )


def load(
    networks: nn.ModuleDict, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> None:
    """Load all four networks from tensors prefixed with their folder's name, strictly."""
    known = tuple(f"{folder}." for folder, *_ in PARTS)
    without_prefix(
        {key: tensor for key, tensor in tensors.items() if not key.startswith(known)}, known[0]
    )
    for folder, _, _, load_part, _ in PARTS:
        own = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{folder}.")}
        load_part(networks[folder], without_prefix(own, f"{folder}."), dtype)


def shapes(networks: nn.ModuleDict) -> Shapes:
    """Keys and shapes of all four, prefixed with their folder's name."""
    return {
        f"{folder}.{key}": shape
        for folder, _, _, _, of_part in PARTS
        for key, shape in of_part(networks[folder]).items()
    }


@torch.no_grad()
def _run_transformer(
    network: VecSetFlow, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    levels = given["timestep"] / 1000.0
    seen = {}
    contexts = [given["encoder_hidden_states"], given["encoder_hidden_states_2"]]
    watched = {f"default_block{i}_out": block for i, block in enumerate(network.blocks)}
    watched |= {
        "block0_attn1_out": network.blocks[0].self_attn,
        "block0_attn2_2_out": network.blocks[0].cross_attns[1],
    }
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        for name, module in watched.items()
    ]
    default = -network(given["x"], levels, contexts)
    for hook in hooks:
        hook.remove()
    joint = len(given["x"]) // config["num_instances"]
    count = config["num_instances"]
    ragged = (2, *(1,) * (count - 2)) * joint
    return seen | {
        "out_default": default,
        "out_mi_ni3": -network(given["x"], levels, contexts, (count,) * joint),
        "out_mi_ragged_2of3": -network(given["x"], levels, contexts, ragged),
        "time_sinusoid": network.time_proj.sinusoids(levels),
        "temb": network.time_proj(levels)[:, 0],
    }


def models_of(networks: nn.ModuleDict, clip_framing: Framing, dino_framing: Framing) -> MidiModels:
    """The pipeline's networks under the names they have in maquette."""
    return MidiModels(*(networks[folder] for folder, *_ in PARTS), clip_framing, dino_framing)


@torch.no_grad()
def _run_pipeline(
    networks: nn.ModuleDict, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    size = config["feature_extractor_1"]
    models = models_of(
        networks,
        Framing(size["shortest_edge"], (size["crop"],) * 2, CLIP_MEAN, CLIP_STD),
        framing_from_config(config["feature_extractor_2"]),
    )
    image = given["rgb"].numpy()
    labels = given["seg"].numpy()
    masks = np.stack([labels == label for label in np.unique(labels[labels > 0])])
    for_clip, for_dino = midi_pictures(image, masks, models.clip_framing, models.dino_framing)
    condition = midi_condition(models, image, masks)
    steps: list[Tensor] = []
    sampling = MidiSampling(config["steps"], config["guidance_scale"], config["scheduler"]["shift"])
    final = sample_midi(
        models.flow, condition, given["latents0"], sampling, on_step=lambda step, x: steps.append(x)
    )
    found = {
        "instance_rgbs": torch.from_numpy(np.stack([whiten(image, mask) for mask in masks])),
        "masks": torch.from_numpy(255 * masks.astype(np.uint8)),
        "clip_pixel_values": for_clip,
        "dino_pixel_values": for_dino[:, :3],
        "dino_scene_pixel_values": for_dino[:, 3:6],
        "dino_mask_pixel_values": for_dino[:, 6:],
        "image_embeds_1": condition.summary,
        "image_embeds_2": condition.tokens,
        "latents_steps": torch.stack(steps),
        "latents_final": final,
    }
    return found | _decoded(models, final)


def _decoded(models: MidiModels, latents: Tensor, cells: int = 8) -> dict[str, Tensor]:
    """The release's decoding on a tiny grid: once in the scene's cube, again in the box of the
    values that are not positive.
    """
    whole = Grid((-HALF_SIDE,) * 3, (HALF_SIDE,) * 3, cells)
    pad = 0.05
    index = torch.cartesian_prod(*(torch.arange(cells + 1),) * 3)
    points = whole.points(index)
    first = []
    lows = []
    highs = []
    second = []
    for latent in latents:
        prepared = models.vae.prepare(latent[None])
        first.append(field_in_chunks(models.vae, prepared, points))
        below = points[first[-1] <= 0]
        lows.append(below.amin(0) - pad)
        highs.append(below.amax(0) + pad)
        box = Grid(tuple(lows[-1].tolist()), tuple(highs[-1].tolist()), cells)
        second.append(
            evaluate_dense(
                lambda p, kv=prepared: field_in_chunks(models.vae, kv, p), box
            ).values.flatten()
        )
    return {
        "grid_points_depth3": points,
        "decoded_depth3": torch.stack(first)[..., None],
        "bbox_min_progressive": torch.stack(lows),
        "bbox_max_progressive": torch.stack(highs),
        "decoded_progressive_depth3": torch.stack(second)[..., None],
    }


_TRANSFORMER_INPUTS = frozenset(
    {"x", "timestep", "encoder_hidden_states", "encoder_hidden_states_2"}
)
MODELS = (
    PublishedModel(
        "midi-flow",
        ("TripoSGDiTModel(MIDI)",),
        _run_transformer,
        _TRANSFORMER_INPUTS,
        triposg.build_flow,
        triposg.load,
        triposg.shapes,
    ),
    PublishedModel(
        "midi-pipeline",
        ("MIDIPipeline", "MIDI3DPipeline"),
        _run_pipeline,
        frozenset({"rgb", "seg", "latents0"}),
        build,
        load,
        shapes,
    ),
)
