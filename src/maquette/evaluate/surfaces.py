"""Meshes -> seeded surface samples, the only thing that point-based metrics see. First step of
every protocol.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import transform_points

if TYPE_CHECKING:
    import trimesh


@dataclass(frozen=True, eq=False)
class Surface:
    """Points spread evenly over a mesh's area, with what the metrics need of the mesh itself."""

    points: np.ndarray  # (N, 3) float64
    normals: np.ndarray  # (N, 3) float64, unit, of the face each point lies on
    corners: np.ndarray  # (V, 3) float64, the vertices that faces use
    area: float  # squared units; nan where an anisotropic stretch has made it unknown

    @property
    def box(self) -> np.ndarray:
        """(2, 3) exact axis-aligned box of the mesh."""
        return bounding_box(self.corners)


def check_mesh(mesh: trimesh.Trimesh, name: str) -> str:
    """Why this mesh has no surface ("" when it has one). Raises InputError when vertices or faces
    are not usable numbers.
    """
    vertices = np.asarray(mesh.vertices)
    faces = np.asarray(mesh.faces)
    if not np.isfinite(vertices).all():
        count = int((~np.isfinite(vertices)).any(1).sum())
        raise InputError(
            f"object {name!r}: {count} of {len(vertices)} vertices are NaN or infinite; repair or drop this mesh"
        )
    if len(faces) == 0:
        return "the mesh has no faces"
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(
            f"object {name!r}: faces refer to vertex {int(faces.max())} but there are {len(vertices)}; repair this mesh"
        )
    return "" if triangle_areas(vertices, faces).sum() > 0 else "the mesh has no area"


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) areas."""
    a, b, c = (np.asarray(vertices, dtype=np.float64)[faces[:, k]] for k in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def sample_mesh(
    mesh: trimesh.Trimesh,
    count: int,
    rng: np.random.Generator,
    new_from_mesh: np.ndarray | None = None,
) -> Surface:
    """Surface with ``count`` points drawn uniformly by area, after mapping the mesh by a (4, 4)
    similarity.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    faces = np.asarray(mesh.faces)
    if new_from_mesh is not None:
        vertices = transform_points(new_from_mesh, vertices)
    cumulative = np.cumsum(triangle_areas(vertices, faces))
    used = np.zeros(len(vertices), dtype=bool)
    used[faces.reshape(-1)] = True
    chosen = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    a, b, c = (vertices[faces[chosen, k]] for k in range(3))
    u, v = rng.random((2, count, 1))
    outside = u + v > 1.0  # fold the far half of the parallelogram back into the triangle
    u = np.where(outside, 1.0 - u, u)
    v = np.where(outside, 1.0 - v, v)
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Surface(a + u * (b - a) + v * (c - a), normals, vertices[used], float(cumulative[-1]))


def stream(seed: int, role: str, name: str) -> np.random.Generator:
    """Make the generator of one object's samples: independent of which other objects there are and
    of their order.
    """
    return np.random.default_rng([seed, zlib.crc32(role.encode()), zlib.crc32(name.encode())])


def joined(surfaces: Iterable[Surface]) -> Surface:
    """All surfaces as one; at least one."""
    every = list(surfaces)
    parts = (
        np.concatenate([getattr(s, part) for s in every])
        for part in ("points", "normals", "corners")
    )
    return Surface(*parts, area=sum(s.area for s in every))


def pooled(surfaces: Iterable[Surface], count: int) -> Surface:
    """About ``count`` of the points of all surfaces, evenly by area: what sampling their union
    gives. 0 keeps every point.

    Surfaces must hold enough points for their share; ``shares`` says how many.
    """
    every = list(surfaces)
    if count == 0:
        return joined(every)
    numbers = shares([s.area for s in every], count)
    return joined(
        Surface(s.points[:n], s.normals[:n], s.corners, s.area) for s, n in zip(every, numbers)
    )


def shares(areas: list[float], count: int) -> list[int]:
    """Split ``count`` points over areas, each at least one point."""
    total = sum(areas)
    return [max(1, round(count * area / total)) for area in areas]


def chosen(surface: Surface, keep: np.ndarray) -> Surface:
    """The surface with only the points where ``keep`` (N,) bool is set; its box stays that of the
    whole mesh.
    """
    return Surface(
        surface.points[keep],
        surface.normals[keep],
        surface.corners,
        surface.area * float(keep.mean()),
    )


def normalised(surface: Surface, half: float, unit: str, box_of: str = "mesh") -> Surface:
    """Map a surface so that its box is centred on 0: every axis to [-half, half] ("per-axis"), or
    only the longest ("longest").

    "per-axis" hides wrong proportions; it leaves flat axes as they are. ``box_of`` "mesh" takes the
    exact box, "points" that of the samples.
    """
    box = surface.box if box_of == "mesh" else bounding_box(surface.points)
    sides = np.ptp(box, axis=0)
    longest = max(float(sides.max()), 1e-12)
    per_axis = np.where(sides > 1e-6 * longest, sides, 2 * half)
    stretch = 2 * half / (per_axis if unit == "per-axis" else np.full(3, longest))
    normals = surface.normals / stretch
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    area = surface.area * float(stretch[0]) ** 2 if unit == "longest" else float("nan")
    return Surface(
        (surface.points - box.mean(0)) * stretch,
        normals,
        (surface.corners - box.mean(0)) * stretch,
        area,
    )
