"""Small coloured assets made of trimesh primitives, and a library of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh


@dataclass(frozen=True, eq=False)
class Toy:
    name: str
    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


def toy(
    mesh: trimesh.Trimesh,
    name: str = "toy",
    colour: tuple[int, int, int] = (200, 120, 60),
    *,
    upright: bool = False,
) -> Toy:
    """Centre a mesh and make its longest side 1; `upright` turns trimesh's +Z-up primitives to +Y
    up.
    """
    vertices = np.asarray(mesh.vertices)[:, [1, 2, 0]] if upright else np.asarray(mesh.vertices)
    low = vertices.min(0)
    high = vertices.max(0)
    vertices = ((vertices - 0.5 * (low + high)) / (high - low).max()).astype(np.float32)
    return Toy(
        name,
        vertices,
        np.asarray(mesh.faces, np.int32),
        np.full((len(vertices), 3), colour, np.uint8),
    )


def toy_table() -> Toy:
    top = trimesh.creation.box((1.2, 0.06, 0.8))
    legs = [
        trimesh.creation.box((0.05, 0.5, 0.05)).apply_translation((x, -0.28, z))
        for x in (-0.55, 0.55)
        for z in (-0.35, 0.35)
    ]
    return toy(trimesh.util.concatenate([top, *legs]), "table-toy", (150, 100, 60))


@dataclass(frozen=True, eq=False)
class Toys:
    assets: tuple[Toy, ...]

    @classmethod
    def many(cls) -> Toys:
        make = trimesh.creation
        return cls(
            (
                toy_table(),
                toy(make.box((0.4, 1.0, 0.3)), "cabinet-box", (60, 90, 180)),
                toy(make.icosphere(2), "ball", (200, 40, 40)),
                toy(make.cylinder(0.3, 1.0), "bin", (60, 160, 80), upright=True),
                toy(make.cone(0.5, 1.0), "cone", (230, 200, 60), upright=True),
                toy(make.torus(0.6, 0.2), "ring", (160, 60, 160), upright=True),
                toy(make.box((0.5, 1.0, 0.5)), "chair-block", (120, 80, 50)),
            )
        )

    def __len__(self) -> int:
        return len(self.assets)

    def asset(self, index: int) -> Toy:
        return self.assets[index]
