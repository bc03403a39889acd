"""MIDI-3D (arXiv 2412.03558) and TripoSG (arXiv 2502.06608) with their published weights: photo and masks -> meshes without colour.

Four stages, each with the networks it needs: conditions of all instances, joint denoising, one field per instance, its surface.
``models/midi3d.py`` has the steps; here they are put together and held to a memory plan.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from skimage.measure import marching_cubes
from torch import Tensor

from maquette.checkpoints.released import Networks
from maquette.flow.sample import seeded_noise
from maquette.images.framing import Framing, framing_from_config, pad_square
from maquette.methods.base import Progress, silent
from maquette.methods.published import EMPTY, Made, Settings, coloured_mesh
from maquette.models.midi3d import MidiCondition, MidiSampling, decode_field, midi_pictures, sample_midi
from maquette.models.vecset_vae import VecSetVAE
from maquette.scene.decode import drop_specks
from maquette.scene.place import instance_seed
from maquette.types import Failure, SceneInput

CELLS = 256  # along the side of the grid on which the field is asked


def make_midi3d(networks: Networks, scene: SceneInput, settings: Settings, progress: Progress = silent) -> Made:
    """All objects of a photo, denoised together. An object whose field has no surface is a Failure."""
    labels = [mask.label for mask in scene.masks]
    seeds = {label: instance_seed(settings.seed, label) for label in labels}
    condition = _condition(networks, scene, progress)
    with networks.stage("flow", "flow") as (flow,):
        noise = seeded_noise((flow.config.width, flow.config.channels), list(seeds.values())).to(networks.device)
        sampling = _sampling(networks.released.settings["scheduler"], settings)
        latents = sample_midi(flow, condition, noise, sampling, on_step=lambda step, x: progress("flow", (step + 1) / sampling.steps))
    meshes = _surfaces(networks, dict(zip(labels, latents)), progress)
    failures = tuple(Failure(label, "decode", EMPTY) for label in labels if label not in meshes)
    return Made(meshes, seeds, failures, coloured=False)


def _condition(networks: Networks, scene: SceneInput, progress: Progress) -> MidiCondition:
    """Both encoders one after the other, so that a staged plan never holds the two."""
    settings, device = networks.released.settings, networks.device
    framings = [framing_from_config(settings[f"feature_extractor_{k}"]) for k in (1, 2)]
    for_clip, for_dino = midi_pictures(*uncut(scene, framings[1]), *framings)
    batch = networks.plan.batch or len(scene.masks)
    progress("image", 0.0)
    with networks.stage("image", "clip") as (clip,):
        summary = torch.cat([clip.summary(part.to(device)) for part in for_clip.split(batch)])[:, None]
    progress("image", 0.5)
    with networks.stage("image", "dino") as (dino,):
        tokens = torch.cat([dino.normed(part.to(device)) for part in for_dino.split(batch)])
    progress("image", 1.0)
    return MidiCondition(summary, tokens)


def uncut(scene: SceneInput, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
    """The photo (H, W, 3) and its masks (N, H, W), padded to a square as the release offers when its centre crop would cut an object."""
    masks = np.stack([mask.mask for mask in scene.masks])
    height, width = masks.shape[1:]
    shown = np.zeros((height, width), bool)
    edge, scale = framing.shortest_edge or min(framing.crop), (framing.shortest_edge or min(framing.crop)) / min(height, width)
    rows, columns = (int((side - min(crop, edge) / scale) / 2) for side, crop in ((height, framing.crop[0]), (width, framing.crop[1])))
    shown[max(rows, 0) : height - max(rows, 0), max(columns, 0) : width - max(columns, 0)] = True
    return (scene.image, masks) if framing.shortest_edge is None or not masks[:, ~shown].any() else pad_square(scene.image, masks)


def _sampling(scheduler: Mapping[str, object], settings: Settings) -> MidiSampling:
    """The release's sampling with what the user changed."""
    release = MidiSampling(shift=float(scheduler.get("shift", 1.0)))
    guidance = release.guidance if settings.guidance is None else settings.guidance
    return MidiSampling(settings.steps or release.steps, guidance, release.shift)


def _surfaces(networks: Networks, latents: Mapping[int, Tensor], progress: Progress) -> dict[int, trimesh.Trimesh]:
    meshes = {}
    with networks.stage("mesh", "vae") as (vae,):
        for done, (label, latent) in enumerate(latents.items()):
            progress("mesh", done / len(latents))
            mesh = surface(vae, latent, CELLS, networks.plan.points)
            if mesh is not None:
                meshes[label] = mesh
    progress("mesh", 1.0)
    return meshes


def surface(vae: VecSetVAE, latent: Tensor, cells: int = CELLS, points: int = 65536) -> trimesh.Trimesh | None:
    """The surface of one latent (L, channels), in the release's cube of about [-1, 1]^3; None when there is none.

    As in the release the field is averaged over 3^3 grid points first. points: how many are asked at once.
    """
    field, grid = decode_field(vae, latent, cells, chunk=points)
    values = F.avg_pool3d(F.pad(field.values.float()[None, None], (1,) * 6, mode="replicate"), 3, stride=1)[0, 0].cpu().numpy()
    rim = np.pad(values[1:-1, 1:-1, 1:-1], 1, constant_values=max(float(np.abs(values).max()), 1e-3))  # closed at the cube's faces
    if not (rim < 0).any():
        return None
    vertices, faces, _, _ = marching_cubes(rim, level=0.0, gradient_direction="descent")
    low, high = np.array(grid.low), np.array(grid.high)
    return coloured_mesh(*drop_specks(low + vertices / cells * (high - low), faces))
