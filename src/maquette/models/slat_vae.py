"""Structured latents and what they decode to: a windowed transformer over sparse cells, with one
head for each kind of output.

In the flow: features of active cells -> latents (encoder), latents -> Gaussians, radiance fields,
or cells of a mesh (decoders). Shapes: N cells of B samples, C width; positions lie in [-0.5,
0.5]^3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.geometry.flexicubes import CellMesh, mesh_of_cells
from maquette.geometry.gaussians import Gaussians
from maquette.nn.attention import QKNorm
from maquette.nn.blocks import TransformerBlock, without_weights
from maquette.nn.embeddings import position_embedding
from maquette.nn.layers import matrix_dtype, repeated
from maquette.nn.sparse import Voxels
from maquette.nn.sparse_attention import windows
from maquette.nn.sparse_conv import SubdivideBlock

HALVES = (4, 8)  # the mesh decoder's widths after each subdivision, as divisors of the trunk's


@dataclass(frozen=True)
class SLatTransformerConfig:
    """Sizes of the transformer; the defaults are the published decoders'."""

    channels_in: int = 8
    channels_out: int = 448
    resolution: int = 64
    width: int = 768
    blocks: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    window: int = 8  # cells a side; every other block's windows are shifted by half
    qk_norm: bool = False


class SLatTransformer(nn.Module):
    """Encoder, and decoder of Gaussians and radiance fields: (N, channels_in) -> (N,
    channels_out).
    """

    def __init__(self, config: SLatTransformerConfig):
        super().__init__()
        self.config = c = config
        self.input_layer = nn.Linear(c.channels_in, c.width)
        norm: QKNorm | None = "head" if c.qk_norm else None
        sizes = (c.width, c.heads, c.mlp_ratio)
        self.blocks = repeated(c.blocks, TransformerBlock, *sizes, norm, eps=1e-6, affine=False)
        self.out_layer = nn.Linear(c.width, c.channels_out)

    def trunk(self, x: Tensor, voxels: Voxels) -> Tensor:
        """(N, channels_in) -> (N, C)."""
        c = self.config
        h = self.input_layer(x) + position_embedding(voxels.coords[:, 1:], c.width)
        h = h.to(matrix_dtype(self.blocks))[None]
        for index, block in enumerate(self.blocks):
            shift = c.window // 2 * (index % 2)
            h = block(h, windows(voxels, c.window, shift))
        return h[0]

    def forward(self, x: Tensor, voxels: Voxels) -> Tensor:
        """(N, channels_in) -> (N, channels_out)."""
        return self.out_layer(without_weights(self.trunk(x, voxels).float()))

    def moments(self, x: Tensor, voxels: Voxels) -> tuple[Tensor, Tensor]:
        """Of an encoder: mean and log-variance (N, channels_out / 2) of the latents."""
        mean, log_variance = self(x, voxels).chunk(2, dim=-1)
        return mean, log_variance


@dataclass(frozen=True)
class GaussianHead:
    """How 14 numbers for each of a cell's Gaussians become a Gaussian; the defaults are the
    published ones.
    """

    count: int = 32  # Gaussians of a cell
    reach: float = 1.5  # cells; a centre stays within half of this from the middle of its cell
    perturb: bool = True  # centres start from a fixed low-discrepancy pattern
    # of position, colour, scale, rotation, opacity
    rates: tuple[float, float, float, float, float] = (1.0, 1.0, 1.0, 0.1, 1.0)
    smallest: float = 9e-4  # standard deviation that is always added (a 3D filter)
    scale_bias: float = 4e-3  # standard deviation of a raw value of zero
    opacity_bias: float = 0.1
    softplus: bool = True  # how scales become positive; False = exp


# Of a Gaussian: attribute and how many numbers it has.
_ATTRIBUTES = {
    "position": 3,
    "colour": 3,
    "scale": 3,
    "rotation": 4,
    "opacity": 1,
}


class GaussianDecoder(SLatTransformer):
    """Latents -> Gaussians; ``offset_perturbation`` (count, 3) is the pattern of the centres."""

    def __init__(self, config: SLatTransformerConfig, head: GaussianHead):
        super().__init__(config)
        self.head = head
        if head.perturb:
            pattern = (2 * hammersley(head.count) - 1) / head.reach
            self.register_buffer("offset_perturbation", pattern.atanh().float())

    def raw(self, features: Tensor, voxels: Voxels) -> dict[str, Tensor]:
        """Positions in [0, 1]^3 and the other attributes before their activations, (N count, k),
        from the network's output (N, 14 count).
        """
        h = self.head
        parts = features.split([h.count * width for width in _ATTRIBUTES.values()], dim=1)
        raw = {}
        for name, part, rate in zip(_ATTRIBUTES, parts, h.rates):
            raw[name] = part.unflatten(1, (h.count, -1)) * rate
        offset = raw["position"]
        if h.perturb:
            offset = offset + self.offset_perturbation
        side = self.config.resolution
        centre = ((voxels.coords[:, 1:] + 0.5) / side)[:, None]
        raw["position"] = centre + offset.tanh() / side * 0.5 * h.reach
        return {name: values.flatten(0, 1) for name, values in raw.items()}

    def gaussians(self, features: Tensor, voxels: Voxels) -> list[Gaussians]:
        """One set for each sample, from the network's output (N, 14 count)."""
        h = self.head
        raw = self.raw(features, voxels)
        if h.softplus:
            log_bias = math.log(-math.expm1(-h.scale_bias))
            scale = F.softplus(raw["scale"] + h.scale_bias + log_bias)
        else:
            scale = (raw["scale"] + math.log(h.scale_bias)).exp()
        scale = (scale.square() + h.smallest**2).sqrt()
        no_turn, *_ = torch.eye(4, device=scale.device, dtype=scale.dtype)
        rotation = F.normalize(raw["rotation"] + no_turn, dim=1)
        logit = math.log(h.opacity_bias / (1 - h.opacity_bias))
        opacity = (raw["opacity"][:, 0] + logit).sigmoid()
        whole = Gaussians(raw["position"] - 0.5, scale, rotation, opacity, raw["colour"])
        return whole.split([h.count * cells for cells in voxels.counts])


def hammersley(count: int) -> Tensor:
    """(count, 3) float64 points of the Hammersley set in [0, 1)^3: i / count, and the radical
    inverses of i in base 2 and 3.
    """
    rows = [(i / count, _radical_inverse(i, 2), _radical_inverse(i, 3)) for i in range(count)]
    return torch.tensor(rows, dtype=torch.float64)


def _radical_inverse(number: int, base: int) -> float:
    value = 0.0
    share = 1.0 / base
    while number:
        number, digit = divmod(number, base)
        value = value + digit * share
        share = share / base
    return value


@dataclass(frozen=True, eq=False)
class RadianceField:
    """Cells of a sample as products of three vectors (TRELLIS's "strivec"); maquette does not
    render them.
    """

    position: Tensor  # (N, 3) centres in [0, 1]^3
    vectors: Tensor  # (N, rank, 3, dim)
    density: Tensor  # (N, rank)
    colour: Tensor  # (N, rank, 1, 3), spherical harmonics of degree 0


def radiance_fields(
    features: Tensor,
    voxels: Voxels,
    rank: int = 16,
    dim: int = 8,
) -> list[RadianceField]:
    """One field for each sample, from the network's output (N, rank (3 dim + 4))."""
    vectors, density, colour = features.split([3 * rank * dim, rank, 3 * rank], dim=1)
    centres = (voxels.coords[:, 1:] + 0.5) / voxels.resolution
    vectors = vectors.unflatten(1, (rank, 3, dim)) + 1
    numbers = (centres.float(), vectors, density, colour.unflatten(1, (rank, 1, 3)))
    of_samples = zip(*(number.split(list(voxels.counts)) for number in numbers))
    return [RadianceField(*sample) for sample in of_samples]


class MeshDecoder(SLatTransformer):
    """Latents -> cells of a grid four times as fine, each with the parameters of FlexiCubes ->
    meshes.
    """

    def __init__(self, config: SLatTransformerConfig):
        super().__init__(config)
        widths = [config.width, *(config.width // half for half in HALVES)]
        self.upsample = nn.ModuleList(map(SubdivideBlock, widths, widths[1:]))
        self.out_layer = nn.Linear(widths[-1], config.channels_out)

    def forward(
        self,
        x: Tensor,
        voxels: Voxels,
        shortcut: bool = True,
    ) -> Tensor:
        """(N, channels_in) -> (64 N, channels_out) on ``voxels.children.children``. There is no
        last norm.
        """
        return self.out_layer(self.subdivide(self.trunk(x, voxels), voxels, shortcut).float())

    def subdivide(
        self,
        h: Tensor,
        voxels: Voxels,
        shortcut: bool = True,
    ) -> Tensor:
        """(N, C) of the trunk -> (64 N, C / 8)."""
        for block in self.upsample:
            h = block(h, voxels, shortcut)
            voxels = voxels.children
        return h

    def meshes(self, x: Tensor, voxels: Voxels) -> list[CellMesh]:
        """One mesh for each sample: the trunk for all together, the fine grid sample by sample, to
        bound memory.

        A sample without a surface has a mesh without faces. Attributes: 3 colour, then 3 normal
        channels in [0, 1].
        """
        h = self.trunk(x, voxels)
        made = []
        for sample, part in enumerate(h.split(list(voxels.counts))):
            own = voxels.sample(sample)
            features = self.out_layer(self.subdivide(part, own).float())
            fine = own.children.children
            made.append(mesh_of_cells(fine.coords[:, 1:], features, fine.resolution))
        return made
