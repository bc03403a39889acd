"""Operations of TRELLIS's sparse networks and its structure VAE: 2 per multiply-add, matrix
products and convolutions only.

Sparse convolutions depend on which cells are active: they have one term for each cell and active
neighbour. The counts equal those of torch's own counter (tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from maquette.models.flops import attention, linear
from maquette.models.slat_flow import SLatFlowConfig
from maquette.models.slat_vae import HALVES, SLatTransformerConfig
from maquette.models.volume_vae import VolumeVAEConfig
from maquette.nn.sparse import OFFSETS, Voxels

TAPS = 27


@dataclass(frozen=True)
class Terms:
    """How many (cell, active neighbour) pairs share a cell, a face, an edge and a corner."""

    cells: int
    faces: int
    edges: int
    corners: int

    @property
    def total(self) -> int:
        """Terms of a 3^3 convolution."""
        return self.cells + self.faces + self.edges + self.corners

    @classmethod
    def of(cls, voxels: Voxels) -> Terms:
        """Counted on actual cells."""
        active = (voxels.neighbours >= 0).sum(1)
        apart = torch.tensor([sum(map(abs, offset)) for offset in OFFSETS], device=active.device)
        return cls(*(int(active[apart == distance].sum()) for distance in range(4)))

    @classmethod
    def typical(cls, cells: int) -> Terms:
        """Of the surface of an object with so many active cells: 13 active cells in a 3^3 block,
        itself included.
        """
        return cls(cells, 4 * cells, 6 * cells, 2 * cells)

    def split(self) -> Terms:
        """After every cell is split into eight; exact, because all children are active."""
        return Terms(
            8 * self.cells,
            24 * self.cells + 4 * self.faces,
            24 * self.cells + 8 * self.faces + 2 * self.edges,
            8 * self.cells + 4 * self.faces + 2 * self.edges + self.corners,
        )

    @property
    def products(self) -> int:
        """(child, parent) products of a 3^3 convolution over children that have their parents'
        features.
        """
        return 8 * self.cells + 4 * self.faces + 2 * self.edges + self.corners


@dataclass(frozen=True)
class CellCounts:
    """The terms on the cells and on the coarse cells, of one sample."""

    fine: Terms
    coarse: Terms

    @classmethod
    def of(cls, voxels: Voxels) -> CellCounts:
        """Counted on actual cells."""
        return cls(Terms.of(voxels), Terms.of(voxels.parents[0]))

    @classmethod
    def typical(cls, cells: int) -> CellCounts:
        """Of the surface of an object; a coarse cell has 4.25 active children."""
        return cls(Terms.typical(cells), Terms.typical(round(cells / 4.25)))


def slat_flow_flops(
    config: SLatFlowConfig, counts: CellCounts, context_tokens: int | None, cached: bool = False
) -> int:
    """Operations of one evaluation of one sample with one halving of the grid, features of parents
    convolved at the parents.

    ``context_tokens`` None: the context is a constant. ``cached``: keys, values and modulations
    exist already.
    """
    c = config
    first = config.io_widths[0]
    n = counts.fine.cells
    m = counts.coarse.cells
    joined = 2 if c.skips else 1
    more = c.io_blocks - 1
    fine = counts.fine.total
    coarse = counts.coarse.total
    total = 2 * linear(n, c.channels, first)
    total += more * _residual(fine, n, first, first) + _residual(coarse, m, first, c.width)
    total += c.blocks * (
        linear(m, c.width, 4 * c.width)
        + attention(m, m, c.width)
        + 2 * linear(m, c.width, int(c.mlp_ratio * c.width))
    )
    if context_tokens is not None:
        made = 0 if cached else linear(context_tokens, c.context_width, 2 * c.width)
        total += c.blocks * (
            2 * linear(m, c.width, c.width) + attention(m, context_tokens, c.width) + made
        )
    total += (
        TAPS * linear(m, joined * c.width, first)
        + linear(fine, first, first)
        + linear(m, joined * c.width, first)
    )
    total += more * _residual(fine, n, joined * first, first)
    if not cached:
        modulated = (
            6 * c.width * (1 if c.share_modulation else c.blocks)
            + 2 * first * (2 * more + 1)
            + 2 * c.width
        )
        total += (
            linear(1, 256, c.width) + linear(1, c.width, c.width) + linear(1, c.width, modulated)
        )
    return total


def _residual(terms: int, cells: int, width_in: int, width_out: int) -> int:
    skip = linear(cells, width_in, width_out) if width_in != width_out else 0
    return linear(terms, width_in, width_out) + linear(terms, width_out, width_out) + skip


def slat_transformer_flops(
    config: SLatTransformerConfig, cells: int, in_window: float = 150.0
) -> int:
    """Operations of an encoder, or of a decoder of Gaussians or fields; ``in_window`` = mean number
    of cells that a cell sees.
    """
    c = config
    ends = linear(cells, c.channels_in, c.width) + linear(cells, c.width, c.channels_out)
    block = linear(cells, c.width, 4 * c.width) + 2 * linear(
        cells, c.width, int(c.mlp_ratio * c.width)
    )
    return round(ends + c.blocks * (block + 4 * cells * in_window * c.width))


def mesh_decoder_flops(
    config: SLatTransformerConfig, terms: Terms, in_window: float = 150.0, shortcut: bool = True
) -> int:
    """Operations of the mesh decoder up to the cells' parameters; ``shortcut`` = copied features
    are convolved at their parents.
    """
    c = config
    width = config.width
    total = slat_transformer_flops(c, terms.cells, in_window) - linear(
        terms.cells, c.width, c.channels_out
    )
    for half in HALVES:
        out = c.width // half
        fine = terms.split()
        first = linear(terms.products if shortcut else fine.total, width, out)
        total += first + linear(fine.total, out, out) + linear(terms.cells, width, out)
        terms = fine
        width = out
    return total + linear(terms.cells, width, c.channels_out)


def structure_vae_flops(config: VolumeVAEConfig, resolution: int) -> int:
    """Operations of an encoder or decoder alone (the half that ``config`` has); resolution of the
    volume.
    """
    c = config
    total = 0
    encoder = bool(c.encoder_channels)
    widths = c.encoder_channels or c.decoder_channels
    side = resolution // c.patch if encoder else resolution // c.patch // 2 ** (len(widths) - 1)
    blocks, middle = (
        (c.encoder_blocks, c.encoder_middle_blocks)
        if encoder
        else (c.decoder_blocks, c.middle_blocks)
    )
    volume = c.channels * c.patch**3
    stem_in, stem = (volume, c.stem_kernel) if encoder else (c.latent_channels, 3)
    total += side**3 * 2 * stem**3 * stem_in * widths[0]
    if not encoder:
        total += middle * 2 * _convolution(side, widths[0], widths[0])
    for level, width in enumerate(widths):
        if level and encoder:
            side //= 2
            total += side**3 * 2 * 8 * widths[level - 1] * width
        elif level:
            total += _convolution(side, widths[level - 1], 8 * width)
            side *= 2
        total += blocks * 2 * _convolution(side, width, width)
    if encoder:
        total += middle * 2 * _convolution(side, widths[-1], widths[-1])
    out, kernel = (2 * c.latent_channels, c.moments_kernel) if encoder else (volume, c.stem_kernel)
    return total + side**3 * 2 * kernel**3 * widths[-1] * out


def _convolution(side: int, width_in: int, width_out: int) -> int:
    return side**3 * 2 * TAPS * width_in * width_out
