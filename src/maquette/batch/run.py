"""Working through jobs: load the networks once, skip what is finished, survive what cannot be made.

In the flow: Jobs -> one Outcome each. The command line prints them; nothing here prints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from maquette.batch.live import live_preview
from maquette.batch.pairs import Job
from maquette.batch.results import (
    DOCUMENT,
    Products,
    Request,
    fingerprint,
    is_finished,
    missing,
    read_document,
    recover,
    write_result,
)
from maquette.document.scene_json import load
from maquette.errors import InputError, MaquetteError, contained, present, reason_of
from maquette.execute.pool import Engine, processes
from maquette.execute.processes import Ended
from maquette.methods.base import Progress, Weights, ignore, silent
from maquette.options import EMBEDDED, TUNING, GeometryOptions
from maquette.output import writable_folder
from maquette.pipeline import Options, choose_device, generate, load_for

MOST_PROCESSES = 4  # unless more are asked for: each takes about 1 GB
# What making a single photo may raise; anything else is a bug. In a batch nothing ends the others.
PICTURE_ERRORS = (MaquetteError, OSError, MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Settings:
    """What is the same for all photos of a run."""

    options: Options = field(default_factory=Options)
    only: tuple[str, ...] | None = None  # labels or names
    products: Products = field(default_factory=Products)
    weights: Path | None = None  # None = embedded
    overwrite: bool = False
    geometry: GeometryOptions = field(default_factory=GeometryOptions)  # of all photos, see Job


@dataclass(frozen=True)
class Outcome:
    """What became of a photo; the fields are what ``--json`` prints."""

    photo: str
    masks: str
    folder: str
    status: str  # "made", "kept" (was finished before) or "failed"
    error: str = ""  # one line
    files: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # per stage; "load" once per run
    instances: tuple[dict[str, Any], ...] = ()  # label, name, node, confidence, warnings
    failures: tuple[dict[str, Any], ...] = ()  # label, stage, reason
    warnings: tuple[str, ...] = ()  # of the input
    tries: tuple[dict[str, Any], ...] = ()  # seed, score, kept
    memory: dict[str, Any] = field(
        default_factory=dict
    )  # of a published model: plan, estimated and measured peaks in MB by stage


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
    request = request_of(job, session)
    recover(job.folder)
    if not settings.overwrite and is_finished(job.folder, request, settings.products):
        lacking = missing(job.folder, settings.products)
        if lacking is not None:
            write_result(load(job.folder), job.folder, lacking)
        return _finished(job, "kept")
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
    seconds = scene.provenance["seconds"] | {"load": session.load_seconds}
    provenance = scene.provenance | {
        "checkpoint": session.checkpoint(),
        "seconds": seconds,
        "request": request,
    }
    progress("write", 0.0)
    write_result(dataclasses.replace(scene, provenance=provenance), job.folder, settings.products)
    progress("write", 1.0)
    return _finished(job, "made")


def run_jobs(
    jobs: Sequence[Job], session: Session, progress: Progress = silent
) -> Iterator[Outcome]:
    """Work through the jobs in their order; a photo that cannot be made is an Outcome with its
    error.
    """
    for job in jobs:
        yield _outcome_of(job, session, progress)


def run_jobs_apart(jobs: Sequence[Job], settings: Settings, engine: Engine) -> Iterator[Outcome]:
    """The same in other processes, in the order in which photos get done. A process that ends, for
    want of memory or by a crash in C, costs its photo only. Raises what keeps a process from
    loading the networks.
    """
    if not jobs:
        return
    folders = dict.fromkeys(job.folder.parent for job in jobs)
    with processes(engine.at_most(len(jobs)), [writable_folder(f) for f in folders]) as pool:
        for number, outcome in pool.outcomes(_run_apart, [(job, settings) for job in jobs]):
            if isinstance(outcome, Ended):
                outcome = failed(jobs[number], MaquetteError(outcome.reason))
            yield outcome


def workers_for(options: Options, jobs: int | None) -> tuple[int, int]:
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


def _run_apart(job: Job, settings: Settings) -> Outcome:
    return _outcome_of(job, _session(settings), silent)


def _outcome_of(job: Job, session: Session, progress: Progress) -> Outcome:
    try:
        with contained(f"{job.photo}: cannot be made", "look at the photo and its masks"):
            return run_job(job, session, progress)
    except MaquetteError as error:
        return failed(job, error)


def is_made(job: Job, session: Session) -> bool:
    """Whether the finished result of just this request is there."""
    products = session.settings.products
    return not job.problem and is_finished(job.folder, request_of(job, session), products)


def failed(job: Job, error: BaseException) -> Outcome:
    """The outcome of a photo that raised."""
    return _outcome(job, "failed", reason_of(error))


def request_of(job: Job, session: Session) -> Request:
    """What decides the result of a job. Device, memory and precision do not belong to it: moving
    to another machine makes no result outdated.
    """
    options = dataclasses.asdict(session.settings.options)
    del options["device"], options["memory"], options["precision"]
    options = {
        key: value for key, value in options.items() if key not in TUNING or value is not None
    }
    only = None if session.settings.only is None else sorted(session.settings.only)
    files = {
        "photo": fingerprint(job.photo),
        "masks": fingerprint(present(job.masks, "masks")),
        "weights": session.checkpoint()["sha256"],
    }
    space = session.settings.products.space
    asked = {"space": dataclasses.asdict(space)} if space.is_asked_for else {}
    if job.geometry.is_there:
        asked["geometry"] = _geometry_request(job.geometry)
    return files | {"only": only} | options | asked


def _geometry_request(known: GeometryOptions) -> dict[str, Any]:
    """The known geometry by the contents of its files."""
    told = dataclasses.asdict(known)
    for key in ("depth", "points", "intrinsics"):
        if told[key] is not None and Path(told[key]).is_file():
            told[key] = fingerprint(Path(told[key]))
    return told


def _outcome(job: Job, status: str, error: str = "") -> Outcome:
    return Outcome(str(job.photo), str(job.masks or ""), str(job.folder), status, error)


def _finished(job: Job, status: str) -> Outcome:
    """The outcome of a finished photo, as its document tells it. InputError when it cannot."""
    place = job.folder / DOCUMENT
    told = ("label", "name", "node", "confidence", "warnings")
    with contained(f"{place}: not a scene document that can be read", "pass --overwrite"):
        document = present(read_document(job.folder), "scene document")
        provenance = document["provenance"]
        listed = dict.fromkeys(name.partition("/")[0] for name in provenance.get("files", ()))
        names = [*(name for name in listed if (job.folder / name).exists()), DOCUMENT]
        instances = [{key: entry[key] for key in told} for entry in document["instances"]]
        found: dict[str, Any] = {key: provenance.get(key, {}) for key in ("seconds", "memory")}
        found["files"] = tuple(str(job.folder / name) for name in names)
        found["instances"] = tuple(instances)
        found["failures"] = tuple(document["failures"])
        found["warnings"] = tuple((document["input"] or {}).get("warnings", ()))
        found["tries"] = tuple(provenance.get("tries", ()))
        return dataclasses.replace(_outcome(job, status), **found)
