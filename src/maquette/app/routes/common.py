"""What all routes share: where the studio is, how files come in and go out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import UploadFile

from maquette.app.crew import Crew
from maquette.app.downloads import MEDIA_TYPES, Download
from maquette.app.geometry import WORDS
from maquette.app.guard import content_type
from maquette.app.problems import file_type, not_found
from maquette.app.schemas import LAST_VERSION
from maquette.app.studio import Studio
from maquette.app.uploads import Named
from maquette.batch.pairs import GEOMETRY_SUFFIXES
from maquette.errors import InputError
from maquette.types import JsonObject

# for addresses whose content never changes
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
FILE_BODY = {
    "content": {
        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": FILES}}}
    }
}
ERRORS = {
    404: "There is no such thing",
    409: "Changed meanwhile; `current` has the newest state",
    413: "More than the limits allow",
    415: "A file of a kind that is not read",
    422: "A value is wrong",
    429: "The queue is full; see Retry-After",
}
MOST_FIELDS = 50  # of a form, besides its files
IN_MEMORY = 1 << 20  # bytes of a body; more goes to a temporary file

Fields = dict[str, list[Any]]  # of a form, by name: strings and (name, stream) pairs


def studio_of(request: Request) -> Studio:
    """The server's studio."""
    return request.app.state.studio


def crew_of(request: Request) -> Crew:
    """The server's workers."""
    return request.app.state.crew


StudioHere = Annotated[Studio, Depends(studio_of)]
CrewHere = Annotated[Crew, Depends(crew_of)]
VersionHere = Annotated[
    int | None,
    Query(
        ge=1,
        le=LAST_VERSION,
        description="A version; the newest when left out.",
    ),
]


async def form_of(request: Request) -> AsyncIterator[Fields]:
    """The fields of a multipart body; any other body is one field ``file``."""
    kind = content_type(request.headers)
    if kind == "application/x-www-form-urlencoded":
        raise file_type(
            "the request is a form without files; send multipart/form-data, or the file as the body"
        )
    if kind == "multipart/form-data":
        limits = request.app.state.studio.settings.limits
        most = {"max_files": limits.entries, "max_part_size": limits.json_bytes}
        async with request.form(max_fields=MOST_FIELDS, **most) as form:
            fields: Fields = {}
            for key, value in form.multi_items():
                fields.setdefault(key, []).append(_named(value))
            yield fields
        return
    with SpooledTemporaryFile(IN_MEMORY) as stream:
        async for piece in request.stream():
            stream.write(piece)
        size = stream.tell()
        stream.seek(0)
        yield {"file": [("", stream)]} if size else {}


def _named(value: UploadFile | str) -> Named | str:
    return (value.filename or "", value.file) if isinstance(value, UploadFile) else value


Form = Annotated[Fields, Depends(form_of)]


def files_in(form: Fields, field: str = "file") -> list[Named]:
    """The files of a field. InputError when text stands there."""
    values = form.get(field, [])
    if any(isinstance(value, str) for value in values):
        raise InputError(f"the field {field!r} is text; expected a file")
    return values


def geometry_in(form: Fields) -> tuple[dict[str, Named], dict[str, str]]:
    """What a form tells of depth and camera: files and words by field. InputError for a field with
    several values, or with text where a file is expected.
    """
    files: dict[str, Named] = {}
    words: dict[str, str] = {}
    for key in (*GEOMETRY_SUFFIXES, *WORDS):
        values = form.get(key, [])
        if len(values) > 1:
            raise InputError(f"the field {key!r} is there {len(values)} times; send it once")
        for value in values:
            if not isinstance(value, str):
                files[key] = value
            elif key in WORDS:
                words[key] = value
            else:
                raise InputError(f"the field {key!r} is text; expected a file")
    strange = [key for key in files if key not in GEOMETRY_SUFFIXES]
    if strange:
        raise InputError(f"the field {strange[0]!r} is a file; expected text")
    return files, words


def file(path: Path, forever: bool = False) -> Response:
    """A file of ours as an answer; 404 when it has just been deleted."""
    if not path.is_file():
        raise not_found("file")
    kept = FOREVER if forever else {"cache-control": "no-cache"}
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=kept)


def file_of(
    studio: Studio,
    kind: str,
    identifier: str,
    name: str,
) -> Response:
    """A file of a thing of ours that never changes, as an answer; 404 when there is none."""
    studio.row(kind, identifier)
    return file(studio.folders.of(kind, identifier) / name, forever=True)


def content(data: bytes, media_type: str, forever: bool = False) -> Response:
    """Bytes as an answer."""
    return Response(data, media_type=media_type, headers=FOREVER if forever else None)


def download(made: Download) -> Response:
    """A file that a browser saves."""
    saved = {"content-disposition": f'attachment; filename="{made.name}"'}
    return Response(made.content, media_type=made.media_type, headers=saved)


def answers(example: Any, status: int = 200, *others: int) -> dict[int | str, JsonObject]:
    """What the reference says about an answer: an example, and the problems that may come
    instead.
    """
    said: dict[int | str, JsonObject] = {code: {"description": ERRORS[code]} for code in others}
    shown = {"application/json": {"example": example}}
    return {status: {"description": "Done", "content": shown}, **said}
