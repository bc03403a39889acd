"""The contract of a method: which weights it needs, how its networks are opened, and what it makes
of a perceived photo.

In the flow: ``pipeline.generate`` -> ``Method.load`` -> ``Method.open`` -> ``OpenMethod.make`` ->
objects, which the pipeline meshes, colours, places and checks. ``generate`` knows nothing else of a
method. ``EmbeddedMethod`` (networks that maquette trains) and ``methods.published.PublishedMethod``
(those of a release) fulfil the contract; so does any class of yours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
import trimesh

from maquette.checkpoints.diffusers_prior import open_prior
from maquette.checkpoints.embedded import PAINTER, PERCEPTION, ModelSet, load_models
from maquette.hardware import multiplying, resolved_precision
from maquette.stages.crop import State
from maquette.stages.decode import ObjectVolume
from maquette.stages.lift import Models
from maquette.stages.perceive import Perception
from maquette.stages.sample import Sampling
from maquette.types import Failure, JsonObject, StrPath

__all__ = [
    "EmbeddedMethod",
    "Method",
    "Models",
    "ObjectVolume",
    "OpenMethod",
    "PlacedMesh",
    "Progress",
    "Sampling",
    "State",
    "UprightMesh",
    "Watch",
    "ignore",
    "silent",
    "visible_labels",
]

# ---- what a method makes


@dataclass(frozen=True, eq=False)
class PlacedMesh:
    """One instance as a finished mesh, from a method that arranges meshes: it is neither held to
    the photo nor coloured again.
    """

    label: int
    seed: int
    mesh: trimesh.Trimesh  # coloured, scene frame
    state: State  # for regenerate()
    warnings: tuple[str, ...] = ()  # for people


@dataclass(frozen=True, eq=False)
class UprightMesh:
    """One instance as a mesh (+Y up) of a model that does not tell its camera: the pipeline finds
    out where it stands.
    """

    label: int
    seed: int
    mesh: trimesh.Trimesh
    together: bool = True  # all in one cube, where they stand; False = each in a cube of its own
    coloured: bool = True  # False = the photo is the only colour there is


Made = ObjectVolume | PlacedMesh | UprightMesh | Failure

# ---- what it is given besides the photo

Progress = Callable[[str, float], None]  # stage, share done in [0, 1]


def silent(stage: str, share: float) -> None:
    """The progress callback of those who do not look."""


def ignore(made: object) -> None:
    """The callback of those who wait for the whole result."""


@dataclass(frozen=True)
class Watch:
    """Who looks on while a method works."""

    progress: Progress = silent
    # an object that was made has moved; what ``make`` gives for its label holds in the end
    moved: Callable[[PlacedMesh], None] = ignore
    # what the method decides itself, such as its prompt; joins the options in provenance
    decided: Callable[[JsonObject], None] = ignore


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the sampling; None = as the method does it."""

    seed: int = 0
    steps: int | None = None
    guidance: float | None = None  # v_u + w (v_c - v_u); 1 = off


@dataclass(frozen=True)
class Workload:
    """What the networks are opened for."""

    objects: int
    memory: int | None = None  # bytes that may be taken on the device; None = all that is free
    precision: str = "auto"  # see ``hardware.resolved_precision``


# ---- the contract


class Weights(Protocol):
    """Weights on the disk or in memory, as ``Method.load`` gives them."""

    def models(self, kinds: Iterable[str], device: torch.device | str = "cpu") -> list[Any]:
        """The embedded networks of several kinds, on a device."""

    def has(self, kind: str) -> bool:
        """Whether the weights of an embedded kind are here."""

    def provenance(self, kinds: Iterable[str]) -> JsonObject:
        """Name of the weights and sha256 of their files, for scene.json."""


@dataclass(frozen=True, eq=False)
class OpenMethod:
    """A method with its networks on a device."""

    # all objects of a photo, each as soon as it exists; a later one takes the place of an earlier
    # one with its label
    make: Callable[[Perception, Wishes, Watch], Iterator[Made]]
    # one object anew, from the state that it left
    remake: Callable[[Perception, int, State, Wishes], ObjectVolume | PlacedMesh]
    # what the networks took, for provenance
    report: Callable[[], JsonObject] = dict


@runtime_checkable
class Method(Protocol):
    """A way from a perceived photo to objects."""

    @property
    def name(self) -> str:
        """What it is called in provenance and on the command line."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Embedded weights that it needs besides those of perception."""

    @property
    def optional(self) -> tuple[str, ...]:
        """Embedded weights that it uses when they are there."""

    @property
    def tuned(self) -> Callable[..., Method] | None:
        """Options of its own (and ``fit``) by name -> the method with these; None = it has none."""

    def load(self, weights: StrPath | None, device: torch.device) -> Weights:
        """Find and check its weights in a folder, by default where they were installed. Raises
        CheckpointError.
        """

    def open(
        self,
        weights: Any,
        device: torch.device,
        work: Workload,
    ) -> OpenMethod:
        """Bring its networks to the device."""


N = TypeVar("N")
N_in = TypeVar("N_in", contravariant=True)


class MakesObjects(Protocol[N_in]):
    """The objects of a photo with these labels, each as soon as it exists; a Failure for one that
    cannot be made.
    """

    def __call__(
        self,
        networks: N_in,
        perception: Perception,
        labels: Sequence[int],
        sampling: Sampling,
        watch: Watch,
        /,
    ) -> Iterator[Made]:
        """Make them."""


class MakesOneAnew(Protocol[N_in]):
    """One object from the state that it left, with the noise of another seed."""

    def __call__(
        self,
        networks: N_in,
        perception: Perception,
        label: int,
        state: State,
        sampling: Sampling,
        /,
    ) -> ObjectVolume | PlacedMesh:
        """Make it."""


@dataclass(frozen=True)
class EmbeddedMethod(Generic[N]):
    """A method of two functions and the networks that they are given: those that ship with the
    package, or a folder of such.
    """

    name: str
    make: MakesObjects[N]
    remake: MakesOneAnew[N]
    kinds: tuple[str, ...]  # of its weights files; only these are loaded
    networks: Callable[..., N]  # the loaded models, in the order of ``kinds`` -> what is given
    sampling: Sampling = field(default_factory=Sampling)  # its defaults
    optional: tuple[str, ...] = ()  # kinds that come last and are used when they are there
    tuned: Callable[..., Method] | None = None
    # folder of a text-to-image pipeline that takes the place of the embedded one
    painter: str | None = None

    def load(self, weights: StrPath | None, device: torch.device) -> ModelSet:
        """The weights in a folder, by default the embedded ones. Raises CheckpointError."""
        kinds = (PERCEPTION, *self.kinds)
        if self.painter is None:
            return load_models(weights, kinds)
        models = load_models(weights, [kind for kind in kinds if kind != PAINTER])
        return models.with_painter(open_prior(self.painter, device), Path(self.painter))

    def open(
        self,
        weights: ModelSet,
        device: torch.device,
        work: Workload,
    ) -> OpenMethod:
        """Bring its networks to the device."""
        used = (*self.kinds, *filter(weights.has, self.optional))
        networks = self.networks(*weights.models(used, device))
        precision = resolved_precision(work.precision, device)

        def make(perception: Perception, wishes: Wishes, watch: Watch) -> Iterator[Made]:
            labels, failures = visible_labels(perception)
            yield from failures
            if labels:
                made = self.make(networks, perception, labels, self.wanted(wishes), watch)
                yield from each_within(made, partial(multiplying, precision, device))

        def remake(
            perception: Perception,
            label: int,
            state: State,
            wishes: Wishes,
        ) -> ObjectVolume | PlacedMesh:
            with multiplying(precision, device):
                return self.remake(networks, perception, label, state, self.wanted(wishes))

        return OpenMethod(make, remake)

    def wanted(self, wishes: Wishes) -> Sampling:
        """Its sampling with what the user wants changed."""
        default = self.sampling
        guidance = default.guidance if wishes.guidance is None else wishes.guidance
        steps = wishes.steps or default.steps
        zoom_steps = wishes.steps or default.zoom_steps
        return replace(
            default,
            seed=wishes.seed,
            steps=steps,
            zoom_steps=zoom_steps,
            guidance=guidance,
        )


def each_within(
    items: Iterator[Made], context: Callable[[], contextlib.AbstractContextManager[None]]
) -> Iterator[Made]:
    """The items, each made inside a context of its own, which does not reach to those who get
    them.
    """
    while True:
        with context():
            item = next(items, None)
        if item is None:
            return
        yield item


def visible_labels(perception: Perception) -> tuple[list[int], list[Failure]]:
    """The labels of the photo's masks that have a pixel at the working size, and a Failure for each
    of the others.
    """
    shown = set(np.unique(perception.picture.labels).tolist())
    labels = [mask.label for mask in perception.given.masks]
    reason = "its mask covers no pixel at the working resolution; use a larger photo or mask"
    failures = [Failure(label, "lift", reason) for label in labels if label not in shown]
    return [label for label in labels if label in shown], failures
