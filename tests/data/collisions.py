"""Whether objects of a scene intersect, seen from above and by their heights."""

import itertools

import numpy as np

from maquette.data.catalogue import Catalogue
from maquette.data.polygons import convex_hull
from maquette.data.scenes import ComposedScene, placed_vertices


def footprints_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two convex outlines (K, 2) have a separating line along an edge of either: the
    separating axis theorem.
    """
    for edges in (np.roll(a, -1, axis=0) - a, np.roll(b, -1, axis=0) - b):
        axes = np.stack([-edges[:, 1], edges[:, 0]])
        first = a @ axes
        second = b @ axes
        if ((first.max(0) <= second.min(0) + 1e-6) | (second.max(0) <= first.min(0) + 1e-6)).any():
            return True
    return False


def collisions(scene: ComposedScene, catalogue: Catalogue) -> int:
    """Pairs of objects whose heights and whose convex outlines from above both overlap."""
    placed = [placed_vertices(catalogue, p).astype(np.float64) for p in scene.placements]
    heights = [(v[:, 1].min(), v[:, 1].max()) for v in placed]
    outlines = [convex_hull(v[:, [0, 2]]) for v in placed]
    return sum(
        heights[i][0] < heights[j][1] - 1e-5
        and heights[j][0] < heights[i][1] - 1e-5
        and not footprints_apart(outlines[i], outlines[j])
        for i, j in itertools.combinations(range(len(placed)), 2)
    )
