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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maquette.methods.base import (
    EmbeddedMethod,
    Made,
    Models,
    ObjectVolume,
    Progress,
    Sampling,
    State,
    Watch,
    silent,
)
from maquette.models.conditioning import instance_crop
from maquette.models.generator import Generator
from maquette.models.multi_instance import MultiInstanceGenerator
from maquette.models.volume_vae import VolumeVAE
from maquette.stages.crop import zoom_state
from maquette.stages.decode import decode
from maquette.stages.lift import CubeRow, encode
from maquette.stages.perceive import Perception
from maquette.stages.sample import label_noise, sample
from maquette.stages.zoom import zoom_again, zoom_all


@dataclass(frozen=True, eq=False)
class JointModels:
    """The joint generator, the single-instance generator it came from, and their VAE."""

    joint: MultiInstanceGenerator
    single: Generator
    vae: VolumeVAE

    @property
    def alone(self) -> Models:
        """What makes one instance."""
        return Models(self.single, self.vae)


def make_midi(
    models: JointModels,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    watch: Watch,
) -> Iterator[Made]:
    """The instances of a photo."""
    coarse = joint_pass(models, perception, labels, sampling, watch.progress)
    alone = models.alone
    resolution = models.single.config.flow.lift_resolution
    states = {
        label: zoom_state(perception, label, volume, resolution) for label, volume in coarse.items()
    }
    yield from zoom_all(alone, perception, states, sampling, watch.progress)


def joint_pass(
    models: JointModels,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    progress: Progress = silent,
) -> dict[int, Tensor]:
    """Coarse volume (R, R, R) of each instance in the scene's cube, all of them denoised
    together.
    """
    joint = models.joint
    tuned = Models(joint.base, models.vae)
    noise = label_noise(tuned, sampling.seed, labels)
    size = joint.config.base.picture.size
    crop = instance_crop(perception.photo, perception.label_map, None, size)
    scene = torch.from_numpy(crop)[None].to(noise)
    own = encode(tuned, perception, [CubeRow(label, np.eye(4)) for label in labels])
    of_scene = torch.zeros(len(labels), dtype=torch.int64, device=noise.device)
    latents = sample(
        partial(joint.velocity, groups=(len(labels),)),
        joint.with_scene(own, scene, of_scene),
        noise,
        sampling.steps,
        sampling,
        partial(progress, "scene"),
    )
    return dict(zip(labels, decode(tuned, latents)[:, 0]))


def remake(
    models: JointModels,
    perception: Perception,
    label: int,
    state: State,
    sampling: Sampling,
) -> ObjectVolume:
    """One instance anew in its own cube."""
    return zoom_again(models.alone, perception, label, state, sampling)


MIDI = EmbeddedMethod("midi", make_midi, remake, ("midi", "generator", "volume-vae"), JointModels)
