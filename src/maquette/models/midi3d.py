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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.flow.guidance import Velocity, guide, guide_pair
from maquette.flow.sample import euler
from maquette.flow.schedule import shifted_schedule
from maquette.flow.trellis import levels
from maquette.geometry.octree import Grid, GridField, evaluate_dense, evaluate_octree
from maquette.images.framing import Framing, frame, whiten
from maquette.models.savings import ALL, Savings
from maquette.models.vecset_flow import VecSetFlow
from maquette.models.vecset_vae import VecSetVAE, field_in_chunks
from maquette.models.vision import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    VisionTransformer,
    normalise_colours,
)
from maquette.nn.attention import Context

HALF_SIDE = 1.005  # of the cube in which the decoder is asked
Step = Callable[[int, Tensor], None]


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
    image: np.ndarray, masks: np.ndarray, clip: Framing, dino: Framing
) -> tuple[Tensor, Tensor]:
    """Network inputs of a photo (H, W, 3) uint8 and masks (N, H, W) bool: CLIP's (N, 3, h, w) and
    DINOv2's (N, 7, h, w), normalised.

    The mask is stretched from the full photo to the frame, while the colours are cropped: so it was
    in training.
    """
    instances = [whiten(image, mask) for mask in masks]
    for_clip = normalise_colours(
        _stack([frame(picture, clip) for picture in instances]), clip.mean, clip.std
    )
    scene = _stack([frame(image, dino)]).expand(len(masks), -1, -1, -1)
    colours = torch.cat([_stack([frame(picture, dino) for picture in instances]), scene], dim=1)
    mask = F.interpolate(torch.from_numpy(masks).float()[:, None], size=dino.crop, mode="nearest")
    return for_clip, torch.cat([normalise_colours(colours, dino.mean, dino.std), mask], dim=1)


def _stack(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


@torch.no_grad()
def midi_condition(models: MidiModels, image: np.ndarray, masks: np.ndarray) -> MidiCondition:
    """Both conditions of all instances of a photo (H, W, 3) uint8 with masks (N, H, W) bool."""
    device = models.flow.proj_in.weight.device
    for_clip, for_dino = midi_pictures(image, masks, models.clip_framing, models.dino_framing)
    return MidiCondition(
        models.clip.summary(for_clip.to(device))[:, None], models.dino.normed(for_dino.to(device))
    )


def midi_velocity(
    flow: VecSetFlow, condition: MidiCondition, guidance: float, savings: Savings
) -> Velocity:
    """Guided velocity of all instances of one scene, (N, L, channels); the unconditional pass has
    zeros for both conditions.
    """
    conditional = _passes(flow, condition, (True,), savings)
    if not savings.one_batch:
        return guide(conditional, _passes(flow, condition, (False,), savings), guidance)
    both = _passes(flow, condition, (True, False), savings)
    return guide_pair(lambda x, t: both(torch.cat([x, x]), t).chunk(2), conditional, guidance)


def _passes(
    flow: VecSetFlow, condition: MidiCondition, conditional: tuple[bool, ...], savings: Savings
) -> Velocity:
    """The velocity of one batch with a part for each entry: conditional ones first, each a scene of
    its own.
    """
    groups = (len(condition.tokens),) * len(conditional)
    made: list[list[list[Context]]] = []

    def velocity(x: Tensor, t: float) -> Tensor:
        if not made or not savings.cache:
            made[:] = [_contexts(flow, condition, conditional, savings.constants)]
        level = levels(t, 1, x.device)
        return flow.velocity(x, flow.time_proj(level), made[0], groups).to(x.dtype)

    return velocity


def _contexts(
    flow: VecSetFlow, condition: MidiCondition, conditional: tuple[bool, ...], constants: bool
) -> list[list[Context]]:
    summary = condition.summary
    tokens = condition.tokens
    summaries = torch.cat([summary if yes else torch.zeros_like(summary) for yes in conditional])
    if not constants:
        return flow.prepare(
            [
                summaries,
                torch.cat([tokens if yes else torch.zeros_like(tokens) for yes in conditional]),
            ],
            [None, None],
        )
    single = None if all(conditional) else torch.zeros_like(tokens[:, :1])
    return flow.prepare([None, tokens if any(conditional) else None], [summaries, single])


@torch.no_grad()
def sample_midi(
    flow: VecSetFlow,
    condition: MidiCondition,
    noise: Tensor,
    sampling: MidiSampling,
    savings: Savings = ALL,
    on_step: Step | None = None,
) -> Tensor:
    """Latents (N, L, channels) of all instances from noise of that shape."""
    velocity = midi_velocity(flow, condition, sampling.guidance, savings)
    return euler(velocity, noise, shifted_schedule(sampling.steps, sampling.shift), on_step)


def draw_noise(flow: VecSetFlow, instances: int, generator: torch.Generator) -> Tensor:
    """(N, L, channels) on the CPU; the release takes as many latent vectors as the transformer is
    wide.
    """
    return torch.randn(instances, flow.config.width, flow.config.channels, generator=generator)


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

    device = latent.device
    found = (
        evaluate_octree(field, grid, min(32, cells), margin, device)
        if savings.octree
        else evaluate_dense(field, grid, device)
    )
    rim = torch.ones_like(found.values, dtype=torch.bool)
    rim[1:-1, 1:-1, 1:-1] = False
    sign = -1.0 if float(found.values[rim].median()) < 0 else 1.0
    return GridField(sign * found.values, found.asked), grid


def default_framings(
    clip_size: int = 224, dino_edge: int = 256, dino_crop: int = 224
) -> tuple[Framing, Framing]:
    """CLIP's and DINOv2's framing where a release has no preprocessor_config.json."""
    return (
        Framing(clip_size, (clip_size, clip_size), CLIP_MEAN, CLIP_STD),
        Framing(dino_edge, (dino_crop, dino_crop), IMAGENET_MEAN, IMAGENET_STD),
    )
