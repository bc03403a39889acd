"""What all routes share: where the studio is, how files come in and go out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import UploadFile

from maquette.app.crew import Crew
from maquette.app.downloads import MEDIA_TYPES, Download
from maquette.app.problems import file_type, not_found
from maquette.app.schemas import LAST_VERSION
from maquette.app.studio import Studio
from maquette.errors import InputError

FOREVER = {
    "cache-control": "private, max-age=31536000, immutable"
}  # for addresses whose content never changes
FILE_BODY = {
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "file": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        }
    }
}

Files = list[tuple[str, BinaryIO]]


def studio_of(request: Request) -> Studio:
    """The server's studio."""
    return request.app.state.studio


def crew_of(request: Request) -> Crew:
    """The server's workers."""
    return request.app.state.crew


StudioHere = Annotated[Studio, Depends(studio_of)]
CrewHere = Annotated[Crew, Depends(crew_of)]
VersionHere = Annotated[
    int | None, Query(ge=1, le=LAST_VERSION, description="A version; the newest when left out.")
]


async def form_of(request: Request) -> AsyncIterator[dict[str, list[Any]]]:
    """The fields of a multipart body by name, strings and (name, stream) pairs; any other body is
    one field ``file``.
    """
    limits = request.app.state.studio.settings.limits
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(
            max_files=limits.entries, max_fields=50, max_part_size=limits.json_bytes
        ) as form:
            fields: dict[str, list[Any]] = {}
            for key, value in form.multi_items():
                fields.setdefault(key, []).append(
                    (value.filename or "", value.file) if isinstance(value, UploadFile) else value
                )
            yield fields
    elif kind == "application/x-www-form-urlencoded":
        raise file_type(
            "the request is a form without files; send multipart/form-data, or the file as the body"
        )
    else:
        with SpooledTemporaryFile(1 << 20) as stream:
            async for piece in request.stream():
                stream.write(piece)
            size = stream.tell()
            stream.seek(0)
            yield {"file": [("", stream)]} if size else {}


Form = Annotated[dict[str, list[Any]], Depends(form_of)]


def files_in(form: dict[str, list[Any]], field: str = "file") -> Files:
    """The files of a field. InputError when text stands there."""
    values = form.get(field, [])
    if any(isinstance(value, str) for value in values):
        raise InputError(f"the field {field!r} is text; expected a file")
    return values


def file(path: Path, forever: bool = False) -> Response:
    """A file of ours as an answer; 404 when it has just been deleted."""
    if not path.is_file():
        raise not_found("file")
    return FileResponse(
        path,
        media_type=MEDIA_TYPES[path.suffix],
        headers=FOREVER if forever else {"cache-control": "no-cache"},
    )


def content(data: bytes, media_type: str, forever: bool = False) -> Response:
    """Bytes as an answer."""
    return Response(data, media_type=media_type, headers=FOREVER if forever else None)


def download(made: Download) -> Response:
    """A file that a browser saves."""
    return Response(
        made.content,
        media_type=made.media_type,
        headers={"content-disposition": f'attachment; filename="{made.name}"'},
    )


def answers(example: Any, status: int = 200, *others: int) -> dict[int | str, dict[str, Any]]:
    """What the reference says about an answer: an example, and the problems that may come instead."""
    said = {"description": "Done", "content": {"application/json": {"example": example}}}
    errors = {
        code: {"description": text}
        for code, text in {
            404: "There is no such thing",
            409: "Changed meanwhile; `current` has the newest state",
            413: "More than the limits allow",
            415: "A file of a kind that is not read",
            422: "A value is wrong",
            429: "The queue is full; see Retry-After",
        }.items()
        if code in others
    }
    return {status: said, **errors}
