"""What of a triangle mesh hangs together: the components of its edges, and meshes without vertices
that no face names.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from maquette.geometry.transforms import VerticesAndFaces


def components(edges: np.ndarray, count: int) -> np.ndarray:
    """(count,) number of the component of each vertex; edges: (E, 2)."""
    links = coo_array((np.ones(len(edges)), edges.T), shape=(count, count))
    _, found = connected_components(links, directed=False)
    return np.asarray(found)


def edges_of(faces: np.ndarray) -> np.ndarray:
    """(3 F, 2) directed edges of faces (F, 3), each as often as faces have it."""
    return faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)


def proper(faces: np.ndarray) -> np.ndarray:
    """Those of faces (F, 3) that name no vertex twice."""
    return faces[(faces != np.roll(faces, 1, axis=1)).all(1)]


def sums_at(index: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """(count, C): at each number the sum of those rows (N, C) whose index (N,) it is."""
    return np.stack([np.bincount(index, column, count) for column in rows.T], axis=1)


def without_unused(vertices: np.ndarray, faces: np.ndarray) -> VerticesAndFaces:
    """The vertices that faces (F, 3) name, and the faces with their new numbers."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)
