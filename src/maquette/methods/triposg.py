"""TripoSG (arXiv 2502.06608) with its published weights: each object of a photo alone, shape only.

Three stages: DINOv2 tokens of each object on white, denoising, the field's surface. Every object
stands in a cube of its own; the pipeline places it over its mask.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from maquette.checkpoints.released import Networks
from maquette.flow.guidance import Velocity, guide
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.flow.trellis import levels
from maquette.framing.crops import Framing, frame, framing_from_config
from maquette.geometry.boxes import pixel_box
from maquette.methods.base import Progress, UprightMesh, Wishes
from maquette.methods.published import PublishedMethod, field_meshes, in_parts, upright
from maquette.models.vecset_flow import VecSetFlow
from maquette.models.vision import normalise_colours
from maquette.stages.seeds import instance_seed
from maquette.types import Failure, SceneInput

# the release's
STEPS = 50
GUIDANCE = 7.0
VECTORS = 2048  # latent vectors of an object
MARGIN = 0.1  # around an object, of its longer side


def make_triposg(
    networks: Networks,
    given: SceneInput,
    wishes: Wishes,
    progress: Progress,
) -> Iterator[UprightMesh | Failure]:
    """All objects of a photo, each alone. An object whose field has no surface is a Failure."""
    settings = networks.released.settings
    seeds = {mask.label: instance_seed(wishes.seed, mask.label) for mask in given.masks}
    pictures = object_pictures(given, framing_from_config(settings["preprocessor"]))
    with networks.stage("image", "dino") as (dino,):
        tokens = in_parts(networks, dino.normed, pictures)
    progress("image", 1.0)
    steps = wishes.steps or STEPS
    guidance = GUIDANCE if wishes.guidance is None else wishes.guidance
    schedule = shifted_schedule(steps, float(settings["scheduler"].get("shift", 1.0)))
    batch = networks.plan.batch or len(seeds)
    latents: list[Tensor] = []
    with networks.stage("flow", "flow") as (flow,):
        noise = seeded_noise((VECTORS, flow.config.channels), [*seeds.values()])
        parts = zip(tokens.split(batch), noise.to(networks.device).split(batch))
        for context, start in parts:
            latents += euler(
                guided_velocity(flow, context, guidance),
                start,
                schedule,
                lambda step, x: progress("flow", (step + 1) / steps),
            )
    for label, mesh in field_meshes(networks, dict(zip(seeds, latents)), progress):
        yield upright(label, seeds[label], mesh, together=False, coloured=False)


def object_pictures(given: SceneInput, framing: Framing) -> Tensor:
    """(N, 3, h, w) normalised pictures: each object on white in the middle of a square with a
    margin.
    """
    pictures = [frame(on_white(given.image, mask.mask), framing) for mask in given.masks]
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return normalise_colours(stacked, framing.mean, framing.std)


def on_white(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 square around an object of a photo (H, W, 3) with mask (H, W) bool, white
    elsewhere.
    """
    x0, y0, x1, y1 = pixel_box(mask)
    box = (slice(y0, y1), slice(x0, x1))
    inside = np.where(mask[box][..., None], image[box], np.uint8(255))
    longer = max(inside.shape[:2])
    side = longer + 2 * int(MARGIN * longer)
    square = np.full((side, side, 3), 255, np.uint8)
    height, width = inside.shape[:2]
    top = (side - height) // 2
    left = (side - width) // 2
    square[top : top + height, left : left + width] = inside
    return square


def guided_velocity(flow: VecSetFlow, tokens: Tensor, guidance: float) -> Velocity:
    """Velocity of independent objects (N, L, channels) with tokens (N, M, C)."""
    dtype = flow.proj_in.weight.dtype

    def passes(context: Tensor) -> Velocity:
        prepared = flow.prepare([context.to(dtype)], [None])

        def velocity(x: Tensor, t: float) -> Tensor:
            return flow.velocity(x, flow.time_proj(levels(t, 1, x.device)), prepared).to(x.dtype)

        return velocity

    return guide(passes(tokens), passes(torch.zeros_like(tokens)), guidance)


TRIPOSG = PublishedMethod("triposg", make_triposg)
