"""One try at a scene with one seed: what a method makes becomes instances as it comes.

In the flow: Perception + Recipe -> instances and failures; ``pipeline`` keeps the best of several.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from maquette.errors import InputError
from maquette.methods.base import (
    Made,
    ObjectVolume,
    OpenMethod,
    PlacedMesh,
    Progress,
    UprightMesh,
    Watch,
)
from maquette.methods.published import in_scene
from maquette.recipe import Options
from maquette.stages.check import check
from maquette.stages.finish import Finish, finished_mesh
from maquette.stages.perceive import Perception
from maquette.stages.place import place
from maquette.types import Failure, Instance, JsonObject, Scene, node_names


@dataclass
class Clock:
    """Seconds per stage. A stage within another one counts for itself only."""

    seconds: dict[str, float] = field(default_factory=dict)
    inner: float = 0.0  # seconds of the stages within the one that runs

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the body's time to a stage."""
        start = time.perf_counter()
        before = self.inner
        self.inner = 0.0
        yield
        whole = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + whole - self.inner, 3)
        self.inner = before + whole


@dataclass(frozen=True)
class Callbacks:
    """Who looks on."""

    progress: Progress
    on_instance: Callable[[Instance], None]
    on_draft: Callable[[Scene], None]


def attempted(
    method: OpenMethod,
    perception: Perception,
    options: Options,
    clock: Clock,
    callbacks: Callbacks,
) -> Attempt:
    """All objects of a photo from one seed."""
    attempt = Attempt(perception, options, clock, callbacks)
    watch = Watch(callbacks.progress, attempt.add, attempt.decided.update)
    with clock.stage("sample"):
        for made in method.make(perception, options.wishes, watch):
            attempt.add(made)
    attempt.finish()
    return attempt


@dataclass(eq=False)
class Attempt:
    """One try with one seed: what a method makes becomes instances as it comes."""

    perception: Perception
    options: Options
    clock: Clock
    callbacks: Callbacks
    by_label: dict[int, Instance] = field(default_factory=dict)
    upright: list[UprightMesh] = field(default_factory=list)
    not_made: list[Failure] = field(default_factory=list)  # said by the method
    not_meshed: list[Failure] = field(default_factory=list)
    decided: JsonObject = field(default_factory=dict)  # by the method

    @property
    def instances(self) -> tuple[Instance, ...]:
        """What there is."""
        return tuple(self.by_label.values())

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What there is not."""
        return (*self.not_made, *self.not_meshed)

    @property
    def score(self) -> float:
        """Mean confidence over all wanted instances; one that is missing counts as zero."""
        wanted = len(self.perception.given.masks)
        return sum(i.confidence for i in self.instances) / max(wanted, 1)

    def record(self) -> JsonObject:
        """For provenance."""
        return {"seed": self.options.seed, "score": round(self.score, 4)}

    def add(self, made: Made) -> None:
        """Take what the method has made, or moved."""
        if isinstance(made, Failure):
            self.not_made.append(made)
        elif isinstance(made, UprightMesh):
            self.upright.append(made)
        else:
            with self.clock.stage("mesh"):
                done = instance_of(made, self.perception, self.options.finish)
            if isinstance(done, Failure):
                self.not_meshed.append(done)
            else:
                self._show(done)

    @cached_property
    def _nodes(self) -> dict[int, str]:
        return node_names(self.perception.given.masks)

    def _show(self, instance: Instance) -> None:
        instance = replace(instance, node=self._nodes.get(instance.label, ""))
        self.by_label[instance.label] = instance
        self.callbacks.on_instance(instance)
        perception = self.perception
        self.callbacks.on_draft(Scene(self.instances, perception.camera, input=perception.given))

    def finish(self) -> None:
        """Place what stands in a frame of its own, and give every instance its confidence."""
        if self.upright:
            with self.clock.stage("place"):
                instances, camera = in_scene(self.upright, self.perception)
                self.perception = replace(self.perception, camera=camera)
            for instance in instances:
                self._show(instance)
        with self.clock.stage("check"):
            for instance in check(self.instances, self.perception):
                self.by_label[instance.label] = instance


def best_of(attempts: Sequence[Attempt]) -> Attempt:
    """The attempt of the highest score, the first of equals. InputError when it made nothing."""
    best = attempts[int(np.argmax([attempt.score for attempt in attempts]))]
    if not best.instances:
        where = best.perception.given.source or "the photo"
        reasons = "; ".join(f"{f.label}: {f.reason}" for f in best.failures[:3])
        raise InputError(f"{where}: no object could be made ({reasons})")
    return best


def instance_of(
    made: ObjectVolume | PlacedMesh, perception: Perception, finish: Finish
) -> Instance | Failure:
    """What a method has made of one object as an instance; ``finish``: what is asked of the mesh of
    a volume.
    """
    name = perception.names.get(made.label, "")
    if isinstance(made, PlacedMesh):
        told = {
            "name": name,
            "state": made.state,
            "warnings": made.warnings,
        }
        return place(made.label, made.mesh, made.seed, **told)
    mesh = finished_mesh(made.volume, perception, made.label, made.scene_from_cube, finish)
    if mesh is None:
        return Failure(made.label, "decode", "its volume holds no surface; try another seed")
    return place(made.label, mesh, made.seed, name=name, state=made.state)
