"""The plain layout: one folder per scene with a photo, masks and a true scene. For BlendSwap- or
Scenethesis-like collections.

    <scene>/photo.png|jpg|webp
            masks.png, masks/, masks.json or masks.npz
            truth.glb (or .gltf, .obj, .ply, or a folder truth/ of them)
            camera.json, optional   width, height, intrinsics, world_from_camera
            labels.json, optional   {"1": "Chair.003"}: mask label -> node

A benchmark's own scenes/ folder is such a collection, so any run can be repeated on its scenes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from maquette.errors import InputError
from maquette.evaluate.cases import (
    OBJECTS,
    Case,
    camera_from_dict,
    measured_case,
    node_name,
    view_centric,
    with_recorded_focal,
)
from maquette.evaluate.files import fingerprint, read_object
from maquette.evaluate.pairs import by_label
from maquette.evaluate.readers.source import FileSource
from maquette.evaluate.surfaces import Meshes
from maquette.export.read import load_named_meshes, node_labels
from maquette.inputs import read_scene_input
from maquette.types import Camera, SceneInput

PHOTOS = tuple(f"photo{suffix}" for suffix in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".bmp"))
MASKS = ("masks.png", "masks", "masks.json", "masks.npz", "masks.npy", "masks.webp", "masks.tif")
TRUTHS = ("truth.glb", "truth.gltf", "truth.obj", "truth.ply", "truth.stl", "truth")
ADVICE = "see docs/evaluation-data.md for the layout"


def folder_sources(root: Path) -> Iterator[FileSource]:
    """Every folder with a photo at or below ``root``, by name; the set is the first folder below
    it, or the root. InputError for none.
    """
    folders = sorted({photo.parent for name in PHOTOS for photo in root.rglob(name)})
    if not folders:
        raise InputError(f"{root}: no folder with a photo.png or photo.jpg; {ADVICE}")
    for folder in folders:
        name = _name(folder, root)
        files = fingerprint(file for file in folder.rglob("*") if file.is_file())
        read = partial(read_folder, folder, name)
        yield FileSource(name, f"folder {folder.name} {files}", str(folder), read)


def _name(folder: Path, root: Path) -> str:
    """Set and scene: the folder below the root, or the root and the folder."""
    relative = folder.relative_to(root).as_posix()
    if "/" in relative:
        return relative
    return f"{root.resolve().name}/{folder.resolve().name if relative == '.' else relative}"


def read_folder(folder: Path, name: str) -> Case:
    """Read one scene and move it to the scene frame of its camera. Nodes without mask are left out;
    InputError for a mask without node.
    """
    photo, masks, truth = (_first_there(folder, names) for names in (PHOTOS, MASKS, TRUTHS))
    scene_input = with_recorded_focal(read_scene_input(photo, masks), folder / OBJECTS)
    camera = _camera(folder)
    height, width = scene_input.image.shape[:2]
    if camera is not None and (camera.height, camera.width) != (height, width):
        raise InputError(
            f"{folder}: the camera is for {camera.width} x {camera.height} pixels, "
            f"the photo has {width} x {height}; make them equal"
        )
    chosen = _of_masks(scene_input, _meshes(truth), folder / "labels.json")
    meshes, camera = view_centric(chosen, camera)
    return measured_case(name, scene_input, meshes, camera, {"folder": folder.name})


def _first_there(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of the names that exists; InputError when none does."""
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise InputError(f"{folder}: none of {', '.join(names)} is there; {ADVICE}")
    return found


def _meshes(truth: Path) -> Meshes:
    """The nodes of a file, or of all files of a folder, which are then called after their files."""
    if not truth.is_dir():
        nodes = load_named_meshes(truth)
        return {**nodes, **by_label(nodes, node_labels(truth))}
    meshes = {}
    for file in sorted(truth.iterdir()):
        nodes = load_named_meshes(file)
        for node, mesh in nodes.items():
            meshes[file.stem if len(nodes) == 1 else f"{file.stem}/{node}"] = mesh
    return meshes


def _camera(folder: Path) -> Camera | None:
    """camera.json, or the camera that a benchmark's own scene keeps in objects.json."""
    path = folder / "camera.json"
    if path.exists():
        return camera_from_dict(read_object(path, ADVICE), str(path))
    kept = folder / OBJECTS
    return camera_from_dict(read_object(kept, ADVICE).get("camera"), str(kept))


def _of_masks(scene_input: SceneInput, nodes: Meshes, labels: Path) -> Meshes:
    """The mesh of every mask: by labels.json, by the node name instance_<label>, or by the mask's
    own name.
    """
    told = read_object(labels, ADVICE)
    if not all(isinstance(node, str) for node in told.values()):
        raise InputError(f"{labels}: expected the name of a node for each label; {ADVICE}")
    chosen = {}
    for mask in scene_input.masks:
        names = (told.get(str(mask.label)), node_name(mask.label), mask.name)
        wanted = [name for name in names if name]
        node = next((name for name in wanted if name in nodes), None)
        if node is None:
            there = ", ".join(list(nodes)[:5])
            raise InputError(
                f"{labels.parent}: mask {mask.label} has no node {' or '.join(wanted)} "
                f"in the truth ({there}); name it in labels.json"
            )
        chosen[node_name(mask.label)] = nodes[node]
    return chosen
