"""Mass, centre of mass and inertia of a mesh of even density, exactly, from the volume that it
encloses.

A surface with holes is closed first, each hole by a fan around its middle; what encloses nothing
that makes sense counts as its convex hull, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from maquette.geometry.boxes import bounding_box
from maquette.geometry.connectivity import components, proper
from maquette.simulation.hulls import ConvexPart

LEAST_MASS = 1e-9  # kilograms; simulators refuse what weighs nothing
LEAST_INERTIA = 1e-13  # kg m^2
LEAST_FILLED = 1e-4  # of the hull's volume that a closed surface encloses
MOST_FILLED = 1.001  # more is counted twice: the surface runs through itself


@dataclass(frozen=True, eq=False)
class MassProperties:
    """Of one rigid body, in its own frame; metres and kilograms."""

    mass: float
    centre: np.ndarray  # (3,) of mass
    inertia: np.ndarray  # (3, 3) about the centre of mass, along the body's axes

    def principal(self) -> tuple[np.ndarray, np.ndarray]:
        """Moments (3,), ascending, and a rotation (3, 3) whose columns are their axes."""
        moments, axes = np.linalg.eigh(self.inertia)
        axes[:, 2] *= np.sign(np.linalg.det(axes))
        return moments, axes

    def of_mass(self, mass: float) -> MassProperties:
        """The same shape with another mass."""
        return MassProperties(mass, self.centre, self.inertia * (mass / self.mass))

    def transformed(self, linear: np.ndarray) -> MassProperties:
        """Of the same density under a linear map (3, 3), a mirror image or a stretch, too."""
        size = abs(float(np.linalg.det(linear)))
        moments = np.trace(self.inertia) / 2 * np.eye(3) - self.inertia
        mapped = size * linear @ moments @ linear.T
        inertia = np.trace(mapped) * np.eye(3) - mapped
        return MassProperties(size * self.mass, linear @ self.centre, inertia)

    def acceptable(self) -> tuple[MassProperties, str]:
        """The same, at least as heavy as simulators want it, and a remark if it was not."""
        found = self if self.mass >= LEAST_MASS else self.of_mass(LEAST_MASS)
        smallest = float(np.linalg.eigvalsh(found.inertia)[0])
        if smallest < LEAST_INERTIA:
            raised = found.inertia + LEAST_INERTIA * np.eye(3)
            found = MassProperties(found.mass, found.centre, raised)
        if found is self:
            return self, ""
        return found, "too small or light for simulators, so mass or inertia were raised"


def mesh_mass(
    vertices: np.ndarray,
    faces: np.ndarray,
    hull: ConvexPart,
    density: float,
) -> tuple[MassProperties, str]:
    """Mass properties of a surface, vertices (V, 3) in metres, and a remark when they are not those
    of the surface itself. ``hull``: its convex hull.
    """
    whole = _enclosed(hull.vertices, hull.faces, density)
    surface, remark = _closed(vertices, faces)
    if surface is not None:
        found = _enclosed(np.asarray(surface.vertices), np.asarray(surface.faces), density)
        share = found.mass / whole.mass
        if LEAST_FILLED <= share <= MOST_FILLED and _is_possible(found):
            return found, remark
    return whole, "its surface encloses no clear volume, so the mass is that of its convex hull"


def _closed(vertices: np.ndarray, faces: np.ndarray) -> tuple[trimesh.Trimesh | None, str]:
    """A closed surface of consistent faces, or None; with what was done."""
    whole = trimesh.Trimesh(vertices, faces, process=False)
    whole.merge_vertices()
    whole.faces = proper(whole.faces)  # merging has made lines of some
    if not len(whole.faces):
        return None, ""
    if _is_closed(whole):
        return whole, ""
    filled = capped(whole)
    if _is_closed(filled):
        return filled, "its surface has holes, which were closed for the mass"
    return None, ""


def _is_closed(mesh: trimesh.Trimesh) -> bool:
    """Whether every edge runs as often one way as the other. Where a surface touches itself, four
    faces share an edge, and it encloses its volume all the same.
    """
    count = len(mesh.vertices)
    forth = np.sort(mesh.edges @ [count, 1])
    back = np.sort(mesh.edges @ [1, count])
    return bool((forth == back).all())


def capped(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Each hole closed by triangles between its edges and its middle."""
    vertices = np.asarray(mesh.vertices)
    edges = np.asarray(mesh.edges)
    count = len(vertices)
    open_edges = edges[~np.isin(edges @ [count, 1], edges @ [1, count])]
    hole_of = components(open_edges, count)
    holes, hole = np.unique(hole_of[open_edges[:, 0]], return_inverse=True)
    rims = [open_edges[hole == k, 0] for k in range(len(holes))]
    middles = [vertices[rim].mean(0) for rim in rims]
    fans = np.column_stack([open_edges[:, ::-1], count + hole])
    corners = np.concatenate([vertices, np.reshape(middles, (-1, 3))])
    return trimesh.Trimesh(corners, np.concatenate([mesh.faces, fans]), process=False)


def _enclosed(vertices: np.ndarray, faces: np.ndarray, density: float) -> MassProperties:
    """Sums over the tetrahedra between each face and the middle of the box; the mass may be zero.

    Second moments of a tetrahedron with one corner at the origin, where s = a + b + c:
    V / 20 (a a' + b b' + c c' + s s') (Tonon, 2004).
    """
    middle = bounding_box(vertices).mean(0)
    corners = (vertices - middle)[faces]
    a, b, c = corners.swapaxes(0, 1)
    volumes = (a * np.cross(b, c)).sum(1) / 6
    volume = volumes.sum()
    if volume == 0:
        return MassProperties(0.0, middle, np.zeros((3, 3)))
    sums = corners.sum(1)
    centre = volumes @ sums / (4 * volume)
    moments = np.einsum("f,fki,fkj->ij", volumes, corners, corners)
    moments += np.einsum("f,fi,fj->ij", volumes, sums, sums)
    about_centre = moments / 20 - volume * np.outer(centre, centre)
    inertia = np.trace(about_centre) * np.eye(3) - about_centre
    outward = density * np.sign(volume)  # a surface may be inside out
    return MassProperties(float(outward * volume), centre + middle, outward * inertia)


def _is_possible(body: MassProperties) -> bool:
    """Whether some body can have these moments: positive, none above the sum of the others."""
    moments = np.linalg.eigvalsh(body.inertia)
    least, middle, most = moments
    return bool(least > 0 and most <= (least + middle) * (1 + 1e-6))
