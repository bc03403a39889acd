"""What MoGe-3 adds to MoGe-2: log depth is corrected in a sparse volume, so that thin parts and
edges come out sharp.

In the flow: log depth of every pixel of the points' finest level -> one voxel per pixel, at the bin
of its log depth -> a U-Net of sparse convolutions that is told the tokens' features where it is
coarsest -> a correction of the log depth (``moge.py`` repeats this). Source: MoGe-3 (arXiv
2607.17967), its published code; modules have its names. Shapes: B pictures, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.sparse import Voxels, mean_of_children, upsample
from maquette.nn.sparse_conv import Kernel, convolve

BINS = 256  # of log depth, for each factor e


@dataclass(frozen=True)
class RefinerConfig:
    """Channels and residual blocks of each level, fine to coarse; every level has half the sides
    of the one before.
    """

    features: int  # channels of the tokens' features
    widths: tuple[int, ...]
    down: tuple[int, ...]  # blocks on the way down
    coarsest: int  # blocks after the tokens' features were told
    up: tuple[int, ...]  # blocks on the way up, fine to coarse, without the coarsest level


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.conv1 = Kernel(width, width, 3)
        self.conv2 = Kernel(width, width, 3)

    def forward(self, x: Tensor, voxels: Voxels) -> Tensor:
        h = convolve(F.silu(self.norm1(x)), self.conv1.weight, self.conv1.bias, voxels)
        return x + convolve(F.silu(h), self.conv2.weight, self.conv2.bias, voxels)


class _Resampled(nn.Module):
    def __init__(self, into: int, out: int):
        super().__init__()
        self.linear = nn.Linear(into, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def _stage(width: int, blocks: int) -> nn.ModuleList:
    return nn.ModuleList(_Block(width) for _ in range(blocks))


class Refiner(nn.Module):
    """See the module docstring."""

    def __init__(self, config: RefinerConfig):
        super().__init__()
        c = config
        finer = c.widths[:-1]
        coarser = c.widths[1:]
        last = c.widths[-1]
        self.input_proj = nn.Linear(3, c.widths[0])
        self.down_stages = nn.ModuleList(map(_stage, c.widths, c.down))
        self.downsample_blocks = nn.ModuleList(map(_Resampled, finer, coarser))
        self.encoder_fuse = nn.Linear(c.features, last)
        both = nn.Linear(2 * last, last)
        self.fuse_proj = nn.Sequential(both, nn.SiLU(), nn.Linear(last, last))
        self.bottleneck_stage = _stage(last, c.coarsest)
        # published coarse to fine
        self.upsample_blocks = nn.ModuleList(map(_Resampled, coarser[::-1], finer[::-1]))
        self.up_stages = nn.ModuleList(map(_stage, finer[::-1], c.up[::-1]))
        self.out_proj = nn.Linear(c.widths[0], 1)

    def forward(self, log_depth: Tensor, plane: Tensor, features: Tensor) -> Tensor:
        """What is to be added to the log depth (B, H, W); plane (2, H, W) where its pixels are;
        features (B, C, H / f, W / f) of the tokens, at the coarsest level.
        """
        log_depth = log_depth.float()
        voxels = voxels_of(log_depth)
        places = plane.to(log_depth).expand(len(log_depth), -1, -1, -1)
        inputs = torch.cat([places, log_depth[:, None]], dim=1)
        x = self.input_proj(inputs.permute(0, 2, 3, 1).flatten(0, 2))
        return self.out_proj(self._through(x, voxels, features, level=0)).view_as(log_depth)

    def _through(self, x: Tensor, voxels: Voxels, features: Tensor, level: int) -> Tensor:
        """Down from a level to the coarsest, and up again."""
        x = _run(self.down_stages[level], x, voxels)
        if level == len(self.downsample_blocks):
            return self._told(x, voxels, features)
        coarse = self.downsample_blocks[level](mean_of_children(x, voxels))
        coarse = self._through(coarse, voxels.parents[0], features, level + 1)
        mirrored = len(self.up_stages) - 1 - level
        x = x + upsample(self.upsample_blocks[mirrored](coarse), voxels)
        return _run(self.up_stages[mirrored], x, voxels)

    def _told(self, x: Tensor, voxels: Voxels, features: Tensor) -> Tensor:
        """The coarsest level, with the tokens' features of each voxel's pixel."""
        sample, row, column, _ = voxels.coords.unbind(1)
        seen = self.encoder_fuse(features[sample, :, row, column].float())
        return _run(self.bottleneck_stage, self.fuse_proj(torch.cat([x, seen], dim=-1)), voxels)


def _run(stage: nn.Module, x: Tensor, voxels: Voxels) -> Tensor:
    for block in stage.children():
        x = block(x, voxels)
    return x


def voxels_of(log_depth: Tensor) -> Voxels:
    """One voxel per pixel (B, H, W), rows (sample, row, column, bin); bins begin at each picture's
    nearest.
    """
    bins = torch.round(log_depth * BINS).long()
    bins = bins - bins.amin(dim=(1, 2), keepdim=True)
    places = torch.meshgrid(*(torch.arange(n) for n in bins.shape), indexing="ij")
    coords = torch.stack([*(place.to(bins) for place in places), bins], dim=-1)
    resolution = max(*bins.shape[1:], int(bins.max()) + 1)
    return Voxels.of(coords.flatten(0, 2), resolution, len(bins))
