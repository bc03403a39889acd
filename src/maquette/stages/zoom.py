"""One object at full resolution in its own cube: the pass that gives every method its detail, and
``regenerate`` its second try.

In the flow: the state that ``crop`` left of an object -> lift, sample and decode -> its volume.
(Ours: in the papers an object has as few voxels as it is small.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from maquette.geometry.volumes import turn_volume
from maquette.stages.azimuth import view_azimuth
from maquette.stages.crop import State
from maquette.stages.decode import ObjectVolume, decode
from maquette.stages.lift import CubeRow, Models, encode
from maquette.stages.perceive import Perception
from maquette.stages.sample import Sampling, label_noise, sample
from maquette.stages.seeds import instance_seed

TOGETHER = 16  # instances in one batch on an accelerator; a processor gains nothing by a batch


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
    models: Models,
    perception: Perception,
    label: int,
    state: State,
    sampling: Sampling,
) -> ObjectVolume:
    """One instance anew, from the state it left."""
    return zoom_pass(models, perception, {label: state}, sampling)[0]


def zoom_pass(
    models: Models,
    perception: Perception,
    states: Mapping[int, State],
    sampling: Sampling,
) -> list[ObjectVolume]:
    """Some instances in one batch, each in its own cube and from its own noise."""
    canonical = models.generator.config.frame == "canonical"
    rows = [
        CubeRow(label, state["scene_from_cube"], _coarse(state, canonical))
        for label, state in states.items()
    ]
    condition = encode(models, perception, rows, zoomed=True)
    noise = label_noise(models, sampling.seed, list(states))
    latents = sample(models.generator.velocity, condition, noise, sampling.zoom_steps, sampling)
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


def _facing_the_view(
    volume: Tensor,
    perception: Perception,
    label: int,
    state: State,
) -> Tensor:
    """A volume (4, R, R, R) in the canonical frame, turned onto the photo."""
    if "azimuth" in state:
        return turn_volume(volume, float(state["azimuth"]))
    seen = perception.points_in(label, state["scene_from_cube"])
    return turn_volume(volume, view_azimuth({label: volume[0]}, {label: seen}))
