"""Coherent 3D Scene Diffusion (NeurIPS 2024): every object is a pose and a shape of parts, and all
of a scene are denoised together.

One pass of DDIM for the poses, one for the Gaussians of the parts, one for their latents; in each,
objects attend to each other (intra-scene attention). The centre of an object is the back-projection
of its offset at its distance; nothing else places it. PartShapes and the volume VAE make a volume
of the parts, which is turned to the axes of the scene. ``imagine_coherent`` samples the prior, no
photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maquette.flow.sample import seeded_noise
from maquette.geometry.cameras import pitch_of, project
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import turn_volume
from maquette.methods.base import (
    EmbeddedMethod,
    Made,
    ObjectVolume,
    Sampling,
    State,
    Watch,
)
from maquette.models.coherent import Coherent, Objects
from maquette.models.conditioning import instance_crop
from maquette.models.generator import Generator
from maquette.models.part_shapes import CANONICAL_SIZE, PartShapes
from maquette.models.pose_diffusion import Pose, Sight, object_cues, picture_box, visible_extent
from maquette.models.volume_vae import VolumeVAE
from maquette.stages.perceive import Perception
from maquette.stages.seeds import instance_seed
from maquette.types import Camera

# of a photo's scene: at 1 a pose is a draw from what is likely, and a draw is wrong by more than
# the middle of it
TEMPERATURE = 0.25
SMALLEST = 0.02  # scene units; the least longest side of an object


@dataclass(frozen=True, eq=False)
class CoherentModels:
    """The denoisers, the shapes they make, and of the generator only the encoder of the crops."""

    scene: Coherent
    shapes: PartShapes
    generator: Generator
    vae: VolumeVAE

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(self.scene.parameters()).device


def make_coherent(
    models: CoherentModels,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    watch: Watch,
) -> Iterator[Made]:
    """The instances of a photo."""
    context, sight = look(models, perception, labels)
    noise = _noise(models, labels, sampling)
    steps = (sampling.steps, sampling.guidance, partial(watch.progress, "scene"))
    made = models.scene.sample(context, (len(labels),), noise, *steps)
    for done, volume in enumerate(volumes_of(models, made, sight, labels, sampling.seed)):
        watch.progress("objects", done / len(labels))
        yield volume
    watch.progress("objects", 1.0)


def remake(
    models: CoherentModels,
    perception: Perception,
    label: int,
    state: State,
    sampling: Sampling,
) -> ObjectVolume:
    """One instance with another shape, at the pose it had."""
    context, sight = look(models, perception, [label])
    noise = _noise(models, [label], sampling)
    made = models.scene.sample(context, (1,), noise, sampling.steps, sampling.guidance)
    pose = torch.from_numpy(state["pose"]).reshape(1, 1, -1).to(context)
    posed = Objects(pose, made.gaussians, made.intrinsic)
    return next(volumes_of(models, posed, sight, [label], sampling.seed))


def look(
    models: CoherentModels, perception: Perception, labels: Sequence[int]
) -> tuple[Tensor, Sight]:
    """Context (N, M, C) of the objects, and how they are seen."""
    camera = perception.camera
    masks = [perception.picture.labels == label for label in labels]
    surfaces = [perception.points[mask] for mask in masks]
    boxes = np.stack([picture_box(mask) for mask in masks])
    sight = camera_sight(
        camera, boxes, np.stack([visible_extent(points, camera) for points in surfaces])
    ).to(models.device)
    size = models.generator.config.picture.size
    crops = [instance_crop(perception.photo, perception.label_map, label, size) for label in labels]
    view = (float(sight.depth[0]), pitch_of(camera), float(sight.focal[0]))
    boxes = sight.boxes.cpu().numpy()
    cues = [object_cues(box, points, *view) for points, box in zip(surfaces, boxes)]
    pictures, told = (torch.from_numpy(np.stack(a)).to(models.device) for a in (crops, cues))
    return models.scene.context(models.generator.picture(pictures), told), sight


def camera_sight(camera: Camera, boxes: np.ndarray, surfaces: np.ndarray) -> Sight:
    """How objects with 2-D boxes (N, 4) and visible surfaces (N, 4) are seen by a camera in the
    scene frame.
    """
    count = len(boxes)
    focal = float(camera.focal / max(camera.size))
    depth = max(float(project(camera, np.zeros(3))[1]), 1e-3)
    pose = torch.from_numpy(camera.world_from_camera).float()
    return Sight(
        focal=torch.full((count,), focal),
        depth=torch.full((count,), depth),
        scene_from_camera=pose.expand(count, 4, 4),
        boxes=_single(boxes),
        surface=_single(surfaces),
        seen=torch.ones(count, dtype=torch.bool),
    )


def _single(values: np.ndarray) -> Tensor:
    """An array as a float32 tensor."""
    return torch.from_numpy(np.asarray(values, np.float32))


def _noise(models: CoherentModels, labels: Sequence[int], sampling: Sampling) -> Objects:
    """Each object's noise, from its own seed."""
    seeds = [instance_seed(sampling.seed, label) for label in labels]
    noise = sampling.temperature * seeded_noise((models.scene.count,), seeds)
    return models.scene.split(noise.to(models.device))


def volumes_of(
    models: CoherentModels,
    made: Objects,
    sight: Sight,
    labels: Sequence[int],
    seed: int,
) -> Iterator[ObjectVolume]:
    """The volume of each object, one after the other."""
    pose = Pose.of(made.pose[:, 0], sight)
    gaussians = models.shapes.gaussians_from(made.gaussians)
    latents = models.shapes.decode(gaussians, models.shapes.intrinsic_from(made.intrinsic))
    for row, label in enumerate(labels):
        canonical = models.vae.decode(latents[row : row + 1])[0].float().cpu()
        yaw = float(pose.yaw[row]) if models.scene.config.yaw else 0.0
        # nothing is larger than the scene
        longest = min(max(float(pose.size[row].max()), SMALLEST), 1.0)
        centre = pose.centre[row].cpu().double().numpy()
        volume, cube = turned(canonical, centre, longest / CANONICAL_SIZE, yaw)
        state = {"scene_from_cube": cube, "pose": made.pose[row, 0].float().cpu().numpy()}
        yield ObjectVolume(label, instance_seed(seed, label), volume, cube, state)


def turned(
    volume: Tensor,
    centre: np.ndarray,
    side: float,
    yaw: float,
) -> tuple[Tensor, np.ndarray]:
    """A volume (4, R, R, R) of an object's own cube, resampled to the smallest cube with the
    scene's axes that holds what it can hold.

    Returns it with its ``scene_from_cube`` (4, 4). Signed distances stay in units of the new cube's
    truncation.
    """
    growth = float(np.abs(np.cos(yaw)) + np.abs(np.sin(yaw)))
    return turn_volume(volume, yaw, growth), similarity(growth * side, None, centre)


def imagine_coherent(
    models: CoherentModels,
    camera: Camera,
    count: int,
    sampling: Sampling,
) -> Iterator[ObjectVolume]:
    """A scene of ``count`` objects from the prior alone, as a camera of the scene frame would see
    it: no photo, no boxes.
    """
    labels = range(1, count + 1)
    nothing = np.zeros((count, 4))
    unseen = torch.ones(count, dtype=torch.bool)
    sight = camera_sight(camera, nothing, nothing).unseen(unseen).to(models.device)
    tokens = models.generator.config.picture.tokens + 1  # the cues are one more
    context = torch.zeros(count, tokens, models.scene.config.context_width, device=models.device)
    noise = _noise(models, labels, replace(sampling, temperature=1.0))
    made = models.scene.sample(context, (count,), noise, sampling.steps)
    return volumes_of(models, made, sight, labels, sampling.seed)


COHERENT = EmbeddedMethod(
    "coherent",
    make_coherent,
    remake,
    ("coherent", "shapes", "generator", "volume-vae"),
    CoherentModels,
    Sampling(
        steps=100,
        zoom_steps=100,
        temperature=TEMPERATURE,
    ),
)
