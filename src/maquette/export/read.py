"""GLB, ours or anyone's -> meshes by node name, for evaluation and for editing. trimesh does the
parsing.

trimesh splits a node with several primitives into nodes with made-up names and leaves COLOR_0
undecoded beside a material; both are put right here, so that what comes back is what glTF says: one
mesh per node, colours sRGB.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import trimesh
from trimesh.visual.color import ColorVisuals

from maquette.errors import InputError
from maquette.geometry.transforms import similarity
from maquette.scene.appearance import (
    Appearance,
    appearance_of,
    bytes_from_linear,
    mesh_with,
    vertex_colors_of,
)

logger = logging.getLogger(__name__)


def read_glb(path: str | Path) -> list[tuple[str, trimesh.Trimesh, np.ndarray]]:
    """Return (node name, mesh in the node's frame, world_from_node (4, 4) float64) of every node
    with triangles, by name.

    Meshes have vertex colours (sRGB) or, when they consist of a single textured primitive, a
    texture. Cameras, lights, empty nodes, points and lines are skipped. A name that occurs twice
    gets a number. InputError when the file is missing, broken or not glTF.
    """
    scene = _load(Path(path), skip_materials=False)
    return [
        (name, _merged([_decoded(part) for part in parts]), matrix)
        for name, parts, matrix in _nodes(scene)
    ]


def load_named_meshes(path: str | Path) -> dict[str, trimesh.Trimesh]:
    """Return the meshes of a file in world coordinates by node name; shapes only, without decoding
    any texture.

    A .json scene document gives its instances by node name; any other suffix that trimesh reads as
    a scene works like a GLB.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        from maquette.scene.document import load

        scene = load(path)
        file_from_world = similarity(scene.metres_per_unit or 1.0)
        return {
            i.node_name: i.mesh.copy().apply_transform(file_from_world @ i.world_from_instance)
            for i in scene.instances
        }
    parts_of = _nodes(_load(path, skip_materials=True))
    return {name: _merged(parts).apply_transform(matrix) for name, parts, matrix in parts_of}


def _load(path: Path, skip_materials: bool) -> trimesh.Scene:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a .glb file")
    try:
        return trimesh.load_scene(path, process=False, skip_materials=skip_materials)
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AssertionError,
        EOFError,
        OSError,
        NotImplementedError,
    ) as error:
        raise InputError(
            f"{path}: not a 3D file that can be read ({error}); expected glTF binary; export it again"
        ) from error


def _nodes(scene: trimesh.Scene) -> list[tuple[str, list[trimesh.Trimesh], np.ndarray]]:
    """Group the primitives of each node: those that trimesh has split off are children without
    transform of the node they came from.
    """
    groups: dict[str, tuple[list[trimesh.Trimesh], np.ndarray]] = {}
    parents = scene.graph.transforms.parents
    for node in scene.graph.nodes_geometry:
        matrix, key = scene.graph[node]
        part = scene.geometry[key]
        if not isinstance(part, trimesh.Trimesh) or not len(part.faces):
            logger.info("%s holds no triangles; skipped", node)
            continue
        name = (
            parents[node]
            if part.metadata.get("from_gltf_primitive") and node.startswith(f"{parents.get(node)}_")
            else node
        )
        groups.setdefault(name, ([], np.array(matrix, dtype=np.float64)))[0].append(part)
    return [(name, parts, matrix) for name, (parts, matrix) in sorted(groups.items())]


def _decoded(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return the mesh in maquette's form: texture, or colours in sRGB."""
    appearance = appearance_of(mesh)
    if (
        isinstance(mesh.visual, ColorVisuals) and mesh.visual.defined
    ):  # COLOR_0 without a material: trimesh's bytes are still linear
        appearance = Appearance(colors=bytes_from_linear(appearance.colors / 255))
    return mesh_with(mesh.vertices, mesh.faces, appearance)


def _merged(parts: list[trimesh.Trimesh]) -> trimesh.Trimesh:
    """Return one mesh of several primitives; the vertices are copied, never welded."""
    if len(parts) == 1:
        return parts[0].copy()
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return trimesh.Trimesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts)]),
        vertex_colors=np.concatenate([vertex_colors_of(part) for part in parts]),
        process=False,
    )
