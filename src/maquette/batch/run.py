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
from maquette.document.scene_json import load
from maquette.errors import InputError, MaquetteError, contained
from maquette.methods.base import Progress, Weights, ignore, silent
from maquette.output import writable_folder
from maquette.pipeline import Options, generate, load_for
from maquette.simulation.scale import scaled_scene

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

    @classmethod
    def start(cls, settings: Settings) -> Session:
        """Load the networks. Raises CheckpointError."""
        start = time.perf_counter()
        models = load_for(settings.options, settings.weights)
        return cls(settings, models, round(time.perf_counter() - start, 3))

    def checkpoint(self) -> dict[str, Any]:
        """Name and sha256 of the weights, as provenance records them."""
        return self.models.provenance(self.settings.options.kinds_of(self.models))


def run_job(job: Job, session: Session, progress: Progress = silent, live: bool = False) -> Outcome:
    """Make one photo into a folder of results, or keep the finished one. Raises MaquetteError;
    nothing is half-written then.

    live: draw preview-live.png every few seconds until the scene is there.
    """
    if job.problem or job.masks is None:
        raise InputError(job.problem)
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
