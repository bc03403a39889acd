"""Volume VAE: signed distance and colour on a 64^3 grid <-> a small latent grid. The structure VAE
of TRELLIS, generalised.

In the flow: volumes -> latents for training the generator, latents -> volumes at the end of
generation. With ``patch = 1`` and one channel this is the published architecture; a larger patch
folds the finest levels into a linear layer, which is what makes it run on two cores. A published
file holds one half, encoder or decoder: the other half then has no channels. Shapes: volumes (B,
channels, R, R, R), latents (B, latent_channels, R / f, ...), f = patch * 2^(levels - 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maquette.nn.blocks import ChannelNorm, ResBlock3d, depth_to_space, space_to_depth


@dataclass(frozen=True)
class VolumeVAEConfig:
    """Sizes of the VAE; the defaults are the embedded model's."""

    channels: int = 4  # TSDF + RGB
    resolution: int = 64
    patch: int = 4  # voxels per side folded into channels at the stem
    latent_channels: int = 16
    encoder_channels: tuple[int, ...] = (32, 96)  # fine to coarse; () = there is no encoder
    decoder_channels: tuple[int, ...] = (96, 48)  # coarse to fine; () = there is no decoder
    encoder_blocks: int = 1  # per level
    decoder_blocks: int = 1
    middle_blocks: int = 1  # of the decoder, at the coarsest level
    stem_kernel: int = 1  # of the layers next to the volume
    encoder_middle_blocks: int = 0
    moments_kernel: int = 1

    @property
    def latent_resolution(self) -> int:
        """Cells per side of the latent grid."""
        levels = len(self.encoder_channels or self.decoder_channels)
        return self.resolution // self.patch // 2 ** (levels - 1)


class Downsample(nn.Module):
    """Halve the grid with a stride-2 convolution."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, X, ...) -> (B, C, X / 2, ...)."""
        return self.conv(x)


class Upsample(nn.Module):
    """Double the grid: convolution, then 3D pixel shuffle."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels * 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, X, ...) -> (B, C, 2 X, ...)."""
        return depth_to_space(self.conv(x), 2)


def encoder_layers(c: VolumeVAEConfig) -> tuple[nn.Sequential, nn.Sequential]:
    """Folded volume -> features at the latent resolution -> mean and log-variance."""
    folded = c.channels * c.patch**3
    layers: list[nn.Module] = [_convolution(folded, c.encoder_channels[0], c.stem_kernel)]
    layers += _levels(c.encoder_channels, c.encoder_blocks, Downsample)
    last = c.encoder_channels[-1]
    layers += [ResBlock3d(last) for _ in range(c.encoder_middle_blocks)]
    moments = _convolution(last, 2 * c.latent_channels, c.moments_kernel)
    return nn.Sequential(*layers), nn.Sequential(ChannelNorm(last), nn.SiLU(), moments)


def decoder_layers(c: VolumeVAEConfig) -> tuple[nn.Sequential, nn.Sequential]:
    """Latents -> features at the folded resolution -> folded volume."""
    layers: list[nn.Module] = [nn.Conv3d(c.latent_channels, c.decoder_channels[0], 3, padding=1)]
    layers += [ResBlock3d(c.decoder_channels[0]) for _ in range(c.middle_blocks)]
    layers += _levels(c.decoder_channels, c.decoder_blocks, Upsample)
    last = c.decoder_channels[-1]
    volume = _convolution(last, c.channels * c.patch**3, c.stem_kernel)
    return nn.Sequential(*layers), nn.Sequential(ChannelNorm(last), nn.SiLU(), volume)


def _levels(
    widths: tuple[int, ...], blocks: int, between: Callable[[int, int], nn.Module]
) -> list[nn.Module]:
    """Residual blocks of every level, and what leads from one level to the next."""
    layers: list[nn.Module] = []
    for level, width in enumerate(widths):
        if level > 0:
            layers.append(between(widths[level - 1], width))
        layers += [ResBlock3d(width) for _ in range(blocks)]
    return layers


def through_trunk(layers: nn.Sequential, x: Tensor) -> Tensor:
    """The first layer in its own precision, the others in theirs: published files have them in half
    precision, the first and last not.
    """
    first, rest = layers[0], layers[1:]
    outer = first.weight.dtype
    matrices = (m.weight.dtype for m in rest.modules() if isinstance(m, nn.Conv3d))
    return rest(first(x).to(next(matrices, outer))).to(outer)


def _convolution(channels_in: int, channels: int, kernel: int) -> nn.Conv3d:
    return nn.Conv3d(channels_in, channels, kernel, padding=kernel // 2)


class VolumeVAE(nn.Module):
    """Encoder and decoder; ``latent_mean`` and ``latent_std`` (latent_channels,) normalise latents
    for the flow.
    """

    latent_mean: Tensor  # (latent_channels,)
    latent_std: Tensor

    def __init__(self, config: VolumeVAEConfig):
        super().__init__()
        self.config = config
        if config.encoder_channels:
            self.encoder, self.to_moments = encoder_layers(config)
        if config.decoder_channels:
            self.decoder, self.to_volume = decoder_layers(config)
        self.register_buffer("latent_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latent_std", torch.ones(config.latent_channels))

    def moments(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent_channels, r, r, r) of the latents, not normalised."""
        features = through_trunk(self.encoder, space_to_depth(volume, self.config.patch))
        mean, logvar = self.to_moments(features).chunk(2, dim=1)
        return mean, logvar.clamp(-20, 10)

    def decode_raw(self, latent: Tensor) -> Tensor:
        """Latents as ``moments`` gives them -> volumes."""
        folded = self.to_volume(through_trunk(self.decoder, latent))
        return depth_to_space(folded, self.config.patch)

    def encode(self, volume: Tensor) -> Tensor:
        """Volumes -> normalised latents (the mean), zero mean and unit variance per channel over
        the training data.
        """
        latent, _ = self.moments(volume)
        mean, std = self._normalisation()
        return (latent - mean) / std

    def decode(self, latent: Tensor) -> Tensor:
        """Normalised latents -> volumes (B, channels, R, R, R); TSDF and colour are clipped to [-1,
        1].
        """
        mean, std = self._normalisation()
        return self.decode_raw(latent * std + mean).clamp(-1, 1)

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        shape = (1, -1, 1, 1, 1)
        return self.latent_mean.reshape(shape), self.latent_std.reshape(shape)
