"""/api/scenes and comparing two of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response

from maquette.app import jobs, options, samples, scenes
from maquette.app.routes.common import (
    FILE_BODY,
    CrewHere,
    Form,
    JsonObject,
    StudioHere,
    VersionHere,
    answers,
    download,
    file,
    files_in,
)
from maquette.app.routes.jobs import accepted
from maquette.app.schemas import NameRequest, RegenerateRequest, SceneEditRequest, StepRequest
from maquette.declare import declarations
from maquette.options import FileSpace

SPACE = declarations(FileSpace)

router = APIRouter(tags=["scenes"])


@router.post(
    "/api/scenes",
    status_code=201,
    responses=answers(samples.SCENE, 201, 413, 415, 422),
    openapi_extra={"requestBody": FILE_BODY},
)
def open_scene(studio: StudioHere, form: Form) -> JsonObject:
    """Open a saved scene: a ZIP as exported, or scene.json and its files."""
    return scenes.load(studio, files_in(form))


@router.get("/api/scenes", responses=answers({"scenes": [samples.BRIEF_SCENE]}))
def list_scenes(studio: StudioHere) -> JsonObject:
    """All scenes, newest first, without their instances."""
    return {"scenes": scenes.every(studio)}


@router.get("/api/scenes/{scene}", responses=answers(samples.SCENE, 200, 404))
def get_scene(studio: StudioHere, scene: str, version: VersionHere = None) -> JsonObject:
    """One scene with its objects."""
    return scenes.state(studio, scene, version)


@router.patch("/api/scenes/{scene}", responses=answers(samples.SCENE, 200, 404, 422))
def rename_scene(studio: StudioHere, scene: str, request: NameRequest) -> JsonObject:
    """Give a scene another name."""
    return scenes.rename(studio, scene, request.name)


@router.delete("/api/scenes/{scene}", status_code=204)
def delete_scene(studio: StudioHere, scene: str) -> None:
    """Delete a scene."""
    studio.delete("scenes", scene)


@router.post(
    "/api/scenes/{scene}/copy", status_code=201, responses=answers(samples.SCENE, 201, 404)
)
def copy_scene(studio: StudioHere, scene: str) -> JsonObject:
    """A scene of its own with the newest version."""
    return scenes.copy(studio, scene)


@router.post("/api/scenes/{scene}/edits", responses=answers(samples.SCENE, 200, 404, 409, 422))
def edit_scene(studio: StudioHere, scene: str, request: SceneEditRequest) -> JsonObject:
    """Edit a scene; see the kinds of edits in the schema."""
    return scenes.apply(studio, scene, request.version, request.edit.kind, request.edit.apply)


@router.post("/api/scenes/{scene}/undo", responses=answers(samples.SCENE, 200, 404, 409))
def undo_scene(studio: StudioHere, scene: str, request: StepRequest) -> JsonObject:
    """Take the last edit back."""
    return scenes.step(studio, scene, request.version, back=True)


@router.post("/api/scenes/{scene}/redo", responses=answers(samples.SCENE, 200, 404, 409))
def redo_scene(studio: StudioHere, scene: str, request: StepRequest) -> JsonObject:
    """Do again what was undone."""
    return scenes.step(studio, scene, request.version, back=False)


@router.post(
    "/api/scenes/{scene}/regenerate",
    status_code=202,
    responses=answers(samples.JOB, 202, 404, 422, 429),
)
def regenerate(
    studio: StudioHere,
    crew: CrewHere,
    response: Response,
    scene: str,
    request: RegenerateRequest,
) -> JsonObject:
    """Make one object anew with another seed; all others stay."""
    made_with = scenes.made_with(studio, scene)
    chosen = options.regeneration(request, crew.capabilities(), made_with)
    return accepted(jobs.submit_regeneration(studio, scene, request.label, chosen), crew, response)


@router.get("/api/scenes/{scene}/export", response_class=Response)
def export_scene(
    studio: StudioHere,
    scene: str,
    format: Annotated[str, Query(description="glb, obj, ply, stl, json or objects")] = "glb",
    version: VersionHere = None,
    unit: Annotated[str | None, Query(description=SPACE["unit"].help)] = None,
    size: Annotated[float | None, Query(description=SPACE["size"].help)] = None,
    up: Annotated[str, Query(description=SPACE["up"].help)] = "y",
    room: Annotated[bool, Query(description="with the floor and the walls around")] = False,
) -> Response:
    """Download a scene."""
    space = FileSpace(
        unit=unit,
        size=size,
        up=up,
    )
    return download(scenes.export(studio, scene, format, space, room, version))


@router.get("/api/scenes/{scene}/instances/{label}.glb", response_class=Response)
def scene_instance(
    studio: StudioHere, scene: str, label: Annotated[int, Path(ge=0, le=65535)]
) -> Response:
    """Download one object, placed."""
    return download(scenes.instance_file(studio, scene, label))


@router.get("/api/scenes/{scene}/meshes/{mesh}.glb", response_class=Response)
def scene_mesh(
    studio: StudioHere, scene: str, mesh: Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
) -> Response:
    """A mesh in its own frame."""
    return file(scenes.mesh_glb(studio, scene, mesh), forever=True)


@router.get("/api/scenes/{scene}/document.json")
def scene_document(studio: StudioHere, scene: str, version: VersionHere = None) -> JSONResponse:
    """scene.json, with the names of the files as they lie on the server."""
    return JSONResponse(scenes.document(studio, scene, version).data)


@router.get("/api/scenes/{scene}/preview.png", response_class=Response)
def scene_preview(studio: StudioHere, scene: str, version: VersionHere = None) -> Response:
    """The preview picture, as on the command line."""
    return file(scenes.preview_file(studio, scene, version), forever=version is not None)


@router.get("/api/scenes/{scene}/thumbnail.jpg", response_class=Response)
def scene_thumbnail(studio: StudioHere, scene: str, version: VersionHere = None) -> Response:
    """A small picture of the scene from the photo's camera."""
    return file(scenes.thumbnail_file(studio, scene, version), forever=version is not None)


@router.get("/api/scenes/{scene}/photo.png", response_class=Response)
def scene_photo(studio: StudioHere, scene: str) -> Response:
    """The photo of the scene."""
    return file(scenes.photo_file(studio, scene), forever=True)


@router.get("/api/scenes/{scene}/masks.png", response_class=Response)
def scene_masks(studio: StudioHere, scene: str) -> Response:
    """The masks of the scene as a label picture."""
    return file(scenes.masks_file(studio, scene), forever=True)


@router.get("/api/compare", responses=answers(samples.COMPARISON, 200, 404))
def compare(studio: StudioHere, a: str, b: str) -> JsonObject:
    """Two scenes side by side, their objects matched by label."""
    return scenes.compare(studio, a, b)
