"""The plain layout: one folder per scene with a photo, masks and a true scene. For BlendSwap- or
Scenethesis-like collections.

    <scene>/photo.png|jpg|webp   masks.png, masks/, masks.json or masks.npz   truth.glb (or .gltf,
    .obj, .ply, or a folder truth/ of them) optional: camera.json (width, height, intrinsics,
    world_from_camera), labels.json ({"1": "Chair.003"}: mask label -> node)

A benchmark's own scenes/ folder is such a collection, so any run can be repeated on its scenes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette.errors import InputError
from maquette.evaluate.cases import (
    OBJECTS,
    Case,
    Meshes,
    camera_from_dict,
    measured,
    node_name,
    view_centric,
    with_recorded_focal,
)
from maquette.export.read import load_named_meshes
from maquette.images import read_scene_input
from maquette.types import Camera, SceneInput

PHOTOS = tuple(f"photo{suffix}" for suffix in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".bmp"))
MASKS = ("masks.png", "masks", "masks.json", "masks.npz", "masks.npy", "masks.webp", "masks.tif")
TRUTHS = ("truth.glb", "truth.gltf", "truth.obj", "truth.ply", "truth.stl", "truth")


@dataclass(frozen=True)
class FolderSource:
    """One folder of the plain layout."""

    path: str
    name: str

    @property
    def identity(self) -> str:
        """The folder's name and its files by their sizes."""
        files = sorted(
            (file.name, file.stat().st_size)
            for file in Path(self.path).rglob("*")
            if file.is_file()
        )
        return (
            f"folder {Path(self.path).name} {hashlib.sha256(repr(files).encode()).hexdigest()[:12]}"
        )

    def load(self) -> Case:
        """Read it; see ``read_folder``."""
        return read_folder(Path(self.path), self.name)


def folder_sources(root: Path) -> list[FolderSource]:
    """Every folder with a photo at or below ``root``, by name; the set is the first folder below
    it, or the root. InputError for none.
    """
    folders = sorted({photo.parent for name in PHOTOS for photo in root.rglob(name)})
    if not folders:
        raise InputError(
            f"{root}: no folder with a photo.png or photo.jpg; see docs/evaluation-data.md for the layout"
        )
    return [FolderSource(str(folder), _name(folder, root)) for folder in folders]


def _name(folder: Path, root: Path) -> str:
    relative = folder.relative_to(root).as_posix()
    return (
        relative
        if "/" in relative
        else f"{root.resolve().name}/{folder.resolve().name if relative == '.' else relative}"
    )


def read_folder(folder: Path, name: str) -> Case:
    """Read one scene and move it to the scene frame of its camera. Nodes without mask are left out;
    InputError for a mask without node.
    """
    photo, masks, truth = (_only(folder, names) for names in (PHOTOS, MASKS, TRUTHS))
    scene_input = with_recorded_focal(read_scene_input(photo, masks), _json(folder / OBJECTS) or {})
    camera = _camera(folder)
    height, width = scene_input.image.shape[:2]
    if camera is not None and (camera.height, camera.width) != (height, width):
        given = f"the camera is for {camera.width} x {camera.height} pixels, the photo has {width} x {height}"
        raise InputError(f"{folder}: {given}; make them equal")
    meshes = _of_masks(scene_input, _truth(truth), _json(folder / "labels.json") or {}, str(folder))
    meshes, camera = view_centric(meshes, camera)
    return measured(name, scene_input, meshes, camera, {"folder": folder.name})


def _only(folder: Path, names: tuple[str, ...]) -> Path:
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise InputError(
            f"{folder}: none of {', '.join(names)} is there; see docs/evaluation-data.md for the layout"
        )
    return found


def _truth(path: Path) -> Meshes:
    if not path.is_dir():
        return load_named_meshes(path)
    meshes: Meshes = {}
    for file in sorted(path.iterdir()):
        parts = load_named_meshes(file)
        single = len(parts) == 1
        meshes.update(
            {file.stem if single else f"{file.stem}/{node}": mesh for node, mesh in parts.items()}
        )
    return meshes


def _camera(folder: Path) -> Camera | None:
    """camera.json, or the camera that a benchmark's own scene keeps in objects.json."""
    path = folder / "camera.json"
    data = _json(path) if path.exists() else (_json(folder / OBJECTS) or {}).get("camera")
    return camera_from_dict(data, str(path))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); see docs/evaluation-data.md") from error


def _of_masks(scene_input: SceneInput, truth: Meshes, labels: dict[str, str], where: str) -> Meshes:
    """The mesh of every mask: by labels.json, by the node name instance_<label>, or by the mask's
    own name.
    """
    chosen: Meshes = {}
    for mask in scene_input.masks:
        wanted = [
            name for name in (labels.get(str(mask.label)), node_name(mask.label), mask.name) if name
        ]
        node = next((name for name in wanted if name in truth), None)
        if node is None:
            there = ", ".join(list(truth)[:5])
            raise InputError(
                f"{where}: mask {mask.label} has no node {' or '.join(wanted)} in the truth ({there}); name it in labels.json"
            )
        chosen[node_name(mask.label)] = truth[node]
    return chosen
