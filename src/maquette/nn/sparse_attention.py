"""Whose tokens a token of a sparse grid sees: plans for SelfAttention on packed tokens (1, N, C),
without compiled extensions.

``Separate``: all of its own sample. ``windows``: those in its own cube of the grid (Swin; cubes
shifted by half in every other block).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.nn.attention import ExternalKeys, attend
from maquette.nn.sparse import Voxels

LENGTHS = 8  # different padded lengths that windows are sorted into


@dataclass(frozen=True)
class Separate:
    """Plan: the tokens of several sequences lie one after the other; each sequence sees itself
    only.
    """

    counts: tuple[int, ...]  # tokens of each sequence

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, external: ExternalKeys | None = None
    ) -> Tensor:
        """Attention of all sequences, (1, H, N, D)."""
        parts = zip(*(tensor.split(list(self.counts), dim=2) for tensor in (query, key, value)))
        return torch.cat([attend(q, [k], [v]) for q, k, v in parts], dim=2)


@dataclass(frozen=True, eq=False)
class Windows:
    """Plan: tokens see those of their own window. Windows of similar size are one padded batch;
    padding is masked.
    """

    rows: tuple[
        Tensor, ...
    ]  # of each batch (W, L): token of each place; padding repeats the window's first token
    masks: tuple[
        Tensor | None, ...
    ]  # of each batch (W, 1, 1, L) bool, False = padding; None = there is none
    place: Tensor  # (N,) where each token is among all places

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, external: ExternalKeys | None = None
    ) -> Tensor:
        """Attention of all windows, (1, H, N, D)."""
        tokens = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
        outputs = []
        for rows, mask in zip(self.rows, self.masks):
            q, k, v = (
                t.index_select(0, rows.flatten()).unflatten(0, rows.shape).transpose(1, 2)
                for t in tokens
            )
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            outputs.append(out.transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs).index_select(0, self.place).transpose(0, 1)[None]


def windows(voxels: Voxels, size: int, shift: int = 0) -> Windows:
    """The plan of cubes of ``size`` cells a side; window = (coordinate + shift) // size, without
    wrapping. Kept on the voxels.
    """
    if ("windows", size, shift) not in voxels.made:
        voxels.made["windows", size, shift] = _partition(voxels, size, shift)
    return voxels.made["windows", size, shift]


def _partition(voxels: Voxels, size: int, shift: int) -> Windows:
    side = (voxels.resolution + shift) // size + 1
    sample, x, y, z = (
        (voxels.coords[:, axis] + (shift if axis else 0)) // (size if axis else 1)
        for axis in range(4)
    )
    window = ((sample * side + x) * side + y) * side + z
    order = torch.argsort(window, stable=True)
    counts = torch.unique_consecutive(window[order], return_counts=True)[1]
    starts = counts.cumsum(0) - counts
    step = max(8, -(-int(counts.max()) // LENGTHS) if len(counts) else 8)
    padded = -(-counts // step) * step
    rows = []
    masks = []
    places = torch.empty_like(order)
    first = 0
    for length in torch.unique(padded).tolist():
        own = torch.nonzero(padded == length)[:, 0]
        inside = torch.arange(length, device=order.device)
        valid = inside < counts[own][:, None]
        token = order[starts[own][:, None] + torch.where(valid, inside, 0)]
        rows.append(token)
        masks.append(None if bool(valid.all()) else valid[:, None, None])
        places[token[valid]] = first + torch.nonzero(valid.flatten())[:, 0]
        first += token.numel()
    return Windows(tuple(rows), tuple(masks), places)
