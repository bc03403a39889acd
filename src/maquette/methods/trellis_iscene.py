"""I-Scene (arXiv 2512.13683) with its published weights: photo and masks -> coloured meshes, all in
one cube, where they stand.

Four stages. Slots: every instance in the scene's crop, the scene, and every instance in its own
crop, encoded. Structure: latents of all slots, instances attending to the scene. Cells: the
structure decoder says which cells are active. Then, for the placed instance alone, TRELLIS's
structured latents and meshes. The release's noise is reproduced: one draw for all slots, then one
for the cells of all slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from maquette.checkpoints.published import iscene
from maquette.checkpoints.released import Networks
from maquette.flow.trellis import TrellisSampling, sampling_from_config
from maquette.framing.slots import slot_pictures
from maquette.methods.base import Progress, UprightMesh, Wishes
from maquette.methods.published import PublishedMethod
from maquette.methods.trellis_stages import (
    PICTURES,
    ActiveCells,
    adjusted,
    cells_of,
    later_stages,
    structure_parts,
)
from maquette.models.iscene3d import draw_noise, encode_slots, sample_slots
from maquette.models.trellis3d import active_cells
from maquette.types import Failure, SceneInput

# of both stages, where the release overrides TRELLIS's pipeline.json
STEPS = 25
STRENGTH = 3.0


def make_trellis_iscene(
    networks: Networks,
    given: SceneInput,
    wishes: Wishes,
    progress: Progress,
) -> Iterator[UprightMesh | Failure]:
    """All objects of a photo. An object without an active cell, or whose decoded volume has no
    surface, is a Failure.
    """
    labels = [mask.label for mask in given.masks]
    release = networks.released.settings
    first, second = (
        stage_sampling(release.get(f"{name}_sampler", {}), wishes)
        for name in ("sparse_structure", "slat")
    )
    generator = torch.Generator().manual_seed(wishes.seed)
    context = _encode(networks, given, progress)
    noise: Tensor | None = None
    made = []
    for network, part, step in structure_parts(networks, len(labels), first.steps, progress):
        noise = draw_noise(network, generator) if noise is None else noise
        savings = networks.plan.savings
        made.append(sample_slots(network, context[part], noise, first, savings, step))
    latents = torch.cat(made)
    with networks.stage("structure", "structure-decoder") as (decoder,):
        cells = cells_of(active_cells(decoder, latents.flatten(0, 1), chunk=1))
    channels = len(release["slat_normalization"]["mean"])
    counts = [len(own) for own in cells]
    noises = torch.randn(sum(counts), channels, generator=generator).split(counts)
    slots = latents.shape[1]  # the first of an object's is the object, placed
    active = {
        label: ActiveCells(own, noise, tokens)
        for label, own, noise, tokens in zip(labels, cells[::slots], noises[::slots], context[:, 0])
        if len(own)
    }
    yield from later_stages(networks, active, dict.fromkeys(labels, wishes.seed), second, progress)


def stage_sampling(config: Mapping[str, object], wishes: Wishes) -> TrellisSampling:
    """A sampler of pipeline.json with I-Scene's steps and strength, and what the user
    wants changed.
    """
    return adjusted(replace(sampling_from_config(config), steps=STEPS, strength=STRENGTH), wishes)


def _encode(networks: Networks, given: SceneInput, progress: Progress) -> Tensor:
    """(N, S, M, C) tokens of every instance's slots, on the device."""
    progress("image", 0.0)
    slots = iscene.flow_config(networks.released.parts["structure-flow"].config).slots
    pictures = slot_pictures(given.image, [mask.mask for mask in given.masks], slots)
    chunk = min(PICTURES, networks.plan.batch or PICTURES)
    with networks.stage("image", "dino") as (encoder,):
        return encode_slots(encoder, torch.from_numpy(pictures).to(networks.device), chunk=chunk)


TRELLIS_ISCENE = PublishedMethod("trellis-iscene", make_trellis_iscene)
