"""GLB scenes with one named node per object and no photo: the photo is rendered, from a camera that
the file's name decides.

+Y up, any unit. Nodes whose names say that they are the building (floor, wall, ceiling, bg_ and so
  on) are left out.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maquette.data.assets import Asset
from maquette.data.layout import AssetList, Catalogue, Placement
from maquette.data.scenes import ComposedScene
from maquette.data.views import ViewConfig, sample_view
from maquette.errors import InputError
from maquette.evaluate.cases import Case, measured, natural, node_name
from maquette.export.read import read_glb
from maquette.geometry.transforms import similarity, transform_points
from maquette.scene.appearance import vertex_colors_of
from maquette.types import InstanceMask, SceneInput

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
BUILDING = re.compile(
    r"^bg_|(?:^|[^a-z])(?:background|floor|wall|ceiling|ground|building|room)(?:[^a-z]|$)",
    re.IGNORECASE,
)
VIEWS = replace(
    ViewConfig(), size=512, elevation=(12.0, 50.0), cut=0.0, unmasked=0.0, least_pixels=60, wall=0.0
)
MOST_TRIES = 60


@dataclass(frozen=True)
class GlbSource:
    """One file."""

    path: str
    name: str

    @property
    def identity(self) -> str:
        """The file's name and content."""
        return f"{Path(self.path).name} {zlib.crc32(Path(self.path).read_bytes()):08x}"

    def load(self) -> Case:
        """Render it; see ``read_scene_file``."""
        return read_scene_file(Path(self.path), self.name)


def glb_sources(path: Path) -> list[GlbSource]:
    """One file, or all files of a folder, by name. InputError for none."""
    files = (
        [path]
        if path.is_file()
        else sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    )
    if not files:
        raise InputError(
            f"{path}: no {', '.join(SUFFIXES)} file; give a scene file or a folder of them"
        )
    folder = (path.parent if path.is_file() else path).resolve().name
    return [GlbSource(str(file), f"{folder}/{file.stem}") for file in files]


def read_scene_file(path: Path, name: str) -> Case:
    """Read a scene, render it, and keep the objects that the photo shows; the truth is in the scene
    frame of that camera.
    """
    nodes = [
        node
        for node in sorted(read_glb(path), key=lambda node: natural(node[0]))
        if not BUILDING.search(node[0])
    ]
    if not nodes:
        raise InputError(
            f"{path}: no node is an object; give a scene with one named node per object"
        )
    meshes = [mesh.apply_transform(matrix) for _, mesh, matrix in nodes]
    lowest = min(float(mesh.bounds[0, 1]) for mesh in meshes)
    assets = []
    placements = []
    for k, ((node, _, _), mesh) in enumerate(zip(nodes, meshes)):
        side = max(float(mesh.extents.max()), 1e-9)
        centre = mesh.bounds.mean(0)
        vertices = ((np.asarray(mesh.vertices) - centre) / side).astype(np.float32)
        assets.append(
            Asset(
                node,
                vertices,
                np.asarray(mesh.faces, np.int32),
                vertex_colors_of(mesh)[:, :3].astype(np.uint8),
            )
        )
        placements.append(Placement(k, similarity(side, None, centre - (0.0, lowest, 0.0))))
    catalogue = Catalogue.of(AssetList(tuple(assets)))
    rng = np.random.default_rng((2026, zlib.crc32(path.stem.encode())))
    scene = ComposedScene(tuple(placements), "file")
    wanted = min(2, len(placements))
    for _ in range(MOST_TRIES):
        view = sample_view(scene, catalogue, rng, VIEWS)
        if len(view.placements) >= wanted:
            break
    else:
        raise InputError(
            f"{path}: none of {MOST_TRIES} cameras shows {wanted} objects; give a scene whose objects are of similar size"
        )
    masks = tuple(
        InstanceMask(k + 1, view.instance == k + 1, assets[p.asset].name)
        for k, p in enumerate(view.placements)
    )
    truth = {}
    for k, placement in enumerate(view.placements):
        mesh = meshes[placement.asset].copy()
        moved = transform_points(
            similarity(1.0, None, (0.0, -lowest, 0.0)), np.asarray(mesh.vertices)
        )
        mesh.vertices = transform_points(view.scene_from_world, moved)
        truth[node_name(k + 1)] = mesh
    return measured(
        name,
        SceneInput(view.image, masks, name),
        truth,
        view.camera,
        {"file": path.name, "nodes": len(nodes)},
    )
