"""Volume VAE: signed distance and colour on a 64^3 grid <-> a small latent grid. The structure VAE of TRELLIS, generalised.

In the flow: volumes -> latents for training the generator, latents -> volumes at the end of generation.
With ``patch = 1`` and one channel this is the published architecture (checkpoints.md 2.2); a larger patch folds the finest
levels into a linear layer, which is what makes it run on two cores.
Shapes: volumes (B, channels, R, R, R), latents (B, latent_channels, R / f, ...), f = patch * 2^(levels - 1).
"""

from __future__ import annotations

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
    encoder_channels: tuple[int, ...] = (32, 96)  # fine to coarse
    decoder_channels: tuple[int, ...] = (96, 48)  # coarse to fine
    encoder_blocks: int = 1  # per level
    decoder_blocks: int = 1
    middle_blocks: int = 1
    stem_kernel: int = 1

    @property
    def latent_resolution(self) -> int:
        """Cells per side of the latent grid."""
        return self.resolution // self.patch // 2 ** (len(self.encoder_channels) - 1)


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


class VolumeVAE(nn.Module):
    """Encoder and decoder; ``latent_mean`` and ``latent_std`` (latent_channels,) normalise latents for the flow."""

    def __init__(self, config: VolumeVAEConfig):
        super().__init__()
        self.config = config
        c, pad = config, config.stem_kernel // 2
        folded = c.channels * c.patch**3
        encoder: list[nn.Module] = [nn.Conv3d(folded, c.encoder_channels[0], c.stem_kernel, padding=pad)]
        for level, width in enumerate(c.encoder_channels):
            if level > 0:
                encoder.append(Downsample(c.encoder_channels[level - 1], width))
            encoder += [ResBlock3d(width) for _ in range(c.encoder_blocks)]
        self.encoder = nn.Sequential(*encoder)
        last = c.encoder_channels[-1]
        self.to_moments = nn.Sequential(ChannelNorm(last), nn.SiLU(), nn.Conv3d(last, 2 * c.latent_channels, 1))
        decoder: list[nn.Module] = [nn.Conv3d(c.latent_channels, c.decoder_channels[0], 3, padding=1)]
        decoder += [ResBlock3d(c.decoder_channels[0]) for _ in range(c.middle_blocks)]
        for level, width in enumerate(c.decoder_channels):
            if level > 0:
                decoder.append(Upsample(c.decoder_channels[level - 1], width))
            decoder += [ResBlock3d(width) for _ in range(c.decoder_blocks)]
        self.decoder = nn.Sequential(*decoder)
        self.to_volume = nn.Sequential(
            ChannelNorm(c.decoder_channels[-1]), nn.SiLU(), nn.Conv3d(c.decoder_channels[-1], folded, c.stem_kernel, padding=pad)
        )
        self.register_buffer("latent_mean", torch.zeros(c.latent_channels))
        self.register_buffer("latent_std", torch.ones(c.latent_channels))

    def moments(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, both (B, latent_channels, r, r, r), not normalised."""
        mean, logvar = self.to_moments(self.encoder(space_to_depth(volume, self.config.patch))).chunk(2, dim=1)
        return mean, logvar.clamp(-20, 10)

    def decode_raw(self, latent: Tensor) -> Tensor:
        """Latents as ``moments`` gives them -> volumes."""
        return depth_to_space(self.to_volume(self.decoder(latent)), self.config.patch)

    def encode(self, volume: Tensor) -> Tensor:
        """Volumes -> normalised latents (the mean), zero mean and unit variance per channel over the training data."""
        shape = (1, -1, 1, 1, 1)
        return (self.moments(volume)[0] - self.latent_mean.reshape(shape)) / self.latent_std.reshape(shape)

    def decode(self, latent: Tensor) -> Tensor:
        """Normalised latents -> volumes (B, channels, R, R, R); TSDF and colour are clipped to [-1, 1]."""
        shape = (1, -1, 1, 1, 1)
        return self.decode_raw(latent * self.latent_std.reshape(shape) + self.latent_mean.reshape(shape)).clamp(-1, 1)
