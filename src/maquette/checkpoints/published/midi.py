"""MIDI-3D: its transformer (TripoSG's with a second cross-attention and multi-instance attention)
and its whole pipeline.

As released: folders transformer, vae, image_encoder_1 (CLIP), image_encoder_2 (DINOv2, 7 channels),
feature_extractor_1 and _2, scheduler.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from maquette.checkpoints.published import clip, dinov2, triposg
from maquette.checkpoints.published.base import (
    Config,
    Outputs,
    PublishedModel,
    Shapes,
    Tensors,
    recorded,
)
from maquette.checkpoints.published.names import without_prefix
from maquette.errors import InputError, present
from maquette.framing.crops import Framing, framing_from_config, whiten
from maquette.geometry.octree import Grid, evaluate_dense
from maquette.masks.labels import labels_in
from maquette.models.midi3d import (
    HALF_SIDE,
    MidiModels,
    MidiSampling,
    midi_condition,
    midi_pictures,
    sample_midi,
)
from maquette.models.vecset_flow import VecSetFlow
from maquette.models.vecset_vae import VecSetVAE, field_in_chunks
from maquette.models.vision import CLIP_MEAN, CLIP_STD, VisionTransformer
from maquette.nn.layers import of_kind


@dataclass(frozen=True)
class PipelinePart:
    """One network of the release."""

    folder: str
    name: str  # in a combined configuration
    model: PublishedModel


def build(config: Config) -> nn.ModuleDict:
    """All four networks of a pipeline, by folder name."""
    networks = {}
    for part in PARTS:
        own = dict(config[part.name])
        if part.model is FLOW and "mi_blocks" in config:
            own["mi_blocks"] = config["mi_blocks"]
        networks[part.folder] = part.model.network(own)
    return nn.ModuleDict(networks)


def load(networks: nn.ModuleDict, tensors: Tensors, dtype: torch.dtype = torch.float32) -> None:
    """Load all four networks from tensors prefixed with their folder's name, strictly."""
    left = dict(tensors)
    for part in PARTS:
        prefix = f"{part.folder}."
        own = {key: left.pop(key) for key in tensors if key.startswith(prefix)}
        part.model.load(networks[part.folder], without_prefix(own, prefix), dtype)
    without_prefix(left, f"{PARTS[0].folder}.")


def shapes(networks: nn.ModuleDict) -> Shapes:
    """Keys and shapes of all four, prefixed with their folder's name."""
    found = {}
    for part in PARTS:
        for key, shape in part.model.shapes(networks[part.folder]).items():
            found[f"{part.folder}.{key}"] = shape
    return found


def _run_transformer(network: VecSetFlow, given: Tensors, config: Config) -> Outputs:
    x = given["x"]
    levels = given["timestep"] / 1000.0
    contexts = [given["encoder_hidden_states"], given["encoder_hidden_states_2"]]
    watched: dict[str, nn.Module] = {}
    for number, block in enumerate(network.blocks):
        watched[f"default_block{number}_out"] = block
    watched["block0_attn1_out"] = present(network.blocks[0].self_attn, "self-attention")
    watched["block0_attn2_2_out"] = network.blocks[0].cross_attns[1]
    with recorded(watched) as seen:
        default = -network(x, levels, contexts)
    count = config["num_instances"]
    scenes = len(x) // count
    ragged = (2, *(1,) * (count - 2)) * scenes
    seen["out_default"] = default
    seen["out_mi_ni3"] = -network(x, levels, contexts, (count,) * scenes)
    seen["out_mi_ragged_2of3"] = -network(x, levels, contexts, ragged)
    seen["time_sinusoid"] = network.time_proj.sinusoids(levels)
    seen["temb"] = network.time_proj(levels)[:, 0]
    return seen


def models_of(networks: nn.ModuleDict, clip_framing: Framing, dino_framing: Framing) -> MidiModels:
    """The pipeline's networks under the names they have in maquette."""
    clip_eyes = of_kind(networks["image_encoder_1"], VisionTransformer)
    dino_eyes = of_kind(networks["image_encoder_2"], VisionTransformer)
    flow = of_kind(networks["transformer"], VecSetFlow)
    vae = of_kind(networks["vae"], VecSetVAE)
    return MidiModels(clip_eyes, dino_eyes, flow, vae, clip_framing, dino_framing)


def _run_pipeline(networks: nn.ModuleDict, given: Tensors, config: Config) -> Outputs:
    size = config["feature_extractor_1"]
    clip_framing = Framing(size["shortest_edge"], (size["crop"],) * 2, CLIP_MEAN, CLIP_STD)
    dino_framing = framing_from_config(config["feature_extractor_2"])
    models = models_of(networks, clip_framing, dino_framing)
    image = given["rgb"].numpy()
    labels = given["seg"].numpy()
    masks = np.stack([labels == label for label in labels_in(labels)])
    for_clip, for_dino = midi_pictures(image, masks, clip_framing, dino_framing)
    condition = midi_condition(models, image, masks)
    steps: list[Tensor] = []
    sampling = MidiSampling(config["steps"], config["guidance_scale"], config["scheduler"]["shift"])
    noise = given["latents0"]
    final = sample_midi(
        models.flow, condition, noise, sampling, on_step=lambda step, x: steps.append(x)
    )
    whitened = np.stack([whiten(image, mask) for mask in masks])
    own, scene, mask_channel = for_dino.split([3, 3, 1], dim=1)
    outputs = _decoded(models, final)
    outputs["instance_rgbs"] = torch.from_numpy(whitened)
    outputs["masks"] = torch.from_numpy(255 * masks.astype(np.uint8))
    outputs["clip_pixel_values"] = for_clip
    outputs["dino_pixel_values"] = own
    outputs["dino_scene_pixel_values"] = scene
    outputs["dino_mask_pixel_values"] = mask_channel
    outputs["image_embeds_1"] = condition.summary
    outputs["image_embeds_2"] = condition.tokens
    outputs["latents_steps"] = torch.stack(steps)
    outputs["latents_final"] = final
    return outputs


def _decoded(models: MidiModels, latents: Tensor, cells: int = 8) -> Outputs:
    """The release's decoding on a tiny grid: once in the scene's cube, again in the box of the
    values that are not positive.
    """
    whole = Grid((-HALF_SIDE,) * 3, (HALF_SIDE,) * 3, cells)
    pad = 0.05
    points = whole.points(torch.cartesian_prod(*(torch.arange(cells + 1),) * 3))
    found: dict[str, list[Tensor]] = defaultdict(list)
    for latent in latents:
        field = partial(field_in_chunks, models.vae, models.vae.prepare(latent[None]))
        coarse = field(points)
        below = points[coarse <= 0]
        if not len(below):
            raise InputError(
                "an object's field is above its level everywhere; record other latents"
            )
        low, high = below.amin(0) - pad, below.amax(0) + pad
        box = Grid(tuple(low.tolist()), tuple(high.tolist()), cells)
        found["decoded_depth3"].append(coarse[:, None])
        found["bbox_min_progressive"].append(low)
        found["bbox_max_progressive"].append(high)
        fine = evaluate_dense(field, box).values.flatten()
        found["decoded_progressive_depth3"].append(fine[:, None])
    stacked = {name: torch.stack(values) for name, values in found.items()}
    return {"grid_points_depth3": points, **stacked}


FLOW = PublishedModel(
    "midi-flow",
    ("TripoSGDiTModel(MIDI)",),
    _run_transformer,
    frozenset({"x", "timestep", "encoder_hidden_states", "encoder_hidden_states_2"}),
    triposg.build_flow,
    triposg.load,
    triposg.shapes,
)
PIPELINE = PublishedModel(
    "midi-pipeline",
    ("MIDIPipeline", "MIDI3DPipeline"),
    _run_pipeline,
    frozenset({"rgb", "seg", "latents0"}),
    build,
    load,
    shapes,
)
PARTS = (
    PipelinePart("image_encoder_1", "clip", clip.CLIP),
    PipelinePart("image_encoder_2", "dinov2", dinov2.TRANSFORMERS),
    PipelinePart("transformer", "transformer", FLOW),
    PipelinePart("vae", "vae", triposg.VAE),
)
MODELS = (FLOW, PIPELINE)
