"""A library of three coloured solids and a VAE for it, for the tests of all runs."""

import numpy as np
import trimesh

from maquette.data.assets import Asset
from maquette.data.library import build_library


def solid(name: str, mesh: trimesh.Trimesh, colour: tuple[int, int, int]) -> Asset:
    """An asset of one colour: centred, longest side 1."""
    vertices = mesh.vertices - mesh.bounds.mean(0)
    vertices = (vertices / np.ptp(vertices, axis=0).max()).astype(np.float32)
    return Asset(
        name,
        vertices,
        mesh.faces.astype(np.int32),
        np.broadcast_to(np.uint8(colour), vertices.shape).copy(),
    )


def solids() -> list[Asset]:
    """A box, a ball and an upright can."""
    make = trimesh.creation
    upright = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
    return [
        solid("box", make.box((0.6, 1, 0.5)), (200, 60, 40)),
        solid("ball", make.icosphere(2), (40, 90, 200)),
        solid("can", make.cylinder(0.4, 1).apply_transform(upright), (60, 170, 80)),
    ]


def build_solids(folder) -> str:
    """The library of these, as a folder."""
    build_library(solids(), folder)
    return str(folder)
