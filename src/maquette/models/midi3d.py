"""MIDI-3D (arXiv 2412.03558) with its published weights: all instances of a photo are denoised at
once and see each other.

In the flow: photo and masks -> two conditions per instance (CLIP's embedding of the instance on
white; DINOv2's tokens of instance, scene and mask, seven channels) -> latents, all in the cube of
the scene, [-1, 1]^3, +Y up -> a field and its surface for each instance. Quirks on which the
weights depend are kept (framing of the pictures, number of latent vectors); two defects of the
original are not: the surface is placed by the grid's cells, not its points (0.4 per cent larger
there), and no second, identical decoding follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.flow.guidance import Velocity
from maquette.flow.sample import StepCallback, euler
from maquette.flow.schedule import shifted_schedule
from maquette.framing.crops import Framing, frame, whiten
from maquette.geometry.octree import Grid, GridField, evaluate_dense, evaluate_octree
from maquette.models.guided import (
    Kept,
    Parts,
    for_parts,
    guided_velocity,
    in_one_batch,
    with_constants,
)
from maquette.models.savings import ALL, Savings
from maquette.models.vecset_flow import VecSetFlow
from maquette.models.vecset_vae import VecSetVAE, field_in_chunks
from maquette.models.vision import VisionTransformer, normalise_colours
from maquette.nn.attention import Context

HALF_SIDE = 1.005  # of the cube in which the decoder is asked


@dataclass(frozen=True, eq=False)
class MidiModels:
    """The four networks on their device, in eval mode, and how their pictures are framed."""

    clip: VisionTransformer
    dino: VisionTransformer
    flow: VecSetFlow
    vae: VecSetVAE
    clip_framing: Framing
    dino_framing: Framing


@dataclass(frozen=True)
class MidiSampling:
    """How latents are drawn; the defaults are the release's."""

    steps: int = 50
    guidance: float = 7.0  # v_u + w (v_c - v_u)
    shift: float = 1.0  # of the schedule


@dataclass(frozen=True, eq=False)
class MidiCondition:
    """What N instances of a photo are conditioned on."""

    summary: Tensor  # (N, 1, 768) CLIP's embedding of the instance on white
    tokens: Tensor  # (N, 257, 1024) DINOv2's tokens of instance, scene and mask


def midi_pictures(
    image: np.ndarray,
    masks: np.ndarray,
    clip: Framing,
    dino: Framing,
) -> tuple[Tensor, Tensor]:
    """Network inputs of a photo (H, W, 3) uint8 and masks (N, H, W) bool: CLIP's (N, 3, h, w) and
    DINOv2's (N, 7, h, w), normalised.

    The mask is stretched from the full photo to the frame, while the colours are cropped: so it was
    in training.
    """
    instances = [whiten(image, mask) for mask in masks]
    framed = _stack([frame(picture, clip) for picture in instances])
    for_clip = normalise_colours(framed, clip.mean, clip.std)
    scene = _stack([frame(image, dino)]).expand(len(masks), -1, -1, -1)
    colours = torch.cat([_stack([frame(picture, dino) for picture in instances]), scene], dim=1)
    mask = F.interpolate(torch.from_numpy(masks).float()[:, None], size=dino.crop, mode="nearest")
    normalised = normalise_colours(colours, dino.mean, dino.std)
    return for_clip, torch.cat([normalised, mask], dim=1)


def _stack(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


@torch.no_grad()
def midi_condition(models: MidiModels, image: np.ndarray, masks: np.ndarray) -> MidiCondition:
    """Both conditions of all instances of a photo (H, W, 3) uint8 with masks (N, H, W) bool."""
    device = models.flow.proj_in.weight.device
    for_clip, for_dino = midi_pictures(image, masks, models.clip_framing, models.dino_framing)
    summary = models.clip.summary(for_clip.to(device))
    return MidiCondition(summary[:, None], models.dino.normed(for_dino.to(device)))


def midi_velocity(
    flow: VecSetFlow,
    condition: MidiCondition,
    guidance: float,
    savings: Savings,
) -> Velocity:
    """Guided velocity of all instances of one scene, (N, L, channels); the unconditional pass has
    zeros for both conditions.
    """
    return guided_velocity(
        lambda parts: _pass(flow, condition, parts, savings), guidance, (0.0, 1.0), savings
    )


def _pass(
    flow: VecSetFlow,
    condition: MidiCondition,
    parts: Parts,
    savings: Savings,
) -> Velocity:
    """Velocities (parts, N, L, channels); each part is a scene of its own."""
    groups = (len(condition.tokens),) * len(parts)

    def contexts() -> list[list[Context]]:
        summaries = torch.cat(for_parts(condition.summary, parts))
        if not savings.constants:
            every = torch.cat(for_parts(condition.tokens, parts))
            return flow.prepare([summaries, every], [None, None])
        tokens, token = with_constants(condition.tokens, parts)
        return flow.prepare([None, tokens], [summaries, token])

    kept = Kept(contexts, flow.time_proj, condition.tokens.device, savings.cache)

    def velocity(rows: Tensor, t: float) -> Tensor:
        out = flow.velocity(rows, kept.modulations(t), kept.contexts(), groups)
        return out.to(rows.dtype)

    return in_one_batch(velocity, parts)


@torch.no_grad()
def sample_midi(
    flow: VecSetFlow,
    condition: MidiCondition,
    noise: Tensor,
    sampling: MidiSampling,
    savings: Savings = ALL,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Latents (N, L, channels) of all instances from noise of that shape."""
    velocity = midi_velocity(flow, condition, sampling.guidance, savings)
    return euler(velocity, noise, shifted_schedule(sampling.steps, sampling.shift), on_step)


@torch.no_grad()
def decode_field(
    vae: VecSetVAE,
    latent: Tensor,
    cells: int = 256,
    savings: Savings = ALL,
    chunk: int = 65536,
    margin: int = 2,
) -> tuple[GridField, Grid]:
    """The field of one latent (L, channels) on a grid over the scene's cube, negative inside, and
    the grid.

    Which sign means inside is decided by the rim of the cube, which must be outside. ``margin``:
    cells about the surface in which the octree's values are exact; 2 is for the release's averaging
    over neighbours before the surface is extracted.
    """
    grid = Grid((-HALF_SIDE,) * 3, (HALF_SIDE,) * 3, cells)
    prepared = vae.prepare(latent[None])

    def field(points: Tensor) -> Tensor:
        return field_in_chunks(vae, prepared, points, chunk)

    if savings.octree:
        found = evaluate_octree(field, grid, min(32, cells), margin, latent.device)
    else:
        found = evaluate_dense(field, grid, latent.device)
    rim = torch.ones_like(found.values, dtype=torch.bool)
    rim[1:-1, 1:-1, 1:-1] = False
    sign = -1.0 if float(found.values[rim].median()) < 0 else 1.0
    return GridField(sign * found.values, found.asked), grid
