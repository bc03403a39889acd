"""Scene -> files for other programs: GLB for tools and the web, OBJ, PLY and STL for the rest, JSON
for maquette itself.

Every format shares one world: +Y up, the scene frame, in metres when the scene knows its scale and
in scene units otherwise.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from maquette.errors import InputError
from maquette.export.glb import write_glb
from maquette.export.meshes import write_obj, write_ply, write_stl
from maquette.output import refuse_overwrite
from maquette.scene.document import save
from maquette.types import Scene

WRITERS: Mapping[str, Callable[[Scene, Path], None]] = {
    ".glb": write_glb,
    ".obj": write_obj,
    ".ply": write_ply,
    ".stl": write_stl,
}


def export_scene(
    scene: Scene,
    path: str | Path,
    *,
    formats: Iterable[str] | None = None,
    separate: bool = False,
    overwrite: bool = True,
) -> Path:
    """Write the scene to ``path``, whose suffix chooses the format: .glb, .obj, .ply, .stl, or
    .json for the scene document.

    With ``formats`` (such as ``("glb", "obj")``) one file per format is written, named like
    ``path`` with the format's suffix. With ``separate`` each instance gets a file of its own,
    standing in its place, in the folder ``<path without suffix>_instances``. Returns the path of
    the first file, or that folder. Equal scenes give equal bytes.

    Errors: InputError for an unknown format or a mesh that cannot be written; OutputError for a
    place that cannot be, or is taken.
    """
    path = Path(path)
    targets = (
        [_with_known_suffix(path)]
        if formats is None
        else [_with_format(path, name) for name in formats]
    )
    if not targets:
        raise InputError(f"no format to write; expected some of {_known()}")
    if separate:
        return _export_separately(scene, targets, overwrite)
    for target in targets:
        _export_one(scene, target, overwrite)
    return targets[0]


def _export_one(scene: Scene, path: Path, overwrite: bool) -> None:
    if path.suffix.lower() == ".json":
        save(scene, path, overwrite=overwrite)
        return
    refuse_overwrite(path, overwrite)
    WRITERS[path.suffix.lower()](scene.visible(), path)


def _export_separately(scene: Scene, targets: list[Path], overwrite: bool) -> Path:
    folder = targets[0].with_name(f"{targets[0].stem}_instances")
    if any(target.suffix.lower() == ".json" for target in targets):
        raise InputError(
            "separate files of a .json scene document: it has one mesh file per instance anyway; leave separate out"
        )
    taken: set[str] = set()
    for instance in scene.visible().instances:
        stem = re.sub(r"[^\w.-]+", "_", instance.node_name).strip(".") or "instance"
        stem = (
            stem if stem.lower() not in taken else f"{stem}_{instance.label}"
        )  # some file systems ignore case
        taken.add(stem.lower())
        for target in targets:
            _export_one(
                dataclasses.replace(scene, instances=(instance,)),
                folder / f"{stem}{target.suffix}",
                overwrite,
            )
    return folder


def _known() -> str:
    return ", ".join([*WRITERS, ".json"])


def _with_known_suffix(path: Path) -> Path:
    if path.suffix.lower() not in (*WRITERS, ".json"):
        raise InputError(
            f"{path}: the suffix {path.suffix!r} names no format to write; expected one of {_known()}"
        )
    return path


def _with_format(path: Path, name: str) -> Path:
    suffix = f".{name.strip().lower().removeprefix('.')}"
    if suffix not in (*WRITERS, ".json"):
        raise InputError(f"format {name!r} cannot be written; expected some of {_known()}")
    return (
        path.with_suffix(suffix)
        if path.suffix.lower() in (*WRITERS, ".json")
        else path.with_name(path.name + suffix)
    )
