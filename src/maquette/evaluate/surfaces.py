"""Meshes -> seeded surface samples, the only thing that point-based metrics see. First step of
every protocol.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.polygons import doubled_areas, doubled_normals
from maquette.geometry.transforms import transform_points, unit_vectors
from maquette.types import arrays_of

if TYPE_CHECKING:
    import trimesh

Meshes = Mapping[str, "trimesh.Trimesh"]  # by node name, in one world frame


@dataclass(frozen=True, eq=False)
class SampledSurface:
    """Points spread evenly over a mesh's area, with what the metrics need of the mesh itself."""

    points: np.ndarray  # (N, 3) float64
    normals: np.ndarray  # (N, 3) float64, unit, of the face each point lies on
    corners: np.ndarray  # (V, 3) float64, the vertices that faces use
    area: float  # squared units; nan where an anisotropic stretch has made it unknown

    @property
    def box(self) -> np.ndarray:
        """(2, 3) exact axis-aligned box of the mesh."""
        return bounding_box(self.corners)

    @property
    def half_side(self) -> float:
        """Half the longest side of the box."""
        return longest_side(self.box) / 2


Surfaces = Mapping[str, SampledSurface]  # by node name


def with_surface(meshes: Meshes) -> Meshes:
    """Those that have one. Raises InputError when numbers are not usable."""
    return {name: mesh for name, mesh in meshes.items() if not why_no_surface(mesh, name)}


def why_no_surface(mesh: trimesh.Trimesh, name: str) -> str:
    """Why this mesh has no surface ("" when it has one). Raises InputError when vertices or faces
    are not usable numbers.
    """
    vertices, faces = arrays_of(mesh)
    broken = ~np.isfinite(vertices).all(1)
    if broken.any():
        raise InputError(
            f"object {name!r}: {broken.sum()} of {len(vertices)} vertices are NaN or infinite; "
            "repair or drop this mesh"
        )
    if len(faces) == 0:
        return "the mesh has no faces"
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(
            f"object {name!r}: faces refer to vertex {faces.max()} but there are {len(vertices)}; "
            "repair this mesh"
        )
    return "" if triangle_areas(vertices, faces).sum() > 0 else "the mesh has no area"


def require_surfaces(truth: Meshes) -> None:
    """Raise InputError when a true object has no surface: nothing could be compared with it."""
    for name, mesh in truth.items():
        if reason := why_no_surface(mesh, name):
            raise InputError(
                f"ground truth object {name!r} cannot be scored: {reason}; repair it or take it out"
            )


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) areas."""
    return 0.5 * doubled_areas(np.asarray(vertices, dtype=np.float64), np.asarray(faces))


def used_vertices(mesh: trimesh.Trimesh) -> np.ndarray:
    """(V,) bool: the vertices that faces use."""
    used = np.zeros(len(mesh.vertices), dtype=bool)
    used[np.asarray(mesh.faces).reshape(-1)] = True
    return used


def sample_mesh(
    mesh: trimesh.Trimesh,
    count: int,
    rng: Generator,
    new_from_mesh: np.ndarray | None = None,
) -> SampledSurface:
    """Surface with ``count`` points drawn uniformly by area, after mapping the mesh by a (4, 4)
    similarity.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    faces = np.asarray(mesh.faces)
    if new_from_mesh is not None:
        vertices = transform_points(new_from_mesh, vertices)
    cumulative = np.cumsum(triangle_areas(vertices, faces))
    area = float(cumulative[-1])
    chosen = np.searchsorted(cumulative, rng.random(count) * area, side="right")
    a, b, c = vertices[faces[chosen].T]
    u, v = rng.random((2, count, 1))
    outside = u + v > 1.0  # fold the far half of the parallelogram back into the triangle
    u = np.where(outside, 1.0 - u, u)
    v = np.where(outside, 1.0 - v, v)
    points = a + u * (b - a) + v * (c - a)
    normals = unit_vectors(doubled_normals(vertices, faces[chosen]))
    return SampledSurface(points, normals, vertices[used_vertices(mesh)], area)


def stream(seed: int, role: str, name: str) -> Generator:
    """Make the generator of one object's samples: independent of which other objects there are and
    of their order.
    """
    return np.random.default_rng([seed, zlib.crc32(role.encode()), zlib.crc32(name.encode())])


def joined(surfaces: Iterable[SampledSurface]) -> SampledSurface:
    """All surfaces as one; at least one."""
    every = list(surfaces)
    points = np.concatenate([surface.points for surface in every])
    normals = np.concatenate([surface.normals for surface in every])
    corners = np.concatenate([surface.corners for surface in every])
    return SampledSurface(points, normals, corners, sum(surface.area for surface in every))


def pooled(surfaces: Iterable[SampledSurface], count: int) -> SampledSurface:
    """About ``count`` of the points of all surfaces, evenly by area: what sampling their union
    gives. 0 keeps every point.

    Surfaces must hold enough points for their share; ``shares`` says how many.
    """
    every = list(surfaces)
    if count == 0:
        return joined(every)
    numbers = shares([s.area for s in every], count)
    return joined(_first(surface, number) for surface, number in zip(every, numbers))


def _first(surface: SampledSurface, count: int) -> SampledSurface:
    """The first ``count`` samples, which are as random as all."""
    return replace(surface, points=surface.points[:count], normals=surface.normals[:count])


def shares(areas: list[float], count: int) -> list[int]:
    """Split ``count`` points over areas, each at least one point."""
    total = sum(areas)
    return [max(1, round(count * area / total)) for area in areas]


def subset(surface: SampledSurface, keep: np.ndarray) -> SampledSurface:
    """The surface with only the points where ``keep`` (N,) bool is set; its box stays that of the
    whole mesh.
    """
    area = surface.area * float(keep.mean())
    return replace(
        surface,
        points=surface.points[keep],
        normals=surface.normals[keep],
        area=area,
    )


def normalised(
    surface: SampledSurface,
    half: float,
    unit: str,
    box_of: str = "mesh",
) -> SampledSurface:
    """Map a surface so that its box is centred on 0: every axis to [-half, half] ("per-axis"), or
    only the longest ("longest").

    "per-axis" hides wrong proportions; it leaves flat axes as they are. ``box_of`` "mesh" takes the
    exact box, "points" that of the samples.
    """
    box = surface.box if box_of == "mesh" else bounding_box(surface.points)
    centre = box.mean(0)
    sides = np.ptp(box, axis=0)
    longest = max(longest_side(box), 1e-12)
    area = float("nan")
    if unit == "per-axis":
        stretch = 2 * half / np.where(sides > 1e-6 * longest, sides, 2 * half)
    else:
        stretch = 2 * half / np.full(3, longest)
        area = surface.area * float(stretch[0]) ** 2
    points = (surface.points - centre) * stretch
    corners = (surface.corners - centre) * stretch
    return SampledSurface(points, unit_vectors(surface.normals / stretch), corners, area)
