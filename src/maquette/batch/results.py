"""The folder of one result: what stands in it, what it was made from, and writing it completely or
not at all.

In the flow: a Scene -> OUT/scene.glb (and other formats), OUT/preview.png, OUT/scene.json with
OUT/scene_files. A result is finished when scene.json is there, which is moved into place last; its
provenance says what it was made from, so that a second run can tell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from maquette.containers import MemoryBudget, read_json
from maquette.document.scene_json import saving
from maquette.errors import InputError, OutputError
from maquette.export import SPACELESS, WRITERS, export_scene
from maquette.options import FileSpace
from maquette.output import (
    RESULT_SUFFIX,
    abandoned,
    as_output_error,
    flush_folder,
    temporary_path,
    writable_folder,
    write_files,
)
from maquette.photos.read import checked_file
from maquette.render.preview import preview
from maquette.types import Scene

DOCUMENT = "scene.json"
DOCUMENT_FILES = "scene_files"
PREVIEW = "preview.png"
SEPARATE = "scene_instances"
# Files that may be replaced and deleted because a result's document lists them.
_PRODUCT = re.compile(
    rf"(?:scene(?:_[\w.-]+)?|{SEPARATE}/[\w.-]+)\.(?:glb|obj|mtl|ply|stl|png)|{PREVIEW}"
)
# In the folder in which a result is prepared.
_NEW = "new"
_OLD = "old"
_JOURNAL = "journal.json"

Request = dict[str, Any]  # what decides a result, as JSON


@dataclass(frozen=True)
class Products:
    """What is written besides the scene document."""

    formats: tuple[str, ...] = ("glb",)
    separate: bool = False  # one file per instance and format, too
    preview: bool = True
    space: FileSpace = field(default_factory=FileSpace)  # of OBJ, PLY and STL

    def __post_init__(self) -> None:
        unknown = [repr(name) for name in self.formats if f".{name}" not in WRITERS]
        if unknown or not self.formats:
            known = ",".join(suffix[1:] for suffix in WRITERS)
            raise InputError(
                f"format {', '.join(unknown) or '(none given)'} cannot be written; "
                f"choose some of {known}"
            )
        if self.space.is_asked_for and not {f".{name}" for name in self.formats} & {*SPACELESS}:
            raise InputError(
                f"unit, size and up are of {', '.join(SPACELESS)} only; "
                "write one of them (format), too, or leave them out"
            )

    def names(self) -> list[str]:
        """File and folder names below the result's folder, the document's own two not counted."""
        names = [f"scene.{name}" for name in self.formats]
        if "obj" in self.formats:
            names.append("scene.mtl")
        return names + [SEPARATE] * self.separate + [PREVIEW] * self.preview


def fingerprint(source: Path) -> str:
    """Sha256 of a file, or of the names and contents of a folder's files. InputError when it is
    missing.
    """
    if not source.is_dir():
        return hashlib.sha256(checked_file(source, "a file").read_bytes()).hexdigest()
    total = hashlib.sha256()
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_document(folder: Path) -> dict[str, Any] | None:
    """The JSON of a finished result; None when there is none, also when scene.json is not a
    maquette scene.
    """
    try:
        document = read_json(folder / DOCUMENT, "make it again", MemoryBudget())
    except InputError:
        return None
    is_ours = isinstance(document, dict) and isinstance(document.get("provenance"), dict)
    return document if is_ours else None


def is_finished(folder: Path, request: Request, products: Products) -> bool:
    """Tell whether the folder holds the scene that this request would make, edited by hand or not.

    OutputError when it holds another one, or other files of the names that would be written.
    """
    document = read_document(folder)
    if document is None:
        for name in (DOCUMENT, DOCUMENT_FILES, *products.names()):
            if os.path.lexists(folder / name):
                raise OutputError(
                    f"{folder / name}: already exists and would be overwritten; "
                    "choose another folder or pass --overwrite"
                )
        return False
    made_from = document["provenance"].get("request")
    wanted = json.loads(json.dumps(request))
    if made_from != wanted:
        raise OutputError(
            f"{folder / DOCUMENT}: was made with {_difference(made_from, wanted)}; "
            "choose another folder or pass --overwrite to replace it"
        )
    return True


def missing(folder: Path, products: Products) -> Products | None:
    """What to write so that a finished result has the products, too, besides those it had; None
    when it has them all.
    """
    if all((folder / name).exists() for name in products.names()):
        return None
    had = {name.partition("/")[0] for name in _listed_files(folder)}
    before = [suffix[1:] for suffix in WRITERS if f"scene{suffix}" in had]
    formats = dict.fromkeys([*products.formats, *before])
    return dataclasses.replace(
        products,
        formats=tuple(formats),
        separate=products.separate or SEPARATE in had,
        preview=products.preview or PREVIEW in had,
    )


def write_result(scene: Scene, folder: Path, products: Products) -> None:
    """Write everything under hidden names first, then let each file take its place with one rename,
    the document last. OutputError leaves what stood there before.
    """
    folder = Path(os.path.realpath(writable_folder(folder)))
    recover(folder)
    stage = temporary_path(folder / f"result{RESULT_SUFFIX}")
    try:
        with as_output_error(folder):
            (stage / _NEW).mkdir(parents=True)
            made = _write_products(scene, stage / _NEW, products)
            with saving(made, folder / DOCUMENT):
                _move_in(stage, folder)
    except OutputError as error:
        raise OutputError(str(error).replace(str(stage / _NEW), str(folder))) from error
    finally:
        _settle(stage)


def recover(folder: Path) -> None:
    """Settle what a run left that was killed while its result took its place: the old result comes
    back, unless the new document was already there.
    """
    for stage in abandoned(folder):
        if stage.suffix == RESULT_SUFFIX:
            _settle(stage)


def _write_products(scene: Scene, folder: Path, products: Products) -> Scene:
    """Write all but the document; returns the scene with what its document should say of them."""
    start = time.perf_counter()
    if products.preview:
        stream = io.BytesIO()
        Image.fromarray(preview(scene)).save(stream, "PNG")
        write_files({folder / PREVIEW: stream.getvalue()})
    drawn = time.perf_counter()
    wanted = {"formats": products.formats, **dataclasses.asdict(products.space)}
    export_scene(scene, folder / "scene.glb", **wanted)
    if products.separate:
        export_scene(scene, folder / "scene.glb", separate=True, **wanted)
    spent = {"preview": round(drawn - start, 3), "export": round(time.perf_counter() - drawn, 3)}
    before = scene.provenance.get("seconds")
    about = {
        "seconds": (before if isinstance(before, dict) else {}) | spent,
        "files": _files_below(folder),
    }
    return dataclasses.replace(scene, provenance=scene.provenance | about)


def _move_in(stage: Path, folder: Path) -> None:
    """Let the new products take their places. What stood there gets a second name in the stage, and
    the journal says what to do when this is interrupted (``_settle``).
    """
    entering = _files_below(stage / _NEW)
    for name in entering:
        if os.path.lexists(folder / name):
            (stage / _OLD / name).parent.mkdir(parents=True, exist_ok=True)
            _link(folder / name, stage / _OLD / name)
    leaving = _listed_files(folder) - set(entering)
    journal = {
        "document": _identity(folder / DOCUMENT),
        "entering": entering,
        "leaving": sorted(leaving),
    }
    write_files({stage / _JOURNAL: json.dumps(journal).encode()})
    flush_folder(folder)
    for name in entering:
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(stage / _NEW / name, folder / name)
    flush_folder(folder)


def _settle(stage: Path) -> None:
    """End the exchange of two results, wherever it was, and delete the stage.

    The document decides: as long as it is the old one, the old products come back; as soon as it is
    the new one, products that only the old result had are deleted.
    """
    folder = stage.parent
    with contextlib.suppress(OSError, ValueError, KeyError):  # no journal: nothing was moved
        journal = json.loads((stage / _JOURNAL).read_bytes())
        if _identity(folder / DOCUMENT) == journal["document"]:
            _bring_back(stage, _own(journal["entering"]))
        else:
            for name in _own(journal["leaving"]):
                (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / SEPARATE).rmdir()  # if it is empty
    shutil.rmtree(stage, ignore_errors=True)


def _bring_back(stage: Path, entering: Sequence[str]) -> None:
    """Undo a move that did not end: what was there comes back, what is new goes."""
    for name in entering:
        place = stage.parent / name
        if os.path.lexists(stage / _OLD / name):
            os.replace(stage / _OLD / name, place)
        elif not (stage / _NEW / name).exists():  # it was moved to where nothing stood before
            place.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or where that is impossible a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _identity(path: Path) -> list[int] | None:
    """What tells a file from one that has replaced it; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def _files_below(folder: Path) -> list[str]:
    """Paths below a folder, relative to it, sorted."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _listed_files(folder: Path) -> set[str]:
    """The products that a result's document lists, whatever else somebody may have put there."""
    document = read_document(folder)
    return set(_own(document["provenance"].get("files"))) if document else set()


def _own(names: Any) -> list[str]:
    """Those of the names that products have: a list that somebody edited deletes nothing else."""
    listed = names if isinstance(names, list) else []
    return [name for name in listed if isinstance(name, str) and _PRODUCT.fullmatch(name)]


def _difference(made_from: Any, wanted: Request) -> str:
    """What has changed since a scene was made, in words."""
    if not isinstance(made_from, dict):
        return "unknown options"
    sources = {"photo": "another photo", "masks": "other masks", "weights": "other weights"}
    changes = []
    for name in [*sources, *sorted({*made_from, *wanted})]:
        before = made_from.get(name)
        now = wanted.get(name)
        if before != now and name in sources:
            return sources[name]
        if before != now:
            changes.append(f"{name} {before} instead of {now}")
    return ", ".join(changes)
