"""/api/config, health, the examples, the reference, and the files of the page."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from maquette import __version__
from maquette.app import (
    examples,
    finders,
    jobs,
    masks,
    options,
    reference,
    samples,
    scene_files,
)
from maquette.app.routes.common import (
    FOREVER,
    CrewHere,
    JsonObject,
    StudioHere,
    answers,
    content,
    file,
)
from maquette.export.bundle import assets_folder
from maquette.options import METRES

router = APIRouter(tags=["server"])
TOLD_LIMITS = ("upload_bytes", "unpacked_bytes", "pixels", "objects", "name_length")


@router.get("/api/config", responses=answers(samples.CONFIG))
def config(studio: StudioHere, crew: CrewHere) -> JsonObject:
    """Methods, models, options and limits of this server."""
    settings = studio.settings
    known = crew.capabilities()
    limits = {name: getattr(settings.limits, name) for name in TOLD_LIMITS}
    limits |= {"queue": settings.queue, "workers": settings.workers}
    shown: JsonObject = {
        "version": __version__,
        **known,
        "limits": limits,
    }
    shown["options"] = options.offered(known)
    shown["finders"] = finders.offered()
    shown["mask_forms"] = _forms("form", masks.FORMS)
    formats = _forms("format", scene_files.FORMATS)
    shown["scene_formats"] = [
        entry | {"space": entry["format"] in scene_files.IN_SPACE} for entry in formats
    ]
    shown["units"] = list(METRES)
    shown["token"] = settings.token is not None
    return shown


def _forms(key: str, forms: dict[str, tuple[str, str]]) -> list[JsonObject]:
    return [
        {
            key: form,
            "title": title,
            "suffix": suffix,
        }
        for form, (suffix, title) in forms.items()
    ]


@router.get("/api/health", responses=answers(samples.HEALTH))
def health(studio: StudioHere, crew: CrewHere) -> JsonObject:
    """Whether the server works, and how much it has to do."""
    rows = studio.store.all("SELECT state, count(*) AS n FROM jobs GROUP BY state")
    count = {row["state"]: row["n"] for row in rows}
    workers = [{"state": state} for state in crew.states()]
    shown = {
        "status": "ok",
        "version": __version__,
        "workers": workers,
    }
    return shown | {state: count.get(state, 0) for state in jobs.OPEN}


@router.get("/api/examples", responses=answers({"examples": [samples.EXAMPLE]}))
def list_examples() -> JsonObject:
    """The bundled pictures."""
    return {"examples": examples.every()}


@router.get("/api/examples/{name}/thumbnail.jpg", response_class=Response)
def example_thumbnail(name: str) -> Response:
    """A small picture of an example."""
    return content(examples.thumbnail(name), "image/jpeg", forever=True)


@router.post(
    "/api/examples/{name}/open", status_code=201, responses=answers(samples.PHOTO, 201, 404)
)
def open_example(studio: StudioHere, name: str) -> JsonObject:
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
    return file(assets_folder() / "app" / "index.html")
