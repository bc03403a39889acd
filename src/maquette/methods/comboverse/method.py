"""ComboVerse (arXiv 2403.12409): every object alone, then spatially-aware score distillation
arranges them.

Stage 1, alone: what others hide of an object is painted by a text-to-image model (``complete``),
and the instance generator makes it from that picture, without any knowledge of the scene
(``alone``). Stage 2, layout: each starts over its box at its estimated depth, without rotation;
scale, rotation and translation descend on the reference loss (``arrange``) plus score distillation
on random views with the photo's prompt (``distil``), in which the attention to spatial words is
multiplied by 25 (SSDS).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from maquette.errors import InputError
from maquette.geometry.boxes import middle_of
from maquette.geometry.transforms import transform_points
from maquette.methods.base import (
    EmbeddedMethod,
    Made,
    Models,
    PlacedMesh,
    Sampling,
    State,
    Watch,
)
from maquette.methods.comboverse.alone import (
    Alone,
    lighter,
    make_alone,
    mean_depth,
    ray_azimuth,
    starting_place,
)
from maquette.methods.comboverse.arrange import (
    ArrangeOptions,
    MeshParts,
    Placements,
    arrange,
    parts_from_meshes,
    placements_from,
    reference_view,
    transforms,
)
from maquette.methods.comboverse.complete import complete
from maquette.methods.comboverse.describe import prompt_of
from maquette.methods.comboverse.distil import Distillation, spatial_gain
from maquette.models.generator import Generator
from maquette.models.image_encoder import GeometryNet
from maquette.models.image_prior import ImagePrior
from maquette.models.volume_vae import VolumeVAE
from maquette.stages.perceive import Perception
from maquette.stages.seeds import instance_seed
from maquette.types import Failure, InstanceMask, SceneInput

# the paper's ablation: the start, reference loss alone, with SDS, with SSDS
LAYOUTS = ("none", "depth", "sds", "ssds")
DISTILLED = ("sds", "ssds")
# and, with distillation, depth: one view alone says little about it
ONE_VIEW_MOVES = ("place", "scale", "rotation")
SHOW_SECONDS = 3.0  # between two looks at the layout


@dataclass(frozen=True, eq=False)
class ComboVerseModels:
    """What sees and makes one object, and the text-to-image model; without it nothing is painted or
    distilled.
    """

    geometry: GeometryNet
    generator: Generator
    vae: VolumeVAE
    prior: ImagePrior | None = None


@dataclass(frozen=True)
class ComboVerseOptions:
    """The options of this method."""

    layout: str = "ssds"
    iterations: int = 300
    prompt: str | None = None  # None = said from what is known
    views: int = 10  # random ones per iteration
    guidance: float = 100.0  # of distillation, as in DreamFusion; the paper does not tell
    # of an object's distance: how far the layout may correct an estimated depth; None = as in the
    # paper, any
    reach: float | None = 0.1
    faces: int = 800  # of each mesh while it is moved; the result keeps all
    fit: bool = True  # hold each object to its own picture
    prior: str | None = None  # folder that the text-to-image model came from; None = embedded

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise InputError(f"unknown layout {self.layout!r}; choose from {', '.join(LAYOUTS)}")
        if self.reach is not None and not self.reach > 0:
            raise InputError(f"reach {self.reach}; expected a positive share such as 0.1, or None")
        if self.iterations < 0 or self.views < 1 or self.faces < 4:
            raise InputError(
                f"iterations {self.iterations}, views {self.views}, faces {self.faces}; "
                "expected at least 0, 1 and 4"
            )
        if self.prompt is not None and not self.prompt.strip():
            raise InputError(
                "the prompt is empty; say what the photo shows, such as 'a lamp on a box', "
                "or leave it out"
            )


@dataclass(frozen=True, eq=False)
class _FirstStageObject:
    """One object after the first stage."""

    label: int
    seed: int
    alone: Alone
    start: np.ndarray  # (4, 4) scene_from_alone
    warning: str

    def at(self, place: np.ndarray) -> PlacedMesh:
        """The object standing somewhere else, (4, 4) scene_from_alone."""
        mesh = self.alone.mesh.copy()
        mesh.vertices = transform_points(place, np.asarray(mesh.vertices, np.float64))
        state = {"start": self.start, "place": place}
        warnings = (self.warning,) if self.warning else ()
        return PlacedMesh(self.label, self.seed, mesh, state, warnings)


def make_comboverse(
    networks: ComboVerseModels,
    perception: Perception,
    labels: Sequence[int],
    sampling: Sampling,
    watch: Watch,
    *,
    options: ComboVerseOptions = ComboVerseOptions(),
) -> Iterator[Made]:
    """The instances of a photo: each where it starts, then each where it stands in the end."""
    things: list[_FirstStageObject] = []
    for done, label in enumerate(labels):
        watch.progress("alone", done / len(labels))
        thing = first_stage(networks, perception, label, sampling, options.fit)
        if isinstance(thing, Failure):
            yield thing
        else:
            things.append(thing)
            yield thing.at(thing.start)
    if not things:
        return
    prompt = options.prompt or prompt_of(perception.photo, perception, labels)
    decided = {name: getattr(options, name) for name in ("layout", "iterations", "views")}
    watch.decided({"prompt": prompt, **decided})
    options = replace(options, prompt=prompt)
    places = second_stage(networks.prior, perception, things, sampling.seed, options, watch)
    for thing, place in zip(things, places):
        yield thing.at(place)


def remake(
    networks: ComboVerseModels,
    perception: Perception,
    label: int,
    state: State,
    sampling: Sampling,
    *,
    options: ComboVerseOptions = ComboVerseOptions(),
) -> PlacedMesh:
    """One instance painted and made anew, moved and turned from its start as the layout did.
    InputError when nothing comes out.
    """
    thing = first_stage(networks, perception, label, sampling, options.fit)
    if isinstance(thing, Failure):
        raise InputError(f"instance {label}: {thing.reason}")
    place = state["place"]
    if not np.array_equal(thing.start, state["start"]):
        place = place @ np.linalg.inv(state["start"]) @ thing.start
    return replace(thing.at(place), state=state)


def first_stage(
    networks: ComboVerseModels,
    perception: Perception,
    label: int,
    sampling: Sampling,
    fit: bool,
) -> _FirstStageObject | Failure:
    """One object alone, and where it starts."""
    seed = instance_seed(sampling.seed, label)
    completed = complete(networks.prior, perception, label, seed)
    camera = perception.camera
    box = completed.box
    alone = make_alone(
        networks.geometry,
        Models(networks.generator, networks.vae),
        completed,
        label,
        sampling,
        yaw=ray_azimuth(camera, middle_of(box)),
        fit=fit,
        revolve=label in perception.shapes,  # the photo decides, and who asked for none of it
    )
    if alone is None:
        return Failure(label, "decode", "its volume holds no surface; try another seed")
    surface = perception.points[perception.picture.labels == label].astype(np.float64)
    start = starting_place(alone, box, mean_depth(camera, surface), camera)
    return _FirstStageObject(label, seed, alone, start, completed.warning)


def second_stage(
    prior: ImagePrior | None,
    perception: Perception,
    things: Sequence[_FirstStageObject],
    seed: int,
    options: ComboVerseOptions,
    watch: Watch,
) -> np.ndarray:
    """(N, 4, 4) places of the objects; exactly the start without iterations, and when the reference
    loss would end above the start's.
    """
    start = np.stack([thing.start for thing in things])
    if options.layout == "none" or options.iterations == 0:
        return start
    with torch.inference_mode(False), torch.enable_grad():
        parts = parts_from_meshes([lighter(thing.alone.mesh, options.faces) for thing in things])
        labels = [thing.label for thing in things]
        masks = tuple(InstanceMask(label, perception.label_map == label) for label in labels)
        given = SceneInput(perception.photo, masks)
        reference = reference_view(given, labels, perception.camera)
        extra = distillation(prior, parts, seed, options)
        moves = ONE_VIEW_MOVES if extra is None else (*ONE_VIEW_MOVES, "depth")
        descent = ArrangeOptions(options.iterations, moves, reach=options.reach)
        shown = time.monotonic()

        def look(done: int, placements: Placements) -> None:
            nonlocal shown
            watch.progress("layout", done / options.iterations)
            if time.monotonic() - shown > SHOW_SECONDS and done < options.iterations:
                for thing, place in zip(things, transforms(parts, placements)):
                    watch.moved(thing.at(place))
                shown = time.monotonic()

        watch.progress("layout", 0.0)
        placements = placements_from(parts, start)
        found = arrange(parts, placements, reference, descent, extra=extra, progress=look)
        if extra is not None and found.last > found.first:
            # where distillation pulled too far, the photo has the last word
            again = arrange(parts, found.placements, reference, descent)
            found = replace(again, first=found.first)
        return transforms(parts, found.placements) if found.last <= found.first else start


def distillation(
    prior: ImagePrior | None,
    parts: MeshParts,
    seed: int,
    options: ComboVerseOptions,
) -> Distillation | None:
    """The second loss of the layouts "sds" and "ssds"; None for the others. InputError without a
    text-to-image model.
    """
    if options.layout not in DISTILLED:
        return None
    if prior is None:
        raise InputError(
            f"layout {options.layout!r} needs text-to-image weights; choose layout depth or none"
        )
    prompt = options.prompt or ""
    gain = spatial_gain(prior, prompt) if options.layout == "ssds" else None
    generator = torch.Generator().manual_seed(seed)
    return Distillation(prior, parts, prompt, gain, options.views, options.guidance, generator)


def comboverse(**chosen: Any) -> EmbeddedMethod[ComboVerseModels]:
    """The method with options of its own: the fields of ``ComboVerseOptions``. InputError for wrong
    ones.
    """
    options = ComboVerseOptions(**chosen)
    sees = ("image-encoder", "generator", "volume-vae")
    paints = ("text-to-image",)
    distils = options.layout in DISTILLED
    return EmbeddedMethod(
        "comboverse",
        partial(make_comboverse, options=options),
        partial(remake, options=options),
        (*sees, *paints) if distils else sees,
        ComboVerseModels,
        optional=() if distils else paints,
        tuned=comboverse,
        painter=options.prior,
    )


COMBOVERSE = comboverse()
