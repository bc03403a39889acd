"""Small true scenes for the tests: chairs without symmetry and a few primitives, made here; and
benchmark scenes of toys.
"""

import functools
from dataclasses import dataclass

import numpy as np
import trimesh

from maquette.evaluate.cases import Case
from maquette.evaluate.sets import make_case
from maquette.geometry.transforms import rotation_y, similarity
from tests.data.toys import Toys

toy_case = functools.lru_cache(lambda index: make_case(Toys.many(), "random", index))


@dataclass(frozen=True)
class Toy:
    """A scene of the set "random", of toys."""

    index: int

    @property
    def name(self) -> str:
        return f"random/{self.index:04d}"

    @property
    def identity(self) -> str:
        return f"{type(self).__name__} {self.index}"

    def load(self) -> Case:
        return toy_case(self.index)


def chair() -> trimesh.Trimesh:
    """A chair with one armrest: no symmetry at all."""
    parts = [
        ((0.5, 0.06, 0.5), (0, 0.45, 0)),
        ((0.5, 0.5, 0.06), (0, 0.73, -0.22)),
        ((0.06, 0.25, 0.4), (0.22, 0.6, 0)),
    ]
    parts += [
        ((0.06, 0.45, 0.06), (x, 0.22, z))
        for x, z in ((-0.2, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.2, 0.12))
    ]
    boxes = [trimesh.creation.box(extents).apply_translation(centre) for extents, centre in parts]
    return trimesh.util.concatenate(boxes)


def room() -> dict[str, trimesh.Trimesh]:
    """Three objects that differ in shape and size, in a scene without symmetry."""
    return {
        "chair": moved(chair(), similarity(1.0, rotation_y(0.5), [-0.8, 0.0, 0.1])),
        "ball": trimesh.creation.icosphere(2, 0.35).apply_translation([0.6, 0.35, 0.5]),
        "box": moved(
            trimesh.creation.box((0.9, 0.3, 0.4)),
            similarity(1.0, rotation_y(-0.4), [0.3, 0.15, -0.7]),
        ),
    }


def moved(mesh: trimesh.Trimesh, new_from_mesh: np.ndarray) -> trimesh.Trimesh:
    return mesh.copy().apply_transform(new_from_mesh)


def all_moved(
    meshes: dict[str, trimesh.Trimesh], new_from_world: np.ndarray
) -> dict[str, trimesh.Trimesh]:
    return {name: moved(mesh, new_from_world) for name, mesh in meshes.items()}
