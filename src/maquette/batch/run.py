"""Working through jobs: load the networks once, skip what is finished, survive what cannot be made.

In the flow: Jobs -> one Outcome each. The command line prints them; nothing here prints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from maquette.batch.elsewhere import brought, is_elsewhere, renamed
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
from maquette.execute.pool import Engine, processes
from maquette.execute.processes import Ended
from maquette.execute.store import prepared_folder
from maquette.hardware import choose_device
from maquette.inputs import read_scene_input
from maquette.masks import write_masks
from maquette.methods.base import Progress, Weights, ignore, silent
from maquette.methods.together import SharedWeights, gains_by_company, lockstep
from maquette.options import EMBEDDED, SceneOptions
from maquette.output import writable_folder
from maquette.photos.read import read_photo
from maquette.pipeline import generate
from maquette.recipe import Options, load_for, open_perception
from maquette.simulation.scale import heights_of, scaled_scene
from maquette.stages.point import proposed
from maquette.types import JsonObject, Scene, node_names

PROPOSED = "masks.png"  # beside a scene whose masks were not given

MOST_PROCESSES = 4  # unless more are asked for: each takes about 1 GB
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

    def checkpoint(self) -> JsonObject:
        """Name and sha256 of the weights, as provenance records them."""
        return self.models.provenance(self.settings.options.kinds_of(self.models))


def run_job(
    job: Job,
    session: Session,
    progress: Progress = silent,
    live: bool = False,
) -> Outcome:
    """Make one photo into a folder of results, or keep the finished one. Raises MaquetteError;
    nothing is half-written then.

    live: draw preview-live.png every few seconds until the scene is there.
    """
    if job.problem:
        raise InputError(job.problem)
    if is_elsewhere(job):
        with brought(job) as here:
            return renamed(run_job(here, session, progress, live), here, job)
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
    _check_sizes(job, settings)
    writable_folder(job.folder)
    with live_preview(job.folder) if live else contextlib.nullcontext(ignore) as look:
        scene = _generated(job, session, progress, look)
    scene = _in_its_unit(scene, settings)
    told = {"checkpoint": session.checkpoint(), "request": request}
    told["seconds"] = scene.provenance["seconds"] | {"load": session.load_seconds}
    progress("write", 0.0)
    complete = dataclasses.replace(scene, provenance={**scene.provenance, **told})
    write_result(complete, job.folder, settings.products)
    progress("write", 1.0)
    return finished(job, "made")


def _generated(
    job: Job,
    session: Session,
    progress: Progress,
    look: Callable[[Scene], None],
) -> Scene:
    """The scene of a job, by the networks of the session."""
    options = dataclasses.asdict(session.settings.options)
    options["perception"] = session.perception or EMBEDDED
    return generate(
        job.photo,
        job.masks,
        only=session.settings.only,
        models=session.models,
        progress=progress,
        on_draft=look,
        **dataclasses.asdict(job.geometry),
        **options,
    )


def _in_its_unit(scene: Scene, settings: Settings) -> Scene:
    """The scene with the length of its unit, where sizes tell it; remarks go to its provenance."""
    if not settings.scale.is_asked_for:
        return scene
    scaled = scaled_scene(scene, settings.scale)
    provenance = {**scaled.scene.provenance, "scale": list(scaled.remarks)}
    return dataclasses.replace(scaled.scene, provenance=provenance)


class _Expected(NamedTuple):
    """What an object of the scene will be called."""

    label: int
    name: str
    node_name: str


def _check_sizes(job: Job, settings: Settings) -> None:
    """InputError for a size of an object that no mask shows, before minutes are spent."""
    if not settings.scale.is_asked_for:
        return
    masks = read_scene_input(job.photo, job.masks, only=settings.only).masks
    nodes = node_names(masks)
    named = [(m.label, m.name, nodes.get(m.label, f"instance_{m.label}")) for m in masks]
    heights_of([_Expected(*each) for each in named], settings.scale)


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
    jobs: Sequence[Job],
    session: Session,
    progress: Progress = silent,
    batch: int = 1,
) -> Iterator[Outcome]:
    """Work through the jobs in their order, ``batch`` photos at a time; a photo that cannot be made
    is an Outcome with its error.
    """
    for start in range(0, len(jobs), batch):
        yield from _outcomes_of(jobs[start : start + batch], session, progress)


def run_jobs_apart(
    jobs: Sequence[Job],
    settings: Settings,
    engine: Engine,
    batch: int = 1,
) -> Iterator[Outcome]:
    """The same in other processes, in the order in which photos get done. A process that ends, for
    want of memory or by a crash in C, costs its photo only. Raises what keeps a process from
    loading the networks.
    """
    folders = dict.fromkeys(job.folder.parent for job in jobs)
    parts = [jobs[start : start + batch] for start in range(0, len(jobs), batch)]
    again: list[Job] = []  # each alone, for one of them has ended the process of all
    with processes(engine.at_most(len(parts)), [prepared_folder(f) for f in folders]) as pool:
        for number, outcomes in pool.outcomes(_run_apart, [(part, settings) for part in parts]):
            if not isinstance(outcomes, Ended):
                yield from outcomes
            elif len(parts[number]) > 1:
                again += parts[number]
            else:
                yield failed(parts[number][0], MaquetteError(outcomes.reason))
    if again:
        yield from run_jobs_apart(again, settings, engine)


def workers_for(options: SceneOptions, jobs: int | None) -> tuple[int, int]:
    """How many processes make several photos, ``jobs`` when that is said, and threads of each.

    The embedded networks are so small that two processes of one thread are faster than one of two,
    and with one thread a scene has the same bytes on every machine. The others need all there is.
    """
    processors = os.cpu_count() or 1
    small = options.model == EMBEDDED and choose_device(options.device).type == "cpu"
    if jobs is None:
        jobs = min(processors, MOST_PROCESSES) if small else 1
    return jobs, 1 if small else processors


@functools.lru_cache(maxsize=1)
def _session(settings: Settings) -> Session:
    """Started once in a process."""
    return Session.start(settings)


def _run_apart(jobs: Sequence[Job], settings: Settings) -> list[Outcome]:
    return _outcomes_of(jobs, _session(settings), silent)


def _outcomes_of(jobs: Sequence[Job], session: Session, progress: Progress) -> list[Outcome]:
    """Photos that are made together, where the method gains by it. What fails in company, perhaps
    for want of memory, is tried alone.
    """
    outcomes: list[Outcome | None] = [None] * len(jobs)
    if len(jobs) > 1 and gains_by_company(session.settings.options.chosen):
        meeting = lockstep()
        shared = dataclasses.replace(session, models=SharedWeights(session.models, meeting))
        tasks = [functools.partial(_outcome_of, job, shared, progress) for job in jobs]
        outcomes = meeting.run(tasks)
    done: list[Outcome] = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome is None or outcome.status == "failed":
            outcome = _outcome_of(job, session, progress)
        done.append(outcome)
    return done


def _outcome_of(job: Job, session: Session, progress: Progress) -> Outcome:
    try:
        with contained(f"{job.photo}: cannot be made", "look at the photo and its masks"):
            return run_job(job, session, progress)
    except MaquetteError as error:
        return failed(job, error)


def is_made(job: Job, session: Session) -> bool:
    """Whether the finished result of just this request is there."""
    if is_elsewhere(job):
        with brought(job) as here:
            return is_made(here, session)
    if job.problem or not job.folder.exists():
        return False
    wanted = session.settings
    request = request_of(job, wanted, session.checkpoint()["sha256"])
    return is_finished(job.folder, request, wanted.products)
