"""Meshes -> which face each pixel of each layer sees, and which edge runs between two neighbouring
pixels. Indices only.

First half of the soft rasteriser: this module decides *who* touches which pixel (discrete, numba),
soft.py computes *how much* (smooth, torch). A layer is one instance drawn as if the others were not
there.

A pair is two horizontal or vertical neighbours of one layer of which exactly one is covered, or
which see two surfaces that do not hang together (an arm before the body, two paints that meet).
Between the pixels' centres the layer is a union of intervals, one for each face that crosses the
line, and their ends are exact: the last end before the empty pixel is where the outline crosses the
line. So thin faces along the outline, of which no pixel centre is part, count as well, and the
crossing moves continuously with the vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maquette.geometry.vectors import compiled, inlined, row_of
from maquette.render.rasterize import NEAR, draw, picked, pixel_from_world, pixel_span
from maquette.types import Camera

TIE = 1e-6  # pixels


@dataclass(frozen=True, eq=False)
class Outlines:
    """N layers of a view and their P pairs. Pixels count on through layers, rows and columns: 0 ..
    N H W - 1.
    """

    face: np.ndarray  # (N, H, W) int32, nearest face of the layer, -1 where nothing
    pixels: np.ndarray  # (P, 2) int64, left and right, or upper and lower pixel of each pair
    axis: np.ndarray  # (P,) int64, 0 = horizontal neighbours, 1 = vertical neighbours
    # (P, 2) int64, vertices of the edge that crosses the line through the pair's centres
    edge: np.ndarray


def find_outlines(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    layer: np.ndarray,
    count: int,
) -> Outlines:
    """Search the view of arrays from ``checked_mesh``; ``layer`` (F,) int32 in 0 .. count - 1.

    Faces with a vertex nearer than ``NEAR`` to the camera's plane are left out: their outline has
    no place in the picture.
    """
    matrix = pixel_from_world(camera)
    depth = vertices @ matrix[2, :3] + matrix[2, 3]
    in_front = (depth >= NEAR)[faces].all(1)
    shape = (count, camera.height, camera.width)
    face = np.full(shape, -1, np.int32)
    inverse_depth = np.zeros(shape)
    homogeneous = np.zeros((len(vertices), 3))
    for number in range(count):
        chosen = np.flatnonzero(in_front & (layer == number)).astype(np.int32)
        drawn = draw(vertices, faces[chosen], matrix, *camera.size)
        inverse_depth[number], local, homogeneous = drawn
        face[number] = picked(chosen, local)
    with np.errstate(divide="ignore", invalid="ignore"):
        screen = homogeneous[:, :2] / homogeneous[:, 2:]
    ends = _no_ends(shape)
    _crossings(np.flatnonzero(in_front), faces, layer, screen, ends)
    pixels, axis, code = _pairs(face, inverse_depth, faces, screen, ends)
    owner, corner = np.divmod(code, 3)
    ends_of_edge = [faces[owner, corner], faces[owner, (corner + 1) % 3]]
    return Outlines(face, pixels, axis, np.stack(ends_of_edge, axis=1).astype(np.int64))


class _IntervalEnds(NamedTuple):
    """Between each two centres of N layers (N, 2, H, W): the first start and the last end of a
    face's interval on the line through them, and the edges there (3 x face + corner, -1 = none).
    The second axis says whether the line is a row or a column.
    """

    entry: np.ndarray
    leave: np.ndarray
    entry_edge: np.ndarray
    leave_edge: np.ndarray


def _no_ends(shape: tuple[int, int, int]) -> _IntervalEnds:
    """Intervals that hold nothing yet, for each layer and both directions."""
    layers, height, width = shape
    both = (layers, 2, height, width)
    edges = np.full((2, *both), -1, np.int32)
    return _IntervalEnds(np.full(both, np.inf), np.full(both, -np.inf), edges[0], edges[1])


def _pairs(
    face: np.ndarray,
    inverse_depth: np.ndarray,
    faces: np.ndarray,
    screen: np.ndarray,
    ends: _IntervalEnds,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (P, 2), axis (P,) and edge (P,), 3 x face + corner, of all pairs."""
    across = np.count_nonzero(np.diff(face))
    most = across + np.count_nonzero(np.diff(face, axis=1))
    pixels = np.empty((most, 2), np.int64)
    axis = np.empty(most, np.int64)
    code = np.empty(most, np.int64)
    edges = (ends.entry_edge, ends.leave_edge)
    found = _find_pairs(face, inverse_depth, faces, screen, edges, (pixels, axis, code))
    return pixels[:found], axis[:found], code[:found]


@compiled
def _ends(
    f,
    line,
    axis,
    faces,
    screen,
):
    """Interval of face f on the row (axis 0) or column (axis 1) through the centres ``line``:
    start, its edge, end, its edge.
    """
    low = np.inf
    high = -np.inf
    low_edge = -1
    high_edge = -1
    for corner in range(3):
        i = faces[f, corner]
        j = faces[f, (corner + 1) % 3]
        across_i = screen[i, 1 - axis]
        across_j = screen[j, 1 - axis]
        beside = (across_i < line and across_j < line) or (across_i > line and across_j > line)
        if across_i == across_j or beside:
            continue
        run = screen[j, axis] - screen[i, axis]
        place = screen[i, axis] + (line - across_i) * run / (across_j - across_i)
        if place < low:
            low = place
            low_edge = corner
        if place > high:
            high = place
            high_edge = corner
    return low, low_edge, high, high_edge


@compiled
def _gaps(end, places):
    """Range of the gaps between centres that hold an end: one, or both beside a centre, which
    ``draw`` may judge either way; or none.
    """
    start = int(np.ceil(max(end, 0.0) - 0.5 - TIE)) - 1
    stop = min(np.ceil(min(end, places + 0.0) - 0.5 + TIE), places - 1.0)
    return max(start, 0), int(stop)


@inlined
def _pixel(axis, line, place):
    """Row and column of a place on a line."""
    return (line, place) if axis == 0 else (place, line)


@compiled
def _crossings(
    kept,
    faces,
    layer,
    screen,
    ends,
):
    """First start and last end of the faces' intervals between each two centres."""
    entry, leave, entry_edge, leave_edge = ends
    size = entry.shape[2:]
    for f in kept:
        number = layer[f]
        for axis in range(2):
            lines, places = _pixel(axis, size[0], size[1])
            first, last = pixel_span(screen, 1 - axis, row_of(faces, f), lines)
            for line in range(first, last):
                low, low_edge, high, high_edge = _ends(f, line + 0.5, axis, faces, screen)
                if low_edge < 0:
                    continue
                start, stop = _gaps(low, places)
                for place in range(start, stop):
                    row, column = _pixel(axis, line, place)
                    if low < entry[number, axis, row, column]:
                        entry[number, axis, row, column] = low
                        entry_edge[number, axis, row, column] = 3 * f + low_edge
                start, stop = _gaps(high, places)
                for place in range(start, stop):
                    row, column = _pixel(axis, line, place)
                    if high > leave[number, axis, row, column]:
                        leave[number, axis, row, column] = high
                        leave_edge[number, axis, row, column] = 3 * f + high_edge


@compiled
def _between(
    f,
    g,
    f_is_nearer,
    place,
    line,
    axis,
    faces,
    screen,
):
    """Edge between centres ``place`` (which sees f) and ``place + 1`` (g), or -1: where the nearer
    face ends, else where the other does.
    """
    for corner_f in range(3):
        for corner_g in range(3):
            if faces[f, corner_f] == faces[g, corner_g]:
                return -1  # one surface
    _, _, end, end_edge = _ends(f, line, axis, faces, screen)
    start, start_edge, _, _ = _ends(g, line, axis, faces, screen)
    f_ends = place <= end <= place + 1.0
    g_starts = place <= start <= place + 1.0
    if f_ends and (f_is_nearer or not g_starts):
        return 3 * f + end_edge
    return 3 * g + start_edge if g_starts else -1  # neither: two faces cut each other


@compiled
def _find_pairs(
    face,
    inverse_depth,
    faces,
    screen,
    edges,
    out,
):
    """Write pixels, axes and edges of all pairs into ``out``; returns how many there are."""
    entry_edge, leave_edge = edges
    pixels, axes, code = out
    layers, height, width = face.shape
    found = 0
    for number in range(layers):
        for axis in range(2):
            for row in range(height - axis):
                for column in range(width - 1 + axis):
                    row_b = row + axis
                    column_b = column + 1 - axis
                    f = face[number, row, column]
                    g = face[number, row_b, column_b]
                    if f == g:
                        continue
                    if g < 0:
                        edge = leave_edge[number, axis, row, column]
                    elif f < 0:
                        edge = entry_edge[number, axis, row, column]
                    else:
                        here = inverse_depth[number, row, column]
                        nearer = here >= inverse_depth[number, row_b, column_b]
                        line, place = _pixel(axis, row + 0.5, column + 0.5)
                        edge = _between(f, g, nearer, place, line, axis, faces, screen)
                    if edge < 0:
                        continue
                    pixels[found, 0] = (number * height + row) * width + column
                    pixels[found, 1] = (number * height + row_b) * width + column_b
                    axes[found] = axis
                    code[found] = edge
                    found += 1
    return found
