"""The folder of one result: what stands in it, what it was made from, and writing it completely or
not at all.

In the flow: a Scene -> OUT/scene.glb (and other formats), OUT/preview.png, OUT/scene.json with
OUT/scene_files. A result is finished when scene.json is there, which is moved into place last; its
provenance says what it was made from, so that a second run can tell.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from maquette.errors import InputError, OutputError
from maquette.export import WRITERS, export_scene
from maquette.images.read import checked_file
from maquette.output import TEMPORARY_PREFIX, atomic_write, writable_folder
from maquette.render.preview import preview
from maquette.scene.document import save
from maquette.types import Scene

DOCUMENT = "scene.json"
DOCUMENT_FILES = "scene_files"
PREVIEW = "preview.png"
SEPARATE = "scene_instances"
_OURS = (".ply", ".png", ".npz", ".glb", ".obj", ".mtl", ".stl")  # in the two folders
_PRODUCT = re.compile(rf"scene(_[\w.-]+)?\.(glb|obj|mtl|ply|stl|png)|{PREVIEW}|{SEPARATE}")

Request = dict[str, Any]  # what decides a result, as JSON


@dataclass(frozen=True)
class Products:
    """What is written besides the scene document."""

    formats: tuple[str, ...] = ("glb",)
    separate: bool = False  # one file per instance and format, too
    preview: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if f".{name}" not in WRITERS]
        if unknown or not self.formats:
            known = ",".join(suffix[1:] for suffix in WRITERS)
            raise InputError(
                f"format {', '.join(map(repr, unknown)) or '(none given)'} cannot be written; choose some of {known}"
            )

    def names(self) -> list[str]:
        """File and folder names below the result's folder, the document's own two not counted."""
        extra = [SEPARATE] * self.separate + [PREVIEW] * self.preview
        return (
            [f"scene.{name}" for name in self.formats]
            + ["scene.mtl"] * ("obj" in self.formats)
            + extra
        )


def fingerprint(source: Path) -> str:
    """Sha256 of a file, or of the names and contents of a folder's files. InputError when it is
    missing.
    """
    if not source.is_dir():
        return hashlib.sha256(checked_file(source, "a file").read_bytes()).hexdigest()
    files = sorted(
        path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    parts = [
        path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest() for path in files
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def read_document(folder: Path) -> dict[str, Any] | None:
    """The JSON of a finished result; None when there is none, also when scene.json is not a
    maquette scene.
    """
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return (
        document
        if isinstance(document, dict) and isinstance(document.get("provenance"), dict)
        else None
    )


def is_finished(folder: Path, request: Request, products: Products) -> bool:
    """Tell whether the folder holds the scene that this request would make, edited by hand or not.

    OutputError when it holds another one, or other files of the names that would be written.
    """
    document = read_document(folder)
    if document is None:
        taken = [
            name
            for name in (DOCUMENT, DOCUMENT_FILES, *products.names())
            if os.path.lexists(folder / name)
        ]
        if taken:
            raise OutputError(
                f"{folder / taken[0]}: already exists and would be overwritten; choose another folder or pass --overwrite"
            )
        return False
    made_from = document["provenance"].get("request")
    if made_from != json.loads(json.dumps(request)):
        raise OutputError(
            f"{folder / DOCUMENT}: was made with {_difference(made_from, request)}; choose another folder or pass --overwrite to replace it"
        )
    return True


def missing(folder: Path, products: Products) -> Products | None:
    """What to write so that a finished result has the products, too, besides those it had; None
    when it has them all.
    """
    if all((folder / name).exists() for name in products.names()):
        return None
    had = _listed_files(folder)
    formats = (*products.formats, *(suffix[1:] for suffix in WRITERS if f"scene{suffix}" in had))
    return Products(
        tuple(dict.fromkeys(formats)),
        products.separate or SEPARATE in had,
        products.preview or PREVIEW in had,
    )


def refuse_foreign(folder: Path) -> None:
    """Make sure that the folders that will be replaced hold only what maquette writes; OutputError
    otherwise.
    """
    for inner in (folder / DOCUMENT_FILES, folder / SEPARATE):
        entries = inner.iterdir() if inner.is_dir() else ()
        foreign = [
            path.name
            for path in entries
            if path.is_dir() or (path.suffix not in _OURS and not path.name.startswith("."))
        ]
        if foreign:
            raise OutputError(
                f"{inner}: holds {foreign[0]!r}, which maquette did not write and would delete; move it away"
            )


def write_result(scene: Scene, folder: Path, products: Products) -> None:
    """Write everything to a hidden folder first, then move it into place. OutputError leaves what
    stood there before.
    """
    refuse_foreign(folder)
    staging = (
        Path(os.path.realpath(writable_folder(folder)))
        / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}"
    )
    try:
        staging.mkdir()
        _write(scene, staging, products)
        _publish(staging, folder)
    except OutputError as error:
        raise OutputError(str(error).replace(str(staging), str(folder))) from error
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}); check its permissions and the free space"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(scene: Scene, folder: Path, products: Products) -> None:
    start = time.perf_counter()
    if products.preview:
        with atomic_write(folder / PREVIEW) as temporary:
            Image.fromarray(preview(scene)).save(temporary, "PNG")
    drawn = time.perf_counter()
    export_scene(scene, folder / "scene.glb", formats=products.formats)
    if products.separate:
        export_scene(scene, folder / "scene.glb", formats=products.formats, separate=True)
    spent = {"preview": round(drawn - start, 3), "export": round(time.perf_counter() - drawn, 3)}
    seconds = scene.provenance.get("seconds", {}) | spent
    provenance = scene.provenance | {
        "seconds": seconds,
        "files": sorted(path.name for path in folder.iterdir()),
    }
    save(dataclasses.replace(scene, provenance=provenance), folder / DOCUMENT)


def _publish(staging: Path, folder: Path) -> None:
    """Move the new files in and the old ones out; when that is interrupted, what stood there before
    comes back.

    The document leaves first and enters last: wherever the power fails, a document never stands
    beside files of another scene.
    """
    retired = staging / f"{TEMPORARY_PREFIX}retired"
    entering = sorted(staging.iterdir(), key=lambda path: path.name == DOCUMENT)
    retired.mkdir()
    leaving = [
        name
        for name in _leaving(folder, [path.name for path in entering])
        if os.path.lexists(folder / name)
    ]
    try:
        for name in leaving:
            os.replace(folder / name, retired / name)
        for path in entering:
            os.replace(path, folder / path.name)
    finally:
        if not (folder / DOCUMENT).exists():
            for path in entering:
                if not path.exists() and os.path.lexists(folder / path.name):
                    os.replace(folder / path.name, path)
            for name in reversed(leaving):
                if os.path.lexists(retired / name):
                    os.replace(retired / name, folder / name)


def _leaving(folder: Path, entering: Iterable[str]) -> list[str]:
    """Names that a new result replaces: the same ones, and those that the old result's document
    says it has; the document first.
    """
    return [DOCUMENT, *sorted({*entering, *_listed_files(folder)} - {DOCUMENT})]


def _listed_files(folder: Path) -> set[str]:
    """The products that a result's document lists, whatever else somebody may have written there."""
    document = read_document(folder)
    listed = document["provenance"].get("files") if document else None
    return (
        {str(name) for name in listed if _PRODUCT.fullmatch(str(name))}
        if isinstance(listed, list)
        else set()
    )


def _difference(made_from: Any, request: Request) -> str:
    if not isinstance(made_from, dict):
        return "unknown options"
    for name in ("photo", "masks", "weights"):
        if made_from.get(name) != request.get(name):
            return {"photo": "another photo", "masks": "other masks", "weights": "other weights"}[
                name
            ]
    wanted = json.loads(json.dumps(request))
    changed = sorted(
        name for name in {*made_from, *wanted} if made_from.get(name) != wanted.get(name)
    )
    return ", ".join(
        f"{name} {made_from.get(name)} instead of {wanted.get(name)}" for name in changed
    )
