"""MIDI-3D (arXiv 2412.03558) with its published weights: photo and masks -> meshes without colour.

Four stages, each with the networks it needs: conditions of all instances, joint denoising, one
field per instance, its surface. ``models/midi3d.py`` has the steps; here they are put together and
held to a memory plan.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import trimesh
from torch import Tensor

from maquette.checkpoints.released import Networks
from maquette.flow.sample import seeded_noise
from maquette.images.framing import Framing, framing_from_config, pad_square
from maquette.methods.base import Progress, silent
from maquette.methods.published import EMPTY, Made, Settings
from maquette.models.midi3d import MidiCondition, MidiSampling, midi_pictures, sample_midi
from maquette.scene.made import CELLS, field_mesh
from maquette.scene.place import instance_seed
from maquette.types import Failure, SceneInput


def make_midi3d(
    networks: Networks, scene: SceneInput, settings: Settings, progress: Progress = silent
) -> Made:
    """All objects of a photo, denoised together. An object whose field has no surface is a Failure."""
    labels = [mask.label for mask in scene.masks]
    seeds = {label: instance_seed(settings.seed, label) for label in labels}
    condition = _condition(networks, scene, progress)
    with networks.stage("flow", "flow") as (flow,):
        noise = seeded_noise((flow.config.width, flow.config.channels), list(seeds.values())).to(
            networks.device
        )
        sampling = _sampling(networks.released.settings["scheduler"], settings)
        latents = sample_midi(
            flow,
            condition,
            noise,
            sampling,
            networks.plan.savings,
            lambda step, x: progress("flow", (step + 1) / sampling.steps),
        )
    meshes = _surfaces(networks, dict(zip(labels, latents)), progress)
    failures = tuple(Failure(label, "decode", EMPTY) for label in labels if label not in meshes)
    return Made(meshes, seeds, failures, coloured=False)


def _condition(networks: Networks, scene: SceneInput, progress: Progress) -> MidiCondition:
    """Both encoders one after the other, so that a staged plan never holds the two."""
    settings = networks.released.settings
    device = networks.device
    framings = [framing_from_config(settings[f"feature_extractor_{k}"]) for k in (1, 2)]
    for_clip, for_dino = midi_pictures(*uncut(scene, framings[1]), *framings)
    batch = networks.plan.batch or len(scene.masks)
    progress("image", 0.0)
    with networks.stage("image", "clip") as (clip,):
        summary = torch.cat([clip.summary(part.to(device)) for part in for_clip.split(batch)])[
            :, None
        ]
    progress("image", 0.5)
    with networks.stage("image", "dino") as (dino,):
        tokens = torch.cat([dino.normed(part.to(device)) for part in for_dino.split(batch)])
    progress("image", 1.0)
    return MidiCondition(summary, tokens)


def uncut(scene: SceneInput, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
    """The photo (H, W, 3) and its masks (N, H, W), padded to a square as the release offers when
    its centre crop would cut an object.
    """
    masks = np.stack([mask.mask for mask in scene.masks])
    height, width = masks.shape[1:]
    shown = np.zeros((height, width), bool)
    edge = framing.shortest_edge or min(framing.crop)
    scale = (framing.shortest_edge or min(framing.crop)) / min(height, width)
    rows, columns = (
        int((side - min(crop, edge) / scale) / 2)
        for side, crop in ((height, framing.crop[0]), (width, framing.crop[1]))
    )
    shown[max(rows, 0) : height - max(rows, 0), max(columns, 0) : width - max(columns, 0)] = True
    return (
        (scene.image, masks)
        if framing.shortest_edge is None or not masks[:, ~shown].any()
        else pad_square(scene.image, masks)
    )


def _sampling(scheduler: Mapping[str, object], settings: Settings) -> MidiSampling:
    """The release's sampling with what the user changed."""
    release = MidiSampling(shift=float(scheduler.get("shift", 1.0)))
    guidance = release.guidance if settings.guidance is None else settings.guidance
    return MidiSampling(settings.steps or release.steps, guidance, release.shift)


def _surfaces(
    networks: Networks, latents: Mapping[int, Tensor], progress: Progress
) -> dict[int, trimesh.Trimesh]:
    meshes = {}
    with networks.stage("mesh", "vae") as (vae,):
        for done, (label, latent) in enumerate(latents.items()):
            progress("mesh", done / len(latents))
            mesh = field_mesh(vae, latent, CELLS, networks.plan.points)
            if mesh is not None:
                meshes[label] = mesh
    progress("mesh", 1.0)
    return meshes
