"""One object at full resolution in its own cube: the pass that gives every method its detail, and
``regenerate`` its second try.

In the flow: where an object is and, when a first pass knows it, roughly what -> the cube around it
-> its volume there. (Ours: in the papers an object has as few voxels as it is small.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.transforms import similarity
from maquette.geometry.volumes import cell_centres, sample_volume, turn_volume
from maquette.scene.azimuth import view_azimuth
from maquette.scene.latents import (
    CubeRow,
    Models,
    ObjectVolume,
    Sampling,
    decode,
    encode,
    label_noise,
    sample,
)
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed

# side of the zoom cube over the longest side of the box of what is known of the instance
ZOOM_MARGIN = 1.2
TOGETHER = 16  # instances in one batch on an accelerator; a processor gains nothing by a batch

# ``scene_from_cube`` (4, 4) and, when there is one, ``coarse`` (G, G, G), both saved with the
# scene; of a generator in the canonical frame also ``azimuth`` (), when a first pass has found it
State = dict[str, np.ndarray]


def zoom_all(
    models: Models,
    perception: Perception,
    states: Mapping[int, State],
    sampling: Sampling,
    progress: Callable[[str, float], None],
) -> Iterator[ObjectVolume]:
    """Every instance in its own cube, as soon as it is made."""
    labels = list(states)
    size = 1 if models.device.type == "cpu" else TOGETHER
    for done in range(0, len(labels), size):
        progress("objects", done / len(labels))
        part = {label: states[label] for label in labels[done : done + size]}
        yield from zoom_pass(models, perception, part, sampling)
    progress("objects", 1.0)


def zoom_again(
    models: Models, perception: Perception, label: int, state: State, sampling: Sampling
) -> ObjectVolume:
    """One instance anew, from the state it left."""
    return zoom_pass(models, perception, {label: state}, sampling)[0]


def zoom_pass(
    models: Models, perception: Perception, states: Mapping[int, State], sampling: Sampling
) -> list[ObjectVolume]:
    """Some instances in one batch, each in its own cube and from its own noise."""
    canonical = models.generator.config.frame == "canonical"
    rows = [
        CubeRow(label, state["scene_from_cube"], _coarse(state, canonical))
        for label, state in states.items()
    ]
    condition = encode(models, perception, rows)
    noise = label_noise(models, sampling.seed, list(states))
    velocity_of = models.generator.velocity
    latents = sample(velocity_of, condition, noise, sampling.zoom_steps, sampling)
    made = []
    for (label, state), volume in zip(states.items(), decode(models, latents)):
        cube = state["scene_from_cube"]
        if canonical:
            volume = _facing_the_view(volume, perception, label, state)
        made.append(ObjectVolume(label, instance_seed(sampling.seed, label), volume, cube, state))
    return made


def _coarse(state: State, canonical: bool) -> Tensor | None:
    """The first pass's volume (G, G, G) in the generator's own axes."""
    if "coarse" not in state:
        return None
    coarse = torch.from_numpy(state["coarse"]).float()
    if not canonical:
        return coarse
    return turn_volume(coarse[None], -float(state.get("azimuth", 0.0)))[0]


def _facing_the_view(volume: Tensor, perception: Perception, label: int, state: State) -> Tensor:
    """A volume (4, R, R, R) in the canonical frame, turned onto the photo."""
    if "azimuth" in state:
        return turn_volume(volume, float(state["azimuth"]))
    seen = perception.points_in(label, state["scene_from_cube"])
    return turn_volume(volume, view_azimuth({label: volume[0]}, {label: seen}))


def zoom_state(models: Models, perception: Perception, label: int, coarse: Tensor) -> State:
    """What ``zoom_pass`` needs, from the coarse volume (R, R, R) of an instance in the scene's
    cube.
    """
    cube = cube_around(coarse, perception.visible_box(label))
    resolution = models.generator.config.flow.lift_resolution
    return {"scene_from_cube": cube, "coarse": coarse_in_cube(coarse, cube, resolution)}


def box_cube(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """(4, 4) scene_from_cube around boxes (2, 3), with a margin."""
    low = np.min([b[0] for b in boxes], axis=0)
    high = np.max([b[1] for b in boxes], axis=0)
    side = ZOOM_MARGIN * float((high - low).max())
    return similarity(max(side, 0.02), None, (low + high) / 2)


def cube_around(coarse: Tensor, visible: np.ndarray | None) -> np.ndarray:
    """(4, 4) scene_from_cube around the coarse volume's box joined with the visible
    surface's box.
    """
    inside = torch.nonzero(coarse < 0).numpy()
    boxes = [] if visible is None else [visible]
    if len(inside):
        centres = (inside + 0.5) / len(coarse) - 0.5
        half = 0.5 / len(coarse)
        low, high = (np.quantile(centres, q, axis=0) for q in (0.01, 0.99))
        boxes.append(np.stack([low - half, high + half]))
    return box_cube(boxes)


def coarse_in_cube(coarse: Tensor, cube: np.ndarray, resolution: int) -> np.ndarray:
    """(G, G, G) float16 the coarse TSDF resampled to a zoom cube, in units of that cube's
    truncation.
    """
    side = float(cube[0, 0])
    points = cell_centres(resolution) * side + torch.from_numpy(cube[:3, 3]).float()
    return (sample_volume(coarse[None], points)[0] / side).clamp(-1, 1).half().numpy()
