"""Tops of tables: which assets have a wide flat one, and its outline.

In the flow: an asset's mesh -> its measurements in the catalogue -> what stands on it (layout.py).
"""

from __future__ import annotations

import numpy as np

from maquette.data.polygons import convex_hull, signed_area
from maquette.geometry.boxes import bounding_box
from maquette.geometry.polygons import doubled_normals

_Key = tuple[int, ...]  # x and z of a point in steps of the tolerance

# of the footprint that must be flat, near the top and look up, for an asset to serve as a table
TABLE_TOP_SHARE = 0.55
TOP_LAYER = 0.06  # thickness of the "near the top" layer, relative to the height


def is_table(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether an asset has a wide flat top: most of its footprint is covered by faces that look up
    near its top.
    """
    low, high = bounding_box(vertices)
    extent = high - low
    width, height, depth = extent
    if min(width, depth) < 0.4 * extent.max() or not 0.15 <= height <= 0.95:
        return False
    level = high[1] - TOP_LAYER * height
    top = faces[(vertices[faces, 1] >= level).all(1)]
    normal = doubled_normals(vertices, top)
    steepness = np.abs(normal[:, 1])  # open meshes have faces of either orientation
    flat = steepness > 0.98 * np.linalg.norm(normal, axis=1)
    a, b, c = vertices[top[flat], 1].T
    heights = (a + b + c) / 3.0
    if not len(heights) or not heights.max() > high[1] - 0.005:
        return False
    uppermost = heights >= heights.max() - 0.01
    area = 0.5 * steepness[flat][uppermost].sum()
    return bool(TABLE_TOP_SHARE * width * depth <= area <= 1.3 * width * depth)


def top_polygon(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(K, 2) x/z outline of the slice just below the top of a mesh: the largest closed loop, else
    the hull of the cut; K may be 0.
    """
    heights = vertices[:, 1]
    level = float(heights.max()) - 0.02 * float(np.ptp(heights))
    segments = slice_segments(vertices, faces, level)
    loops = [loop for loop in chain_loops(segments) if len(loop) >= 3]
    if loops:
        return max(loops, key=lambda loop: abs(signed_area(loop)))
    return convex_hull(segments.reshape(-1, 2))


def slice_segments(vertices: np.ndarray, faces: np.ndarray, height: float) -> np.ndarray:
    """(S, 2, 2) x/z segments in which the faces cut the plane y = `height`."""
    corners = vertices[faces].astype(np.float64)  # (F, 3, 3)
    above = corners[..., 1] > height
    corners = corners[above.any(1) & ~above.all(1)]
    above = corners[..., 1] > height
    # the corner alone on its side of the plane
    lone = np.where(above.sum(1) == 1, above.argmax(1), (~above).argmax(1))
    rows = np.arange(len(corners))
    apex, first, second = (corners[rows, (lone + k) % 3] for k in range(3))
    ends = [_crossing(apex, first, height), _crossing(apex, second, height)]
    return np.stack(ends, axis=1)[..., ::2]


def _crossing(start: np.ndarray, end: np.ndarray, height: float) -> np.ndarray:
    """(S, 3) where the ways from start (S, 3) to end (S, 3) cross the plane y = `height`."""
    way = end - start
    along = (height - start[:, 1]) / way[:, 1]
    return start + along[:, None] * way


def chain_loops(segments: np.ndarray, tolerance: float = 1e-4) -> list[np.ndarray]:
    """Find the closed loops (K, 2) made of segments (S, 2, 2) whose ends agree within about
    `tolerance`; open chains are left out.
    """
    links: dict[_Key, list[_Key]] = {}
    for ends in np.round(segments / tolerance).astype(np.int64).tolist():
        a, b = map(tuple, ends)
        if a != b:
            links.setdefault(a, []).append(b)
            links.setdefault(b, []).append(a)
    loops = []
    while links:
        chain, closed = _chain(links, next(iter(links)), len(segments))
        if closed:
            loops.append(np.array(chain, dtype=np.float64) * tolerance)
        for key in chain:
            links.pop(key, None)
    return loops


def _chain(links: dict[_Key, list[_Key]], start: _Key, most: int) -> tuple[list[_Key], bool]:
    """Follow the links from a point until they end, fork or come back -> points, whether back."""
    chain = [start]
    previous = start
    current = links[start][0]
    while current != start and len(links.get(current, ())) == 2 and len(chain) <= most:
        chain.append(current)
        a, b = links[current]
        previous, current = current, (b if a == previous else a)
    return chain, current == start
