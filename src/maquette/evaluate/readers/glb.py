"""GLB scenes with one named node per object and no photo: the photo is rendered, from a camera that
the file's name decides.

+Y up, any unit. Nodes whose names say that they are the building (floor, wall, ceiling, bg_ and so
on) are left out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import trimesh

from maquette.data.assets import Asset
from maquette.data.catalogue import AssetList, Catalogue
from maquette.data.layout import Placement
from maquette.data.scenes import ComposedScene
from maquette.data.views import View, ViewConfig, sample_view
from maquette.document.appearance import vertex_colors_of
from maquette.errors import InputError
from maquette.evaluate.cases import Case, by_instance_number, measured_case, node_name
from maquette.evaluate.readers.source import FileSource
from maquette.evaluate.surfaces import why_no_surface
from maquette.export.read import read_glb
from maquette.geometry.transforms import similarity, transform_points
from maquette.types import InstanceMask, SceneInput

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
BUILDING = re.compile(
    r"^bg_|(?:^|[^a-z])(?:background|floor|wall|ceiling|ground|building|room)(?:[^a-z]|$)",
    re.IGNORECASE,
)
VIEWS = replace(
    ViewConfig(),
    size=512,
    elevation=(12.0, 50.0),
    cut=0.0,
    unmasked=0.0,
    least_pixels=60,
    wall=0.0,
)
MOST_TRIES = 60


def glb_sources(path: Path) -> Iterator[FileSource]:
    """One file, or all files of a folder, by name. InputError for none."""
    folder = path.parent if path.is_file() else path
    files = [path] if path.is_file() else sorted(path.iterdir())
    scenes = [file for file in files if file == path or file.suffix.lower() in SUFFIXES]
    if not scenes:
        raise InputError(
            f"{path}: no {', '.join(SUFFIXES)} file; give a scene file or a folder of them"
        )
    for file in scenes:
        name = f"{folder.resolve().name}/{file.stem}"
        identity = f"{file.name} {_checksum(file)}"
        yield FileSource(name, identity, str(file), partial(read_scene_file, file, name))


def _checksum(file: Path) -> str:
    """Eight hexadecimal digits that tell whether a file has changed."""
    try:
        return f"{zlib.crc32(file.read_bytes()):08x}"
    except OSError:  # reading it will say why
        return "unreadable"


def read_scene_file(path: Path, name: str) -> Case:
    """Read a scene, render it, and keep the objects that the photo shows; the truth is in the scene
    frame of that camera.
    """
    nodes = _objects(path)
    lowest = min(float(mesh.bounds[0, 1]) for _, mesh in nodes)
    view = _view(path, nodes, lowest)
    shown = dict(enumerate((nodes[p.asset] for p in view.placements), 1))
    masks = tuple(InstanceMask(k, view.instance == k, node) for k, (node, _) in shown.items())
    truth = {}
    for label, (_, mesh) in shown.items():
        on_floor = transform_points(_raised(-lowest), np.asarray(mesh.vertices))
        moved = mesh.copy()
        moved.vertices = transform_points(view.scene_from_world, on_floor)
        truth[node_name(label)] = moved
    origin = {"file": path.name, "nodes": len(nodes)}
    return measured_case(name, SceneInput(view.image, masks, name), truth, view.camera, origin)


def _objects(path: Path) -> list[tuple[str, trimesh.Trimesh]]:
    """The nodes that are no building and can be seen, with their meshes in the file's frame."""
    found = []
    for name, mesh, world_from_node in sorted(
        read_glb(path), key=lambda node: by_instance_number(node[0])
    ):
        placed = mesh.apply_transform(world_from_node)
        if not BUILDING.search(name) and not why_no_surface(placed, name):
            found.append((name, placed))
    if not found:
        raise InputError(
            f"{path}: no node is an object; give a scene with one named node per object"
        )
    return found


def _view(path: Path, nodes: Sequence[tuple[str, trimesh.Trimesh]], lowest: float) -> View:
    """A picture of the scene with its lowest point on the floor, in which two objects are seen."""
    assets = []
    placements = []
    for k, (name, mesh) in enumerate(nodes):
        side = max(float(mesh.extents.max()), 1e-9)
        centre = mesh.bounds.mean(0)
        vertices = ((np.asarray(mesh.vertices) - centre) / side).astype(np.float32)
        colors = vertex_colors_of(mesh)[:, :3].astype(np.uint8)
        assets.append(Asset(name, vertices, np.asarray(mesh.faces, np.int32), colors))
        on_floor = centre - (0.0, lowest, 0.0)
        placements.append(Placement(k, similarity(side, None, on_floor)))
    catalogue = Catalogue.of(AssetList(tuple(assets)))
    scene = ComposedScene(tuple(placements), "file")
    rng = np.random.default_rng((2026, zlib.crc32(path.stem.encode())))
    wanted = min(2, len(placements))
    for _ in range(MOST_TRIES):
        view = sample_view(scene, catalogue, rng, VIEWS)
        if len(view.placements) >= wanted:
            return view
    raise InputError(
        f"{path}: none of {MOST_TRIES} cameras shows {wanted} objects; "
        "give a scene whose objects are of similar size"
    )


def _raised(by: float) -> np.ndarray:
    """A shift (4, 4) along +Y."""
    return similarity(1.0, None, np.array([0.0, by, 0.0]))
