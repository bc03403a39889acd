"""/api/jobs and event streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from maquette.app import jobs, masks, options, photos, samples
from maquette.app.events import Event
from maquette.app.problems import conflict
from maquette.app.routes.common import (
    CrewHere,
    StudioHere,
    answers,
    content,
    file,
    files_in,
    form_of,
)
from maquette.app.schemas import JobOptions, JobRequest, RepeatRequest
from maquette.errors import InputError, MaquetteError

router = APIRouter(tags=["jobs"])
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}
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
                    "masks": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "options": {"type": "string", "description": "JSON, as in the other form"},
                    "only": {"type": "string"},
                    "name": {"type": "string"},
                },
            }
        },
    }
}


async def submission_of(request: Request) -> AsyncIterator[Any]:
    """A JSON body as a JobRequest, or the fields of a multipart body."""
    if (
        request.headers.get("content-type", "").partition(";")[0].strip().lower()
        == "application/json"
    ):
        try:
            yield JobRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error
        return
    async with asynccontextmanager(form_of)(request) as form:
        yield form


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
) -> dict[str, Any]:
    """Queue a job: JSON for a photo that is here, or multipart with `photo` and `masks` in one
    call.
    """
    if isinstance(given, JobRequest):
        chosen = options.resolved(given.options, crew.capabilities())
        job = jobs.submit(studio, given.photo, chosen, given.only, given.name)
    else:
        job = _submit_files(studio, crew, given)
    crew.call()
    response.headers["location"] = f"/api/jobs/{job['id']}"
    return job


def _submit_files(studio: StudioHere, crew: CrewHere, form: dict[str, list[Any]]) -> dict[str, Any]:
    photo_files = files_in(form, "photo")
    mask_files = files_in(form, "masks")
    if len(photo_files) != 1 or not mask_files:
        raise InputError(
            "send JSON, or multipart with one file 'photo' and one or more files 'masks'"
        )
    texts = {key: form.get(key, [""])[0] for key in ("options", "only", "name")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise InputError("the fields 'options', 'only' and 'name' are text, not files")
    try:
        chosen = options.resolved(
            JobOptions.model_validate_json(texts["options"] or "{}"), crew.capabilities()
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    only = [part.strip() for part in texts["only"].split(",") if part.strip()] or None
    jobs.refuse_when_full(studio)
    photo = photos.add(studio, *photo_files[0])
    done = False
    try:
        masks.load(studio, photo["id"], mask_files)
        job = jobs.submit(studio, photo["id"], chosen, only, texts["name"])
        done = True
    finally:
        if not done:
            photos.delete(studio, photo["id"])
    return job


@router.get("/api/jobs", responses=answers({"jobs": [samples.JOB]}))
def list_jobs(
    studio: StudioHere,
    state: State | None = None,
    photo: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Jobs, newest first."""
    return {"jobs": jobs.every(studio, state, photo, limit)}


@router.get("/api/jobs/{job}", responses=answers(samples.JOB, 200, 404))
def get_job(studio: StudioHere, job: str) -> dict[str, Any]:
    """One job."""
    return jobs.get(studio, job)


@router.post(
    "/api/jobs/{job}/cancel",
    responses=answers({**samples.JOB, "state": "cancelled"}, 200, 404, 409),
)
def cancel_job(studio: StudioHere, crew: CrewHere, job: str) -> dict[str, Any]:
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
) -> dict[str, Any]:
    """A new job of the same photo and masks, with some options changed."""
    before = studio.row("jobs", job)["options"]
    asked = request.options if request is not None else JobOptions()
    again = jobs.repeat(studio, job, options.resolved(asked, crew.capabilities(), before))
    crew.call()
    response.headers["location"] = f"/api/jobs/{again['id']}"
    return again


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
            now = jobs.get(studio, job)
        except MaquetteError:  # deleted meanwhile
            return [("deleted", {"kind": "job", "id": job})]
        made = [("instance", {"id": job, **instance}) for instance in now["instances"]]
        last = (
            [("end", {"id": job, "state": now["state"], "scene": now["scene"]})]
            if now["state"] in jobs.FINAL
            else []
        )
        return [("job", now), *made, *last]

    def ours(event: Event) -> bool:
        return event[1].get("id") == job and event[0] != "scene"

    stream = studio.news.listen(snapshot, ours, lambda event: event[0] in ("end", "deleted"))
    return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM)


@router.get("/api/events", response_class=StreamingResponse)
def all_events(studio: StudioHere) -> StreamingResponse:
    """Server-sent events of all jobs, photos and scenes; begins with the jobs that are not
    finished.
    """

    def snapshot() -> list[Event]:
        return [("job", job) for state in jobs.OPEN for job in reversed(jobs.every(studio, state))]

    stream = studio.news.listen(snapshot, lambda event: event[0] != "end", lambda event: False)
    return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM)


@router.get("/api/jobs/{job}/instances/{label}.glb", response_class=Response)
def job_instance(
    studio: StudioHere,
    job: str,
    label: Annotated[int, Path(ge=1, le=65535)],
    attempt: Annotated[int, Query(ge=1, le=8)] = 1,
) -> Response:
    """An object as soon as it is made, in its own frame."""
    studio.row("jobs", job)
    return file(
        studio.folders.of("jobs", job) / "instances" / f"{label}_{attempt}.glb", forever=True
    )


@router.get("/api/jobs/{job}/masks.png", response_class=Response)
def job_masks(studio: StudioHere, job: str) -> Response:
    """The masks that the job is made from, as a label picture."""
    return content(jobs.masks_picture(studio, job), "image/png", forever=True)


@router.get("/api/jobs/{job}/photo.png", response_class=Response)
def job_photo(studio: StudioHere, job: str) -> Response:
    """The photo that the job is made from."""
    studio.row("jobs", job)
    return file(studio.folders.of("jobs", job) / "image.png", forever=True)


@router.get("/api/jobs/{job}/thumbnail.jpg", response_class=Response)
def job_thumbnail(studio: StudioHere, job: str) -> Response:
    """A small picture of the photo."""
    studio.row("jobs", job)
    return file(studio.folders.of("jobs", job) / "thumbnail.jpg", forever=True)
