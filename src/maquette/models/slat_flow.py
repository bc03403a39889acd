"""Flow over structured latents: one latent vector for each active cell of a sparse grid (TRELLIS,
second stage).

In the flow: noise on the cells that the structure stage found, and picture tokens -> velocity.
Sparse residual convolutions halve the grid, a transformer with the blocks of the structure flow
runs on the coarse cells, and convolutions lead back, with skip connections. Shapes: N cells of B
samples, M coarse cells, C width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.attention import Context
from maquette.nn.blocks import ModulatedCrossBlock
from maquette.nn.embeddings import TimestepEmbedder, position_embedding
from maquette.nn.sparse import Voxels
from maquette.nn.sparse_conv import SparseResBlock

Trace = Callable[[str, Tensor], None]


def untraced(name: str, features: Tensor) -> None:
    """What happens to intermediate features by default: nothing."""


@dataclass(frozen=True)
class SLatFlowConfig:
    """Sizes of the network; the defaults are the published model's."""

    resolution: int = 64
    channels: int = 8
    width: int = 1024
    blocks: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    context_width: int = 1024
    qk_norm: bool = True
    share_modulation: bool = False
    io_widths: tuple[int, ...] = (128,)  # one for each halving of the grid
    io_blocks: int = 2  # residual blocks of each level
    skips: bool = True


@dataclass(frozen=True, eq=False)
class SLatModulations:
    """What the noise level contributes to every block; of B samples, or of one if all share the
    level.
    """

    inputs: list[Tensor]  # (B, 2 C) of each input block
    blocks: list[Tensor]  # (B, 6 C) of each transformer block
    outputs: list[Tensor]  # (B, 2 C) of each output block


class SLatFlow(nn.Module):
    """Velocity network on sparse cells; see the module docstring."""

    def __init__(self, config: SLatFlowConfig):
        super().__init__()
        self.config = c = config
        self.t_embedder = TimestepEmbedder(c.width)
        self.adaLN_modulation = (
            nn.Sequential(nn.SiLU(), nn.Linear(c.width, 6 * c.width))
            if c.share_modulation
            else None
        )
        self.input_layer = nn.Linear(c.channels, c.io_widths[0])
        self.input_blocks = nn.ModuleList()
        self.out_blocks = nn.ModuleList()
        for width, following in zip(c.io_widths, [*c.io_widths[1:], c.width]):
            self.input_blocks.extend(
                SparseResBlock(width, width, c.width) for _ in range(c.io_blocks - 1)
            )
            self.input_blocks.append(SparseResBlock(width, following, c.width))
        self.blocks = nn.ModuleList(
            ModulatedCrossBlock(
                c.width, c.context_width, c.heads, c.mlp_ratio, c.qk_norm, c.share_modulation
            )
            for _ in range(c.blocks)
        )
        joined = 2 if c.skips else 1
        for width, before in zip(c.io_widths[::-1], [c.width, *c.io_widths[:0:-1]]):
            self.out_blocks.append(SparseResBlock(before * joined, width, c.width))
            self.out_blocks.extend(
                SparseResBlock(width * joined, width, c.width) for _ in range(c.io_blocks - 1)
            )
        self.out_layer = nn.Linear(c.io_widths[0], c.channels)

    @property
    def trunk_dtype(self) -> torch.dtype:
        """Precision of the blocks; the first and last layers and the embeddings stay in float32."""
        return self.blocks[0].mlp.mlp[0].weight.dtype

    def modulations(self, t: Tensor) -> SLatModulations:
        """Of noise levels t (B,), or (1,) for all samples."""
        embedded = self.t_embedder(t).to(self.trunk_dtype)
        shared = None if self.adaLN_modulation is None else self.adaLN_modulation(embedded)
        return SLatModulations(
            [block.modulation(embedded) for block in self.input_blocks],
            [block.modulation(embedded) if shared is None else shared for block in self.blocks],
            [block.modulation(embedded) for block in self.out_blocks],
        )

    def prepare(self, context: Tensor | None, single: Tensor | None = None) -> list[list[Context]]:
        """What the cross-attention of every block needs, for each sample; its copies are those of
        ``context``, then one of ``single``.

        context: (B, L, context width), or (B, copies, L, context width); single: (B, 1, context
        width), one token, such as the zero of the unconditional pass.
        """
        tokens = (
            [None] * len(single)
            if context is None
            else (context[:, None] if context.ndim == 3 else context).to(self.trunk_dtype)
        )
        token = [None] * len(tokens) if single is None else single[:, None].to(self.trunk_dtype)
        return [
            [block.cross_attn.prepare(*pair) for block in self.blocks]
            for pair in zip(tokens, token)
        ]

    def forward(self, x: Tensor, voxels: Voxels, t: Tensor, context: Tensor) -> Tensor:
        """Velocity (N, channels). x: (N, channels); t: (B,) or (1,) noise levels; context: (B, L,
        context_width).
        """
        return self.velocity(x, voxels, self.modulations(t), self.prepare(context))[0]

    def velocity(
        self,
        x: Tensor,
        voxels: Voxels,
        modulations: SLatModulations,
        contexts: Sequence[Sequence[Context]],
        copies: int = 1,
        shortcut: bool = True,
        trace: Trace = untraced,
    ) -> Tensor:
        """(copies, N, channels). The copies (conditional, unconditional) share x and the input
        blocks, and differ in their contexts.

        ``trace(name, features)`` gets what every stage makes.
        """
        c = self.config
        levels = []
        h = self.input_layer(x).to(self.trunk_dtype)
        skips = []
        grid = voxels
        for index, (block, modulation) in enumerate(zip(self.input_blocks, modulations.inputs)):
            if (index + 1) % c.io_blocks:
                h = block(h, modulation, grid)
            else:
                levels.append(grid)
                h = block.down(h, modulation, grid)
                grid = grid.parents[0]
            skips.append(h)
            trace(f"input_blocks.{index}", h)
        h = h + position_embedding(grid.coords[:, 1:], c.width).to(h.dtype)
        h = self._transform(h.expand(copies, -1, -1), grid, modulations.blocks, contexts)
        trace("blocks", h)
        return torch.stack(
            [
                self._lead_out(one, (skips, levels), modulations.outputs, shortcut, trace)
                for one in h
            ]
        )

    def _transform(
        self,
        h: Tensor,
        grid: Voxels,
        modulations: Sequence[Tensor],
        contexts: Sequence[Sequence[Context]],
    ) -> Tensor:
        """(copies, M, C): sample by sample, so that full attention needs neither padding nor masks;
        all copies together.
        """
        parts = []
        for sample, part in enumerate(h.split(list(grid.counts), dim=1)):
            if not part.shape[1]:
                continue
            for block, modulation, context in zip(self.blocks, modulations, contexts[sample]):
                part = block(
                    part,
                    modulation if len(modulation) == 1 else modulation[sample : sample + 1],
                    context,
                )
            parts.append(part)
        return torch.cat(parts, dim=1) if parts else h

    def _lead_out(
        self,
        h: Tensor,
        saved: tuple[list[Tensor], list[Voxels]],
        modulations: Sequence[Tensor],
        shortcut: bool,
        trace: Trace,
    ) -> Tensor:
        remaining = list(saved[0])
        finer = list(saved[1])
        grid = None
        for index, (block, modulation) in enumerate(zip(self.out_blocks, modulations)):
            if self.config.skips:
                h = torch.cat([h, remaining.pop()], dim=1)
            if index % self.config.io_blocks:
                h = block(h, modulation, grid)
            else:
                grid = finer.pop()
                h = block.up(h, modulation, grid, shortcut)
            trace(f"out_blocks.{index}", h)
        return self.out_layer(F.layer_norm(h, h.shape[-1:]).float())
