"""TripoSG (arXiv 2502.06608) with its published weights: each object of a photo alone, shape only.

Three stages: DINOv2 tokens of each object on white, denoising, the field's surface. Every object
stands in a cube of its own; the pipeline places it over its mask.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maquette.checkpoints.released import Networks
from maquette.flow.guidance import guide
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.flow.trellis import levels
from maquette.images.framing import Framing, frame, framing_from_config
from maquette.methods.base import Progress, silent
from maquette.methods.published import EMPTY, Made, Settings
from maquette.models.vecset_flow import VecSetFlow
from maquette.models.vision import normalise_colours
from maquette.scene.made import CELLS, field_mesh
from maquette.scene.place import instance_seed
from maquette.types import Failure, SceneInput

# the release's
STEPS = 50
GUIDANCE = 7.0
VECTORS = 2048  # latent vectors of an object
MARGIN = 0.1  # around an object, of its longer side


def make_triposg(
    networks: Networks, scene: SceneInput, settings: Settings, progress: Progress = silent
) -> Made:
    """All objects of a photo, each alone. An object whose field has no surface is a Failure."""
    seeds = {mask.label: instance_seed(settings.seed, mask.label) for mask in scene.masks}
    batch = networks.plan.batch or len(seeds)
    steps = settings.steps or STEPS
    guidance = GUIDANCE if settings.guidance is None else settings.guidance
    pictures = object_pictures(
        scene, framing_from_config(networks.released.settings["preprocessor"])
    )
    with networks.stage("image", "dino") as (dino,):
        tokens = torch.cat(
            [dino.normed(part.to(networks.device)) for part in pictures.split(batch)]
        )
    progress("image", 1.0)
    schedule = shifted_schedule(
        steps, float(networks.released.settings["scheduler"].get("shift", 1.0))
    )
    with networks.stage("flow", "flow") as (flow,):
        noise = seeded_noise((VECTORS, flow.config.channels), list(seeds.values())).to(
            networks.device
        )
        latents = torch.cat(
            [
                denoise(
                    flow, context, start, schedule, guidance, lambda share: progress("flow", share)
                )
                for context, start in zip(tokens.split(batch), noise.split(batch))
            ]
        )
    meshes = {}
    with networks.stage("mesh", "vae") as (vae,):
        for label, latent in zip(seeds, latents):
            mesh = field_mesh(vae, latent, CELLS, networks.plan.points)
            if mesh is not None:
                meshes[label] = mesh
    failures = tuple(Failure(label, "decode", EMPTY) for label in seeds if label not in meshes)
    return Made(meshes, seeds, failures, together=False, coloured=False)


def object_pictures(scene: SceneInput, framing: Framing) -> Tensor:
    """(N, 3, h, w) normalised pictures: each object on white in the middle of a square with a
    margin.
    """
    pictures = [frame(on_white(scene.image, mask.mask), framing) for mask in scene.masks]
    return normalise_colours(
        torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), framing.mean, framing.std
    )


def on_white(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 square around an object of a photo (H, W, 3) with mask (H, W) bool, white
    elsewhere.
    """
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = np.where(mask[box][..., None], image[box], np.uint8(255))
    longer = max(inside.shape[:2])
    side = longer + 2 * int(MARGIN * longer)
    square = np.full((side, side, 3), 255, np.uint8)
    top = (side - inside.shape[0]) // 2
    left = (side - inside.shape[1]) // 2
    square[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return square


def denoise(
    flow: VecSetFlow,
    tokens: Tensor,
    noise: Tensor,
    schedule: Tensor,
    guidance: float,
    progress=lambda share: None,
) -> Tensor:
    """Latents (N, L, channels) of independent objects from noise of that shape and tokens (N, M,
    C).
    """
    dtype = flow.proj_in.weight.dtype

    def passes(context: Tensor):
        prepared = flow.prepare([context.to(dtype)], [None])

        def velocity(x: Tensor, t: float) -> Tensor:
            return flow.velocity(x, flow.time_proj(levels(t, 1, x.device)), prepared).to(x.dtype)

        return velocity

    steps = len(schedule) - 1
    velocity = guide(passes(tokens), passes(torch.zeros_like(tokens)), guidance)
    return euler(velocity, noise, schedule, lambda step, x: progress((step + 1) / steps))
