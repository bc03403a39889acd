"""Shapes as parts: an autoencoder between the latents of the volume VAE and 16 Gaussians with a
latent each (after SPAGHETTI).

In the flow: volume -> (frozen VolumeVAE) -> latent grid -> parts -> latent grid -> (VolumeVAE) ->
volume. A part is its Gaussian, which says where and how large it is (extrinsic), and a vector that
says what it looks like (intrinsic). Moving the Gaussians moves the shape: the decoder sees every
cell in the coordinates of every part. SPAGHETTI decodes occupancy point by point; here the parts
are decoded to the VAE's latents, so that distance, colour and detail come from a decoder that is
there already. Shapes: B objects, P parts, D numbers of an intrinsic, C width, R cells per side of
the latent grid, channels of the latent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.geometry.part_gaussians import PART_NUMBERS, PartGaussians
from maquette.geometry.volumes import cell_centres
from maquette.nn.blocks import (
    TransformerBlock,
    depth_to_space,
    space_to_depth,
    to_grid,
    to_tokens,
)
from maquette.nn.embeddings import learned_positions
from maquette.nn.layers import Layers, repeated, zero_init

# longest side of an object in the cube in which its parts are described, centred, in its own axes
CANONICAL_SIZE = 0.8


@dataclass(frozen=True)
class PartShapesConfig:
    """Sizes of the autoencoder; the defaults are the embedded model's."""

    resolution: int = 8  # of the VAE's latent grid
    channels: int = 16  # of the VAE's latents
    parts: int = 16
    intrinsic: int = 48  # numbers a part besides its Gaussian
    width: int = 128
    pair_width: int = 64  # of what is known of a cell and a part together
    blocks: int = 3  # transformer blocks of encoder and decoder each
    heads: int = 4
    mlp_ratio: float = 2.0
    patch: int = 2  # latent cells per side of a token


class PartShapes(nn.Module):
    """Encoder and decoder; ``mean`` and ``std`` normalise a part's numbers and intrinsic (P, 16 +
    D) for diffusion.
    """

    start: Tensor  # (P, 16)
    mean: Tensor  # (P, 16 + D)
    std: Tensor

    def __init__(self, config: PartShapesConfig):
        super().__init__()
        self.config = c = config
        count = (c.resolution // c.patch) ** 3
        folded = c.patch**3
        part = PART_NUMBERS + c.intrinsic
        self.read = nn.Linear(c.channels * folded, c.width)
        self.read_position = learned_positions(1, count, c.width)
        self.queries = nn.Parameter(0.5 * torch.randn(1, c.parts, c.width))
        self.encoder = _transformer(c)
        self.encoder_norm = nn.LayerNorm(c.width)
        self.to_gaussian = zero_init(nn.Linear(c.width, PART_NUMBERS))
        self.to_intrinsic = nn.Linear(c.width, c.intrinsic)
        self.register_buffer("start", _scattered(c.parts))
        self.from_part = nn.Linear(part, c.width)
        self.pair_part = nn.Linear(part, c.pair_width)
        self.pair_cell = nn.Linear(10, c.pair_width)
        self.pair_logit = nn.Linear(c.pair_width, 1)
        self.merge = nn.Linear(c.pair_width * folded, c.width)
        self.write_position = learned_positions(1, count, c.width)
        self.decoder = _transformer(c)
        self.decoder_norm = nn.LayerNorm(c.width)
        self.write = nn.Linear(c.width, c.channels * folded)
        self.write_cell = nn.Linear(c.pair_width, c.channels)
        self.register_buffer("mean", torch.zeros(c.parts, part))
        self.register_buffer("std", torch.ones(c.parts, part))

    def encode(self, latent: Tensor) -> tuple[PartGaussians, Tensor]:
        """Latent grids (B, channels, R, R, R) -> Gaussians in the cube, intrinsics (B, P, D)."""
        cells = to_tokens(space_to_depth(latent, self.config.patch))
        tokens = self.read(cells) + self.read_position
        h = torch.cat([tokens, self.queries.expand(len(latent), -1, -1)], dim=1)
        for block in self.encoder:
            h = block(h)
        h = self.encoder_norm(h[:, tokens.shape[1] :])
        return PartGaussians.of(self.start + self.to_gaussian(h).float()), self.to_intrinsic(h)

    def decode(self, gaussians: PartGaussians, intrinsic: Tensor) -> Tensor:
        """Parts, moved or not -> latent grids (B, channels, R, R, R)."""
        c = self.config
        part = self._numbers(gaussians, intrinsic).to(intrinsic.dtype)
        cells = self._cells(gaussians, part)
        grid = to_grid(cells, (c.resolution,) * 3)
        tokens = self.merge(to_tokens(space_to_depth(grid, c.patch))) + self.write_position
        h = torch.cat([tokens, self.from_part(part)], dim=1)
        for block in self.decoder:
            h = block(h)
        h = self.write(self.decoder_norm(h[:, : tokens.shape[1]]))
        coarse = depth_to_space(to_grid(h, (c.resolution // c.patch,) * 3), c.patch)
        return coarse + to_grid(self.write_cell(cells), (c.resolution,) * 3)

    def _cells(self, gaussians: PartGaussians, part: Tensor) -> Tensor:
        """(B, R^3, pair width) what the parts, told as numbers (B, P, 16 + D), mean for every cell:
        each part speaks as loudly as it is dense there.
        """
        centres = cell_centres(self.config.resolution, part.device).reshape(1, -1, 3)
        points = centres.expand(len(part), -1, -1)
        local = gaussians.local(points)
        offset = points[:, :, None] - gaussians.mean[:, None]
        distance = torch.linalg.vector_norm(local, dim=-1, keepdim=True)
        near = [torch.tanh(local / 3), torch.tanh(distance / 3)]
        seen = [*near, 2 * offset, (offset.abs() + 1e-6).sqrt()]
        cells = self.pair_cell(torch.cat(seen, dim=-1))
        pairs = F.silu(cells + self.pair_part(part)[:, None])
        density = gaussians.log_weighted_density(local)
        share = (density + self.pair_logit(pairs)[..., 0].float()).softmax(-1)
        return torch.einsum("bnp,bnpf->bnf", share.to(pairs.dtype), pairs)

    def _numbers(self, gaussians: PartGaussians, intrinsic: Tensor) -> Tensor:
        """(B, P, 16 + D) float32."""
        return torch.cat([gaussians.numbers(), intrinsic.float()], dim=-1)

    def normalised(self, gaussians: PartGaussians, intrinsic: Tensor) -> Tensor:
        """(B, P, 16 + D) of about zero mean and unit variance, for diffusion."""
        return (self._numbers(gaussians, intrinsic) - self.mean) / self.std

    def gaussians_from(self, normalised: Tensor) -> PartGaussians:
        """Gaussians of normalised numbers (B, P, 16 or more)."""
        numbers = normalised[..., :PART_NUMBERS] * self.std[:, :PART_NUMBERS]
        return PartGaussians.of(numbers + self.mean[:, :PART_NUMBERS])

    def intrinsic_from(self, normalised: Tensor) -> Tensor:
        """Intrinsics (B, P, D) of normalised ones."""
        return normalised * self.std[:, PART_NUMBERS:] + self.mean[:, PART_NUMBERS:]


def _transformer(c: PartShapesConfig) -> Layers[TransformerBlock]:
    return repeated(c.blocks, TransformerBlock, c.width, c.heads, c.mlp_ratio)


def _scattered(parts: int) -> Tensor:
    """(P, 16) numbers of Gaussians spread over the cube, from which the encoder's start: parts that
    start apart stay different.
    """
    generator = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(parts, 3, generator=generator), dim=-1)
    numbers = torch.zeros(parts, PART_NUMBERS)
    numbers[:, :3] = 0.22 * directions
    numbers[:, 3:12] = torch.eye(3).flatten()
    numbers[:, 12:15] = -2.3  # log 0.1
    return numbers
