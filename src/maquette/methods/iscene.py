"""I-Scene (arXiv 2512.13683): the instance generator, reprogrammed to place what it makes by looking at the whole scene.

Pass 1, scene: a scene branch and one branch per instance share weights, noise level and the view-centric cube of the scene;
instances attend to the scene branch in the middle blocks (scene-context attention). It says where an instance is and roughly what.
Pass 2, zoom: the same network, in the instance's own cube, conditioned on the crop and on the coarse volume of pass 1, makes the
detail. (Ours: the paper's instances have as few voxels as they are small.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maquette.flow.guidance import guide
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres, lift_view, sample_volume
from maquette.methods.base import Models, Outcome, Progress, Sampling, Shape, silent
from maquette.models.conditioning import instance_crop
from maquette.models.generator import COARSE_CHANNELS, Condition
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed
from maquette.types import Failure

ZOOM_MARGIN = 1.2  # side of the zoom cube over the longest side of the box of what is known of the instance
CHUNK = 4  # sequences that are encoded or decoded at once, to bound memory


def generate_iscene(models: Models, image: np.ndarray, perception: Perception, labels: Sequence[int], seed: int, sampling: Sampling,
                    progress: Progress = silent) -> Outcome:  # fmt: skip
    """All instances of a photo (H, W, 3). An instance without a pixel at the working size is a Failure."""
    visible = [label for label in labels if (perception.picture.labels == label).any()]
    failures = [Failure(label, "lift", "its mask covers no pixel at the working resolution; use a larger photo or mask")
                for label in labels if label not in visible]  # fmt: skip
    coarse = scene_pass(models, image, perception, visible, seed, sampling, progress) if visible else {}
    shapes = []
    for done, label in enumerate(visible):
        progress("objects", done / len(visible))
        cube = zoom_cube(coarse[label], perception.visible_box(label))
        state = {"scene_from_cube": cube, "coarse": coarse_in_cube(coarse[label], cube, models.generator.config.flow.lift_resolution)}
        shapes.append(zoom_pass(models, image, perception, label, instance_seed(seed, label), state, sampling))
    progress("objects", 1.0)
    return Outcome(tuple(shapes), tuple(failures))


def scene_pass(models: Models, image: np.ndarray, perception: Perception, labels: Sequence[int], seed: int, sampling: Sampling,
               progress: Progress = silent) -> dict[int, Tensor]:  # fmt: skip
    """Coarse volume (R, R, R) of each instance in the scene's cube. The scene branch is row 0; instances only ever see that row."""
    rows: list[int | None] = [None, *labels]
    condition = encode(models, image, perception, [(label, np.eye(4), None) for label in rows])
    noise = draw_noise(models, [instance_seed(seed, 0 if label is None else label) for label in rows])
    scene_of = torch.zeros(len(rows), dtype=torch.int64, device=noise.device)
    scene_of[0] = -1
    latents = sample(models, condition, noise, sampling.steps, sampling, scene_of, lambda share: progress("scene", share))
    return {label: decode(models, latents[row : row + 1])[0, 0] for row, label in enumerate(rows) if label is not None}


def zoom_pass(models: Models, image: np.ndarray, perception: Perception, label: int, seed: int, state: dict[str, np.ndarray],
              sampling: Sampling) -> Shape:  # fmt: skip
    """One instance in its own cube, from the state that ``generate_iscene`` stored; regenerate() calls this with another seed."""
    cube = state["scene_from_cube"]
    condition = encode(models, image, perception, [(label, cube, torch.from_numpy(state["coarse"]).float())])
    latent = sample(models, condition, draw_noise(models, [seed]), sampling.zoom_steps, sampling, None)
    return Shape(label, seed, decode(models, latent)[0], cube, state)


def zoom_cube(coarse: Tensor, visible: np.ndarray | None) -> np.ndarray:
    """(4, 4) scene_from_cube around the coarse volume's box joined with the visible surface's box."""
    inside = torch.nonzero(coarse < 0).numpy()
    boxes = [] if visible is None else [visible]
    if len(inside):
        centres = (inside + 0.5) / coarse.shape[0] - 0.5
        half = 0.5 / coarse.shape[0]
        boxes.append(np.stack([np.quantile(centres, 0.01, axis=0) - half, np.quantile(centres, 0.99, axis=0) + half]))
    low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
    return similarity(max(ZOOM_MARGIN * float((high - low).max()), 0.02), None, (low + high) / 2)


def coarse_in_cube(coarse: Tensor, cube: np.ndarray, resolution: int) -> np.ndarray:
    """(G, G, G) float16 the coarse TSDF resampled to a zoom cube, in units of that cube's truncation."""
    points = cell_centres(resolution) * float(cube[0, 0]) + torch.from_numpy(cube[:3, 3]).float()
    return (sample_volume(coarse[None], points)[0] / float(cube[0, 0])).clamp(-1, 1).half().numpy()


Row = tuple[int | None, np.ndarray, Tensor | None]  # label (None = the scene branch), scene_from_cube, coarse volume


def encode(models: Models, image: np.ndarray, perception: Perception, rows: Sequence[Row]) -> Condition:
    """What every step needs to know of the rows' picture."""
    config, view = models.generator.config, perception.view()
    device = next(models.generator.parameters()).device
    grid, channels = config.flow.lift_resolution, config.flow.lift_channels
    parts = []
    for start in range(0, len(rows), CHUNK):
        crops, lifted = [], []
        for label, cube, coarse in rows[start : start + CHUNK]:
            crops.append(torch.from_numpy(instance_crop(image, perception.label_map, label, config.picture.size)))
            row = torch.zeros(channels, grid, grid, grid)
            row[:-COARSE_CHANNELS] = lift_view(view, torch.from_numpy(cube), label, grid)
            if coarse is not None:
                row[-3], row[-2] = coarse, 1.0
            row[-1] = float(label is None)
            lifted.append(row)
        parts.append(models.generator.encode(torch.stack(crops).to(device), torch.stack(lifted).to(device), models.vae))
    return Condition(torch.cat([p.context for p in parts]), tuple(torch.cat(tensors) for tensors in zip(*(p.lift for p in parts))))


def draw_noise(models: Models, seeds: Sequence[int]) -> Tensor:
    """Noise (N, channels, R, R, R) from one CPU generator per row, moved to the model's device."""
    flow = models.generator.config.flow
    return seeded_noise((flow.channels, *(flow.resolution,) * 3), seeds).to(next(models.generator.parameters()).device)


def sample(models: Models, condition: Condition, noise: Tensor, steps: int, sampling: Sampling, scene_of: Tensor | None,
           progress=lambda share: None) -> Tensor:  # fmt: skip
    """Integrate the flow from noise to latents."""
    generator = models.generator
    unconditional = generator.velocity(Condition(torch.zeros_like(condition.context), condition.lift), scene_of)
    velocity = guide(generator.velocity(condition, scene_of), unconditional, sampling.guidance)
    return euler(velocity, noise, shifted_schedule(steps, sampling.shift), lambda step, x: progress((step + 1) / steps))


def decode(models: Models, latents: Tensor) -> Tensor:
    """Volumes (N, 4, R, R, R) on the CPU."""
    return torch.cat([models.vae.decode(part).float().cpu() for part in latents.split(CHUNK)])
