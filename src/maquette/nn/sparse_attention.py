"""Which tokens of a sparse grid see one another: those in the same cube of the grid (Swin; cubes
shifted by half in every other block). A plan for SelfAttention on packed tokens (1, N, C), without
compiled extensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maquette.nn.attention import ExternalKeys, attend
from maquette.nn.devices import sent
from maquette.nn.sparse import Voxels

PackedHeads = Float[Tensor, "1 H N D"]  # of the cells of all samples, one after the other

LENGTHS = 8  # different padded lengths that windows are sorted into


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """W windows of similar size, padded to L places."""

    rows: Int64[Tensor, "W L"]  # token of each place; padding repeats the window's first token
    mask: Bool[Tensor, "W 1 1 L"] | None  # False = padding; None = there is none

    def gathered(self, x_NHD: Float[Tensor, "N H D"]) -> Float[Tensor, "W H L D"]:
        """The tokens of the windows."""
        return x_NHD[self.rows].transpose(1, 2)


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """Plan: tokens see those of their own window."""

    batches: tuple[WindowBatch, ...]
    place: Int64[Tensor, " N"]  # where each token is among all places

    def __call__(
        self,
        query: PackedHeads,
        key: PackedHeads,
        value: PackedHeads,
        external: ExternalKeys | None = None,
    ) -> PackedHeads:
        """Attention of all windows."""
        tokens = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
        outputs = []
        for batch in self.batches:
            q, k, v = (batch.gathered(tensor) for tensor in tokens)
            out = attend(q, [k], [v], batch.mask)
            outputs.append(out.transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs)[self.place].transpose(0, 1)[None]


def windows(voxels: Voxels, size: int, shift: int = 0) -> WindowPlan:
    """The plan of cubes of ``size`` cells a side; window = (coordinate + shift) // size, without
    wrapping. Kept on the voxels.
    """
    if ("windows", size, shift) not in voxels.made:
        voxels.made["windows", size, shift] = _partition(voxels, size, shift)
    return voxels.made["windows", size, shift]


def _partition(voxels: Voxels, size: int, shift: int) -> WindowPlan:
    """Made on the CPU: how many windows of which size there are decides about shapes."""
    device = voxels.coords.device
    side = (voxels.resolution + shift) // size + 1
    sample, *cell = voxels.coords.cpu().unbind(1)
    x, y, z = ((coordinate + shift) // size for coordinate in cell)
    window = ((sample * side + x) * side + y) * side + z
    order = torch.argsort(window, stable=True)
    _, counts = torch.unique_consecutive(window[order], return_counts=True)
    starts = counts.cumsum(0) - counts
    largest = int(counts.max()) if len(counts) else 0
    step = max(8, -(-largest // LENGTHS))
    padded = -(-counts // step) * step
    batches = []
    places = torch.empty_like(order)
    first = 0
    for length in torch.unique(padded).tolist():
        own = torch.nonzero(padded == length)[:, 0]
        inside = torch.arange(length)
        valid = inside < counts[own][:, None]
        token = order[starts[own][:, None] + torch.where(valid, inside, 0)]
        mask = None if bool(valid.all()) else sent(valid[:, None, None], device)
        batches.append(WindowBatch(sent(token, device), mask))
        places[token[valid]] = first + torch.nonzero(valid.flatten())[:, 0]
        first += token.numel()
    return WindowPlan(tuple(batches), sent(places, device))
