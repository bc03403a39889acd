"""FlexiCubes, the inference path, on surface cells only: signed distances at grid corners and
weights of cells -> a mesh.

Shen et al., "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization", 2023: dual
marching cubes whose vertices slide along edges (alpha, per corner), between edges (beta, per edge),
and whose quads choose their diagonal (gamma, per cell). The case table is not stored but derived:
the vertices of a cell are the loops of sign-changing edges around its faces. Corner i of a cell has
bits x = i & 1, y = i >> 1 & 1, z = i >> 2 & 1. A distance below zero is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

EDGES = (
    (0, 1),
    (1, 5),
    (4, 5),
    (0, 4),
    (2, 3),
    (3, 7),
    (6, 7),
    (2, 6),
    (2, 0),
    (3, 1),
    (7, 5),
    (6, 4),
)  # corners of a cell's edges
CORNERS = tuple((i & 1, i >> 1 & 1, i >> 2 & 1) for i in range(8))
WEIGHTS = 21  # of a cell: 12 beta, 8 alpha, gamma
_RANK = (
    2,
    0,
    1,
    # of edges along x, y, z that start at the same corner: ascending index of their ends (edges along y
    # run downwards)
)


@dataclass(frozen=True, eq=False)
class CellMesh:
    """Vertices (V, 3), faces (F, 3) int64, and attributes (V, K) in [0, 1]."""

    vertices: Tensor
    faces: Tensor
    attributes: Tensor


@dataclass(frozen=True, eq=False)
class Cells:
    """S surface cells of an R^3 grid in ascending order, with what belongs to their corners."""

    index: Tensor  # (S, 3) int64
    resolution: int
    distance: Tensor  # (S, 8)
    position: Tensor  # (S, 8, 3)
    attributes: Tensor  # (S, 8, K), already in [0, 1]
    weights: Tensor  # (S, 21), before their activations


def faces_of_a_cell() -> list[tuple[int, ...]]:
    """Corners of the six faces, in order around each face: -x, +x, -y, +y, -z, +z."""
    faces = []
    for axis in range(3):
        low = [i for i in range(8) if not CORNERS[i][axis]]
        around = [low[0], low[1], low[3], low[2]]
        faces += [tuple(around), tuple(i | 1 << axis for i in around)]
    return faces


def _edges_of_faces() -> list[tuple[tuple[int, ...], list[int]]]:
    number = {frozenset(edge): i for i, edge in enumerate(EDGES)}
    return [
        (face, [number[frozenset((face[i], face[(i + 1) % 4]))] for i in range(4)])
        for face in faces_of_a_cell()
    ]


@cache
def loops_of_cases() -> tuple[tuple[tuple[int, ...], ...], ...]:
    """For each of the 256 cases (sum of inside_i << i), its loops of edges; each loop becomes one
    vertex.

    Loops are ordered by the lowest corner that they cut off, which is the order of the original's
    table.
    """
    table = []
    for case in range(256):
        inside = [bool(case >> i & 1) for i in range(8)]
        group = {i: {i} for i, (a, b) in enumerate(EDGES) if inside[a] != inside[b]}
        for face, edges in _edges_of_faces():
            crossing = [e for e in edges if e in group]
            joined = (
                [tuple(crossing)]
                if len(crossing) == 2
                else [
                    (edges[i - 1], edges[i])
                    for i in range(4)
                    if len(crossing) == 4 and inside[face[i]]
                ]
            )
            for first, second in joined:
                merged = group[first] | group[second]
                group |= {member: merged for member in merged}
        loops = {tuple(sorted(loop)) for loop in group.values()}
        side = inside if _components(inside) == len(loops) else [not i for i in inside]
        table.append(
            tuple(sorted(loops, key=lambda loop: min(c for e in loop for c in EDGES[e] if side[c])))
        )
    return tuple(table)


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
        faces = [
            f
            for f, (face, _) in enumerate(_edges_of_faces())
            if [case >> i & 1 for i in face] in ([0, 1, 0, 1], [1, 0, 1, 0])
        ]
        if len(faces) == 1 and case.bit_count() > 4:
            found[case] = faces[0]
    return found


def surface_cells(inside: Tensor) -> Tensor:
    """(S, 3) int64 cells with inside and outside corners, in ascending order; inside (R + 1, R + 1,
    R + 1) bool.
    """
    count = torch.zeros(
        [side - 1 for side in inside.shape], dtype=torch.uint8, device=inside.device
    )
    high = [slice(1, None), slice(None, -1)]
    for corner in CORNERS:
        count += inside[tuple(high[1 - bit] for bit in corner)]
    return torch.nonzero((count > 0) & (count < 8))


def corner_index(cells: Tensor, resolution: int) -> Tensor:
    """(S, 8) index (x (R + 1) + y) (R + 1) + z of the corners of cells (S, 3)."""
    corners = cells[:, None] + torch.tensor(CORNERS, device=cells.device)
    return (corners[..., 0] * (resolution + 1) + corners[..., 1]) * (resolution + 1) + corners[
        ..., 2
    ]


def dual_mesh(cells: Cells) -> CellMesh:
    """The mesh of surface cells: one vertex for each loop, one quad (two triangles) for each edge
    that four cells share.
    """
    inside = cells.distance < 0
    case = _resolve((inside * (2 ** torch.arange(8, device=inside.device))).sum(1), cells)
    count, vertex_of_edge = _number_loops(case)
    vertices, attributes = _place(cells, vertex_of_edge, count)
    quads, flipped = _quads(cells, inside, vertex_of_edge)
    quads = torch.cat([quads[flipped][:, [0, 1, 3, 2]], quads[~flipped][:, [2, 3, 1, 0]]])
    gamma = torch.empty(count, device=vertices.device)
    used = vertex_of_edge >= 0
    gamma[vertex_of_edge[used]] = (cells.weights[:, 20].sigmoid() * 0.99 + 0.005)[:, None].expand(
        -1, 12
    )[used]
    g = gamma[quads]
    along = (g[:, 0] * g[:, 2] > g[:, 1] * g[:, 3])[:, None]
    faces = torch.where(along, quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [0, 1, 3, 3, 1, 2]]).reshape(
        -1, 3
    )
    return CellMesh(vertices, faces, attributes)


def _resolve(case: Tensor, cells: Cells) -> Tensor:
    """Cases after looking at neighbours: two cells that are ambiguous at the face they share both
    take the opposite case.
    """
    face_of = torch.full((256,), -1, device=case.device)
    for number, face in ambiguous_cases().items():
        face_of[number] = face
    face = face_of[case]
    own = torch.nonzero(face >= 0)[:, 0]
    if not len(own):
        return case
    step = torch.tensor(
        [[(2 * (f % 2) - 1) * (f // 2 == axis) for axis in range(3)] for f in range(6)],
        device=case.device,
    )
    side = cells.resolution
    neighbour = cells.index[own] + step[face[own]]
    within = ((neighbour >= 0) & (neighbour < side)).all(1)
    keys = (cells.index[own] * torch.tensor([side * side, side, 1], device=case.device)).sum(1)
    wanted = (neighbour * torch.tensor([side * side, side, 1], device=case.device)).sum(1)
    at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    opposite = within & (keys[at] == wanted)
    resolved = case.clone()
    resolved[own[opposite]] = 255 - case[own[opposite]]
    return resolved


def _number_loops(case: Tensor) -> tuple[int, Tensor]:
    """Number of vertices, and the vertex (S, 12) of each edge of each cell, -1 = none: first cells
    with one loop, then with two, ...
    """
    loop_of = torch.full((256, 12), -1, dtype=torch.int64)
    for number, loops in enumerate(loops_of_cases()):
        for index, loop in enumerate(loops):
            loop_of[number, list(loop)] = index
    loops_in = torch.tensor([len(loops) for loops in loops_of_cases()])
    loop = loop_of.to(case.device)[case]
    amount = loops_in.to(case.device)[case]
    order = torch.argsort(amount, stable=True)
    first = torch.empty_like(amount)
    first[order] = amount[order].cumsum(0) - amount[order]
    return int(amount.sum()), torch.where(loop >= 0, first[:, None] + loop, loop)


def _place(cells: Cells, vertex_of_edge: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Positions and attributes of the vertices: zero crossings along the loop's edges, then their
    weighted mean.
    """
    cell, edge = torch.nonzero(vertex_of_edge >= 0, as_tuple=True)
    ends = torch.tensor(EDGES, device=cell.device)[edge]
    alpha = cells.weights[:, 12:20].tanh() * 0.99 + 1
    beta = (cells.weights[cell, edge].tanh() * 0.99 + 1)[:, None]
    slope = [
        (cells.distance[cell, ends[:, i]] * alpha[cell, ends[:, i]])[:, None] for i in range(2)
    ]
    values = torch.cat([cells.position, cells.attributes], dim=2)
    crossing = (values[cell, ends[:, 0]] * slope[1] - values[cell, ends[:, 1]] * slope[0]) / (
        slope[1] - slope[0]
    )
    vertex = vertex_of_edge[cell, edge]
    sums = torch.zeros(count, values.shape[2] + 1, device=cell.device, dtype=values.dtype)
    sums.index_add_(0, vertex, torch.cat([beta * crossing, beta], dim=1))
    placed = sums[:, :-1] / sums[:, -1:]
    return placed[:, :3], placed[:, 3:]


def _quads(cells: Cells, inside: Tensor, vertex_of_edge: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices (Q, 4) of the four cells, ascending, around each inner sign-changing edge, and
    whether the edge's first end is outside.
    """
    ends = torch.tensor(EDGES, device=inside.device)
    crossing = inside[:, ends[:, 0]] != inside[:, ends[:, 1]]
    axes = [[a != b for a, b in zip(CORNERS[p], CORNERS[q])].index(True) for p, q in EDGES]
    rank = torch.tensor([_RANK[axis] for axis in axes], device=inside.device)
    cell, edge = torch.nonzero(crossing, as_tuple=True)
    key = corner_index(cells.index, cells.resolution)[cell, ends[edge, 0]] * 3 + rank[edge]
    key, order = torch.sort(key, stable=True)
    counts = torch.unique_consecutive(key, return_counts=True)[1]
    starts = (counts.cumsum(0) - counts)[counts == 4]
    members = order[starts[:, None] + torch.arange(4, device=key.device)]
    outside = cells.distance[cell[members[:, 0]], ends[edge[members[:, 0]], 0]] > 0
    return vertex_of_edge[cell[members], edge[members]], outside


def mesh_of_cells(cells: Tensor, features: Tensor, resolution: int) -> CellMesh:
    """The mesh that a decoder describes cell by cell; only what touches the surface is ever stored
    in floating point.

    cells: (N, 3) int64 active cells; features: (N, 53 + 8 K) per cell: 8 distances, 8 x 3
    deformations, 21 weights, 8 x K attributes. A corner takes the mean of the active cells around
    it; corners without one are outside. Vertices lie in [-0.5, 0.5]^3.
    """
    side = resolution + 1
    device = cells.device
    corners = corner_index(cells, resolution)
    distance = _mean_at(
        corners.flatten(), features[:, :8].flatten()[:, None] - 1.0 / resolution, side**3
    )[:, 0]
    touched = torch.zeros(side**3, dtype=torch.bool, device=device)
    touched[corners.flatten()] = True
    distance = torch.where(touched, distance, torch.ones_like(distance))
    surface = surface_cells((distance < 0).view(side, side, side))
    at = corner_index(surface, resolution)
    needed = torch.zeros(side**3, dtype=torch.bool, device=device)
    needed[at.flatten()] = True
    number = needed.cumsum(0) - 1  # of the needed corners
    rows, places = torch.nonzero(needed[corners], as_tuple=True)
    attributes = features[:, 53:].unflatten(1, (8, -1))
    raw = torch.cat(
        [features[:, 8:32].unflatten(1, (8, 3))[rows, places], attributes[rows, places]], dim=1
    )
    means = _mean_at(number[corners[rows, places]], raw, int(needed.sum()))
    corner = number[at]
    active = torch.full((resolution**3,), -1, dtype=torch.int64, device=device)
    flat = torch.tensor([resolution**2, resolution, 1], device=device)
    active[(cells * flat).sum(1)] = torch.arange(len(cells), device=device)
    row = active[(surface * flat).sum(1)]
    weights = torch.where(
        (row >= 0)[:, None], features[:, 32:53][row], torch.zeros((), device=device)
    )
    grid = (surface[:, None] + torch.tensor(CORNERS, device=device)) / resolution - 0.5
    position = grid + (1 - 1e-8) / (2 * resolution) * means[:, :3].tanh()[corner]
    return dual_mesh(
        Cells(surface, resolution, distance[at], position, means[:, 3:].sigmoid()[corner], weights)
    )


def _mean_at(index: Tensor, values: Tensor, size: int) -> Tensor:
    """Means (size, K) of the values (P, K) that share an index (P,); zero where there is none."""
    sums = torch.zeros(size, values.shape[1], dtype=values.dtype, device=values.device).index_add_(
        0, index, values
    )
    return sums / torch.bincount(index, minlength=size).clamp(min=1)[:, None]
