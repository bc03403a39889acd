"""Large triangles of a closed surface divided into smaller ones.

In the flow: a surface whose flat parts a quadric collapse has left to few triangles -> one whose
corners are near enough to each other to have colours of their own (stages/decode.py).
"""

from __future__ import annotations

import numpy as np

from maquette.geometry.boxes import longest_side
from maquette.geometry.polygons import doubled_areas
from maquette.geometry.transforms import Faces, Points, VerticesAndFaces

LONG = 0.08  # of the longest side, for an edge
LONGEST_FIRST = 0.6  # of the longest edge: what is divided in a round
ROUNDS = 60
TIED = 1e-4  # of the longest edge: less than that is no difference
SCATTER, PRIME = 7919, 10_007


def flat_share(vertices: Points, faces: Faces) -> float:
    """Of a surface's area, that of faces with a long edge."""
    corners = vertices[faces]
    areas = doubled_areas(vertices, faces)
    is_long = np.ptp(corners, axis=1).max(1) > LONG * longest_side(vertices)
    return float(areas[is_long].sum() / areas.sum())


def with_short_edges(vertices: Points, faces: Faces, triangles: int) -> VerticesAndFaces:
    """A closed surface whose flat faces are divided, for the colours of a large triangle would be
    those between its corners in the photo; of about so many triangles at most. It stays closed: an
    edge is divided where it is the longest one of both its faces (Rivara, 1984).
    """
    shortest = LONG * longest_side(vertices)
    for _ in range(ROUNDS):
        faces, lengths = _longest_edge_first(vertices, faces)
        edges = np.sort(faces[:, :2], axis=1)
        ends, edge, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
        is_long = lengths > max(shortest, LONGEST_FIRST * lengths.max())
        cut = (count == 2) & (np.bincount(edge, is_long) > 0)
        if not cut.any() or len(faces) + 2 * cut.sum() > triangles:
            break
        middle = len(vertices) + np.cumsum(cut) - 1
        vertices = np.concatenate([vertices, vertices[ends[cut]].mean(1)])
        faces = _halved(faces, cut[edge], middle[edge])
    return vertices, faces.astype(np.int32)


def _longest_edge_first(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces (F, 3) turned so that their first two corners are the ends of their longest edge,
    and its length (F,). Of edges as long as each other, but for rounding, the names of their ends
    choose one, the same one in every face.
    """
    following = np.roll(faces, -1, axis=1)
    lengths = np.linalg.norm(vertices[faces] - vertices[following], axis=2)
    unit = TIED * lengths.max()
    names = SCATTER * (faces + 1).astype(np.int64) * (following + 1) % PRIME
    rank = np.round(lengths / unit) + names / PRIME / 2
    order = (rank.argmax(1)[:, None] + np.arange(3)) % 3
    return np.take_along_axis(faces, order, axis=1), lengths.max(1)


def _halved(faces: np.ndarray, is_cut: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Faces (F, 3), each that is cut (F,) in its two halves; middle: (F,) of their first edges."""
    start, end, apex = faces[is_cut].T
    between = middle[is_cut]
    first = np.column_stack([start, between, apex])
    second = np.column_stack([between, end, apex])
    return np.concatenate([faces[~is_cut], first, second])
