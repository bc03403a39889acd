"""Sparse grids in plain torch: which cells are active, who their neighbours are, and how cells of
two resolutions belong together.

Features are ordinary tensors (N, C), row i belongs to cell i of a ``Voxels``. Everything that
depends on the cells only (neighbours, windows, coarser and finer grids) is computed once and kept
on the Voxels: all layers, steps and guidance passes share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor

from maquette.nn.devices import sent

Features = Float[Tensor, "N C"]  # a row for each cell
OfParents = Float[Tensor, "M C"]  # a row for each parent of the cells

# Of a 3^3 kernel; number CENTRE is the cell itself.
OFFSETS = tuple((i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1))
CENTRE = 13
OCTANTS = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))  # children of a cell


@dataclass(frozen=True, eq=False)
class Chunk:
    """The terms of a 3^3 convolution for some consecutive output cells."""

    cells: slice  # which output cells
    size: int  # how many
    # (offset, rows, sources) of each offset that has terms, ascending: output cells (relative to
    # the chunk's start) and input cells (T,) of the terms
    terms: tuple[tuple[int, Tensor, Tensor], ...]


@dataclass(frozen=True, eq=False)
class Voxels:
    """N active cells of B samples on grids of equal resolution; the rows of a sample are
    contiguous, in the order of the samples.
    """

    coords: Int64[Tensor, "N 4"]  # rows (sample, x, y, z)
    resolution: int  # cells per side
    batch: int  # samples; one may be empty
    made: dict = field(default_factory=dict, repr=False)  # what was computed for arguments

    @classmethod
    def of(
        cls,
        coords: Int[Tensor, "N 4"],
        resolution: int,
        batch: int | None = None,
    ) -> Voxels:
        """From rows (sample, x, y, z) of any integer type, grouped by sample. Raises ValueError for
        cells outside of the grid.
        """
        coords = coords.long()
        if not len(coords):
            return cls(coords, resolution, 1 if batch is None else batch)
        low = coords.amin(0).tolist()
        high = coords.amax(0).tolist()
        if batch is None:
            batch = high[0] + 1
        beyond = max(high[1:]) >= resolution or high[0] >= batch
        if min(low) < 0 or beyond:
            raise ValueError(
                f"cells span {low} to {high}, expected a grid of {resolution}^3 for each of "
                f"{batch} samples; check the resolution"
            )
        if bool((coords[:, 0].diff() < 0).any()):
            raise ValueError("the cells of a sample are not contiguous; sort the rows by sample")
        return cls(coords, resolution, batch)

    def __len__(self) -> int:
        return len(self.coords)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Cells of each sample."""
        return tuple(torch.bincount(self.coords[:, 0], minlength=self.batch).tolist())

    @cached_property
    def keys(self) -> Int64[Tensor, " N"]:
        """(N,) one number per cell, ascending in lexicographic order of (sample, x, y, z)."""
        return _numbered(self.coords, self.resolution)

    def sample(self, index: int) -> Voxels:
        """The cells of one sample, as a batch of one; the neighbours are taken over when they are
        known.
        """
        if self.batch == 1:
            return self
        start = sum(self.counts[:index])
        count = self.counts[index]
        own = slice(start, start + count)
        alone = self.coords[own] * _spread(self.coords, (0, 1, 1, 1))
        one = Voxels(alone, self.resolution, 1)
        one.__dict__["counts"] = (count,)
        if "neighbours" in self.__dict__:
            known = self.neighbours[:, own]
            one.__dict__["neighbours"] = torch.where(known >= 0, known - start, known)
        return one

    @cached_property
    def neighbours(self) -> Int32[Tensor, "27 N"]:
        """(27, N) int32 row of the cell at each of OFFSETS, -1 where it is not active. Searched
        among the sorted cells, so that empty space costs nothing.
        """
        side = self.resolution + 2  # a border, so that no step leads around an edge
        cells = _numbered(self.coords + _spread(self.coords, (0, 1, 1, 1)), side)
        ascending, order = cells.sort()
        rows = order.int()
        found = rows.new_empty(len(OFFSETS), len(self))
        for offset, (i, j, k) in enumerate(OFFSETS):
            wanted = cells + ((i * side + j) * side + k)
            places = torch.searchsorted(ascending, wanted).clamp_(max=len(self) - 1)
            found[offset] = torch.where(ascending[places] == wanted, rows[places], -1)
        return found

    def chunks(self, size: int | None = None) -> list[Chunk]:
        """The terms of a 3^3 convolution in chunks of so many output cells; None = all in one."""
        size = size or max(len(self), 1)
        if ("chunks", size) not in self.made:
            starts = range(0, max(len(self), 1), size)
            self.made["chunks", size] = [self._chunk(slice(at, at + size)) for at in starts]
        return self.made["chunks", size]

    def _chunk(self, cells: slice) -> Chunk:
        """Some cells with the neighbours that are there, sorted by offset."""
        neighbours = self.neighbours[:, cells]
        offsets, rows = torch.nonzero(neighbours >= 0, as_tuple=True)
        counts = torch.bincount(offsets, minlength=len(OFFSETS)).tolist()
        parts = zip(rows.int().split(counts), neighbours[offsets, rows].split(counts))
        terms = tuple((offset, *part) for offset, part in enumerate(parts) if counts[offset])
        return Chunk(cells, neighbours.shape[1], terms)

    @cached_property
    def parents(self) -> tuple[Voxels, Int64[Tensor, " N"]]:
        """The grid of half the resolution, its cells in lexicographic order, and the row of each
        cell's parent.
        """
        half = (self.resolution + 1) // 2
        keys = _numbered(self.coords // _spread(self.coords, (1, 2, 2, 2)), half)
        rest, row_of_parent = torch.unique(keys, sorted=True, return_inverse=True)
        columns: list[Tensor] = []
        for _ in range(3):
            columns.insert(0, rest % half)
            rest = rest // half
        return Voxels(torch.stack([rest, *columns], dim=1), half, self.batch), row_of_parent

    @cached_property
    def children(self) -> Voxels:
        """The grid of twice the resolution in which every cell is split into its eight OCTANTS, in
        this order.

        Its neighbours follow from ours without any search: the child o of cell p steps by d to the
        child (o + d) mod 2 of the neighbour of p at (o + d) div 2.
        """
        octants = torch.tensor([(0, *octant) for octant in OCTANTS], device=self.coords.device)
        doubled = self.coords * _spread(self.coords, (1, 2, 2, 2))
        cells = (doubled[:, None] + octants).flatten(0, 1)
        fine = Voxels(cells, 2 * self.resolution, self.batch)
        found = self.neighbours.new_empty(len(OFFSETS), len(self), len(OCTANTS))
        for index, step in enumerate(OFFSETS):
            for octant, corner in enumerate(OCTANTS):
                moved = [c + s for c, s in zip(corner, step)]
                coarse = self.neighbours[OFFSETS.index(tuple(m // 2 for m in moved))]
                child = OCTANTS.index(tuple(m % 2 for m in moved))
                found[index, :, octant] = torch.where(coarse >= 0, 8 * coarse + child, coarse)
        fine.__dict__["neighbours"] = found.flatten(1)
        fine.__dict__["counts"] = tuple(len(OCTANTS) * count for count in self.counts)
        return fine

    def per_cell(self, values_BC: Float[Tensor, "B C"]) -> Features:
        """Values of samples -> of their cells; one value (1, C) is for all and stays as it is."""
        return values_BC if len(values_BC) == 1 else values_BC.index_select(0, self.coords[:, 0])


def _spread(coords: Tensor, factors: tuple[int, int, int, int]) -> Tensor:
    """Factors of (sample, x, y, z) on the device of the cells."""
    return sent(torch.tensor(factors), coords.device)


def _numbered(coords: Tensor, side: int) -> Tensor:
    """(N,) one number for each cell (N, 4) of grids of ``side`` cells a side."""
    sample, x, y, z = coords.unbind(1)
    return ((sample * side + x) * side + y) * side + z


def downsample(features_NC: Features, voxels: Voxels) -> OfParents:
    """Features of the parents: sum / (n + 1) over the n active children, as the weights of
    TRELLIS were trained, with a zero row counted among the children.
    """
    return _pooled(features_NC, voxels, extra=1)


def mean_of_children(features_NC: Features, voxels: Voxels) -> OfParents:
    """Features of the parents: the mean of their active children."""
    return _pooled(features_NC, voxels, extra=0)


def _pooled(features_NC: Tensor, voxels: Voxels, extra: int) -> Tensor:
    """Sums of the children over their number and ``extra``, in float32."""
    coarse, inverse = voxels.parents
    features = features_NC.float()
    sums = features.new_zeros(len(coarse), features.shape[1]).index_add_(0, inverse, features)
    counts = torch.bincount(inverse, minlength=len(coarse)).float()
    return (sums / (counts + extra)[:, None]).to(features_NC.dtype)


def upsample(features_MC: OfParents, voxels: Voxels) -> Features:
    """Features of the parents of ``voxels`` -> copies for their active children."""
    return features_MC.index_select(0, voxels.parents[1])
