"""MIDI (arXiv 2412.03558): all instances are denoised at once and see each other while they are.

Pass 1, joint: one latent per instance, all of them in the one view-centric cube of the scene, at
the same noise level. In the middle blocks an instance attends to the tokens of all instances
(multi-instance attention), everywhere to its own crop, its mask and the picture of the whole scene.
Where an instance stands is where its volume is: the paper's shared scene space, no separate
placement. Pass 2, zoom: the instance generator makes each instance again in its own cube, from its
crop and the volume of pass 1. (Ours, and shared with I-Scene: in the scene's cube an instance has
as few voxels as it is small.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maquette.methods.base import (
    Method,
    Models,
    OnShape,
    Outcome,
    Progress,
    Sampling,
    Shape,
    ignore,
    silent,
    visible_labels,
)
from maquette.models.conditioning import instance_crop
from maquette.models.generator import Generator
from maquette.models.multi_instance import MultiInstanceGenerator
from maquette.models.volume_vae import VolumeVAE
from maquette.scene.latents import decode, draw_noise, encode, sample
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed
from maquette.scene.zoom import zoom_all, zoom_pass, zoom_state


@dataclass(frozen=True, eq=False)
class MidiModels:
    """The joint generator, the single-instance generator it came from, and their VAE."""

    joint: MultiInstanceGenerator
    single: Generator
    vae: VolumeVAE


def generate_midi(
    models: MidiModels,
    image: np.ndarray,
    perception: Perception,
    labels: Sequence[int],
    seed: int,
    sampling: Sampling,
    progress: Progress = silent,
    on_shape: OnShape = ignore,
) -> Outcome:
    """All instances of a photo (H, W, 3). An instance without a pixel at the working size is a
    Failure.
    """
    visible, failures = visible_labels(perception, labels)
    coarse = (
        joint_pass(models, image, perception, visible, seed, sampling, progress) if visible else {}
    )
    alone = Models(models.single, models.vae)
    states = {label: zoom_state(alone, perception, label, coarse[label]) for label in visible}

    def make(label: int, drawn: int, state: dict[str, np.ndarray]) -> Shape:
        return remake(models, image, perception, label, drawn, state, sampling)

    return Outcome(zoom_all(states, seed, make, progress, on_shape), failures)


def joint_pass(
    models: MidiModels,
    image: np.ndarray,
    perception: Perception,
    labels: Sequence[int],
    seed: int,
    sampling: Sampling,
    progress: Progress = silent,
) -> dict[int, Tensor]:
    """Coarse volume (R, R, R) of each instance in the scene's cube, all of them denoised together."""
    joint = models.joint
    tuned = Models(models.joint.base, models.vae)
    noise = draw_noise(tuned, [instance_seed(seed, label) for label in labels])
    scene = torch.from_numpy(
        instance_crop(image, perception.label_map, None, joint.config.base.picture.size)
    )[None].to(noise)
    own = encode(tuned, image, perception, [(label, np.eye(4), None) for label in labels])
    condition = joint.with_scene(
        own, scene, torch.zeros(len(labels), dtype=torch.int64, device=noise.device)
    )
    velocity_of = partial(joint.velocity, groups=(len(labels),))
    latents = sample(
        velocity_of,
        condition,
        noise,
        sampling.steps,
        sampling,
        lambda share: progress("scene", share),
    )
    return dict(zip(labels, decode(tuned, latents)[:, 0]))


def remake(
    models: MidiModels,
    image: np.ndarray,
    perception: Perception,
    label: int,
    seed: int,
    state: dict[str, np.ndarray],
    sampling: Sampling,
) -> Shape:
    """One instance anew in its own cube."""
    return zoom_pass(
        Models(models.single, models.vae), image, perception, label, seed, state, sampling
    )


MIDI = Method("midi", generate_midi, remake, ("midi", "generator", "volume-vae"), MidiModels)
