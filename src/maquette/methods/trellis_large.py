"""TRELLIS image-large (arXiv 2412.01506) with its published weights: each object of a photo alone,
with colours.

Picture of the object on black -> DINOv2 tokens -> structure latents -> active cells -> structured
latents -> mesh. Every object stands in a cube of its own; the pipeline places it over its mask.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maquette.checkpoints.released import Networks
from maquette.flow.trellis import TrellisSampling, sampling_from_config
from maquette.images.trellis import crop_object
from maquette.methods.base import Progress, silent
from maquette.methods.published import EMPTY, Made, Settings
from maquette.methods.trellis_stages import adjusted, cells_of, decoded_meshes, structured_latents
from maquette.models.trellis3d import active_cells, sample_structure
from maquette.models.vision import trellis_tokens
from maquette.scene.place import instance_seed
from maquette.types import Failure, SceneInput

PICTURES = 8  # encoded at once


def make_trellis(
    networks: Networks, scene: SceneInput, settings: Settings, progress: Progress = silent
) -> Made:
    """All objects of a photo, each alone. An object without an active cell, or without a surface,
    is a Failure.
    """
    seeds = {mask.label: instance_seed(settings.seed, mask.label) for mask in scene.masks}
    generators = {label: torch.Generator().manual_seed(seed) for label, seed in seeds.items()}
    release = networks.released.settings
    tokens = _tokens(networks, scene, progress)
    first, second = (
        adjusted(sampling_from_config(release.get(f"{name}_sampler", {})), settings)
        for name in ("sparse_structure", "slat")
    )
    latents = _structure(networks, tokens, generators, first, progress)
    with networks.stage("structure", "structure-decoder") as (decoder,):
        cells = dict(zip(seeds, cells_of(active_cells(decoder, latents, chunk=1))))
    channels = len(release["slat_normalization"]["mean"])
    placed = {
        label: (own, torch.randn(len(own), channels, generator=generators[label]), tokens[k])
        for k, (label, own) in enumerate(cells.items())
        if len(own)
    }
    slats = structured_latents(networks, placed, second, progress)
    meshes = decoded_meshes(
        networks, {label: (placed[label][0], slat) for label, slat in slats.items()}, progress
    )
    failures = [
        Failure(label, "structure" if label not in placed else "decode", EMPTY)
        for label in seeds
        if label not in meshes
    ]
    return Made(meshes, seeds, tuple(failures), together=False)


def _tokens(networks: Networks, scene: SceneInput, progress: Progress) -> Tensor:
    """(N, M, C) tokens of every object's picture, on the device."""
    progress("image", 0.0)
    cut = [
        crop_object(np.dstack([scene.image, 255 * mask.mask.astype(np.uint8)]))
        for mask in scene.masks
    ]
    pictures = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255.0
    with networks.stage("image", "dino") as (encoder,):
        size = min(PICTURES, networks.plan.batch or PICTURES)
        return torch.cat(
            [trellis_tokens(encoder, part.to(networks.device)) for part in pictures.split(size)]
        )


def _structure(
    networks: Networks,
    tokens: Tensor,
    generators: dict[int, torch.Generator],
    sampling: TrellisSampling,
    progress: Progress,
) -> Tensor:
    """(N, channels, R, R, R) latents."""
    batch = networks.plan.batch or len(tokens)
    made = []
    with networks.stage("structure", "structure-flow") as (network,):
        c = network.config
        noise = torch.stack(
            [
                torch.randn(c.channels, *(c.resolution,) * 3, generator=g)
                for g in generators.values()
            ]
        )
        for start in range(0, len(tokens), batch):
            part = slice(start, start + batch)

            def step(index: int, *_: Tensor, start: int = start) -> None:
                progress(
                    "structure",
                    min(1.0, (start + batch * (index + 1) / sampling.steps) / len(tokens)),
                )

            made.append(
                sample_structure(
                    network, tokens[part], noise[part], sampling, networks.plan.savings, step
                )
            )
    return torch.cat(made)
