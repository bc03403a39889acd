"""The vector-set VAE of the TripoSG family: a surface as a set of vectors, and a field that can be
asked at any point.

In the flow: latents of ``vecset_flow`` -> ``prepare`` (once per object) -> ``field`` at points,
densely or on an octree (``geometry.octree``). Encoding is for fine-tuning: points with normals ->
farthest points attend to all points. Written from a description of the released weights (TripoSG,
arXiv 2502.06608); the vector sets are 3DShape2VecSet's (2301.11445). Shapes: B objects, N points, T
latent vectors, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor, nn

from maquette.nn.attention import Context
from maquette.nn.blocks import LayerNorm, VectorSetBlock
from maquette.nn.layers import Layers, matrix_dtype, repeated


@dataclass(frozen=True)
class VecSetVAEConfig:
    """Sizes; the defaults are the published ones."""

    channels: int = 3  # of the encoder's extra point features: normals
    latent_channels: int = 64
    heads: int = 8
    encoder_width: int = 512
    encoder_blocks: int = 8
    decoder_width: int = 1024
    decoder_blocks: int = 16
    frequencies: int = 8  # of the point embedding
    include_pi: bool = False

    @property
    def point_width(self) -> int:
        """Channels of an embedded point."""
        return 3 * (1 + 2 * self.frequencies)


def embed_points(points: Tensor, frequencies: int = 8, include_pi: bool = False) -> Tensor:
    """(..., 3) -> (..., 3 + 6 F): the point, then sin and cos of its coordinates times 1, 2, 4, ...
    (and pi), axis by axis.
    """
    rates = 2.0 ** torch.arange(frequencies, device=points.device, dtype=points.dtype)
    angles = (points[..., None] * (rates * torch.pi if include_pi else rates)).flatten(-2)
    return torch.cat([points, angles.sin(), angles.cos()], dim=-1)


def _cross_block(width: int, heads: int) -> VectorSetBlock:
    return VectorSetBlock(
        width,
        heads,
        (width,),
        attend_self=False,
        qk_norm=None,
        norm_context=True,
    )


class VecSetEncoder(nn.Module):
    """Surface points -> latent tokens (B, T, C)."""

    def __init__(self, config: VecSetVAEConfig):
        super().__init__()
        width = config.encoder_width
        heads = config.heads
        self.proj_in = nn.Linear(config.point_width + config.channels, width)
        cross = _cross_block(width, heads)
        self.blocks: Layers[VectorSetBlock] = Layers(
            [cross, *repeated(config.encoder_blocks, VectorSetBlock, width, heads, qk_norm=None)]
        )
        self.norm_out = LayerNorm(width)

    def forward(self, queries: Tensor, points: Tensor) -> Tensor:
        """Embedded query points (B, T, point width + channels) and all points (B, N, the same) ->
        (B, T, C).
        """
        dtype = matrix_dtype(self.blocks)
        h, context = (self.proj_in(given).to(dtype) for given in (queries, points))
        cross, *blocks = self.blocks
        h = cross(h, [context])
        for block in blocks:
            h = block(h)
        return self.norm_out(h.to(self.norm_out.weight.dtype))


class VecSetDecoder(nn.Module):
    """Latent tokens -> a field: self-attention among the tokens once, then one cross-attention for
    every point that is asked.
    """

    def __init__(self, config: VecSetVAEConfig):
        super().__init__()
        width = config.decoder_width
        heads = config.heads
        cross = _cross_block(width, heads)
        self.blocks: Layers[VectorSetBlock] = Layers(
            [*repeated(config.decoder_blocks, VectorSetBlock, width, heads, qk_norm=None), cross]
        )
        self.proj_query = nn.Linear(config.point_width, width)
        self.norm_out = LayerNorm(width)
        self.proj_out = nn.Linear(width, 1)

    def tokens(self, latent: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), the part that does not depend on the points."""
        latent = latent.to(matrix_dtype(self.blocks))
        for block in self.blocks[:-1]:
            latent = block(latent)
        return latent

    def forward(self, embedded: Tensor, tokens: Tensor | Context) -> Tensor:
        """Embedded points (B, N, point width) and tokens, plain or prepared -> (B, N)."""
        query = self.proj_query(embedded.to(self.proj_query.weight.dtype))
        h = self.blocks[-1](query.to(matrix_dtype(self.blocks)), [tokens])
        return self.proj_out(self.norm_out(h.to(self.proj_out.weight.dtype)))[..., 0]


class VecSetVAE(nn.Module):
    """See the module docstring. ``eval`` mode and training mode are the same here."""

    def __init__(self, config: VecSetVAEConfig):
        super().__init__()
        self.config = config
        self.encoder = VecSetEncoder(config)
        self.quant = nn.Linear(config.encoder_width, 2 * config.latent_channels)
        self.post_quant = nn.Linear(config.latent_channels, config.decoder_width)
        self.decoder = VecSetDecoder(config)

    def encode(self, surface: Tensor, sampled: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, T, latent channels) of surfaces (B, N, 6), points and normals,
        seen from the points ``sampled``.

        ``sampled`` (B, T, 6) is a subset of the surface spread evenly: see ``sample_queries``.
        """
        embedded = []
        for points, normals in (given.split([3, 3], dim=-1) for given in (sampled, surface)):
            embedded.append(torch.cat([self.embed(points), normals], dim=-1))
        mean, log_variance = self.quant(self.encoder(*embedded)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-30.0, 20.0)

    def embed(self, points: Tensor) -> Tensor:
        """Embedded points; see ``embed_points``."""
        return embed_points(points, self.config.frequencies, self.config.include_pi)

    def decoder_tokens(self, latent: Tensor) -> Tensor:
        """Latents (B, T, latent channels) -> the decoder's tokens (B, T, C), once per object."""
        return self.decoder.tokens(self.post_quant(latent.to(self.post_quant.weight.dtype)))

    def prepare(self, latent: Tensor) -> Context:
        """Keys and values of the last block: all that asking for a point needs of a latent."""
        return self.decoder.blocks[-1].prepare([self.decoder_tokens(latent)], [None])[0]

    def field(self, points: Tensor, prepared: Context | Tensor) -> Tensor:
        """Published sign, positive inside: (B, N, 3) points -> (B, N) values. ``prepared``: see
        ``prepare``, or ``decoder_tokens``.
        """
        return -self.decoder(self.embed(points), prepared)


def sample_queries(
    surface: Tensor,
    count: int,
    rng: Generator,
    first: int = 0,
) -> Tensor:
    """(B, count, 6) evenly spread points of surfaces (B, N, 6): a random subset four times as
    large, thinned by farthest points.
    """
    chosen = rng.choice(surface.shape[1], 4 * count, replace=4 * count > surface.shape[1])
    subset = surface[:, torch.from_numpy(chosen).to(surface.device)]
    kept = torch.stack([farthest_points(points[:, :3], count, first) for points in subset])
    return torch.take_along_dim(subset, kept[..., None], dim=1)


def farthest_points(points: Tensor, count: int, first: int = 0) -> Tensor:
    """(count,) indices of points (N, 3): each next one is the farthest from all chosen so far,
    starting with ``first``.
    """
    chosen = torch.full((count,), first, device=points.device)
    nearest = points.new_full((len(points),), torch.inf)
    for k in range(1, count):
        last = points[chosen[k - 1 : k]]  # indexed by a row of one: a number would be waited for
        nearest = torch.minimum(nearest, (points - last).square().sum(-1))
        chosen[k] = nearest.argmax()
    return chosen


def field_in_chunks(
    vae: VecSetVAE,
    prepared: Context,
    points: Tensor,
    chunk: int = 65536,
) -> Tensor:
    """(N,) values of one object's field at points (N, 3), in the points' dtype; ``chunk`` bounds
    the memory.
    """
    parts = [vae.field(part[None], prepared)[0] for part in points.split(chunk)]
    return torch.cat(parts).to(points.dtype)
