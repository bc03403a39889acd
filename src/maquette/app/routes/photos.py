"""/api/photos and their masks."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from maquette.app import geometry, masks, photos, pictures, samples
from maquette.app.routes.common import (
    FILE_BODY,
    Form,
    JsonObject,
    StudioHere,
    VersionHere,
    answers,
    content,
    download,
    file_of,
    files_in,
    geometry_in,
)
from maquette.app.schemas import MaskEditRequest, NameRequest, StepRequest
from maquette.errors import InputError
from maquette.options import DEPTH_KINDS

router = APIRouter(prefix="/api/photos", tags=["photos and masks"])
Label = Annotated[int, Path(ge=1, le=65535)]


@router.post(
    "",
    status_code=201,
    responses=answers(samples.PHOTO, 201, 413, 415, 422),
    openapi_extra={"requestBody": FILE_BODY},
)
def add_photo(studio: StudioHere, form: Form) -> JsonObject:
    """Take in a photo: multipart field `file`, or the bytes as the body."""
    files = files_in(form)
    if len(files) != 1:
        raise InputError(
            f"{len(files)} files; send one photo in the multipart field 'file', "
            "or as the body with its content type"
        )
    return photos.add(studio, *files[0])


@router.get("", responses=answers({"photos": [samples.PHOTO]}))
def list_photos(studio: StudioHere) -> JsonObject:
    """All photos, newest first."""
    return {"photos": photos.every(studio)}


@router.get("/{photo}", responses=answers(samples.PHOTO, 200, 404))
def get_photo(studio: StudioHere, photo: str) -> JsonObject:
    """One photo."""
    return photos.get(studio, photo)


@router.patch("/{photo}", responses=answers(samples.PHOTO, 200, 404, 422))
def rename_photo(studio: StudioHere, photo: str, request: NameRequest) -> JsonObject:
    """Give a photo another name."""
    return photos.rename(studio, photo, request.name)


@router.delete("/{photo}", status_code=204)
def delete_photo(studio: StudioHere, photo: str) -> None:
    """Delete a photo and its masks; jobs and scenes have copies."""
    studio.delete("photos", photo)


@router.get("/{photo}/image.png", response_class=Response)
def photo_image(studio: StudioHere, photo: str) -> Response:
    """The picture, upright, sRGB, at most 2048 pixels a side."""
    return file_of(studio, "photos", photo, "image.png")


@router.get("/{photo}/thumbnail.jpg", response_class=Response)
def photo_thumbnail(studio: StudioHere, photo: str) -> Response:
    """A small picture."""
    return file_of(studio, "photos", photo, "thumbnail.jpg")


GEOMETRY_BODY = {
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "depth": {"type": "string", "format": "binary"},
                    "points": {"type": "string", "format": "binary"},
                    "intrinsics": {"type": "string", "description": "FX,FY,CX,CY, or a file"},
                    "depth_unit": {"type": "string"},
                    "depth_kind": {"type": "string", "enum": list(DEPTH_KINDS)},
                    "gravity": {"type": "string", "description": "X,Y,Z"},
                },
            }
        }
    }
}


@router.put(
    "/{photo}/geometry",
    openapi_extra={"requestBody": GEOMETRY_BODY},
    responses=answers(samples.PHOTO, 200, 404, 413, 415, 422),
)
def put_geometry(studio: StudioHere, photo: str, form: Form) -> JsonObject:
    """What is known of a photo's depth, camera and gravity, in place of what was; in any form that
    `maquette generate --depth` reads.
    """
    files, words = geometry_in(form)
    return geometry.put(studio, photo, files, words)


@router.delete("/{photo}/geometry", responses=answers(samples.PHOTO, 200, 404))
def delete_geometry(studio: StudioHere, photo: str) -> JsonObject:
    """Forget it; depth and camera are estimated again."""
    return geometry.remove(studio, photo)


@router.get("/{photo}/masks", responses=answers(samples.MASKS, 200, 404))
def get_masks(studio: StudioHere, photo: str, version: VersionHere = None) -> JsonObject:
    """The objects with their numbers and warnings, and what can be undone."""
    return masks.state(studio, photo, version)


@router.post("/{photo}/masks/edits", responses=answers(samples.MASKS, 200, 404, 409, 422))
def edit_masks(studio: StudioHere, photo: str, request: MaskEditRequest) -> JsonObject:
    """Edit the masks; see the kinds of edits in the schema."""
    return masks.apply(studio, photo, request.version, request.edit.kind, request.edit.apply)


@router.post("/{photo}/masks/undo", responses=answers(samples.MASKS, 200, 404, 409))
def undo_masks(studio: StudioHere, photo: str, request: StepRequest) -> JsonObject:
    """Take the last edit back."""
    return masks.step(studio, photo, request.version, back=True)


@router.post("/{photo}/masks/redo", responses=answers(samples.MASKS, 200, 404, 409))
def redo_masks(studio: StudioHere, photo: str, request: StepRequest) -> JsonObject:
    """Do again what was undone."""
    return masks.step(studio, photo, request.version, back=False)


@router.post(
    "/{photo}/masks/import",
    openapi_extra={"requestBody": FILE_BODY},
    responses=answers(samples.MASKS, 200, 404, 409, 413, 415, 422),
)
def import_masks(studio: StudioHere, photo: str, form: Form) -> JsonObject:
    """Replace all objects by a mask file in any form that `maquette masks` reads; several pictures
    or a ZIP are a folder of masks.
    """
    given = form.get("version", [None])[0]
    return masks.load(studio, photo, files_in(form), None if given is None else _version(given))


def _version(given: Any) -> int:
    """A field of a form as the number of a version."""
    if not isinstance(given, str) or re.fullmatch(r"[0-9]{1,9}", given) is None:
        raise InputError("the field 'version' is not a number")
    return int(given)


@router.get("/{photo}/masks/export", response_class=Response)
def export_masks(
    studio: StudioHere,
    photo: str,
    form: Annotated[str, Query(description="label, rgb, coco, coco-rle, npz or folder")] = "label",
) -> Response:
    """Download the masks."""
    return download(masks.export(studio, photo, form))


@router.get("/{photo}/masks/labels.png", response_class=Response)
def label_picture(studio: StudioHere, photo: str, version: VersionHere = None) -> Response:
    """All objects in one picture: label = R + 256 G; B is 255 where objects overlap."""
    chosen = masks.masks_of(studio, photo, version)
    picture = pictures.label_picture(chosen, photos.size_of(studio, photo))
    return content(picture, "image/png", forever=version is not None)


@router.get("/{photo}/masks/{label}.png", response_class=Response)
def one_mask(
    studio: StudioHere,
    photo: str,
    label: Label,
    version: VersionHere = None,
) -> Response:
    """One object alone, 255 inside."""
    picture = masks.one_mask(studio, photo, label, version)
    return content(picture, "image/png", forever=version is not None)
