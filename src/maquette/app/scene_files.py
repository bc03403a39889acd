"""The files of a scene: taken over by content from a document that the library has saved, opened
from uploads, exported.

A scene's folder has ``files/`` (what its versions share, named by content) and ``cache/`` (what can
be made again from it).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from maquette.app import downloads, uploads
from maquette.app.downloads import Download
from maquette.app.folders import Folders, is_named_by_content
from maquette.app.problems import too_large
from maquette.app.settings import Limits
from maquette.app.uploads import Upload
from maquette.errors import InputError
from maquette.export import export_scene
from maquette.scene.document import save, scene_of
from maquette.scene.fields import Fields
from maquette.scene.ply import decode_ply
from maquette.types import Scene

FORMATS = {  # suffix, and what a person calls it
    "glb": (".glb", "GLB"),
    "obj": (".zip", "OBJ with materials (ZIP)"),
    "ply": (".ply", "PLY"),
    "stl": (".stl", "STL"),
    "json": (".zip", "Scene document (ZIP)"),
    "objects": (".zip", "A GLB per object (ZIP)"),
}
HIGHEST_LABEL = 65535
_SUFFIXES = {"mesh": ".ply", "texture": ".png", "state": ".npz", "photo": ".png", "mask": ".png"}

Document = dict[str, Any]


def references(document: Document) -> Iterator[tuple[Document, str]]:
    """Every place of a document that names a file: the object, and its key."""
    given = document.get("input") or {}
    places = [(entry, ("mesh", "texture", "state")) for entry in document["instances"]]
    places += [(given, ("photo",)), *((entry, ("mask",)) for entry in given.get("masks", []))]
    return ((entry, key) for entry, keys in places for key in keys if entry.get(key) is not None)


def take_over(saved: Path, folder: Path) -> Document:
    """Move the files of a saved document into a scene's folder, named by content; returns the
    document with the new names.
    """
    document = json.loads(saved.read_text(encoding="utf-8"))
    (folder / "files").mkdir(exist_ok=True)
    for entry in document[
        "instances"
    ]:  # a texture shares its mesh's name, so that one address stands for both
        parts = [saved.parent / entry[key] for key in ("mesh", "texture") if entry[key]]
        digest = _digest(*parts)
        for part, key in zip(parts, ("mesh", "texture")):
            entry[key] = _moved(part, folder, f"{digest}{part.suffix}")
    for entry, key in references(document):
        if not entry[key].startswith("files/"):
            part = saved.parent / entry[key]
            entry[key] = _moved(part, folder, f"{_digest(part)}{part.suffix}")
    return document


def _moved(part: Path, folder: Path, name: str) -> str:
    target = folder / "files" / name
    if part.exists():
        os.replace(part, target) if not target.exists() else part.unlink()
    return f"files/{name}"


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


def opened(files: Sequence[Upload], limits: Limits) -> Scene:
    """Read an uploaded scene: a ZIP, or scene.json and its files, known by the last part of their
    names. Raises Problem, InputError.
    """
    if len(files) == 1 and uploads.content_kind(files[0].path) == "zip":
        files = uploads.unpacked(files[0], limits)
    documents = [file for file in files if file.name.lower().endswith(".json")]
    if len(documents) != 1:
        raise InputError(
            f"{len(documents)} of the files are .json; send one scene.json with the files of its folder, or a ZIP of them"
        )
    if documents[0].path.stat().st_size > limits.json_bytes:
        raise too_large(
            f"{documents[0].path}: has more than {limits.json_bytes} bytes; it does not look like a scene document"
        )
    root = Fields.read(documents[0].path)
    _check_document(root, limits)
    by_name = {file.name: file for file in files}
    if len(by_name) < len(files):
        raise InputError("two of the files have the same name; send the files of one scene only")
    for entry, key in references(root.data):
        name = uploads.shown(PurePosixPath(str(entry[key])).name)
        if name not in by_name:
            raise InputError(
                f"{documents[0].path}: refers to {name}, which was not sent; send scene.json with all files of its folder"
            )
        entry[key] = _checked(by_name[name].path, _SUFFIXES[key], limits).name
    return scene_of(root)


def _check_document(root: Fields, limits: Limits) -> None:
    entries = list(root.objects("instances"))
    if root.data.get("input") is not None:
        entries += root.object("input").objects("masks")
    if len(entries) > 4 * limits.objects:
        raise too_large(
            f"{root.file}: has {len(entries)} objects and masks; at most {4 * limits.objects} are taken"
        )
    for entry in entries:
        if entry.whole("label") > HIGHEST_LABEL:
            raise entry.wrong("label", f"a number up to {HIGHEST_LABEL}")
    for entry in root.objects("instances"):
        if entry.whole("seed") >= 2**64:
            raise entry.wrong("seed", "a 64-bit number")


def _checked(path: Path, suffix: str, limits: Limits) -> Path:
    """A referenced file with the suffix it should have, after looking at what is in it."""
    target = path.with_suffix(suffix)
    if target.exists():  # two references to one file
        return target
    if suffix == ".png":
        uploads.check_picture(path, limits)
    elif suffix == ".npz":
        uploads.check_archive(path, limits)
    else:
        try:
            found = decode_ply(path.read_bytes())
        except ValueError as error:
            raise InputError(
                f"{path}: the mesh is truncated ({error}); save the scene again"
            ) from error
        if found is None:
            raise InputError(
                f"{path}: is not a mesh as maquette writes it; save the scene with maquette"
            )
    return path.rename(target)


def saved(scene: Scene, folder: Path) -> Path:
    """Save a scene in a folder of its own, as the library does; returns the path of the document."""
    return save(scene, folder / "scene.json")


def exported(scene: Scene, name: str, form: str, folders: Folders) -> Download:
    """A scene as a file of one of FORMATS. Raises InputError, OutputError."""
    if form not in FORMATS:
        raise InputError(f"format {form!r} is not known; choose one of {', '.join(FORMATS)}")
    stem = downloads.file_stem(name, "scene")
    suffix = FORMATS[form][0]
    with folders.workbench() as folder:
        if form == "json":
            saved(scene, folder)
        elif form == "objects":
            shutil.move(
                export_scene(scene, folder / f"{stem}.glb", separate=True), folder / "objects"
            )
        else:
            written = export_scene(scene, folder / f"{stem}.{form}")
        content = downloads.zipped(folder) if suffix == ".zip" else written.read_bytes()
    return Download(f"{stem}{'_objects' if form == 'objects' else ''}{suffix}", content)
