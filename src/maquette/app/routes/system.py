"""/api/config, health, the examples, the reference, and the files of the page."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from maquette import __version__
from maquette.app import examples, masks, reference, samples, scene_files
from maquette.app.routes.common import FOREVER, CrewHere, StudioHere, answers, content, file

router = APIRouter(tags=["server"])


@router.get("/api/config", responses=answers(samples.CONFIG))
def config(studio: StudioHere, crew: CrewHere) -> dict[str, Any]:
    """Methods, models, options and limits of this server."""
    settings = studio.settings
    known = crew.capabilities()
    limits = settings.limits
    default = next(
        (method for method in known["methods"] if method["default"]), {"steps": 6, "guidance": 1.0}
    )
    return {
        "version": __version__,
        **known,
        "options": samples.CONFIG["options"]
        | {
            "steps": {"default": default["steps"], "minimum": 1, "maximum": 100},
            "guidance": {"default": default["guidance"], "minimum": 0, "maximum": 20},
        },
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "pixels": limits.pixels,
            "objects": limits.objects,
            "queue": settings.queue,
            "workers": settings.workers,
            "name_length": limits.name_length,
        },
        "mask_forms": [
            {"form": form, "title": title, "suffix": suffix}
            for form, (suffix, title) in masks.FORMS.items()
        ],
        "scene_formats": [
            {"format": form, "title": title, "suffix": suffix}
            for form, (suffix, title) in scene_files.FORMATS.items()
        ],
        "token": settings.token is not None,
    }


@router.get("/api/health", responses=answers(samples.HEALTH))
def health(studio: StudioHere, crew: CrewHere) -> dict[str, Any]:
    """Whether the server works, and how much it has to do."""
    count = {
        row["state"]: row["n"]
        for row in studio.store.all("SELECT state, count(*) AS n FROM jobs GROUP BY state")
    }
    return {
        "status": "ok",
        "version": __version__,
        "queued": count.get("queued", 0),
        "running": count.get("running", 0),
        "workers": [{"state": member.state} for member in crew.members],
    }


@router.get("/api/examples", responses=answers({"examples": [samples.EXAMPLE]}))
def list_examples() -> dict[str, Any]:
    """The bundled pictures."""
    return {"examples": examples.every()}


@router.get("/api/examples/{name}/thumbnail.jpg", response_class=Response)
def example_thumbnail(name: str) -> Response:
    """A small picture of an example."""
    return content(examples.thumbnail(name), "image/jpeg", forever=True)


@router.post(
    "/api/examples/{name}/open", status_code=201, responses=answers(samples.PHOTO, 201, 404)
)
def open_example(studio: StudioHere, name: str) -> dict[str, Any]:
    """A photo with its masks of an example."""
    return examples.start(studio, name)


@router.get("/api/docs", response_class=HTMLResponse, include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The reference for people."""
    return HTMLResponse(reference.page(request.app.openapi()))


@router.get("/api/docs.css", response_class=Response, include_in_schema=False)
def docs_style() -> Response:
    """The look of the reference."""
    return Response(reference.STYLE, media_type="text/css", headers=FOREVER)


@router.get("/", response_class=Response, include_in_schema=False)
def index() -> Response:
    """The page."""
    return file(examples.assets() / "app" / "index.html")
