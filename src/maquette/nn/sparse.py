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
from torch import Tensor

OFFSETS = tuple(
    (i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)
)  # of a 3^3 kernel; index 13 is the cell itself
CENTRE = 13
OCTANTS = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))  # children of a cell


@dataclass(frozen=True, eq=False)
class Pairs:
    """The terms of a 3^3 convolution, for chunks of output cells: rows and sources of each chunk
    are sorted by offset.
    """

    starts: tuple[int, ...]  # first output cell of each chunk
    sizes: tuple[int, ...]  # output cells of each chunk
    counts: tuple[tuple[int, ...], ...]  # terms of each chunk and offset
    rows: tuple[
        Tensor, ...
    ]  # of each chunk: output cell of each term, relative to the chunk's start
    sources: tuple[Tensor, ...]  # of each chunk: input cell of each term


@dataclass(frozen=True, eq=False)
class Voxels:
    """N active cells of B samples on grids of equal resolution; the rows of a sample are
    contiguous, in the order of the samples.
    """

    coords: Tensor  # (N, 4) int64, rows (sample, x, y, z)
    resolution: int  # cells per side
    batch: int  # samples; one may be empty
    made: dict = field(default_factory=dict, repr=False)  # what was computed for arguments

    @classmethod
    def of(cls, coords: Tensor, resolution: int, batch: int | None = None) -> Voxels:
        """From rows (sample, x, y, z) of any integer type, grouped by sample. Raises ValueError for
        cells outside of the grid.
        """
        coords = coords.long()
        if batch is None:
            batch = int(coords[:, 0].max()) + 1 if len(coords) else 1
        if len(coords) and (
            int(coords.min()) < 0
            or int(coords[:, 1:].max()) >= resolution
            or int(coords[:, 0].max()) >= batch
        ):
            raise ValueError(
                f"cells span {coords.amin(0).tolist()} to {coords.amax(0).tolist()}, expected a grid of {resolution}^3"
            )
        if bool((coords[1:, 0] < coords[:-1, 0]).any()):
            raise ValueError("the cells of a sample are not contiguous; sort the rows by sample")
        return cls(coords, resolution, batch)

    def __len__(self) -> int:
        return len(self.coords)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Cells of each sample."""
        return tuple(torch.bincount(self.coords[:, 0], minlength=self.batch).tolist())

    @cached_property
    def keys(self) -> Tensor:
        """(N,) one number per cell, ascending in lexicographic order of (sample, x, y, z)."""
        sample, x, y, z = self.coords.unbind(1)
        return ((sample * self.resolution + x) * self.resolution + y) * self.resolution + z

    def sample(self, index: int) -> Voxels:
        """The cells of one sample, as a batch of one; the neighbours are taken over when they are
        known.
        """
        if self.batch == 1:
            return self
        start = sum(self.counts[:index])
        count = self.counts[index]
        rows = self.coords[start : start + count]
        one = Voxels(
            torch.cat([torch.zeros_like(rows[:, :1]), rows[:, 1:]], dim=1), self.resolution, 1
        )
        if "neighbours" in self.__dict__:
            known = self.neighbours[:, start : start + count]
            one.__dict__["neighbours"] = torch.where(known >= 0, known - start, known)
        return one

    @cached_property
    def neighbours(self) -> Tensor:
        """(27, N) int32 row of the cell at each of OFFSETS, -1 where it is not active. One lookup
        table per sample, 4 (R + 2)^3 bytes.
        """
        side = self.resolution + 2
        table = torch.full((side**3,), -1, dtype=torch.int32, device=self.coords.device)
        steps = torch.tensor(
            [(i * side + j) * side + k for i, j, k in OFFSETS], device=self.coords.device
        )
        found = torch.empty(len(OFFSETS), len(self), dtype=torch.int32, device=self.coords.device)
        start = 0
        for count in self.counts:
            rows = self.coords[start : start + count, 1:] + 1
            places = (rows[:, 0] * side + rows[:, 1]) * side + rows[:, 2]
            table[places] = torch.arange(
                start, start + count, dtype=torch.int32, device=table.device
            )
            for offset, step in enumerate(steps):
                found[offset, start : start + count] = table[places + step]
            table[places] = -1
            start += count
        return found

    def pairs(self, chunk: int) -> Pairs:
        """The terms of a 3^3 convolution for chunks of so many output cells."""
        if ("pairs", chunk) not in self.made:
            parts = [
                self._chunk_pairs(start, chunk) for start in range(0, max(len(self), 1), chunk)
            ]
            starts = tuple(range(0, max(len(self), 1), chunk))
            self.made["pairs", chunk] = Pairs(starts, *(tuple(part) for part in zip(*parts)))
        return self.made["pairs", chunk]

    def _chunk_pairs(self, start: int, chunk: int) -> tuple[int, tuple[int, ...], Tensor, Tensor]:
        sources = self.neighbours[:, start : start + chunk]
        valid = sources >= 0
        return (
            sources.shape[1],
            tuple(valid.sum(1).tolist()),
            torch.nonzero(valid)[:, 1].int(),
            sources[valid],
        )

    @cached_property
    def parents(self) -> tuple[Voxels, Tensor]:
        """The grid of half the resolution, its cells in lexicographic order, and the row (N,) of
        each cell's parent.
        """
        half = (self.resolution + 1) // 2
        sample, x, y, z = self.coords.unbind(1)
        keys = ((sample * half + x // 2) * half + y // 2) * half + z // 2
        unique, inverse = torch.unique(keys, sorted=True, return_inverse=True)
        cells = torch.stack(
            [unique // half**3, unique // half**2 % half, unique // half % half, unique % half],
            dim=1,
        )
        return Voxels(cells, half, self.batch), inverse

    @cached_property
    def children(self) -> Voxels:
        """The grid of twice the resolution in which every cell is split into its eight OCTANTS, in
        this order.

        Its neighbours follow from ours without any search: the child o of cell p steps by d to the
        child (o + d) mod 2 of the neighbour of p at (o + d) div 2.
        """
        octants = torch.tensor([(0, *octant) for octant in OCTANTS], device=self.coords.device)
        scale = torch.tensor([1, 2, 2, 2], device=self.coords.device)
        fine = Voxels(
            ((self.coords * scale)[:, None] + octants).flatten(0, 1),
            2 * self.resolution,
            self.batch,
        )
        found = torch.empty(
            len(OFFSETS), len(self), 8, dtype=torch.int32, device=self.coords.device
        )
        for index, step in enumerate(OFFSETS):
            for octant, corner in enumerate(OCTANTS):
                moved = [c + s for c, s in zip(corner, step)]
                coarse = self.neighbours[OFFSETS.index(tuple(m // 2 for m in moved))]
                child = OCTANTS.index(tuple(m % 2 for m in moved))
                found[index, :, octant] = torch.where(coarse >= 0, 8 * coarse + child, coarse)
        fine.__dict__["neighbours"] = found.flatten(1)
        return fine

    def per_cell(self, values_BC: Tensor) -> Tensor:
        """Values (B, C) of samples -> (N, C) of their cells; one value (1, C) is for all and stays
        as it is.
        """
        return values_BC if len(values_BC) == 1 else values_BC.index_select(0, self.coords[:, 0])


def downsample(features_NC: Tensor, voxels: Voxels) -> Tensor:
    """Features (M, C) of the parents: sum / (n + 1) over the n active children.

    Not a mean: the released weights were trained with a zero row counted among the children.
    """
    coarse, inverse = voxels.parents
    sums = torch.zeros(
        len(coarse), features_NC.shape[1], dtype=torch.float32, device=features_NC.device
    )
    sums.index_add_(0, inverse, features_NC.float())
    counts = torch.bincount(inverse, minlength=len(coarse)).float()
    return (sums / (counts + 1)[:, None]).to(features_NC.dtype)


def upsample(features_MC: Tensor, voxels: Voxels) -> Tensor:
    """Features (M, C) of the parents of ``voxels`` -> copies for their active children (N, C)."""
    return features_MC.index_select(0, voxels.parents[1])
