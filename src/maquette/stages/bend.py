"""A generated body, bent so that it reaches what the photo shows. Where it falls short of that, the
visible surface would be left as a thin plate that sticks out behind.

In the flow: a generated field + the visible surface -> the same field on finer cells, moved a
little near that surface -> ``fuse``. The moves are those of a coarse grid of control points, smooth
and small, found by Gauss-Newton steps on robust distances (as in free-form registration, Rueckert
et al., 1999). What reaches too far stays: it is carved away afterwards.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage, sparse
from scipy.sparse.csgraph import laplacian
from scipy.sparse.linalg import cg
from torch import Tensor

from maquette.geometry.volumes import TRUNCATION, cell_centres, sample_volume
from maquette.stages.mirror import sampled

CONTROLS = 11  # points of the grid along each side
SMOOTH = 4e-4  # weights against differences between neighbours, and against moves
STIFF = 1.5e-4
DOUBTED = 0.04  # cube sides; what the body misses by more is rather something that it lacks
ROUNDS = 6
LAYERS = 16  # of cells that are asked at once
NEAR = 0.9  # truncations; beyond, a clipped field tells no distance


def bent(generated: Tensor, points: np.ndarray, resolution: int) -> Tensor:
    """(resolution,) * 3 of a field (R, R, R) that is bent to reach points (N, 3) of the cube."""
    centres = cell_centres(resolution)
    field = generated.float()
    if len(points) and (field < 0).any() and (field > 0).any():
        moves = _moves(_distances(field.numpy()), points)
        grid = torch.from_numpy(moves.reshape(1, 3, *(CONTROLS,) * 3)).float()
        moved = F.interpolate(grid, (resolution,) * 3, mode="trilinear", align_corners=True)
        centres += moved[0].permute(1, 2, 3, 0)
    layers = centres.split(LAYERS)  # for the memory
    return torch.cat([sample_volume(field[None], layer)[0] for layer in layers])


def _moves(distances: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3, CONTROLS^3) how far the field is asked away from each control point."""
    slopes = np.gradient(distances, 1 / len(distances))
    shares = _shares(points)
    neighbours = sparse.diags([1.0, 1.0], [-1, 1], shape=(CONTROLS,) * 2)
    line = laplacian(neighbours)
    smooth = sparse.kronsum(sparse.kronsum(line, line), line)
    stiffness = sparse.block_diag([SMOOTH * smooth + STIFF * sparse.identity(CONTROLS**3)] * 3)
    moves = np.zeros((3, CONTROLS**3))
    for _ in range(ROUNDS):
        at = points + (shares @ moves.T)
        short = sampled(distances, at).clip(0)
        weight = (1 + (short / DOUBTED) ** 2) ** -2 / len(points)
        towards = [shares.multiply(sampled(slope, at)[:, None]) for slope in slopes]
        design = sparse.hstack(towards).tocsr()
        weighted = design.T.multiply(weight).tocsr()
        system = (weighted @ design + stiffness).tocsr()
        target = -(weighted @ short) - stiffness @ moves.ravel()
        scales = sparse.diags(1 / system.diagonal())
        step, _ = cg(system, target, rtol=1e-3, maxiter=200, M=scales)
        moves += step.reshape(moves.shape)
    return moves


def _shares(points: np.ndarray) -> sparse.csr_matrix:
    """(N, CONTROLS^3) trilinear weights of the control points at points (N, 3) of the cube."""
    at = (points.clip(-0.5, 0.5) + 0.5) * (CONTROLS - 1)
    away = np.abs(at[:, :, None] - np.arange(CONTROLS))
    along = (1 - away).clip(0)
    shares = np.einsum("ni,nj,nk->nijk", *along.transpose(1, 0, 2))
    return sparse.csr_matrix(shares.reshape(len(points), -1))


def _distances(field: np.ndarray) -> np.ndarray:
    """A field (R, R, R) in cube sides, and beyond its truncation, too."""
    inside = field < 0
    far = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    far -= np.where(inside, -0.5, 0.5)
    return np.where(np.abs(field) < NEAR, field * TRUNCATION, far / len(field))
