"""ComboVerse (arXiv 2403.12409): every object alone, then spatially-aware score distillation
arranges them.

Stage 1, alone: what others hide of an object is painted by a text-to-image model
(scene/complete.py), and the instance generator makes it from that picture, without any knowledge of
the scene (scene/alone.py). Stage 2, layout: each starts over its box at its estimated depth,
without rotation; scale, rotation and translation descend on the reference loss (scene/arrange.py)
plus score distillation on random views with the photo's prompt (flow/distillation.py), in which the
attention to spatial words is multiplied by 25 (SSDS).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from maquette.errors import InputError
from maquette.geometry.transforms import transform_points
from maquette.methods.base import (
    Method,
    Models,
    OnShape,
    Outcome,
    Placed,
    Progress,
    Sampling,
    ignore,
    silent,
    visible_labels,
)
from maquette.models.generator import Generator
from maquette.models.image_encoder import GeometryNet
from maquette.models.image_prior import ImagePrior
from maquette.models.volume_vae import VolumeVAE
from maquette.scene.alone import Alone, lighter, make_alone, mean_depth, ray_azimuth, starting_place
from maquette.scene.arrange import (
    ArrangeOptions,
    Parts,
    Placements,
    arrange,
    parts_from_meshes,
    placements_from,
    reference_view,
    transforms,
)
from maquette.scene.complete import complete
from maquette.scene.describe import prompt_of
from maquette.scene.distil import Distillation, spatial_gain
from maquette.scene.perceive import Perception
from maquette.scene.place import instance_seed
from maquette.types import Failure, InstanceMask, SceneInput

LAYOUTS = (
    "none",
    "depth",
    "sds",
    "ssds",
)  # the paper's ablation: the start, reference loss alone, with SDS, with SSDS
MOVES = (
    "place",
    "scale",
    "rotation",
)  # and, with distillation, depth: one view alone says little about it
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
class Settings:
    """The options of this method."""

    layout: str = "ssds"
    iterations: int = 300
    prompt: str | None = None  # None = said from what is known
    views: int = 10  # random ones per iteration
    guidance: float = 100.0  # of distillation, as in DreamFusion; the paper does not tell
    reach: float | None = (
        # of an object's distance: how far the layout may correct an estimated depth; None = as in
        # the paper, any
        0.1
    )
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
                f"iterations {self.iterations}, views {self.views}, faces {self.faces}; expected at least 0, 1 and 4"
            )
        if self.prompt is not None and not self.prompt.strip():
            raise InputError(
                "the prompt is empty; say what the photo shows, such as 'a lamp on a box', or leave it out"
            )


@dataclass(frozen=True, eq=False)
class _Thing:
    """One object after the first stage."""

    label: int
    seed: int
    alone: Alone
    start: np.ndarray  # (4, 4) scene_from_alone
    warning: str

    def at(self, place: np.ndarray) -> Placed:
        """The object standing somewhere else, (4, 4) scene_from_alone."""
        mesh = self.alone.mesh.copy()
        mesh.vertices = transform_points(place, np.asarray(mesh.vertices, np.float64))
        return Placed(
            self.label,
            self.seed,
            mesh,
            {"start": self.start, "place": place},
            (self.warning,) if self.warning else (),
        )


def generate_comboverse(
    networks: ComboVerseModels,
    image: np.ndarray,
    perception: Perception,
    labels: Sequence[int],
    seed: int,
    sampling: Sampling,
    progress: Progress = silent,
    on_shape: OnShape = ignore,
    *,
    settings: Settings = Settings(),
) -> Outcome:
    """All instances of a photo (H, W, 3); on_shape sees each where it starts, then all every few
    seconds as they move.
    """
    visible, failures = visible_labels(perception, labels)
    things: list[_Thing] = []
    for done, label in enumerate(visible):
        progress("alone", done / len(visible))
        made = first_stage(
            networks, image, perception, label, instance_seed(seed, label), sampling, settings.fit
        )
        if isinstance(made, Failure):
            failures += (made,)
            continue
        things.append(made)
        on_shape(made.at(made.start))
    if not things:
        return Outcome((), failures)
    prompt = settings.prompt or prompt_of(image, perception, visible)
    places = second_stage(
        networks.prior, image, perception, things, prompt, seed, settings, progress, on_shape
    )
    shapes = tuple(thing.at(place) for thing, place in zip(things, places))
    for shape in shapes:
        on_shape(shape)
    return Outcome(
        shapes,
        failures,
        {
            "prompt": prompt,
            "layout": settings.layout,
            "iterations": settings.iterations,
            "views": settings.views,
        },
    )


def remake(
    networks: ComboVerseModels,
    image: np.ndarray,
    perception: Perception,
    label: int,
    seed: int,
    state: dict[str, np.ndarray],
    sampling: Sampling,
    *,
    settings: Settings = Settings(),
) -> Placed:
    """One instance painted and made anew, moved and turned from its start as the layout did.
    InputError when nothing comes out.
    """
    made = first_stage(networks, image, perception, label, seed, sampling, settings.fit)
    if isinstance(made, Failure):
        raise InputError(f"instance {label}: {made.reason}")
    same = np.array_equal(made.start, state["start"])
    place = state["place"] if same else state["place"] @ np.linalg.inv(state["start"]) @ made.start
    return replace(made.at(place), state=state)


def first_stage(
    networks: ComboVerseModels,
    image: np.ndarray,
    perception: Perception,
    label: int,
    seed: int,
    sampling: Sampling,
    fit: bool,
) -> _Thing | Failure:
    """One object alone, and where it starts."""
    completed = complete(networks.prior, image, perception, label, seed)
    camera = perception.camera
    box = completed.box
    yaw = ray_azimuth(camera, (box[:2] + box[2:]) / 2)
    alone = make_alone(
        networks.geometry,
        Models(networks.generator, networks.vae),
        completed,
        label,
        seed,
        sampling,
        yaw=yaw,
        fit=fit,
    )
    if alone is None:
        return Failure(label, "decode", "its volume holds no surface; try another seed")
    depth = mean_depth(
        camera, perception.points[perception.picture.labels == label].astype(np.float64)
    )
    return _Thing(label, seed, alone, starting_place(alone, box, depth, camera), completed.warning)


def second_stage(
    prior: ImagePrior | None,
    image: np.ndarray,
    perception: Perception,
    things: Sequence[_Thing],
    prompt: str,
    seed: int,
    settings: Settings,
    progress: Progress = silent,
    on_shape: OnShape = ignore,
) -> np.ndarray:
    """(N, 4, 4) places of the objects; exactly the start without iterations, and when the reference
    loss would end above the start's.
    """
    start = np.stack([thing.start for thing in things])
    if settings.layout == "none" or settings.iterations == 0:
        return start
    with torch.inference_mode(False), torch.enable_grad():
        parts = parts_from_meshes([lighter(thing.alone.mesh, settings.faces) for thing in things])
        masks = tuple(
            InstanceMask(thing.label, perception.label_map == thing.label) for thing in things
        )
        reference = reference_view(
            SceneInput(image, masks), [thing.label for thing in things], perception.camera
        )
        extra = (
            None
            if settings.layout == "depth"
            else distillation(prior, parts, prompt, seed, settings)
        )
        options = ArrangeOptions(
            settings.iterations,
            MOVES if extra is None else MOVES + ("depth",),
            reach=settings.reach,
        )
        shown = time.monotonic()

        def look(done: int, placements: Placements) -> None:
            nonlocal shown
            progress("layout", done / settings.iterations)
            if time.monotonic() - shown > SHOW_SECONDS and done < settings.iterations:
                for thing, place in zip(things, transforms(parts, placements)):
                    on_shape(thing.at(place))
                shown = time.monotonic()

        progress("layout", 0.0)
        found = arrange(
            parts, placements_from(parts, start), reference, options, extra=extra, progress=look
        )
        if (
            extra is not None and found.last > found.first
        ):  # where distillation pulled too far, the photo has the last word
            found = replace(arrange(parts, found.placements, reference, options), first=found.first)
        return transforms(parts, found.placements) if found.last <= found.first else start


def distillation(
    prior: ImagePrior | None, parts: Parts, prompt: str, seed: int, settings: Settings
) -> Distillation:
    """The second loss of the layouts "sds" and "ssds". InputError without a text-to-image model."""
    if prior is None:
        raise InputError(
            f"layout {settings.layout!r} needs text-to-image weights; choose layout depth or none"
        )
    gain = spatial_gain(prior, prompt) if settings.layout == "ssds" else None
    return Distillation(
        prior,
        parts,
        prompt,
        gain,
        settings.views,
        settings.guidance,
        torch.Generator().manual_seed(seed),
    )


def comboverse(**options: Any) -> Method:
    """The method with options of its own: the fields of ``Settings``. InputError for wrong ones."""
    settings = Settings(**options)
    sees = ("image-encoder", "generator", "volume-vae")
    paints = ("text-to-image",)
    needed, optional = (
        ((*sees, *paints), ()) if settings.layout in ("sds", "ssds") else (sees, paints)
    )
    make = partial(generate_comboverse, settings=settings)
    again = partial(remake, settings=settings)
    return Method(
        "comboverse", make, again, needed, ComboVerseModels, optional=optional, tuned=comboverse
    )


COMBOVERSE = comboverse()
