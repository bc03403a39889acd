"""Scene -> files for other programs: GLB for tools and the web, OBJ, PLY and STL for the rest, HTML
for people, JSON for maquette itself.

Every format shares one world: +Y up, the scene frame, in metres when the scene knows its scale and
in scene units otherwise.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from maquette.document.scene_json import save
from maquette.errors import InputError
from maquette.export.glb import write_glb
from maquette.export.ground import NODE as GROUND_NODE
from maquette.export.ground import with_ground
from maquette.export.meshes import write_obj, write_ply, write_stl
from maquette.export.page import write_page
from maquette.export.room import FLOOR, WALL, with_room
from maquette.export.space import in_file_space
from maquette.options import FileSpace, Surroundings
from maquette.output import clear_leftovers, refuse_overwrite
from maquette.types import Scene, StrPath

WRITERS: Mapping[str, Callable[[Scene, Path], None]] = {
    ".glb": write_glb,
    ".obj": write_obj,
    ".ply": write_ply,
    ".stl": write_stl,
    ".html": write_page,
}
DOCUMENT_SUFFIX = ".json"
SWITCHED = (".json", ".html")  # where what is around a scene is kept, and can be shown
SPACELESS = (".obj", ".ply", ".stl")  # formats that say neither unit nor upward axis


def export_scene(
    scene: Scene,
    path: StrPath,
    *,
    formats: Iterable[str] | None = None,
    separate: bool = False,
    overwrite: bool = True,
    unit: str | None = None,
    size: float | None = None,
    up: str = "y",
    ground: str | None = None,
    room: bool = False,
) -> Path:
    """Write the scene to ``path``, whose suffix chooses the format: .glb, .obj, .ply, .stl, .html
    for a page that shows it, or .json for the scene document.

    With ``formats`` (such as ``("glb", "obj")``) one file per format is written, named like
    ``path`` with the format's suffix. With ``separate`` each instance gets a file of its own,
    standing in its place, in the folder ``<path without suffix>_instances``. Returns the path of
    the first file, or that folder. Equal scenes give equal bytes.

    ``unit`` (mm, cm, m, in, ft), ``size`` (the longest side of the whole scene in that unit) and
    ``up`` (y or z) are of OBJ, PLY and STL, which do not say theirs; GLB is in metres with +Y up.
    ``ground``: a surface under the objects, too, "plane" or "disc", as a node ``ground``.
    ``room``: the floor and the walls that the scene's measured depth shows (``room.with_room``).
    What is not asked for is left out, of what the scene has around it, too; but a document holds
    all of it, and a page has switches for it.

    Errors: InputError for an unknown format or a mesh that cannot be written; OutputError for a
    place that cannot be, or is taken.
    """
    path = Path(path)
    names = [path.suffix] if formats is None else list(formats)
    if not names:
        raise InputError(f"no format to write; expected some of {_known()}")
    targets = [_target(path, name) for name in names]
    space = FileSpace(
        unit=unit,
        size=size,
        up=up,
    )
    asked = Surroundings(ground=ground, room=room)
    if space.is_asked_for and not any(target.suffix.lower() in SPACELESS for target in targets):
        raise InputError(f"unit, size and up are of {', '.join(SPACELESS)} only; leave them out")
    known = surrounded(scene, asked)
    scene = _only(known, asked)
    alike = dataclasses.replace(scene, instances=scene.everything, around=())
    placed = in_file_space(alike, space) if space.is_asked_for else alike
    if separate:
        return _export_separately(alike, placed, targets, overwrite)
    clear_leftovers(path.parent)
    for target in targets:
        suffix = target.suffix.lower()
        whole = known if suffix in SWITCHED else scene
        _export_one(placed if suffix in SPACELESS else whole, target, overwrite)
    return targets[0]


def surrounded(scene: Scene, asked: Surroundings) -> Scene:
    """The scene with the ground and the room around it that are asked for, and what it has.

    InputError for a room without a measured depth.
    """
    return with_ground(with_room(scene) if asked.room else scene, asked.ground)


def _only(scene: Scene, asked: Surroundings) -> Scene:
    """The scene without what is around it and not asked for."""
    names = {GROUND_NODE} if asked.ground is not None else set()
    names |= {FLOOR, WALL} if asked.room else set()
    kept = tuple(surface for surface in scene.around if surface.name in names)
    return dataclasses.replace(scene, around=kept)


def _export_one(scene: Scene, path: Path, overwrite: bool) -> None:
    """Write a scene in the format that the suffix means; only the document keeps what is hidden."""
    if path.suffix.lower() == DOCUMENT_SUFFIX:
        save(scene, path, overwrite=overwrite)
        return
    refuse_overwrite(path, overwrite)
    WRITERS[path.suffix.lower()](scene.visible(), path)


def _export_separately(
    scene: Scene,
    placed: Scene,
    targets: list[Path],
    overwrite: bool,
) -> Path:
    """``placed``: the scene as OBJ, PLY and STL have it."""
    folder = targets[0].with_name(f"{targets[0].stem}_instances")
    if any(target.suffix.lower() == DOCUMENT_SUFFIX for target in targets):
        raise InputError(
            "separate files of a .json scene document: it has one mesh file per instance anyway; "
            "leave separate out"
        )
    clear_leftovers(folder)
    taken: set[str] = set()
    for instance, moved in zip(scene.visible().instances, placed.visible().instances):
        stem = re.sub(r"[^\w.-]+", "_", instance.node_name).strip(".") or "instance"
        if stem.lower() in taken:  # some file systems ignore case
            stem = f"{stem}_{instance.label}"
        taken.add(stem.lower())
        alone = dataclasses.replace(scene, instances=(instance,))
        in_space = dataclasses.replace(placed, instances=(moved,))
        for target in targets:
            given = in_space if target.suffix.lower() in SPACELESS else alone
            _export_one(given, folder / f"{stem}{target.suffix}", overwrite)
    return folder


def _known() -> str:
    """The suffixes that can be written, for a message."""
    return ", ".join([*WRITERS, DOCUMENT_SUFFIX])


def _target(path: Path, name: str) -> Path:
    """The path with the suffix of a format, instead of a format's suffix that it may have."""
    suffix = f".{name.strip().lower().removeprefix('.')}"
    known = (*WRITERS, DOCUMENT_SUFFIX)
    if suffix not in known:
        raise InputError(f"{path}: no format has the name {name!r}; expected one of {_known()}")
    if path.suffix.lower() == suffix:
        return path
    return path.with_suffix(suffix) if path.suffix.lower() in known else Path(f"{path}{suffix}")
