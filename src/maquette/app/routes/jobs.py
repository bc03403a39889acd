"""/api/jobs and event streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from maquette.app import geometry, jobs, masks, options, photos, samples
from maquette.app.events import Event
from maquette.app.guard import content_type
from maquette.app.problems import conflict
from maquette.app.routes.common import (
    FILES,
    CrewHere,
    Fields,
    JsonObject,
    StudioHere,
    answers,
    content,
    file_of,
    files_in,
    form_of,
    geometry_in,
)
from maquette.app.schemas import JobOptions, JobRequest, Model, RepeatRequest
from maquette.errors import InputError, MaquetteError

router = APIRouter(tags=["jobs"])
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
Label = Annotated[int, Path(ge=1, le=65535)]
STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}
TEXTS = ("options", "only", "name")
SUBMISSION = {
    "content": {
        "application/json": {
            "schema": JobRequest.model_json_schema(),
            "example": samples.SUBMISSION,
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["photo", "masks"],
                "properties": {
                    "photo": {"type": "string", "format": "binary"},
                    "masks": FILES,
                    "options": {"type": "string", "description": "JSON, as in the other form"},
                    "only": {"type": "string"},
                    "name": {"type": "string"},
                    "depth": {"type": "string", "format": "binary"},
                    "points": {"type": "string", "format": "binary"},
                    "intrinsics": {"type": "string", "description": "FX,FY,CX,CY, or a file"},
                    "depth_unit": {"type": "string"},
                    "depth_kind": {"type": "string"},
                    "gravity": {"type": "string", "description": "X,Y,Z"},
                },
            }
        },
    }
}


async def submission_of(request: Request) -> AsyncIterator[JobRequest | Fields]:
    """A JSON body as a JobRequest, or the fields of a multipart body."""
    if content_type(request.headers) == "application/json":
        yield _validated(JobRequest, await request.body())
        return
    async with asynccontextmanager(form_of)(request) as form:
        yield form


def _validated(model: type[Model], text: str | bytes) -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


@router.post(
    "/api/jobs",
    status_code=202,
    openapi_extra={"requestBody": SUBMISSION},
    responses=answers(samples.JOB, 202, 404, 413, 415, 422, 429),
)
def submit(
    studio: StudioHere,
    crew: CrewHere,
    response: Response,
    given: Annotated[Any, Depends(submission_of)],
) -> JsonObject:
    """Queue a job: JSON for a photo that is here, or multipart with `photo` and `masks` in one
    call.
    """
    if isinstance(given, JobRequest):
        chosen = options.resolved(given.options, crew.capabilities())
        job = jobs.submit(studio, given.photo, chosen, given.only, given.name)
    else:
        job = _submit_files(studio, crew, given)
    return accepted(job, crew, response)


def accepted(job: JsonObject, crew: CrewHere, response: Response) -> JsonObject:
    """A new job: call for somebody to do it, and say where it is."""
    crew.call()
    response.headers["location"] = f"/api/jobs/{job['id']}"
    return job


def _submit_files(studio: StudioHere, crew: CrewHere, form: Fields) -> JsonObject:
    photo_files = files_in(form, "photo")
    mask_files = files_in(form, "masks")
    if len(photo_files) != 1 or not mask_files:
        raise InputError(
            "send JSON, or multipart with one file 'photo' and one or more files 'masks'"
        )
    texts = [form.get(key, [""])[0] for key in TEXTS]
    if not all(isinstance(text, str) for text in texts):
        raise InputError("the fields 'options', 'only' and 'name' are text, not files")
    asked, listed, name = texts
    chosen = options.resolved(_validated(JobOptions, asked or "{}"), crew.capabilities())
    only = [part.strip() for part in listed.split(",") if part.strip()] or None
    jobs.refuse_when_full(studio)
    photo = photos.add(studio, *photo_files[0])["id"]
    done = False
    try:
        masks.load(studio, photo, mask_files)
        known, words = geometry_in(form)
        if known or words:
            geometry.put(studio, photo, known, words)
        job = jobs.submit(studio, photo, chosen, only, name)
        done = True
    finally:
        if not done:
            studio.delete("photos", photo)
    return job


@router.get("/api/jobs", responses=answers({"jobs": [samples.JOB]}))
def list_jobs(
    studio: StudioHere,
    state: State | None = None,
    photo: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JsonObject:
    """Jobs, newest first."""
    return {"jobs": jobs.every(studio, state, photo, limit)}


@router.get("/api/jobs/{job}", responses=answers(samples.JOB, 200, 404))
def get_job(studio: StudioHere, job: str) -> JsonObject:
    """One job."""
    return jobs.get(studio, job)


@router.post(
    "/api/jobs/{job}/cancel",
    responses=answers({**samples.JOB, "state": "cancelled"}, 200, 404, 409),
)
def cancel_job(studio: StudioHere, crew: CrewHere, job: str) -> JsonObject:
    """Stop a job, at once."""
    if not crew.cancel(job):
        raise conflict("the job is finished already", jobs.get(studio, job))
    return jobs.get(studio, job)


@router.post(
    "/api/jobs/{job}/repeat", status_code=202, responses=answers(samples.JOB, 202, 404, 422, 429)
)
def repeat_job(
    studio: StudioHere,
    crew: CrewHere,
    response: Response,
    job: str,
    request: RepeatRequest | None = None,
) -> JsonObject:
    """A new job of the same photo and masks, with some options changed."""
    before = studio.row("jobs", job)["options"]
    asked = request.options if request is not None else JobOptions()
    chosen = options.resolved(asked, crew.capabilities(), before)
    return accepted(jobs.repeat(studio, job, chosen), crew, response)


@router.delete("/api/jobs/{job}", status_code=204)
def delete_job(studio: StudioHere, crew: CrewHere, job: str) -> None:
    """Delete a job, stopping it first; its scene stays."""
    crew.delete(job)


@router.get("/api/jobs/{job}/events", response_class=StreamingResponse)
def job_events(studio: StudioHere, job: str) -> StreamingResponse:
    """Server-sent events of one job, from the beginning to `end`."""
    studio.row("jobs", job)

    def snapshot() -> list[Event]:
        try:
            shown = jobs.get(studio, job)
        except MaquetteError:  # deleted meanwhile
            return [("deleted", {"kind": "job", "id": job})]
        state, *end = jobs.events_of(shown)
        made = [("instance", {"id": job, **instance}) for instance in shown["instances"]]
        return [state, *made, *end]

    def is_ours(event: Event) -> bool:
        return event[1].get("id") == job and event[0] != "scene"

    return _stream(studio, snapshot, is_ours, lambda event: event[0] in ("end", "deleted"))


@router.get("/api/events", response_class=StreamingResponse)
def all_events(studio: StudioHere) -> StreamingResponse:
    """Server-sent events of all jobs, photos and scenes; begins with the jobs that are not
    finished.
    """

    def snapshot() -> list[Event]:
        return [("job", job) for state in jobs.OPEN for job in reversed(jobs.every(studio, state))]

    return _stream(studio, snapshot, lambda event: event[0] != "end", lambda event: False)


def _stream(
    studio: StudioHere,
    snapshot: Callable[[], list[Event]],
    wanted: Callable[[Event], bool],
    last: Callable[[Event], bool],
) -> StreamingResponse:
    events = studio.news.listen(snapshot, wanted, last)
    return StreamingResponse(events, media_type="text/event-stream", headers=STREAM)


@router.get("/api/jobs/{job}/instances/{label}.glb", response_class=Response)
def job_instance(
    studio: StudioHere,
    job: str,
    label: Label,
    attempt: Annotated[int, Query(ge=1, le=8)] = 1,
) -> Response:
    """An object as soon as it is made, in its own frame."""
    return file_of(studio, "jobs", job, f"instances/{label}_{attempt}.glb")


@router.get("/api/jobs/{job}/masks.png", response_class=Response)
def job_masks(studio: StudioHere, job: str) -> Response:
    """The masks that the job is made from, as a label picture."""
    return content(jobs.masks_picture(studio, job), "image/png", forever=True)


@router.get("/api/jobs/{job}/photo.png", response_class=Response)
def job_photo(studio: StudioHere, job: str) -> Response:
    """The photo that the job is made from."""
    return file_of(studio, "jobs", job, "image.png")


@router.get("/api/jobs/{job}/thumbnail.jpg", response_class=Response)
def job_thumbnail(studio: StudioHere, job: str) -> Response:
    """A small picture of the photo."""
    return file_of(studio, "jobs", job, "thumbnail.jpg")
