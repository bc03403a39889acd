"""FlexiCubes, the inference path, on surface cells only: signed distances at grid corners and
weights of cells -> a mesh.

Shen et al., "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization", 2023: dual
marching cubes whose vertices slide along edges (alpha, per corner), between edges (beta, per edge),
and whose quads choose their diagonal (gamma, per cell). The case table is not stored but derived:
the vertices of a cell are the loops of sign-changing edges around its faces. Corner i of a cell has
bits x = i & 1, y = i >> 1 & 1, z = i >> 2 & 1. A distance below zero is inside.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

# Corners of a cell's edges.
EDGES = (
    *((0, 1), (1, 5), (4, 5), (0, 4)),
    *((2, 3), (3, 7), (6, 7), (2, 6)),
    *((2, 0), (3, 1), (7, 5), (6, 4)),
)
CORNERS = tuple((i & 1, i >> 1 & 1, i >> 2 & 1) for i in range(8))
WEIGHTS = 21  # of a cell: 12 beta, 8 alpha, gamma
# Where a cell's neighbour across each face is; the order of ``faces_of_a_cell``.
STEPS = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
# Of edges along x, y, z that start at the same corner: ascending index of their ends (edges along
# y run downwards).
_RANK = (2, 0, 1)


@dataclass(frozen=True, eq=False)
class CellMesh:
    """A mesh with attributes of its vertices in [0, 1]."""

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]
    attributes: Float[Tensor, "V K"]


@dataclass(frozen=True, eq=False)
class Cells:
    """S surface cells of an R^3 grid in ascending order, with what belongs to their corners."""

    index: Int64[Tensor, "S 3"]
    resolution: int
    distance: Float[Tensor, "S 8"]
    position: Float[Tensor, "S 8 3"]
    attributes: Float[Tensor, "S 8 K"]  # already in [0, 1]
    weights: Float[Tensor, "S W"]  # WEIGHTS, before their activations


def _columns(rows: Tensor, *order: int) -> Tensor:
    """Columns of rows (N, K) in another order."""
    columns = rows.unbind(1)
    return torch.stack([columns[number] for number in order], dim=1)


def _numbered(places: Tensor, side: int) -> Tensor:
    """(...) one number for each place (..., 3) on a grid of ``side`` places a side, ascending."""
    x, y, z = places.unbind(-1)
    return (x * side + y) * side + z


def faces_of_a_cell() -> list[tuple[int, ...]]:
    """Corners of the six faces, in order around each face: -x, +x, -y, +y, -z, +z."""
    faces = []
    for axis in range(3):
        a, b, c, d = (i for i in range(8) if not CORNERS[i][axis])
        around = (a, b, d, c)
        faces += [around, tuple(i | 1 << axis for i in around)]
    return faces


def _edges_of_faces() -> list[tuple[tuple[int, ...], list[int]]]:
    """Corners of every face and, from each of them to the next, the edge."""
    number = {frozenset(edge): i for i, edge in enumerate(EDGES)}
    faces = []
    for face in faces_of_a_cell():
        following = (*face[1:], face[0])
        faces.append((face, [number[frozenset(ends)] for ends in zip(face, following)]))
    return faces


@cache
def loops_of_cases() -> tuple[tuple[tuple[int, ...], ...], ...]:
    """For each of the 256 cases (sum of inside_i << i), its loops of edges; each loop becomes one
    vertex.

    Loops are ordered by the lowest corner that they cut off, which is the order of the original's
    table.
    """
    return tuple(_loops(_corners_inside(case)) for case in range(256))


def _corners_inside(case: int) -> list[bool]:
    """Which of the eight corners a case has inside: bit k of it."""
    return [bool(case >> corner & 1) for corner in range(8)]


def _loops(inside: list[bool]) -> tuple[tuple[int, ...], ...]:
    """Loops of the case with these corners inside."""
    crossed = [edge for edge, (a, b) in enumerate(EDGES) if inside[a] != inside[b]]
    group = {edge: {edge} for edge in crossed}
    for face, edges in _edges_of_faces():
        for first, second in _joined(face, edges, inside):
            merged = group[first] | group[second]
            group |= {member: merged for member in merged}
    loops = {tuple(sorted(loop)) for loop in group.values()}
    side = inside if _components(inside) == len(loops) else [not i for i in inside]

    def lowest_corner(loop: tuple[int, ...]) -> int:
        return min(corner for edge in loop for corner in EDGES[edge] if side[corner])

    return tuple(sorted(loops, key=lowest_corner))


def _joined(face: tuple[int, ...], edges: list[int], inside: list[bool]) -> list[tuple[int, int]]:
    """Pairs of edges of a face that the surface connects: the two that it crosses, or, where it
    crosses all four, those round each corner that is inside.
    """
    ends = [EDGES[edge] for edge in edges]
    crossed = [edge for edge, (a, b) in zip(edges, ends) if inside[a] != inside[b]]
    if len(crossed) < 4:
        return list(itertools.pairwise(crossed))
    before = [edges[-1], *edges[:-1]]
    around = zip(before, edges, face)
    return [(last, edge) for last, edge, corner in around if inside[corner]]


def _components(chosen: list[bool]) -> int:
    """Number of parts that the chosen corners form along the edges."""
    part = list(range(8))
    for _ in range(8):
        for a, b in EDGES:
            if chosen[a] and chosen[b]:
                part[a] = part[b] = min(part[a], part[b])
    return len({part[i] for i in range(8) if chosen[i]})


@cache
def ambiguous_cases() -> dict[int, int]:
    """The 36 cases whose loops depend on a neighbour -> their ambiguous face: more than four inside
    corners, one ambiguous face.
    """
    found = {}
    for case in range(256):
        inside = _corners_inside(case)
        ambiguous = []
        for number, face in enumerate(faces_of_a_cell()):
            first, second, *others = (inside[corner] for corner in face)
            if first != second and others == [first, second]:
                ambiguous.append(number)
        if len(ambiguous) == 1 and sum(inside) > 4:
            found[case] = ambiguous[0]
    return found


def surface_cells(inside: Bool[Tensor, "X Y Z"]) -> Int64[Tensor, "S 3"]:
    """Cells with inside and outside corners, in ascending order, from which corners are inside."""
    sides = [side - 1 for side in inside.shape]
    count = torch.zeros(sides, dtype=torch.uint8, device=inside.device)
    for corner in CORNERS:
        shifted = (slice(bit, bit + side) for bit, side in zip(corner, sides))
        count += inside[tuple(shifted)]
    return torch.nonzero((count > 0) & (count < 8))


def corner_index(cells: Int64[Tensor, "S 3"], resolution: int) -> Int64[Tensor, "S 8"]:
    """Index (x (R + 1) + y) (R + 1) + z of the corners of cells."""
    corners = cells[:, None] + torch.tensor(CORNERS, device=cells.device)
    return _numbered(corners, resolution + 1)


def dual_mesh(cells: Cells) -> CellMesh:
    """The mesh of surface cells: one vertex for each loop, one quad (two triangles) for each edge
    that four cells share.
    """
    inside = cells.distance < 0
    bits = 2 ** torch.arange(8, device=inside.device)
    count, vertex_of_edge = _number_loops(_resolve((inside * bits).sum(1), cells))
    vertices, attributes = _place(cells, vertex_of_edge, count)
    quads = _quads(cells, inside, vertex_of_edge)
    gamma = torch.empty(count, device=vertices.device)
    used = vertex_of_edge >= 0
    of_cell = cells.weights[:, -1:].sigmoid() * 0.99 + 0.005
    gamma[vertex_of_edge[used]] = of_cell.expand_as(used)[used]
    a, b, c, d = gamma[quads].unbind(1)
    along = (a * c > b * d)[:, None]
    one_way = _columns(quads, 0, 1, 2, 0, 2, 3)
    other_way = _columns(quads, 0, 1, 3, 3, 1, 2)
    return CellMesh(vertices, torch.where(along, one_way, other_way).reshape(-1, 3), attributes)


def _resolve(case: Tensor, cells: Cells) -> Tensor:
    """Cases after looking at neighbours: two cells that are ambiguous at the face they share both
    take the opposite case.
    """
    faces = [ambiguous_cases().get(number, -1) for number in range(256)]
    face = torch.tensor(faces, device=case.device)[case]
    own = torch.nonzero(face >= 0)[:, 0]
    if not len(own):
        return case
    side = cells.resolution
    neighbour = cells.index[own] + torch.tensor(STEPS, device=case.device)[face[own]]
    within = ((neighbour >= 0) & (neighbour < side)).all(1)
    keys = _numbered(cells.index[own], side)
    wanted = _numbered(neighbour, side)
    at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    opposite = own[within & (keys[at] == wanted)]
    resolved = case.clone()
    resolved[opposite] = 255 - case[opposite]
    return resolved


def _number_loops(case: Tensor) -> tuple[int, Tensor]:
    """Number of vertices, and the vertex (S, 12) of each edge of each cell, -1 = none: first cells
    with one loop, then with two, ...
    """
    loop_of = torch.full((256, 12), -1, dtype=torch.int64)
    for number, loops in enumerate(loops_of_cases()):
        for index, loop in enumerate(loops):
            loop_of[number, list(loop)] = index
    own_loop = loop_of.to(case.device)[case]
    loops_in = [len(loops) for loops in loops_of_cases()]
    amount = torch.tensor(loops_in, device=case.device)[case]
    order = torch.argsort(amount, stable=True)
    first = torch.empty_like(amount)
    first[order] = amount[order].cumsum(0) - amount[order]
    vertex_of_edge = torch.where(own_loop >= 0, first[:, None] + own_loop, own_loop)
    return int(amount.sum()), vertex_of_edge


def _place(cells: Cells, vertex_of_edge: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Positions and attributes of the vertices: zero crossings along the loop's edges, then their
    weighted mean.
    """
    cell, edge = torch.nonzero(vertex_of_edge >= 0, as_tuple=True)
    ends = torch.tensor(EDGES, device=cell.device)[edge]
    beta = _about_one(cells.weights[cell, edge])[:, None]
    slopes = cells.distance * _about_one(cells.weights[:, 12:20])
    values = torch.cat([cells.position, cells.attributes], dim=2)
    first, second = ends.unbind(1)
    slope = slopes[cell, first][:, None]
    other_slope = slopes[cell, second][:, None]
    crossing = values[cell, first] * other_slope - values[cell, second] * slope
    crossing = crossing / (other_slope - slope)
    weighted = torch.cat([beta * crossing, beta], dim=1)
    sums = values.new_zeros(count, weighted.shape[1])
    sums.index_add_(0, vertex_of_edge[cell, edge], weighted)
    placed = sums[:, :-1] / sums[:, -1:]
    return placed[:, :3], placed[:, 3:]


def _about_one(raw: Tensor) -> Tensor:
    """Raw outputs of a network -> weights in (0.01, 1.99)."""
    return raw.tanh() * 0.99 + 1


def _quads(cells: Cells, inside: Tensor, vertex_of_edge: Tensor) -> Tensor:
    """Vertices (Q, 4), in order around each inner sign-changing edge, of its four cells; first of
    the edges whose first end is outside.
    """
    first, second = torch.tensor(EDGES, device=inside.device).unbind(1)
    rank = [_RANK[(p ^ q).bit_length() - 1] for p, q in EDGES]
    cell, edge = torch.nonzero(inside[:, first] != inside[:, second], as_tuple=True)
    start = corner_index(cells.index, cells.resolution)[cell, first[edge]]
    key = start * 3 + torch.tensor(rank, device=inside.device)[edge]
    key, order = torch.sort(key, stable=True)
    _, counts = torch.unique_consecutive(key, return_counts=True)
    starts = (counts.cumsum(0) - counts)[counts == 4]
    members = order[starts[:, None] + torch.arange(4, device=key.device)]
    cell = cell[members]
    edge = edge[members]
    quads = vertex_of_edge[cell, edge]
    outside = cells.distance[cell[:, 0], first[edge[:, 0]]] > 0
    turned = _columns(quads[outside], 0, 1, 3, 2)
    return torch.cat([turned, _columns(quads[~outside], 2, 3, 1, 0)])


def mesh_of_cells(
    cells: Int64[Tensor, "N 3"], features: Float[Tensor, "N _"], resolution: int
) -> CellMesh:
    """The mesh that a decoder describes cell by cell; only what touches the surface is ever stored
    in floating point.

    cells: active ones; features: 53 + 8 K per cell: 8 distances, 8 x 3
    deformations, 21 weights, 8 x K attributes. A corner takes the mean of the active cells around
    it; corners without one are outside. Vertices lie in [-0.5, 0.5]^3.
    """
    side = resolution + 1
    corners = corner_index(cells, resolution)
    known = [8, 8 * 3, WEIGHTS]
    parts = features.split([*known, features.shape[1] - sum(known)], dim=1)
    distances, deformations, weights, attributes = parts
    distance = _corner_distances(corners, distances - 1.0 / resolution, side**3)
    surface = surface_cells((distance < 0).view(side, side, side))
    at = corner_index(surface, resolution)
    corner, number_of = _numbered_corners(at, side**3)
    rows, places = torch.nonzero(number_of[corners] >= 0, as_tuple=True)
    values = [part.unflatten(1, (8, -1))[rows, places] for part in (deformations, attributes)]
    count = int(number_of.max()) + 1
    means = _mean_at(number_of[corners[rows, places]], torch.cat(values, dim=1), count)
    shift = (1 - 1e-8) / (2 * resolution) * means[:, :3].tanh()
    position = surface[:, None] + torch.tensor(CORNERS, device=cells.device)
    position = position / resolution - 0.5 + shift[corner]
    attributes = means[:, 3:].sigmoid()[corner]
    weights = _weights_at(surface, cells, weights, resolution)
    return dual_mesh(Cells(surface, resolution, distance[at], position, attributes, weights))


def _corner_distances(corners: Tensor, distances: Tensor, size: int) -> Tensor:
    """(size,) distance at every corner of the grid: the mean over the active cells (N, 8) around
    it, 1 where there is none.
    """
    mean = _mean_at(corners.flatten(), distances.reshape(-1, 1), size)[:, 0]
    touched = torch.zeros(size, dtype=torch.bool, device=corners.device)
    touched[corners.flatten()] = True
    return torch.where(touched, mean, 1.0)


def _numbered_corners(at: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Numbers (S, 8) of the corners ``at`` that cells have, ascending and without gaps, and the
    number (size,) of every corner of the grid, -1 = no cell has it.
    """
    needed = torch.zeros(size, dtype=torch.bool, device=at.device)
    needed[at.flatten()] = True
    number_of = torch.where(needed, needed.cumsum(0) - 1, -1)
    return number_of[at], number_of


def _weights_at(
    surface: Tensor,
    cells: Tensor,
    weights: Tensor,
    resolution: int,
) -> Tensor:
    """Weights (S, 21) of surface cells (S, 3), zero where one is not among the active ``cells``."""
    row_of = torch.full((resolution**3,), -1, device=cells.device)
    row_of[_numbered(cells, resolution)] = torch.arange(len(cells), device=cells.device)
    row = row_of[_numbered(surface, resolution)]
    return torch.where((row >= 0)[:, None], weights[row], 0.0)


def _mean_at(index: Tensor, values: Tensor, size: int) -> Tensor:
    """Means (size, K) of the values (P, K) that share an index (P,); zero where there is none."""
    sums = values.new_zeros(size, values.shape[1]).index_add_(0, index, values)
    count = torch.bincount(index, minlength=size)
    return sums / count.clamp(min=1)[:, None]
