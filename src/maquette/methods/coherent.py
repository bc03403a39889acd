"""Coherent 3D Scene Diffusion (NeurIPS 2024): every object is a pose and a shape of parts, and all
of a scene are denoised together.

One pass of DDIM for the poses, one for the Gaussians of the parts, one for their latents; in each,
objects attend to each other (intra-scene attention). The centre of an object is the back-projection
of its offset at its distance; nothing else places it. PartShapes and the volume VAE make a volume
of the parts, which is turned to the axes of the scene. ``imagine_coherent`` samples the prior, no
photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from maquette.flow.sample import seeded_noise
from maquette.geometry.cameras import pitch_of, project
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import turn_volume
from maquette.methods.base import (
    Method,
    OnShape,
    Outcome,
    Progress,
    Sampling,
    Shape,
    ignore,
    silent,
    visible_labels,
)
from maquette.models.coherent import Coherent, Objects
from maquette.models.conditioning import instance_crop
from maquette.models.generator import Generator
from maquette.models.part_shapes import CANONICAL_SIZE, PartShapes
from maquette.models.pose_diffusion import Pose, Sight, object_cues, picture_box, visible_extent
from maquette.models.volume_vae import VolumeVAE
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed
from maquette.types import Camera

# of a photo's scene: at 1 a pose is a draw from what is likely, and a draw is wrong by more than
# the middle of it
TEMPERATURE = 0.25


@dataclass(frozen=True, eq=False)
class CoherentModels:
    """The denoisers, the shapes they make, and of the generator only the encoder of the crops."""

    scene: Coherent
    shapes: PartShapes
    generator: Generator
    vae: VolumeVAE


def generate_coherent(
    models: CoherentModels,
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
    if not visible:
        return Outcome((), failures)
    context, sight = look(models, image, perception, visible)
    seeds = [instance_seed(seed, label) for label in visible]
    made = models.scene.sample(
        context,
        (len(visible),),
        _noise(models, seeds, sampling),
        sampling.steps,
        sampling.guidance,
        lambda share: progress("scene", share),
    )
    shapes = []
    for row, shape in enumerate(shapes_of(models, made, sight, visible, seeds)):
        progress("objects", row / len(visible))
        shapes.append(shape)
        on_shape(shape)
    progress("objects", 1.0)
    return Outcome(tuple(shapes), failures)


def remake(
    models: CoherentModels,
    image: np.ndarray,
    perception: Perception,
    label: int,
    seed: int,
    state: dict[str, np.ndarray],
    sampling: Sampling,
) -> Shape:
    """One instance with another shape, at the pose it had."""
    context, sight = look(models, image, perception, [label])
    made = models.scene.sample(
        context, (1,), _noise(models, [seed], sampling), sampling.steps, sampling.guidance
    )
    pose = torch.from_numpy(state["pose"]).reshape(1, 1, -1).to(context)
    return next(
        iter(
            shapes_of(models, Objects(pose, made.gaussians, made.intrinsic), sight, [label], [seed])
        )
    )


def look(
    models: CoherentModels, image: np.ndarray, perception: Perception, labels: Sequence[int]
) -> tuple[Tensor, Sight]:
    """Context (N, M, C) of the objects, and how they are seen."""
    device = next(models.scene.parameters()).device
    camera = perception.camera
    picture = perception.picture
    masks = [picture.labels == label for label in labels]
    surfaces = [perception.points[mask] for mask in masks]
    sight = camera_sight(
        camera,
        np.stack([picture_box(mask) for mask in masks]),
        np.stack([visible_extent(points, camera) for points in surfaces]),
    ).to(device)
    crops = np.stack(
        [
            instance_crop(image, perception.label_map, label, models.generator.config.picture.size)
            for label in labels
        ]
    )
    cues = np.stack(
        [
            object_cues(box, points, float(sight.depth[0]), pitch_of(camera), float(sight.focal[0]))
            for points, box in zip(surfaces, sight.boxes.cpu().numpy())
        ]
    )
    tokens = models.generator.picture(torch.from_numpy(crops).to(device))
    return models.scene.context(tokens, torch.from_numpy(cues).to(device)), sight


def camera_sight(camera: Camera, boxes: np.ndarray, surfaces: np.ndarray) -> Sight:
    """How objects with 2-D boxes (N, 4) and visible surfaces (N, 4) are seen by a camera in the
    scene frame.
    """
    count = len(boxes)
    focal = camera.intrinsics[0, 0] / max(camera.width, camera.height)
    depth = max(float(project(camera, np.zeros(3))[1]), 1e-3)
    pose = torch.from_numpy(camera.world_from_camera).float().expand(count, 4, 4)
    measured = (torch.from_numpy(np.asarray(values, np.float32)) for values in (boxes, surfaces))
    return Sight(
        torch.full((count,), float(focal)),
        torch.full((count,), depth),
        pose,
        *measured,
        torch.ones(count, dtype=torch.bool),
    )


def _noise(models: CoherentModels, seeds: Sequence[int], sampling: Sampling) -> Objects:
    noise = sampling.temperature * seeded_noise((models.scene.count,), seeds)
    return models.scene.split(noise.to(next(models.scene.parameters()).device))


def shapes_of(
    models: CoherentModels, made: Objects, sight: Sight, labels: Sequence[int], seeds: Sequence[int]
):
    """The Shape of each object, one after the other (a generator)."""
    pose = Pose.of(made.pose[:, 0], sight)
    gaussians = models.shapes.gaussians_from(made.gaussians)
    intrinsic = models.shapes.intrinsic_from(made.intrinsic)
    latents = models.shapes.decode(gaussians, intrinsic)
    for row, (label, seed) in enumerate(zip(labels, seeds)):
        canonical = models.vae.decode(latents[row : row + 1])[0].float().cpu()
        yaw = float(pose.yaw[row]) if models.scene.config.yaw else 0.0
        longest = min(
            max(float(pose.size[row].max()), 0.02), 1.0
        )  # nothing is larger than the scene
        volume, cube = turned(
            canonical, pose.centre[row].double().cpu().numpy(), longest / CANONICAL_SIZE, yaw
        )
        yield Shape(
            label,
            seed,
            volume,
            cube,
            {"scene_from_cube": cube, "pose": made.pose[row, 0].float().cpu().numpy()},
        )


def turned(
    volume: Tensor, centre: np.ndarray, side: float, yaw: float
) -> tuple[Tensor, np.ndarray]:
    """A volume (4, R, R, R) of an object's own cube, resampled to the smallest cube with the
    scene's axes that holds what it can hold.

    Returns it with its ``scene_from_cube`` (4, 4). Signed distances stay in units of the new cube's
    truncation.
    """
    growth = float(np.abs(np.cos(yaw)) + np.abs(np.sin(yaw)))
    return turn_volume(volume, yaw, growth), similarity(growth * side, None, centre)


def imagine_coherent(
    models: CoherentModels, camera: Camera, count: int, seed: int, sampling: Sampling
) -> tuple[Shape, ...]:
    """A scene of ``count`` objects from the prior alone, as a camera of the scene frame would see
    it: no photo, no boxes.
    """
    nothing = np.zeros((count, 4))
    sight = (
        camera_sight(camera, nothing, nothing)
        .unseen(torch.ones(count, dtype=torch.bool))
        .to(next(models.scene.parameters()).device)
    )
    tokens = models.generator.config.picture.tokens + 1  # the cues are one more
    context = torch.zeros(
        count, tokens, models.scene.config.context_width, device=sight.boxes.device
    )
    seeds = [instance_seed(seed, label) for label in range(1, count + 1)]
    made = models.scene.sample(
        context, (count,), _noise(models, seeds, replace(sampling, temperature=1.0)), sampling.steps
    )
    return tuple(shapes_of(models, made, sight, range(1, count + 1), seeds))


COHERENT = Method(
    "coherent",
    generate_coherent,
    remake,
    ("coherent", "shapes", "generator", "volume-vae"),
    CoherentModels,
    Sampling(steps=100, zoom_steps=100, temperature=TEMPERATURE),
)
