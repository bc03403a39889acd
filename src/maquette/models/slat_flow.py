"""Flow over structured latents: one latent vector for each active cell of a sparse grid (TRELLIS,
second stage).

In the flow: noise on the cells that the structure stage found, and picture tokens -> velocity.
Sparse residual convolutions halve the grid, a transformer with the blocks of the structure flow
runs on the coarse cells, and convolutions lead back, with skip connections. Shapes: N cells of B
samples, M coarse cells, C width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maquette.nn.attention import Context
from maquette.nn.blocks import ModulatedCrossBlock, modulation_layer, without_weights
from maquette.nn.embeddings import TimestepEmbedder, position_embedding
from maquette.nn.layers import Layers, matrix_dtype, repeated
from maquette.nn.sparse import Voxels
from maquette.nn.sparse_conv import SparseResBlock

FeatureTrace = Callable[[str, Tensor], None]  # name of a stage, what it made


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
        self.adaLN_modulation = modulation_layer(c.width) if c.share_modulation else None
        self.input_layer = nn.Linear(c.channels, c.io_widths[0])
        self.input_blocks: Layers[SparseResBlock] = Layers()
        self.out_blocks: Layers[SparseResBlock] = Layers()
        widths = [*c.io_widths, c.width]
        for width, coarser in itertools.pairwise(widths):
            same = [SparseResBlock(width, width, c.width) for _ in range(c.io_blocks - 1)]
            self.input_blocks.extend([*same, SparseResBlock(width, coarser, c.width)])
        sizes = (c.width, c.context_width, c.heads, c.mlp_ratio)
        switches = (c.qk_norm, c.share_modulation)
        self.blocks = repeated(c.blocks, ModulatedCrossBlock, *sizes, *switches)
        joined = 2 if c.skips else 1
        widths.reverse()
        for coarser, width in itertools.pairwise(widths):
            for before in [coarser, *[width] * (c.io_blocks - 1)]:
                self.out_blocks.append(SparseResBlock(before * joined, width, c.width))
        self.out_layer = nn.Linear(c.io_widths[0], c.channels)

    def modulations(self, t: Tensor) -> SLatModulations:
        """Of noise levels t (B,), or (1,) for all samples."""
        embedded = self.t_embedder(t).to(matrix_dtype(self.blocks))
        inputs = [block.modulation(embedded) for block in self.input_blocks]
        outputs = [block.modulation(embedded) for block in self.out_blocks]
        if self.adaLN_modulation is None:
            blocks = [block.modulation(embedded) for block in self.blocks]
        else:
            blocks = [self.adaLN_modulation(embedded)] * len(self.blocks)
        return SLatModulations(inputs, blocks, outputs)

    def prepare(self, context: Tensor | None, single: Tensor | None = None) -> list[list[Context]]:
        """What the cross-attention of every block needs, for each sample; its copies are those of
        ``context``, then one of ``single``.

        context: (B, L, context width), or (B, copies, L, context width); single: (B, 1, context
        width), one token, such as the zero of the unconditional pass.
        """
        if context is not None and context.ndim == 3:
            context = context[:, None]
        if single is not None:
            single = single[:, None]
        dtype = matrix_dtype(self.blocks)
        prepared = []
        samples = next(len(tokens) for tokens in (context, single) if tokens is not None)
        for sample in range(samples):
            given = [
                None if tokens is None else tokens[sample].to(dtype) for tokens in (context, single)
            ]
            prepared.append([block.cross_attn.prepare(*given) for block in self.blocks])
        return prepared

    def forward(
        self,
        x: Tensor,
        voxels: Voxels,
        t: Tensor,
        context: Tensor,
    ) -> Tensor:
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
        trace: FeatureTrace = untraced,
    ) -> Tensor:
        """(copies, N, channels). The copies (conditional, unconditional) share x and the input
        blocks, and differ in their contexts.

        ``trace(name, features)`` gets what every stage makes.
        """
        h = self.input_layer(x).to(matrix_dtype(self.blocks))
        finer: list[Voxels] = []  # the grids that were halved
        skips: list[Tensor] = []
        grid = voxels
        for index, (block, modulation) in enumerate(zip(self.input_blocks, modulations.inputs)):
            if (index + 1) % self.config.io_blocks:
                h = block(h, modulation, grid)
            else:
                finer.append(grid)
                h = block.down(h, modulation, grid)
                grid = grid.parents[0]
            skips.append(h)
            trace(f"input_blocks.{index}", h)
        positions = position_embedding(grid.coords[:, 1:], self.config.width)
        h = h + positions.to(h.dtype)
        h = self._transform(h.expand(copies, -1, -1), grid, modulations.blocks, contexts)
        trace("blocks", h)
        outputs = []
        for copy in h:
            saved = (list(skips), list(finer))
            outputs.append(self._lead_out(copy, *saved, modulations.outputs, shortcut, trace))
        return torch.stack(outputs)

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
                own = modulation if len(modulation) == 1 else modulation[sample : sample + 1]
                part = block(part, own, context)
            parts.append(part)
        return torch.cat(parts, dim=1) if parts else h

    def _lead_out(
        self,
        h: Tensor,
        skips: list[Tensor],
        finer: list[Voxels],
        modulations: Sequence[Tensor],
        shortcut: bool,
        trace: FeatureTrace,
    ) -> Tensor:
        """Velocities (N, channels) of one copy; takes from the ends of ``skips`` and ``finer``."""
        grid = None
        for index, (block, modulation) in enumerate(zip(self.out_blocks, modulations)):
            if self.config.skips:
                h = torch.cat([h, skips.pop()], dim=1)
            if index % self.config.io_blocks:
                h = block(h, modulation, grid)
            else:
                grid = finer.pop()
                h = block.up(h, modulation, grid, shortcut)
            trace(f"out_blocks.{index}", h)
        return self.out_layer(without_weights(h).float())
