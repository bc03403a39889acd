"""3^3 convolution of sparse features without compiled extensions: gather, multiply, add.
Accumulated in float32.

Only active cells have outputs (submanifold convolution), and inactive neighbours count as zero, so
the result is that of the dense convolution at the active cells. Kernels are stored as published,
[out, x, y, z, in]; cross-correlation: y[p] = b + sum_d W[d] x[p + d].

Two exact shortcuts for features that are copies of a coarser grid's: products are formed at the
parents, before anything is copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maquette.nn.blocks import LayerNorm
from maquette.nn.layers import of_kind
from maquette.nn.sparse import (
    CENTRE,
    OFFSETS,
    Chunk,
    Features,
    OfParents,
    Voxels,
    downsample,
    upsample,
)

Convolved = Float[Tensor, "N C_out"]
Modulation = Float[Tensor, "B _"]  # scale and shift of each sample, or what they come from
Weight = Float[Tensor, "C_out 3 3 3 C"]
Bias = Float[Tensor, " C_out"] | None

# Output cells whose sums stay in the cache of a CPU core; accelerators take all at once.
CHUNK = 4096


def convolve(
    x_NC: Features,
    weight: Weight,
    bias: Bias,
    voxels: Voxels,
) -> Convolved:
    """(N, C_in) -> (N, C_out); weight (C_out, 3, 3, 3, C_in)."""
    kernel = weight.flatten(1, 3)
    sums = []
    for chunk in _chunks(x_NC, voxels):
        total = F.linear(x_NC[chunk.cells], kernel[:, CENTRE], bias).float()
        for offset, rows, sources in chunk.terms:
            if offset != CENTRE:
                terms = F.linear(x_NC.index_select(0, sources), kernel[:, offset])
                total.index_add_(0, rows, terms.float())
        sums.append(total.to(x_NC.dtype))
    return torch.cat(sums)


def convolve_copies(
    x_MC: OfParents,
    weight: Weight,
    bias: Bias,
    voxels: Voxels,
) -> Convolved:
    """``convolve(upsample(x), ...)`` of the parents' features (M, C_in): each product W[d] x is
    formed once per parent, not per child.
    """
    parent = voxels.parents[1]
    kernel = weight.flatten(1, 3)
    total = _started(bias, x_MC, len(voxels), len(weight))
    (everything,) = voxels.chunks()
    for offset, rows, sources in everything.terms:
        products = F.linear(x_MC, kernel[:, offset])
        terms = products.index_select(0, parent.index_select(0, sources))
        total.index_add_(0, rows, terms.float())
    return total.to(x_MC.dtype)


def convolve_children(
    x_NC: Features,
    weight: Weight,
    bias: Bias,
    voxels: Voxels,
) -> Float[Tensor, "8*N C_out"]:
    """``convolve`` of features that all eight children of each cell share: (N, C_in) -> (8 N,
    C_out), in the order of ``children``.

    The 27 taps of a child meet 8 parents; taps of the same parent are added before they are
    multiplied (3.4 times fewer products).
    """
    taps = _parent_taps(weight)
    sums = []
    for chunk in _chunks(x_NC, voxels):
        total = _started(bias, x_NC, chunk.size, 2, 2, 2, len(weight))
        for offset, rows, sources in chunk.terms:
            octants = (slice(None), *(_OCTANTS_OF[step] for step in OFFSETS[offset]))
            kernel = taps[offset].to(x_NC.dtype)
            terms = F.linear(x_NC.index_select(0, sources), kernel.flatten(0, 3))
            seen = total[octants]
            seen.index_add_(0, rows, terms.float().unflatten(1, kernel.shape[:4]))
        sums.append(total.to(x_NC.dtype).flatten(0, 3))
    return torch.cat(sums)


def _chunks(features: Tensor, voxels: Voxels) -> list[Chunk]:
    """Everything at once on an accelerator; on a processor in parts that fit its cache."""
    return voxels.chunks(CHUNK if features.device.type == "cpu" else None)


def _started(bias: Bias, features: Tensor, *shape: int) -> Tensor:
    """Sums in float32 that start with the bias."""
    total = torch.zeros(shape, device=features.device)
    return total if bias is None else total + bias.float()


# Children, along one axis, that see the parent's neighbour there.
_OCTANTS_OF = {
    -1: slice(0, 1),
    0: slice(0, 2),
    1: slice(1, 2),
}


def _parent_taps(weight: Tensor) -> list[Tensor]:
    """For every parent offset, the kernel (octants x, y, z, C_out, C_in) of the children that see
    it; summed in float32.
    """
    taps = []
    for offset in OFFSETS:
        kernel = weight.float()
        for axis, step in enumerate(offset, start=1):
            # Child 0 sees the neighbours at -1, 0, 0; child 1 those at 0, 0, +1.
            low, middle, high = kernel.unbind(axis)
            seen = {
                -1: [low],
                0: [middle + high, low + middle],
                1: [high],
            }[step]
            kernel = torch.stack(seen, dim=axis)
        taps.append(kernel.permute(1, 2, 3, 0, 4))
    return taps


class Kernel(nn.Module):
    """Weight and bias of a sparse convolution, under the published names and in the published
    layout.
    """

    matrix_layer = True  # half precision in half-precision networks, as linear layers are

    def __init__(
        self,
        channels_in: int,
        channels: int,
        size: int,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, size, size, size, channels_in))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.weight, std=(size**3 * channels_in) ** -0.5)


class SparseConv3d(nn.Module):
    """Submanifold 3^3 convolution."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv = Kernel(channels_in, channels, 3)

    def forward(self, x_NC: Features, voxels: Voxels) -> Convolved:
        """(N, C_in) -> (N, C_out)."""
        return convolve(x_NC, self.conv.weight, self.conv.bias, voxels)

    def of_copies(
        self,
        x_MC: OfParents,
        voxels: Voxels,
        shortcut: bool = True,
    ) -> Convolved:
        """Parents' features (M, C_in) -> (N, C_out) of their active children ``voxels``."""
        if shortcut:
            return convolve_copies(x_MC, self.conv.weight, self.conv.bias, voxels)
        return self(upsample(x_MC, voxels), voxels)

    def of_children(
        self,
        x_NC: Features,
        voxels: Voxels,
        shortcut: bool = True,
    ) -> Float[Tensor, "8*N C_out"]:
        """Features that eight children share -> (8 N, C_out) on ``voxels.children``."""
        if shortcut:
            return convolve_children(x_NC, self.conv.weight, self.conv.bias, voxels)
        return self(x_NC.repeat_interleave(8, dim=0), voxels.children)


class SparsePointwise(nn.Module):
    """1^3 convolution as the original library computes it: its buffer [out, 1, 1, 1, in] is read as
    [in, out], not transposed.
    """

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv = Kernel(channels_in, channels, 1)

    def forward(self, x_NC: Features) -> Convolved:
        """(N, C_in) -> (N, C_out)."""
        return torch.addmm(self.conv.bias, x_NC, self.conv.weight.reshape(x_NC.shape[1], -1))


class SparseResBlock(nn.Module):
    """Modulated residual block of the structured-latent flow, optionally after halving or (from
    copies of the parents) doubling.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        embedding: int,
    ):
        super().__init__()
        self.norm1 = LayerNorm(channels_in, eps=1e-6)
        self.norm2 = LayerNorm(channels, eps=1e-6, elementwise_affine=False)
        self.conv1 = SparseConv3d(channels_in, channels)
        self.conv2 = SparseConv3d(channels, channels)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * channels))
        same = channels_in == channels
        self.skip_connection = nn.Identity() if same else nn.Linear(channels_in, channels)

    def modulation(self, embedded_BC: Modulation) -> Modulation:
        """(B, 2 C_out) scale and shift of an embedded noise level."""
        return self.emb_layers(embedded_BC)

    def forward(
        self,
        x_NC: Features,
        modulation: Modulation,
        voxels: Voxels,
    ) -> Convolved:
        """(N, C_in) -> (N, C_out)."""
        h = self.conv1(F.silu(self.norm1(x_NC)), voxels)
        return self._finish(h, modulation, voxels) + self.skip_connection(x_NC)

    def down(
        self,
        x_NC: Features,
        modulation: Modulation,
        voxels: Voxels,
    ) -> Float[Tensor, "M C_out"]:
        """Features of ``voxels`` -> of their parents."""
        return self(downsample(x_NC, voxels), modulation, voxels.parents[0])

    def up(
        self,
        x_MC: OfParents,
        modulation: Modulation,
        voxels: Voxels,
        shortcut: bool = True,
    ) -> Convolved:
        """Features of the parents -> of ``voxels``. Norm, activation and skip act on single cells,
        so they are made at the parents.
        """
        h = self.conv1.of_copies(F.silu(self.norm1(x_MC)), voxels, shortcut)
        return self._finish(h, modulation, voxels) + upsample(self.skip_connection(x_MC), voxels)

    def _finish(
        self,
        h: Tensor,
        modulation: Tensor,
        voxels: Voxels,
    ) -> Tensor:
        """The second half of the block: modulated norm, activation, convolution."""
        scale, shift = voxels.per_cell(modulation).chunk(2, dim=-1)
        return self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift), voxels)


def norm_samples(norm: nn.GroupNorm, x_NC: Features, counts: tuple[int, ...]) -> Features:
    """Group norm over all cells of each sample, in float32: (N, C), cells of each sample -> (N, C),
    the same dtype.
    """
    samples = [part.float().T[None] for part in x_NC.split(list(counts)) if len(part)]
    normed = [norm(sample)[0].T for sample in samples]
    return torch.cat(normed).to(x_NC.dtype) if normed else x_NC


class SubdivideBlock(nn.Module):
    """Residual block of the mesh decoder that splits every cell into eight; features are copied,
    then convolved.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        groups: int = 32,
    ):
        super().__init__()
        self.act_layers = nn.Sequential(nn.GroupNorm(groups, channels_in, eps=1e-5), nn.SiLU())
        first = SparseConv3d(channels_in, channels)
        norm = nn.GroupNorm(groups, channels, eps=1e-5)
        second = SparseConv3d(channels, channels)
        self.out_layers = nn.ModuleList([first, norm, nn.SiLU(), second])
        self.skip_connection = SparsePointwise(channels_in, channels)

    def forward(
        self,
        x_NC: Features,
        voxels: Voxels,
        shortcut: bool = True,
    ) -> Float[Tensor, "8*N _"]:
        """(N, C_in) on ``voxels`` -> (8 N, C_out) on ``voxels.children``."""
        fine = voxels.children
        norm1 = of_kind(self.act_layers[0], nn.GroupNorm)
        conv1 = of_kind(self.out_layers[0], SparseConv3d)
        norm2 = of_kind(self.out_layers[1], nn.GroupNorm)
        conv2 = of_kind(self.out_layers[3], SparseConv3d)
        h = norm_samples(norm1, x_NC, voxels.counts)
        h = conv1.of_children(F.silu(h), voxels, shortcut)
        h = norm_samples(norm2, h, fine.counts)
        h = conv2(F.silu(h), fine)
        return h + self.skip_connection(x_NC).repeat_interleave(8, dim=0)
