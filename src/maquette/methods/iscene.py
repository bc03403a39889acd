"""I-Scene (arXiv 2512.13683): the instance generator, reprogrammed to place what it makes by
looking at the whole scene.

Pass 1, scene: a scene branch and one branch per instance share weights, noise level and the
view-centric cube of the scene; instances attend to the scene branch in the middle blocks
(scene-context attention). It says where an instance is and roughly what. Pass 2, zoom: the same
network, in the instance's own cube, conditioned on the crop and on the coarse volume of pass 1,
makes the detail. (Ours: the paper's instances have as few voxels as they are small.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.volumes import turn_volume
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
from maquette.scene.azimuth import view_azimuth
from maquette.scene.latents import decode, draw_noise, encode, sample
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed
from maquette.scene.zoom import zoom_all, zoom_pass, zoom_state


def generate_iscene(
    models: Models,
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
        scene_pass(models, image, perception, visible, seed, sampling, progress) if visible else {}
    )
    coarse, turn = facing_the_view(models, perception, coarse)
    states = {
        label: zoom_state(models, perception, label, coarse[label]) | turn for label in visible
    }

    def make(label: int, drawn: int, state: dict[str, np.ndarray]) -> Shape:
        return zoom_pass(models, image, perception, label, drawn, state, sampling)

    return Outcome(zoom_all(states, seed, make, progress, on_shape), failures)


def scene_pass(
    models: Models,
    image: np.ndarray,
    perception: Perception,
    labels: Sequence[int],
    seed: int,
    sampling: Sampling,
    progress: Progress = silent,
) -> dict[int, Tensor]:
    """Coarse volume (R, R, R) of each instance in the scene's cube. The scene branch is row 0;
    instances only ever see that row.
    """
    rows: list[int | None] = [None, *labels]
    condition = encode(models, image, perception, [(label, np.eye(4), None) for label in rows])
    noise = draw_noise(
        models, [instance_seed(seed, 0 if label is None else label) for label in rows]
    )
    scene_of = torch.zeros(len(rows), dtype=torch.int64, device=noise.device)
    scene_of[0] = -1
    velocity_of = partial(models.generator.velocity, scene_of=scene_of)
    latents = sample(
        velocity_of,
        condition,
        noise,
        sampling.steps,
        sampling,
        lambda share: progress("scene", share),
    )
    return {
        label: decode(models, latents[row : row + 1])[0, 0]
        for row, label in enumerate(rows)
        if label is not None
    }


def facing_the_view(
    models: Models, perception: Perception, coarse: dict[int, Tensor]
) -> tuple[dict[int, Tensor], dict[str, np.ndarray]]:
    """Coarse volumes of a generator in the canonical frame (ablation) turned onto the photo, and
    their azimuth for the zoom's state.
    """
    if models.generator.config.frame != "canonical":
        return coarse, {}
    azimuth = view_azimuth(
        coarse, {label: perception.points_in(label, np.eye(4)) for label in coarse}
    )
    return {label: turn_volume(volume[None], azimuth)[0] for label, volume in coarse.items()}, {
        "azimuth": np.array(azimuth)
    }


ISCENE = Method("iscene", generate_iscene, zoom_pass, ("generator", "volume-vae"))
