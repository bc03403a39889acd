"""GLB, ours or anyone's -> meshes by node name, for evaluation and for editing. trimesh does the
parsing.

trimesh splits a node with several primitives into nodes with made-up names and leaves COLOR_0
undecoded beside a material; both are put right here, so that what comes back is what glTF says: one
mesh per node, colours sRGB.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals

from maquette.containers import MemoryBudget, check_file, pixel_bytes
from maquette.document.appearance import (
    Appearance,
    appearance_of,
    bytes_from_linear,
    mesh_with,
    texture_of,
    vertex_colors_of,
)
from maquette.document.files import scene_file
from maquette.document.scene_json import load
from maquette.errors import contained, present
from maquette.export.gltf import accessor_bytes, read_header
from maquette.export.mesh_files import read_mesh_file
from maquette.geometry.transforms import similarity
from maquette.types import StrPath

REMEDY = "expected glTF binary; export it again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Node:
    """A node with triangles: one mesh per primitive, in the node's frame."""

    name: str
    parts: list[trimesh.Trimesh]
    world_from_node: np.ndarray  # (4, 4) float64
    ancestors: tuple[str, ...]  # names of the nodes above it, the nearest first


def read_glb(path: StrPath) -> list[tuple[str, trimesh.Trimesh, np.ndarray]]:
    """Return (node name, mesh in the node's frame, world_from_node (4, 4) float64) of every node
    with triangles, by name.

    Meshes have vertex colours (sRGB) or, when they consist of a single textured primitive, a
    texture. Cameras, lights, empty nodes, points and lines are skipped. A name that occurs twice
    gets a number. InputError when the file is missing, broken, not glTF or too large.
    """
    with _reading(path):
        budget = MemoryBudget()
        found = []
        for node in _nodes(Path(path), budget, skip_materials=False):
            parts = [_decoded(part) for part in node.parts]
            found.append((node.name, _merged(parts), node.world_from_node))
        return found


def load_named_meshes(path: StrPath, whole: Collection[str] = ()) -> dict[str, trimesh.Trimesh]:
    """Return the meshes of a file, or of a scene's folder, in world coordinates by node name;
    shapes only, without decoding any texture.

    whole: names of nodes that are one mesh with all that stands below them, as programs write an
    object of several parts. A .json scene document gives its instances by node name; any other
    suffix that trimesh reads as a scene works like a GLB, the objects or groups of an OBJ are its
    nodes. Raises InputError as ``read_glb`` does.
    """
    path = scene_file(path)
    if path.suffix.lower() == ".json":
        scene = load(path)
        file_from_world = similarity(scene.metres_per_unit or 1.0)
        return {
            i.node_name: i.mesh.copy().apply_transform(file_from_world @ i.world_from_instance)
            for i in scene.instances
        }
    with _reading(path):
        found: dict[str, list[trimesh.Trimesh]] = {}
        for node in _nodes(path, MemoryBudget(), skip_materials=True):
            name = next((above for above in node.ancestors if above in whole), node.name)
            placed = _merged(node.parts).apply_transform(node.world_from_node)
            found.setdefault(name, []).append(placed)
        return {name: _merged(parts) for name, parts in sorted(found.items())}


def node_labels(path: StrPath) -> dict[str, int]:
    """Node name -> label, of what maquette has written (``extras`` of a glTF file's nodes, or a
    scene document): names may be anybody's, labels are the masks'. InputError when the file cannot
    be read.
    """
    path = scene_file(path)
    if path.suffix.lower() not in (".glb", ".gltf", ".json"):
        return {}
    with _reading(path), open(path, "rb") as file:
        header = read_header(file)
        entries = [(node.get("name"), node.get("extras")) for node in header.get("nodes", [])]
        entries += [(entry.get("node"), entry) for entry in header.get("instances", [])]
    told = {name: about.get("label") for name, about in entries if isinstance(about, dict)}
    return {name: label for name, label in told.items() if type(label) is int and label > 0}


def _reading(path: StrPath) -> contextlib.AbstractContextManager[None]:
    """Whatever a decoder of foreign files raises is an InputError that names the file."""
    return contained(f"{path}: it cannot be read as a 3D file", REMEDY)


def _nodes(path: Path, budget: MemoryBudget, skip_materials: bool) -> list[_Node]:
    """Read the nodes of a file by name, each with its primitives: those that trimesh has split off
    are children without transform of the node they came from.
    """
    _check_declared(path, budget)
    scene = read_mesh_file(path, textures=not skip_materials).scene
    meshes = {k: part for k, part in scene.geometry.items() if isinstance(part, trimesh.Trimesh)}
    _decode_textures([texture_of(mesh) for mesh in meshes.values()], path, budget)
    nodes: dict[str, _Node] = {}
    parents = scene.graph.transforms.parents
    for node in scene.graph.nodes_geometry:
        matrix, key = scene.graph[node]
        part = meshes.get(key)
        if part is None or not len(part.faces):
            logger.info("%s holds no triangles; skipped", node)
            continue
        budget.take(part.vertices.nbytes + part.faces.nbytes, path)  # a mesh may be used often
        parent = parents.get(node)
        split_off = part.metadata.get("from_gltf_primitive") and node.startswith(f"{parent}_")
        name = parent if split_off else node
        if name not in nodes:
            placed = np.array(matrix, dtype=np.float64)
            nodes[name] = _Node(name, [], placed, tuple(_above(name, parents)))
        nodes[name].parts.append(part)
    return [nodes[name] for name in sorted(nodes)]


def _above(node: str, parents: Mapping[str, str]) -> Iterator[str]:
    """The nodes above one, from its parent to the root."""
    for _ in range(len(parents)):  # parents that go round in a circle end here
        if node not in parents:
            return
        node = parents[node]
        yield node


def _check_declared(path: Path, budget: MemoryBudget) -> None:
    """Compare what a glTF file declares to hold with the budget, before anything is allocated: an
    accessor without data stands for zeros, and many accessors may share the same data.
    """
    check_file(path, "give a .glb file", budget)
    if path.suffix.lower() in (".glb", ".gltf"):
        with open(path, "rb") as file:
            header = read_header(file)
        for accessor in header.get("accessors", []):
            budget.take(accessor_bytes(accessor), path)


def _decode_textures(
    images: Sequence[Image.Image | None], path: Path, budget: MemoryBudget
) -> None:
    """Decode each picture once, however many meshes share it, while the file can be named."""
    different = {id(image): image for image in images if image is not None}
    for image in different.values():
        budget.take(pixel_bytes(image), path)
        image.load()


def _decoded(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return the mesh in maquette's form: texture, or colours in sRGB."""
    appearance = appearance_of(mesh)
    if isinstance(mesh.visual, ColorVisuals) and mesh.visual.defined:
        # COLOR_0 without a material: trimesh's bytes are still linear
        raw = present(appearance.colors, "colour")
        appearance = Appearance(colors=bytes_from_linear(raw / 255))
    return mesh_with(mesh.vertices, mesh.faces, appearance)


def _merged(parts: list[trimesh.Trimesh]) -> trimesh.Trimesh:
    """Return one mesh of several primitives; the vertices are copied, never welded."""
    if len(parts) == 1:
        return parts[0].copy()
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts)]
    vertices = np.concatenate([part.vertices for part in parts])
    colors = np.concatenate([vertex_colors_of(part) for part in parts])
    return mesh_with(vertices, np.concatenate(faces), Appearance(colors=colors))
