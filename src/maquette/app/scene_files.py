"""The files of a scene: taken over by content from a document that the library has saved, opened
from uploads, exported.

A scene's folder has ``files/`` (what its versions share, named by content) and ``cache/`` (what can
be made again from it).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maquette.app import downloads, uploads
from maquette.app.downloads import Download
from maquette.app.folders import Folders, is_named_by_content
from maquette.app.problems import too_large
from maquette.app.settings import Limits
from maquette.app.uploads import Received, Upload
from maquette.document.fields import Fields
from maquette.document.ply import decode_ply
from maquette.document.scene_json import save, scene_of
from maquette.errors import InputError, contained
from maquette.export import SPACELESS, export_scene
from maquette.options import FileSpace
from maquette.simulation.glb_scene import scene_of_glb
from maquette.types import JsonObject, Scene

FORMATS = {  # suffix, and what a person calls it
    "glb": (".glb", "GLB"),
    "obj": (".zip", "OBJ with materials (ZIP)"),
    "ply": (".ply", "PLY"),
    "stl": (".stl", "STL"),
    "html": (".html", "Web page to share (HTML)"),
    "json": (".zip", "Scene document (ZIP)"),
    "objects": (".zip", "A GLB per object (ZIP)"),
}
IN_SPACE = tuple(suffix.removeprefix(".") for suffix in SPACELESS)  # FileSpace is of these
HIGHEST_LABEL = 65535
_SUFFIXES = {
    "mesh": ".ply",
    "texture": ".png",
    "state": ".npz",
    "depth": ".npz",
    "photo": ".png",
    "mask": ".png",
}

Document = JsonObject


class Provenance(BaseModel):
    """What is used of how a scene was made; the rest is only kept."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    method: str | None = None
    seconds: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = {}
    options: JsonObject = {}


def with_usable_provenance(document: Document) -> Document:
    """A document without what its provenance has of another type than this program writes there:
    it may come from elsewhere.
    """
    provenance = dict(document["provenance"])
    try:
        Provenance.model_validate(provenance)
    except ValidationError as error:
        for wrong in error.errors():
            provenance.pop(wrong["loc"][0], None)
    return {**document, "provenance": provenance}


def references(document: Document) -> Iterator[tuple[Document, str]]:
    """Every place of a document that names a file: the object, and its key."""
    given = document.get("input") or {}
    places: list[tuple[Document, tuple[str, ...]]] = []
    places += [(entry, ("mesh", "texture", "state")) for entry in _made(document)]
    places += [(given, ("photo",)), (given.get("geometry") or {}, ("depth",))]
    places += [(entry, ("mask",)) for entry in given.get("masks", [])]
    return ((entry, key) for entry, keys in places for key in keys if entry.get(key) is not None)


def _made(document: Document) -> list[Document]:
    """The entries of a document that have meshes."""
    return [*document["instances"], *document.get("around", [])]


def take_over(saved: Path, folder: Path) -> Document:
    """Move the files of a saved document into a scene's folder, named by content; returns the
    document with the new names.
    """
    document = json.loads(saved.read_text(encoding="utf-8"))
    document.pop("files", None)  # sums of the files under their old names
    (folder / "files").mkdir(exist_ok=True)
    for entry in _made(document):
        # a texture shares its mesh's name, so that one address stands for both
        keys = [key for key in ("mesh", "texture") if entry[key]]
        digest = _digest(*(saved.parent / entry[key] for key in keys))
        for key in keys:
            _move(saved, entry, key, folder, digest)
    for entry, key in references(document):
        if not entry[key].startswith("files/"):
            _move(saved, entry, key, folder, _digest(saved.parent / entry[key]))
    return document


def _move(
    saved: Path,
    entry: Document,
    key: str,
    folder: Path,
    digest: str,
) -> None:
    source = saved.parent / entry[key]
    target = folder / "files" / f"{digest}{source.suffix}"
    if target.exists():
        source.unlink(missing_ok=True)
    elif source.exists():
        os.replace(source, target)
    entry[key] = f"files/{target.name}"


def _digest(*parts: Path) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(hashlib.sha256(part.read_bytes()).digest())
    return content.hexdigest()[:16]


def drop_unused(folder: Path, documents: Sequence[Document]) -> None:
    """Delete the files that no version needs."""
    used = {entry[key] for document in documents for entry, key in references(document)}
    stems = {Path(name).stem for name in used}
    for file in (folder / "files").iterdir():
        if is_named_by_content(file) and f"files/{file.name}" not in used:
            file.unlink(missing_ok=True)
    for file in (folder / "cache").glob("*.glb"):
        if is_named_by_content(file) and file.stem not in stems:
            file.unlink(missing_ok=True)


def opened(received: Received) -> Scene:
    """Read an uploaded scene: a ZIP, or scene.json and its files, known by the last part of their
    names; or a GLB, of maquette or any other program. Raises Problem, InputError.
    """
    files: Sequence[Upload] = received.files
    if len(files) == 1 and files[0].name.lower().endswith(".glb"):
        return _of_glb(files[0].path, received.limits)
    if len(files) == 1 and uploads.content_kind(files[0].path) == "zip":
        files = uploads.unpacked(files[0], received)
    root = _document_among(files, received)
    by_name = {file.name: file for file in files}
    if len(by_name) < len(files):
        raise InputError("two of the files have the same name; send the files of one scene only")
    sums = root.object("files").data if root.has("files") else {}
    new_sums = {}
    for entry, key in references(root.data):
        name = uploads.shown(PurePosixPath(str(entry[key])).name)
        if name not in by_name:
            raise InputError(
                f"{root.file}: refers to {name}, which was not sent; "
                "send scene.json with all files of its folder"
            )
        place = _checked(by_name[name].path, _SUFFIXES[key], received.limits).name
        if str(entry[key]) in sums:
            new_sums[place] = sums[str(entry[key])]
        entry[key] = place
    root.data["files"] = new_sums
    return scene_of(root, received.budget)


def _of_glb(path: Path, limits: Limits) -> Scene:
    """The scene of an uploaded GLB."""
    scene = scene_of_glb(path.rename(path.with_suffix(".glb")))
    labels = [instance.label for instance in scene.instances]
    if len(labels) > 4 * limits.objects or max(labels) > HIGHEST_LABEL:
        raise too_large(
            f"{path}: has {len(labels)} objects, labels up to {max(labels)}; at most "
            f"{4 * limits.objects} are taken, and labels up to {HIGHEST_LABEL}"
        )
    return scene


def _document_among(files: Sequence[Upload], received: Received) -> Fields:
    documents = [file.path for file in files if file.name.lower().endswith(".json")]
    if len(documents) != 1:
        raise InputError(
            f"{len(documents)} of the files are .json; "
            "send one scene.json with the files of its folder, or a ZIP of them"
        )
    most = received.limits.json_bytes
    if documents[0].stat().st_size > most:
        raise too_large(
            f"{documents[0]}: has more than {most} bytes; it does not look like a scene document"
        )
    root = Fields.read(documents[0], received.budget)
    _check_document(root, received.limits)
    return root


def _check_document(root: Fields, limits: Limits) -> None:
    instances = list(root.objects("instances"))
    if root.has("around"):
        instances += root.objects("around")
    masks = root.object("input").objects("masks") if root.has("input") else ()
    count = len(instances) + len(masks)
    if count > 4 * limits.objects:
        raise too_large(
            f"{root.file}: has {count} objects and masks; at most {4 * limits.objects} are taken"
        )
    for entry in (*instances, *masks):
        if entry.whole("label") > HIGHEST_LABEL:
            raise entry.wrong("label", f"a number up to {HIGHEST_LABEL}")


def _checked(path: Path, suffix: str, limits: Limits) -> Path:
    """A referenced file with the suffix it should have, after looking at what is in it."""
    target = path.with_suffix(suffix)
    if target.exists():  # two references to one file
        return target
    if suffix == ".png":
        uploads.check_picture(path, limits)
    elif suffix == ".ply":
        with contained(f"{path}: the mesh is truncated", "save the scene again"):
            found = decode_ply(path.read_bytes())
        if found is None:
            raise InputError(
                f"{path}: is not a mesh as maquette writes it; save the scene with maquette"
            )
    return path.rename(target)


def saved(scene: Scene, folder: Path) -> Path:
    """Save a scene in a folder of its own, as the library does; returns the path of the
    document.
    """
    return save(scene, folder / "scene.json")


def exported(
    scene: Scene,
    name: str,
    form: str,
    space: FileSpace,
    room: bool,
    folders: Folders,
) -> Download:
    """A scene as a file of one of FORMATS. ``room``: with the floor and the walls that it has or
    that its measured depth shows. Raises InputError, OutputError.
    """
    if form not in FORMATS:
        raise InputError(f"format {form!r} is not known; choose one of {', '.join(FORMATS)}")
    if space.is_asked_for and form not in IN_SPACE:
        raise InputError(f"unit, size and up are of {', '.join(IN_SPACE)} only; leave them out")
    stem = downloads.file_stem(name, "scene")
    suffix = FORMATS[form][0]
    with folders.workbench() as folder:
        if form == "json":
            saved(scene, folder)
        elif form == "objects":
            written = export_scene(scene, folder / f"{stem}.glb", separate=True, room=room)
            shutil.move(written, folder / "objects")
        else:
            asked = dataclasses.asdict(space)
            written = export_scene(scene, folder / f"{stem}.{form}", room=room, **asked)
        content = downloads.zipped(folder) if suffix == ".zip" else written.read_bytes()
    return Download(f"{stem}{'_objects' if form == 'objects' else ''}{suffix}", content)
