"""EfficientNet-Lite0 as a trunk of five feature maps: what an image network has learnt from
photographs, let into our own encoder of pictures and masks.

In the flow: colours of a picture -> maps at strides 2, 4, 8, 16 and 32 -> added to those of
GeometryNet (image_encoder.py) by layers that start at zero, so that an encoder that was trained
without a trunk goes on from where it was; or read by the segmenter (segmenter.py). Architecture:
M. Tan and Q. Le, "EfficientNet", 2019, without squeeze-and-excitation and with ReLU6 ("Lite"). Its
batch norms are folded into the convolutions, for their statistics stay those of the release.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.layers import Layers, zero_init


@dataclass(frozen=True)
class Stage:
    """A row of inverted residual blocks, of which the first one changes width and stride."""

    count: int
    kernel: int
    stride: int
    expand: int  # how many times wider a block is inside
    width: int
    tapped: bool = False  # whether its output is one of the trunk's maps


STEM = 32  # channels
STAGES = (
    Stage(1, 3, 1, 1, 16, tapped=True),
    Stage(2, 3, 2, 6, 24, tapped=True),
    Stage(2, 5, 2, 6, 40, tapped=True),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112, tapped=True),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320, tapped=True),
)
MAPS = tuple(stage.width for stage in STAGES if stage.tapped)  # channels at strides 2 to 32
GROUPS = 8  # of the norms before the maps are let in


class SamePadded(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: where the stride leaves an odd number of
    pixels, one more after than before.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
    ):
        super().__init__(before, after, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride), rounded up."""
        kernel = self.kernel_size[0]
        stride = self.stride[0]
        height, width = (max(kernel - (side % stride or stride), 0) for side in x.shape[-2:])
        left = width // 2
        top = height // 2
        padded = F.pad(x, (left, width - left, top, height - top))
        return super().forward(padded)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project; added to its input where it fits."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int,
        expand: int,
    ):
        super().__init__()
        wide = before * expand
        self.expand = SamePadded(before, wide, 1) if expand > 1 else None
        self.depthwise = SamePadded(wide, wide, kernel, stride, wide)
        self.project = SamePadded(wide, after, 1)
        self.is_residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.is_residual else h


class Trunk(nn.Module):
    """(B, 3, H, W) colours in [-1, 1] -> a map of each tapped stage; by default five maps, widths
    MAPS.
    """

    def __init__(self, stages: tuple[Stage, ...] = STAGES) -> None:
        super().__init__()
        self.taps = tuple(stage.tapped for stage in stages)
        self.stem = SamePadded(3, STEM, 3, 2)
        self.stages: Layers[nn.Sequential] = Layers()
        before = STEM
        for stage in stages:
            blocks = nn.Sequential()
            for number in range(stage.count):
                stride = stage.stride if number == 0 else 1
                blocks.append(
                    InvertedResidual(before, stage.width, stage.kernel, stride, stage.expand)
                )
                before = stage.width
            self.stages.append(blocks)

    def forward(self, colours: Tensor) -> list[Tensor]:
        """The maps, finest first."""
        h = F.relu6(self.stem(colours))
        maps = []
        for tapped, blocks in zip(self.taps, self.stages):
            h = blocks(h)
            if tapped:
                maps.append(h)
        return maps


class Backbone(nn.Module):
    """The trunk's maps in the widths of an encoder with one level for each of the strides 2 to 16;
    the map at stride 32 joins the last one.
    """

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.trunk = Trunk()
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for width in MAPS)
        wide = (*widths, widths[-1])
        self.let_in = nn.ModuleList(
            zero_init(nn.Conv2d(own, theirs, 1)) for own, theirs in zip(MAPS, wide)
        )

    def forward(self, colours: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> what is added at each level of the encoder."""
        layers = zip(self.norms, self.let_in, self.trunk(colours))
        *maps, fourth, last = (let_in(norm(found)) for norm, let_in, found in layers)
        return [*maps, fourth + F.interpolate(last, size=fourth.shape[-2:], mode="bilinear")]
