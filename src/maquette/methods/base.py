"""What every method is given and what it returns, and what a method is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import trimesh

from maquette.scene.latents import Models, Sampling, Shape
from maquette.scene.perceive import Perception
from maquette.types import Failure

__all__ = [
    "Method",
    "Models",
    "OnShape",
    "Outcome",
    "Placed",
    "Progress",
    "Sampling",
    "Shape",
    "ignore",
    "silent",
    "visible_labels",
]


@dataclass(frozen=True, eq=False)
class Placed:
    """One instance as a finished mesh, from a method that arranges meshes: it is neither held to
    the photo nor coloured again.
    """

    label: int
    seed: int
    mesh: trimesh.Trimesh  # coloured, scene frame
    state: dict[str, np.ndarray]  # for regenerate()
    warnings: tuple[str, ...] = ()  # for people


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method makes of a photo."""

    shapes: tuple[Shape | Placed, ...]
    failures: tuple[Failure, ...] = ()
    record: dict[str, Any] = field(
        default_factory=dict
    )  # what it decided itself, such as its prompt; joins the options in provenance


Progress = Callable[[str, float], None]  # stage, share done in [0, 1]
OnShape = Callable[
    [Shape | Placed], None
]  # called with each shape as soon as it exists, and again when it has moved


@dataclass(frozen=True)
class Method:
    """A way from a perceived photo to volumes: two functions, and the weights they need.

    generate(networks, image, perception, labels, seed, sampling, progress, on_shape) -> Outcome
    makes all instances of a photo (H, W, 3), and calls on_shape with each Shape as soon as it
    exists, so that it can be meshed and shown; the Outcome holds them all. remake(networks, image,
    perception, label, seed, state, sampling) -> Shape makes one of them anew from the state it
    left. Both may make Placed meshes instead.
    """

    name: str
    generate: Callable[..., Outcome]
    remake: Callable[..., Shape]
    kinds: tuple[str, ...]  # of the weights files; only these are loaded
    networks: Callable[..., Any] = (
        Models  # the loaded models, in the order of ``kinds`` -> what the functions are given
    )
    sampling: Sampling = field(default_factory=Sampling)  # its defaults
    optional: tuple[str, ...] = ()  # kinds that come last and are used when they are there
    tuned: Callable[..., Method] | None = (
        None  # options of its own (and ``fit``) by name -> the method with these
    )


def silent(stage: str, share: float) -> None:
    """The progress callback of those who do not look."""


def ignore(made: object) -> None:
    """The callback of those who wait for the whole result."""


def visible_labels(
    perception: Perception, labels: Sequence[int]
) -> tuple[list[int], tuple[Failure, ...]]:
    """The labels that have a pixel at the working size, and a Failure for each of the others."""
    shown = set(np.unique(perception.picture.labels).tolist())
    reason = "its mask covers no pixel at the working resolution; use a larger photo or mask"
    return [label for label in labels if label in shown], tuple(
        Failure(label, "lift", reason) for label in labels if label not in shown
    )
