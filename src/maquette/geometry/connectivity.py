"""What of a triangle mesh hangs together: the components of its edges, and meshes without vertices
that no face names.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Real, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from maquette.geometry.transforms import Faces, VerticesAndFaces


def components(edges: Shaped[np.ndarray, "E 2"], count: int) -> Shaped[np.ndarray, " {count}"]:
    """Number of the component of each vertex."""
    links = coo_array((np.ones(len(edges)), edges.T), shape=(count, count))
    _, found = connected_components(links, directed=False)
    return np.asarray(found)


def edges_of(faces: Faces) -> Shaped[np.ndarray, "3*F 2"]:
    """Directed edges of faces, each as often as faces have it."""
    return faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)


def proper(faces: Faces) -> Shaped[np.ndarray, "_ 3"]:
    """Those of faces that name no vertex twice."""
    return faces[(faces != np.roll(faces, 1, axis=1)).all(1)]


def sums_at(
    index: Shaped[np.ndarray, " N"], rows: Real[np.ndarray, "N C"], count: int
) -> Real[np.ndarray, "{count} C"]:
    """At each number the sum of those rows whose index it is."""
    return np.stack([np.bincount(index, column, count) for column in rows.T], axis=1)


def without_unused(vertices: Real[np.ndarray, "V 3"], faces: Faces) -> VerticesAndFaces:
    """The vertices that faces name, and the faces with their new numbers."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)
