"""Which way the faces of a mesh look: made consistent patch by patch, outward where it is closed.

For meshes as people really make them, before winding numbers (fields.py) and for clean assets
(importer.py). Needs libigl, an optional dependency.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from maquette.errors import MissingExtraError
from maquette.geometry.connectivity import edges_of, proper
from maquette.geometry.polygons import doubled_normals


def libigl() -> ModuleType:
    """The library; MissingExtraError without it."""
    try:
        import igl
    except ImportError as error:
        raise MissingExtraError(
            'computing asset fields needs libigl; install it with: pip install "maquette[data]"'
        ) from error
    return igl


def orient(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces (F', 3) fit for winding numbers: opposite twins cancelled, then each patch made
    consistent. Needs libigl.
    """
    kept = _cancel_twins(faces)
    return np.where(flipped(vertices, kept)[:, None], kept[:, ::-1], kept)


def flipped(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) bool: which faces of a welded mesh must turn so that each patch is consistent, and
    outward where it is closed.

    An open patch keeps the direction that most of its area had. MissingExtraError without libigl.
    """
    if not len(faces):
        return np.zeros(0, bool)
    turned, patch = libigl().bfs_orient(faces)
    rotations = np.stack([faces, np.roll(faces, 1, 1), np.roll(faces, 2, 1)])
    same = (turned == rotations).all(2).any(0)
    normal = doubled_normals(vertices, turned)
    area = np.linalg.norm(normal, axis=1)
    middle = vertices[turned].mean(1)
    agreement = np.bincount(patch, weights=np.where(same, area, -area))
    volume = np.bincount(patch, weights=np.einsum("ni,ni->n", middle, normal))
    outward = np.where(_closed_patches(turned, patch), volume, agreement) >= 0
    return same != outward[patch]


def _cancel_twins(faces: np.ndarray) -> np.ndarray:
    """Drop collapsed faces, repeats, and pairs of opposite faces (double-sided sheets wind around
    nothing).
    """
    kept = proper(faces)
    if not len(kept):
        return kept
    # an even permutation of the sorted corners is a rotation; the sign tells the two directions of
    # a face apart
    even = (kept < np.roll(kept, -1, axis=1)).sum(1) == 2
    count = faces.max() + 1
    key = np.sort(kept, axis=1) @ [count * count, count, 1]
    _, group = np.unique(key, return_inverse=True)
    balance = np.bincount(group, weights=np.where(even, 1.0, -1.0))[group]
    wanted = np.flatnonzero((balance != 0) & (even == (balance > 0)))
    _, first = np.unique(group[wanted], return_index=True)
    return kept[wanted[np.sort(first)]]


def _closed_patches(faces: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """(P,) bool: every edge of the patch belongs to exactly two of its faces."""
    low, high = np.sort(edges_of(faces), axis=1).T
    count = faces.max() + 1
    key = (np.repeat(patch, 3) * count + low) * count + high
    unique, times = np.unique(key, return_counts=True)
    owner = unique // (count * count)
    return np.bincount(owner, weights=times != 2, minlength=patch.max() + 1) == 0
