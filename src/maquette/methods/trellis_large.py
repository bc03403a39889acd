"""TRELLIS image-large (arXiv 2412.01506) with its published weights: each object of a photo alone,
with colours.

Picture of the object on black -> DINOv2 tokens -> structure latents -> active cells -> structured
latents -> mesh. Every object stands in a cube of its own; the pipeline places it over its mask.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from maquette.checkpoints.released import Networks
from maquette.flow.trellis import sampling_from_config
from maquette.framing.trellis import crop_object
from maquette.methods.base import Progress, UprightMesh, Wishes
from maquette.methods.published import PublishedMethod, in_parts
from maquette.methods.trellis_stages import (
    PICTURES,
    ActiveCells,
    adjusted,
    cells_of,
    later_stages,
    structure_parts,
)
from maquette.models.trellis3d import active_cells, sample_structure
from maquette.models.vision import trellis_tokens
from maquette.stages.seeds import instance_seed
from maquette.types import Failure, InstanceMask, SceneInput


def make_trellis(
    networks: Networks,
    given: SceneInput,
    wishes: Wishes,
    progress: Progress,
) -> Iterator[UprightMesh | Failure]:
    """All objects of a photo, each alone. An object without an active cell, or without a surface,
    is a Failure.
    """
    seeds = {mask.label: instance_seed(wishes.seed, mask.label) for mask in given.masks}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds.values()]
    release = networks.released.settings
    first, second = (
        adjusted(sampling_from_config(release.get(f"{name}_sampler", {})), wishes)
        for name in ("sparse_structure", "slat")
    )
    tokens = _tokens(networks, given, progress)
    made = []
    for network, part, step in structure_parts(networks, len(tokens), first.steps, progress):
        config = network.config
        shape = (config.channels, *(config.resolution,) * 3)
        noise = torch.stack([torch.randn(shape, generator=g) for g in generators[part]])
        savings = networks.plan.savings
        made.append(sample_structure(network, tokens[part], noise, first, savings, step))
    with networks.stage("structure", "structure-decoder") as (decoder,):
        cells = cells_of(active_cells(decoder, torch.cat(made), chunk=1))
    channels = len(release["slat_normalization"]["mean"])
    active = {}
    for label, own, generator, seen in zip(seeds, cells, generators, tokens):
        if len(own):
            noise = torch.randn(len(own), channels, generator=generator)
            active[label] = ActiveCells(own, noise, seen)
    yield from later_stages(networks, active, seeds, second, progress, together=False)


def _tokens(networks: Networks, given: SceneInput, progress: Progress) -> Tensor:
    """(N, M, C) tokens of every object's picture, on the device."""
    progress("image", 0.0)

    def cut(mask: InstanceMask) -> np.ndarray:
        return crop_object(np.dstack([given.image, 255 * mask.mask.astype(np.uint8)]))

    pictures = torch.from_numpy(np.stack([*map(cut, given.masks)]))
    pictures = pictures.permute(0, 3, 1, 2).float() / 255.0
    with networks.stage("image", "dino") as (encoder,):
        return in_parts(networks, lambda part: trellis_tokens(encoder, part), pictures, PICTURES)


TRELLIS_LARGE = PublishedMethod("trellis-large", make_trellis)
