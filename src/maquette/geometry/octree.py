"""A scalar field on a regular grid, asked only where its surface is: coarse to fine, following the
surface.

In the flow: a decoder that can be asked at any point -> values on a grid -> ``isosurface``. Asking
costs a network evaluation each, so 257^3 points are too many and those next to the surface are few.
The result has the exact value at every corner of every cell that the surface crosses, and the right
sign everywhere else, which is all that marching cubes looks at: the mesh is that of the full grid,
provided that each connected part of the surface shows as a sign change on the coarsest grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.errors import InputError

Field = Callable[[Tensor], Tensor]  # points (N, 3) -> values (N,)


@dataclass(frozen=True)
class Grid:
    """(cells + 1)^3 points from corner ``low`` to corner ``high``, indexed [x, y, z]."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    cells: int  # along each side

    def points(
        self, index: Int64[Tensor, "N 3"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "N 3"]:
        """Positions of grid points; the same numbers for the same point of
        finer and coarser grids.
        """
        # In float64 on the CPU: not every device has it.
        share = torch.arange(self.cells + 1, dtype=torch.float64) / self.cells
        positions = []
        for low, high, column in zip(self.low, self.high, index.unbind(1)):
            axis = (low + (high - low) * share).to(dtype)
            positions.append(axis.to(index.device)[column])
        return torch.stack(positions, dim=1)


@dataclass(frozen=True, eq=False)
class GridField:
    """Values on a grid and how many of them were asked for; the others are interpolated and have
    the right sign.
    """

    values: Float[Tensor, "side side side"]  # cells + 1
    asked: int


def evaluate_dense(field: Field, grid: Grid, device: torch.device | str = "cpu") -> GridField:
    """Ask at every point."""
    side = grid.cells + 1
    index = torch.cartesian_prod(*(torch.arange(side, device=device),) * 3)
    return GridField(field(grid.points(index)).reshape(side, side, side), side**3)


def evaluate_octree(
    field: Field,
    grid: Grid,
    coarsest: int = 32,
    margin: int = 0,
    device: torch.device | str = "cpu",
) -> GridField:
    """Ask on a grid of ``coarsest`` cells, then, doubling, at the cells that the surface (value 0)
    crosses.

    At each level, cells into which the surface is found to continue are asked too, until none is
    left, and those next to them. On the finest grid, values are exact within ``margin`` cells of
    the surface: 0 is enough for marching cubes, what is filtered first needs more. Raises
    InputError unless ``grid.cells`` is ``coarsest`` times a power of two.
    """
    levels = (grid.cells // coarsest).bit_length() - 1
    if coarsest << levels != grid.cells:
        raise InputError(
            f"an octree of {grid.cells} cells cannot start at {coarsest}; choose {coarsest} times "
            "a power of two"
        )
    start = evaluate_dense(field, Grid(grid.low, grid.high, coarsest), device)
    values = start.values
    asked = start.asked
    known = torch.ones_like(values, dtype=torch.bool)
    for level in range(1, levels + 1):
        here = Grid(grid.low, grid.high, coarsest << level)
        todo = _crossed(values)
        for axis in range(3):
            todo = todo.repeat_interleave(2, axis)
        width = margin if level == levels else 1
        values, known = _refine(values, known)
        todo = _corners(todo) & ~known
        while bool(todo.any()):
            index = torch.nonzero(todo)
            values[todo] = field(here.points(index)).to(values.dtype)
            known |= todo
            asked += len(index)
            todo = _corners(_grow(_crossed(values), width)) & ~known
    return GridField(values, asked)


# Booleans all the way: pooling would take floats and, on the processor, an int64 index for each.
def _crossed(values: Tensor) -> Tensor:
    """(R, R, R) bool, cells of which some corners are positive and some are not."""
    some = every = values > 0
    for axis, side in enumerate(values.shape):
        some = some.narrow(axis, 0, side - 1) | some.narrow(axis, 1, side - 1)
        every = every.narrow(axis, 0, side - 1) & every.narrow(axis, 1, side - 1)
    return some & ~every


def _grow(cells: Tensor, by: int) -> Tensor:
    """Cells within ``by`` of a marked one, diagonals included."""
    for axis, side in enumerate(cells.shape):
        grown = cells.clone()
        for step in range(1, min(by, side - 1) + 1):
            grown.narrow(axis, step, side - step).logical_or_(cells.narrow(axis, 0, side - step))
            grown.narrow(axis, 0, side - step).logical_or_(cells.narrow(axis, step, side - step))
        cells = grown
    return cells


def _corners(cells: Tensor) -> Tensor:
    """(R, R, R) marked cells -> (R + 1,)^3 their corners."""
    for axis in range(cells.ndim):
        edge = torch.zeros_like(cells.narrow(axis, 0, 1))
        cells = torch.cat([cells, edge], axis).logical_or_(torch.cat([edge, cells], axis))
    return cells


def _refine(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Values and known points on a grid of half the spacing: trilinear in between, which never
    invents a sign change.
    """
    size = tuple(2 * side - 1 for side in values.shape)
    finer = F.interpolate(
        values[None, None],
        size=size,
        mode="trilinear",
        align_corners=True,
    )[0, 0]
    finer[::2, ::2, ::2] = values
    kept = torch.zeros(size, dtype=torch.bool, device=values.device)
    kept[::2, ::2, ::2] = known
    return finer, kept
