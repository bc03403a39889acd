"""I-Scene (arXiv 2512.13683): the instance generator, reprogrammed to place what it makes by
looking at the whole scene.

Pass 1, scene: a scene branch and one branch per instance share weights, noise level and the
view-centric cube of the scene; instances attend to the scene branch in the middle blocks
(scene-context attention). It says where an instance is and roughly what. Pass 2, zoom: the same
network, in the instance's own cube, conditioned on the crop and on the coarse volume of pass 1,
makes the detail. (Ours: the paper's instances have as few voxels as they are small.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.volumes import turn_volume
from maquette.methods.base import (
    EmbeddedMethod,
    Made,
    Models,
    Progress,
    Sampling,
    State,
    Watch,
    silent,
)
from maquette.stages.azimuth import view_azimuth
from maquette.stages.crop import zoom_state
from maquette.stages.decode import decode
from maquette.stages.lift import CubeRow, encode
from maquette.stages.perceive import Perception
from maquette.stages.sample import label_noise, sample
from maquette.stages.zoom import zoom_again, zoom_all


def make_iscene(
    models: Models,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    watch: Watch,
) -> Iterator[Made]:
    """The instances of a photo."""
    coarse = scene_pass(models, perception, labels, sampling, watch.progress)
    coarse, turn = facing_the_view(models, perception, coarse)
    resolution = models.generator.config.flow.lift_resolution
    states = {
        label: zoom_state(perception, label, volume, resolution) | turn
        for label, volume in coarse.items()
    }
    yield from zoom_all(models, perception, states, sampling, watch.progress)


def scene_pass(
    models: Models,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    progress: Progress = silent,
) -> dict[int, Tensor]:
    """Coarse volume (R, R, R) of each instance in the scene's cube. The scene branch is row 0;
    instances only ever see that row.
    """
    rows = [CubeRow(label, np.eye(4)) for label in (None, *labels)]
    condition = encode(models, perception, rows)
    noise = label_noise(models, sampling.seed, [0, *labels])
    scene_of = torch.zeros(len(rows), dtype=torch.int64, device=noise.device)
    scene_of[0] = -1
    latents = sample(
        partial(models.generator.velocity, scene_of=scene_of),
        condition,
        noise,
        sampling.steps,
        sampling,
        partial(progress, "scene"),
    )
    volumes = (decode(models, latent[None])[0, 0] for latent in latents[1:])
    return dict(zip(labels, volumes))


def facing_the_view(
    models: Models, perception: Perception, coarse: dict[int, Tensor]
) -> tuple[dict[int, Tensor], State]:
    """Coarse volumes of a generator in the canonical frame (ablation) turned onto the photo, and
    their azimuth for the zoom's state.
    """
    if models.generator.config.frame != "canonical":
        return coarse, {}
    seen = {label: perception.points_in(label, np.eye(4)) for label in coarse}
    azimuth = view_azimuth(coarse, seen)
    turned = {label: turn_volume(volume[None], azimuth)[0] for label, volume in coarse.items()}
    return turned, {"azimuth": np.array(azimuth)}


ISCENE = EmbeddedMethod("iscene", make_iscene, zoom_again, ("generator", "volume-vae"), Models)
