"""MIDI-3D (arXiv 2412.03558) with its published weights: photo and masks -> meshes without colour.

Four stages, each with the networks it needs: conditions of all instances, joint denoising, one
field per instance, its surface. ``models/midi3d.py`` has the steps; here they are put together and
held to a memory plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from maquette.checkpoints.released import Networks
from maquette.flow.sample import seeded_noise
from maquette.framing.crops import Framing, framing_from_config, pad_square
from maquette.methods.base import Progress, UprightMesh, Wishes
from maquette.methods.published import PublishedMethod, field_meshes, in_parts, upright
from maquette.models.midi3d import MidiCondition, MidiSampling, midi_pictures, sample_midi
from maquette.stages.seeds import instance_seed
from maquette.types import Failure, SceneInput


def make_midi3d(
    networks: Networks,
    given: SceneInput,
    wishes: Wishes,
    progress: Progress,
) -> Iterator[UprightMesh | Failure]:
    """All objects of a photo, denoised together. An object whose field has no surface is
    a Failure.
    """
    seeds = {mask.label: instance_seed(wishes.seed, mask.label) for mask in given.masks}
    condition = _condition(networks, given, progress)
    sampling = _sampling(networks.released.settings["scheduler"], wishes)
    with networks.stage("flow", "flow") as (flow,):
        noise = seeded_noise((flow.config.width, flow.config.channels), [*seeds.values()])
        latents = sample_midi(
            flow,
            condition,
            noise.to(networks.device),
            sampling,
            networks.plan.savings,
            lambda step, x: progress("flow", (step + 1) / sampling.steps),
        )
    for label, mesh in field_meshes(networks, dict(zip(seeds, latents)), progress):
        yield upright(label, seeds[label], mesh, coloured=False)


def _condition(networks: Networks, given: SceneInput, progress: Progress) -> MidiCondition:
    """Both encoders one after the other, so that a staged plan never holds the two."""
    settings = networks.released.settings
    framings = [framing_from_config(settings[f"feature_extractor_{k}"]) for k in (1, 2)]
    for_clip, for_dino = midi_pictures(*uncut(given, framings[1]), *framings)
    progress("image", 0.0)
    with networks.stage("image", "clip") as (clip,):
        summary = in_parts(networks, clip.summary, for_clip)
    progress("image", 0.5)
    with networks.stage("image", "dino") as (dino,):
        tokens = in_parts(networks, dino.normed, for_dino)
    progress("image", 1.0)
    return MidiCondition(summary[:, None], tokens)


def uncut(given: SceneInput, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
    """The photo (H, W, 3) and its masks (N, H, W), padded to a square as the release offers when
    its centre crop would cut an object.
    """
    masks = np.stack([mask.mask for mask in given.masks])
    if framing.shortest_edge is None:
        return given.image, masks
    sides = masks.shape[1:]
    scale = framing.shortest_edge / min(sides)
    shown = np.zeros(sides, bool)
    rows, columns = (
        max(int((side - min(crop, framing.shortest_edge) / scale) / 2), 0)
        for side, crop in zip(sides, framing.crop)
    )
    shown[rows : sides[0] - rows, columns : sides[1] - columns] = True
    return pad_square(given.image, masks) if masks[:, ~shown].any() else (given.image, masks)


def _sampling(scheduler: Mapping[str, float], wishes: Wishes) -> MidiSampling:
    """The release's sampling with what the user wants changed."""
    release = MidiSampling(shift=float(scheduler.get("shift", 1.0)))
    guidance = release.guidance if wishes.guidance is None else wishes.guidance
    return MidiSampling(wishes.steps or release.steps, guidance, release.shift)


MIDI_3D = PublishedMethod("midi-3d", make_midi3d)
