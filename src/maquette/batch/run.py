"""Working through jobs: load the networks once, skip what is finished, survive what cannot be made.

In the flow: Jobs -> one Outcome each. The command line prints them; nothing here prints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from maquette.batch.finished import (
    Outcome,
    Wanted,
    failed,
    finished,
    is_finished,
    missing,
    request_of,
)
from maquette.batch.live import live_preview
from maquette.batch.pairs import Job
from maquette.batch.results import recover, write_result
from maquette.checkpoints.depth_networks import DepthNetwork
from maquette.document.scene_json import load
from maquette.errors import InputError, MaquetteError, contained
from maquette.masks import write_masks
from maquette.methods.base import Progress, Weights, ignore, silent
from maquette.options import EMBEDDED
from maquette.output import writable_folder
from maquette.photos.read import read_photo
from maquette.pipeline import Options, generate, load_for, open_perception
from maquette.simulation.scale import scaled_scene
from maquette.stages.point import proposed

PROPOSED = "masks.png"  # beside a scene whose masks were not given

# What making a single photo may raise; anything else is a bug. In a batch nothing ends the others.
PICTURE_ERRORS = (MaquetteError, OSError, MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Settings(Wanted):
    """What is the same for all photos of a run."""

    options: Options = field(default_factory=Options)


@dataclass(frozen=True, eq=False)
class Session:
    """Settings with the networks that were loaded for them."""

    settings: Settings
    models: Weights
    load_seconds: float
    perception: DepthNetwork | None = None  # None = the embedded one

    @classmethod
    def start(cls, settings: Settings) -> Session:
        """Load the networks. Raises CheckpointError."""
        start = time.perf_counter()
        models = load_for(settings.options, settings.weights)
        network = open_perception(settings.options)
        return cls(settings, models, round(time.perf_counter() - start, 3), network)

    def checkpoint(self) -> dict[str, Any]:
        """Name and sha256 of the weights, as provenance records them."""
        return self.models.provenance(self.settings.options.kinds_of(self.models))


def run_job(job: Job, session: Session, progress: Progress = silent, live: bool = False) -> Outcome:
    """Make one photo into a folder of results, or keep the finished one. Raises MaquetteError;
    nothing is half-written then.

    live: draw preview-live.png every few seconds until the scene is there.
    """
    if job.problem:
        raise InputError(job.problem)
    if job.masks is None:
        outcome = run_job(_with_proposed(job), session, progress, live)
        return dataclasses.replace(outcome, proposed=True)
    settings = session.settings
    request = request_of(job, settings, session.checkpoint()["sha256"])
    recover(job.folder)
    if not settings.overwrite and is_finished(job.folder, request, settings.products):
        lacking = missing(job.folder, settings.products)
        if lacking is not None:
            write_result(load(job.folder), job.folder, lacking)
        return finished(job, "kept")
    writable_folder(job.folder)
    options = dataclasses.asdict(settings.options)
    options["perception"] = session.perception or EMBEDDED
    with live_preview(job.folder) if live else contextlib.nullcontext(ignore) as look:
        scene = generate(
            job.photo,
            job.masks,
            only=settings.only,
            models=session.models,
            progress=progress,
            on_draft=look,
            **dataclasses.asdict(job.geometry),
            **options,
        )
    provenance = {**scene.provenance, "checkpoint": session.checkpoint(), "request": request}
    if settings.scale.is_asked_for:
        scaled = scaled_scene(scene, settings.scale)
        scene = scaled.scene
        provenance["scale"] = list(scaled.remarks)
    provenance["seconds"] = scene.provenance["seconds"] | {"load": session.load_seconds}
    progress("write", 0.0)
    write_result(dataclasses.replace(scene, provenance=provenance), job.folder, settings.products)
    progress("write", 1.0)
    return finished(job, "made")


def _with_proposed(job: Job) -> Job:
    """A job whose masks are found, and written beside its scene; those of an earlier run, which a
    person may have corrected, are kept. InputError when nothing is found.
    """
    masks = job.folder / PROPOSED
    if not masks.is_file():
        remedy = "mark the objects with `maquette masks make`"
        try:
            found = proposed(read_photo(job.photo))
        except InputError as error:
            raise InputError(
                f"{job.photo}: no masks are given, and none could be found: {error}; {remedy}"
            ) from error
        writable_folder(job.folder)
        write_masks(found, masks, image_name=job.photo.name)
    return dataclasses.replace(job, masks=masks)


def run_jobs(
    jobs: Sequence[Job], session: Session, progress: Progress = silent
) -> Iterator[Outcome]:
    """Work through the jobs in their order; a photo that cannot be made is an Outcome with its
    error.
    """
    for job in jobs:
        try:
            with contained(f"{job.photo}: cannot be made", "look at the photo and its masks"):
                outcome = run_job(job, session, progress)
        except MaquetteError as error:
            outcome = failed(job, error)
        yield outcome
