"""I-Scene (arXiv 2512.13683) with its published weights: photo and masks -> coloured meshes, all in
one cube, where they stand.

Four stages. Slots: every instance in the scene's crop, the scene, and every instance in its own
crop, encoded. Structure: latents of all slots, instances attending to the scene. Cells: the
structure decoder says which cells are active. Then, for the placed instance alone, TRELLIS's
structured latents and meshes. The release's noise is reproduced: one draw for all slots, then one
for the cells of all slots.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from maquette.checkpoints.published import iscene
from maquette.checkpoints.released import Networks
from maquette.flow.trellis import TrellisSampling, sampling_from_config
from maquette.images.slots import slot_pictures
from maquette.methods.base import Progress, silent
from maquette.methods.published import EMPTY, Made, Settings
from maquette.methods.trellis_stages import adjusted, cells_of, decoded_meshes, structured_latents
from maquette.models.iscene3d import draw_noise, encode_slots, sample_structure
from maquette.models.trellis3d import active_cells
from maquette.types import Failure, SceneInput

# of both stages, where the release overrides TRELLIS's pipeline.json
STEPS = 25
STRENGTH = 3.0
PICTURES = 8  # encoded at once


def make_iscene(
    networks: Networks, scene: SceneInput, settings: Settings, progress: Progress = silent
) -> Made:
    """All objects of a photo. An object without an active cell, or whose decoded volume has no
    surface, is a Failure.
    """
    labels = [mask.label for mask in scene.masks]
    sampling = {
        name: stage_sampling(networks.released.settings.get(name, {}), settings)
        for name in ("sparse_structure_sampler", "slat_sampler")
    }
    generator = torch.Generator().manual_seed(settings.seed)
    context = _encode(networks, scene, progress)
    latents = _structure(
        networks, context, sampling["sparse_structure_sampler"], generator, progress
    )
    with networks.stage("structure", "structure-decoder") as (decoder,):
        cells = cells_of(active_cells(decoder, latents.flatten(0, 1), chunk=1))
    slots = latents.shape[1]
    channels = len(networks.released.settings["slat_normalization"]["mean"])
    noise = torch.randn(sum(map(len, cells)), channels, generator=generator).split(
        [len(own) for own in cells]
    )
    placed = {
        label: (cells[k * slots], noise[k * slots], context[k, 0])
        for k, label in enumerate(labels)
        if len(cells[k * slots])
    }
    slats = structured_latents(networks, placed, sampling["slat_sampler"], progress)
    meshes = decoded_meshes(
        networks, {label: (placed[label][0], slat) for label, slat in slats.items()}, progress
    )
    failures = [
        Failure(label, "structure" if label not in placed else "decode", EMPTY)
        for label in labels
        if label not in meshes
    ]
    return Made(meshes, dict.fromkeys(labels, settings.seed), tuple(failures))


def stage_sampling(config: dict[str, object], settings: Settings) -> TrellisSampling:
    """A sampler of pipeline.json with I-Scene's steps and strength, and what the user changed."""
    return adjusted(
        dataclasses.replace(sampling_from_config(config), steps=STEPS, strength=STRENGTH), settings
    )


def _encode(networks: Networks, scene: SceneInput, progress: Progress) -> Tensor:
    """(N, S, M, C) tokens of every instance's slots, on the device."""
    progress("image", 0.0)
    slots = iscene.flow_config(networks.released.parts["structure-flow"].config).slots
    pictures = torch.from_numpy(
        slot_pictures(scene.image, [mask.mask for mask in scene.masks], slots)
    )
    with networks.stage("image", "dino") as (encoder,):
        return encode_slots(
            encoder,
            pictures.to(networks.device),
            chunk=min(PICTURES, networks.plan.batch or PICTURES),
        )


def _structure(
    networks: Networks,
    context: Tensor,
    sampling: TrellisSampling,
    generator: torch.Generator,
    progress: Progress,
) -> Tensor:
    """(N, S, channels, R, R, R) latents. Instances meet only in the scene's slot, so any part of
    them may be made at a time.
    """
    batch = networks.plan.batch or len(context)
    made = []
    with networks.stage("structure", "structure-flow") as (network,):
        noise = draw_noise(network, generator)
        for start in range(0, len(context), batch):
            part = context[start : start + batch]

            def step(index: int, *_: Tensor, start: int = start, count: int = len(part)) -> None:
                progress("structure", (start + count * (index + 1) / sampling.steps) / len(context))

            made.append(
                sample_structure(network, part, noise, sampling, networks.plan.savings, step)
            )
    return torch.cat(made)
