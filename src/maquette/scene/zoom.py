"""One object at full resolution in its own cube: the pass that gives every method its detail, and
``regenerate`` its second try.

In the flow: where an object is and, when a first pass knows it, roughly what -> the cube around it
-> its volume there. (Ours: in the papers an object has as few voxels as it is small.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres, sample_volume, turn_volume
from maquette.scene.azimuth import view_azimuth
from maquette.scene.latents import Models, Sampling, Shape, decode, draw_noise, encode, sample
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed

ZOOM_MARGIN = (
    1.2  # side of the zoom cube over the longest side of the box of what is known of the instance
)


def zoom_pass(
    models: Models,
    image: np.ndarray,
    perception: Perception,
    label: int,
    seed: int,
    state: dict[str, np.ndarray],
    sampling: Sampling,
) -> Shape:
    """One instance of a photo (H, W, 3) in its own cube.

    state: ``scene_from_cube`` (4, 4) and, when there is one, ``coarse`` (G, G, G), both saved with
    the scene; of a generator in the canonical frame also ``azimuth`` (), when a first pass has
    found it.
    """
    cube = state["scene_from_cube"]
    canonical = models.generator.config.frame == "canonical"
    coarse = torch.from_numpy(state["coarse"]).float() if "coarse" in state else None
    if canonical and coarse is not None:
        coarse = turn_volume(coarse[None], -float(state.get("azimuth", 0.0)))[0]
    condition = encode(models, image, perception, [(label, cube, coarse)])
    latent = sample(
        models.generator.velocity,
        condition,
        draw_noise(models, [seed]),
        sampling.zoom_steps,
        sampling,
    )
    volume = decode(models, latent)[0]
    if canonical:
        found = state.get("azimuth")
        azimuth = (
            float(found)
            if found is not None
            else view_azimuth({label: volume[0]}, {label: perception.points_in(label, cube)})
        )
        volume = turn_volume(volume, azimuth)
    return Shape(label, seed, volume, cube, state)


def zoom_all(
    states: Mapping[int, dict[str, np.ndarray]],
    seed: int,
    make: Callable[[int, int, dict[str, np.ndarray]], Shape],
    progress: Callable[[str, float], None],
    on_shape: Callable[[Shape], None],
) -> tuple[Shape, ...]:
    """Every instance in its own cube, one after the other; ``make`` is given a label, the seed of
    its noise and its state.
    """
    shapes: list[Shape] = []
    for done, (label, state) in enumerate(states.items()):
        progress("objects", done / len(states))
        shapes.append(make(label, instance_seed(seed, label), state))
        on_shape(shapes[-1])
    progress("objects", 1.0)
    return tuple(shapes)


def zoom_state(
    models: Models, perception: Perception, label: int, coarse: Tensor
) -> dict[str, np.ndarray]:
    """What ``zoom_pass`` needs, from the coarse volume (R, R, R) of an instance in the scene's
    cube.
    """
    cube = zoom_cube(coarse, perception.visible_box(label))
    return {
        "scene_from_cube": cube,
        "coarse": coarse_in_cube(coarse, cube, models.generator.config.flow.lift_resolution),
    }


def box_cube(boxes: list[np.ndarray]) -> np.ndarray:
    """(4, 4) scene_from_cube around boxes (2, 3), with a margin."""
    low = np.min([b[0] for b in boxes], axis=0)
    high = np.max([b[1] for b in boxes], axis=0)
    return similarity(max(ZOOM_MARGIN * float((high - low).max()), 0.02), None, (low + high) / 2)


def zoom_cube(coarse: Tensor, visible: np.ndarray | None) -> np.ndarray:
    """(4, 4) scene_from_cube around the coarse volume's box joined with the visible surface's box."""
    inside = torch.nonzero(coarse < 0).numpy()
    boxes = [] if visible is None else [visible]
    if len(inside):
        centres = (inside + 0.5) / coarse.shape[0] - 0.5
        half = 0.5 / coarse.shape[0]
        boxes.append(
            np.stack(
                [
                    np.quantile(centres, 0.01, axis=0) - half,
                    np.quantile(centres, 0.99, axis=0) + half,
                ]
            )
        )
    return box_cube(boxes)


def coarse_in_cube(coarse: Tensor, cube: np.ndarray, resolution: int) -> np.ndarray:
    """(G, G, G) float16 the coarse TSDF resampled to a zoom cube, in units of that cube's
    truncation.
    """
    points = cell_centres(resolution) * float(cube[0, 0]) + torch.from_numpy(cube[:3, 3]).float()
    return (sample_volume(coarse[None], points)[0] / float(cube[0, 0])).clamp(-1, 1).half().numpy()
