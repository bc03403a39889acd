"""From clicks, a box or an earlier mask to the object that is meant: a small network that looks
through a trunk which has learnt from photographs (backbone.py).

In the flow: a square window of a photo -> the trunk's maps, once -> with prompts, as often as
someone clicks -> the object's mask. Prompts enter behind the trunk, so its maps serve every click.
Without prompts it says of all objects at once where they are and to which middle each place
belongs. A few transformer blocks at stride 16 decide what is meant; residual blocks at strides 8,
4 and 2 draw it. At strides 4 to 16 the decoder is also told how alike each place is to what was
clicked, boxed and found before (cosine of learnt features), which carries over from rendered
training pictures to photographs better than what colours and shapes mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.models.backbone import GROUPS, STAGES, Trunk
from maquette.nn.blocks import ResBlock2d, TransformerBlock, to_grid, to_tokens
from maquette.nn.layers import Layers, repeated
from maquette.photos.pixels import Size

PROMPTS = 4  # planes: positive clicks, negative clicks, inside the box, the mask before
NEAR = 0.04  # of the window's side: how far around it a click is felt
ALIKE = 32  # channels in which places are compared
# Without the release's last stage: a fifth of the weights, and the coarsest map's width is 192.
KEPT_STAGES = (*STAGES[:-2], replace(STAGES[-2], tapped=True))
SEEN = 3  # planes that are drawn of all objects at once
KEPT_MAPS = tuple(stage.width for stage in KEPT_STAGES if stage.tapped)


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes of the segmenter."""

    size: int = 224  # pixels of the square windows that it is shown; others work, too
    widths: tuple[int, ...] = (16, 32, 64, 128)  # of the decoder at strides 2, 4, 8 and 16
    blocks: int = 2  # transformer blocks at stride 16
    heads: int = 4


class Segmented(NamedTuple):
    """What the segmenter says of B windows with S pixels a side."""

    logits: Tensor  # (B, S / 2, S / 2)
    quality: Tensor  # (B,) logit of the IoU that it expects of its mask


class Everything(NamedTuple):
    """What the segmenter says of B windows with S pixels a side when nobody points at anything."""

    logits: Tensor  # (B, S / 2, S / 2) of being of some object
    middle: Tensor  # (B, 2, S / 2, S / 2) way to the middle of that object, shares of the side


def click_plane(points: Tensor, size: Size) -> Tensor:
    """(H, W) how near the nearest click is, 1 on it and falling to 0; 0 without clicks.

    points: (N, 2) x and y in shares of the window's sides.
    """
    height, width = size
    x = (torch.arange(width) + 0.5) / width
    y = (torch.arange(height) + 0.5) / height
    across = (x - points[:, 0, None])[:, None, :]
    down = (y - points[:, 1, None])[:, :, None]
    near = torch.exp(-torch.hypot(across, down) / NEAR)
    return near.amax(0) if len(points) else torch.zeros(size)


def box_plane(corners: Sequence[float], size: Size) -> Tensor:
    """(H, W) 1 inside of a box x0, y0, x1, y1 in shares of the window's sides, 0 outside."""
    height, width = size
    x0, y0, x1, y1 = corners
    plane = torch.zeros(size)
    rows = slice(max(round(y0 * height), 0), max(round(y1 * height), 1))
    columns = slice(max(round(x0 * width), 0), max(round(x1 * width), 1))
    plane[rows, columns] = 1.0
    return plane


class Compared(nn.Module):
    """How alike each place is to the mean of what each prompt marks, and to what a box leaves
    outside: (B, C, H, W) features and (B, 4, H, W) prompts -> (B, 5, H, W) cosines.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.project = nn.Conv2d(channels, ALIKE, 1)

    def forward(self, features: Tensor, prompts: Tensor) -> Tensor:
        """0 where a prompt marks nothing."""
        places = F.normalize(self.project(features), dim=1).flatten(2)
        marked = prompts.flatten(2)
        clicks = marked[:, :2] ** 4  # the middle of a click counts
        boxed = marked[:, 2:3]
        outside = (1 - boxed) * (boxed.amax(-1, keepdim=True) > 0)
        weights = torch.cat([clicks, boxed, marked[:, 3:], outside], dim=1)
        means = F.normalize(weights @ places.transpose(1, 2), dim=-1)
        return (means @ places).unflatten(2, features.shape[2:])


class Level(nn.Module):
    """What enters the decoder at one stride: the trunk's map and the prompts, each projected."""

    def __init__(
        self,
        channels: int,
        width: int,
        compares: bool,
    ):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.features = nn.Conv2d(channels, width, 1)
        self.compared = Compared(channels) if compares else None
        told = PROMPTS + (PROMPTS + 1 if compares else 0)
        around = nn.Conv2d(told + 2, width, 3, padding=1)
        self.prompts = nn.Sequential(around, nn.SiLU(), nn.Conv2d(width, width, 1))

    def forward(self, features: Tensor, prompts: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 4, H, W) -> (B, W', H, W)."""
        features = self.norm(features)
        told = [prompts, _places(prompts)]
        if self.compared is not None:
            told.append(self.compared(features, prompts))
        return self.features(features) + self.prompts(torch.cat(told, dim=1))


def _places(planes: Tensor) -> Tensor:
    """(B, 2, H, W) x and y of each place, -1 to 1 over the window."""
    count, _, height, width = planes.shape
    x = torch.linspace(-1, 1, width, device=planes.device).expand(height, width)
    y = torch.linspace(-1, 1, height, device=planes.device)[:, None].expand(height, width)
    return torch.stack([x, y]).expand(count, 2, height, width)


class SegmenterNet(nn.Module):
    """A window of a photo and prompts -> the mask of what they mean."""

    def __init__(self, config: SegmenterConfig):
        super().__init__()
        self.config = config
        widths = config.widths
        coarse = widths[-1]
        self.trunk = Trunk(KEPT_STAGES)
        *seen, deepest = KEPT_MAPS
        self.levels: Layers[Level] = Layers()
        for channels, width in zip(seen, widths):
            self.levels.append(Level(channels, width, compares=channels != seen[0]))
        self.deepest = nn.Sequential(nn.GroupNorm(GROUPS, deepest), nn.Conv2d(deepest, coarse, 1))
        self.blocks = repeated(config.blocks, TransformerBlock, coarse, config.heads)
        self.quality = nn.Sequential(nn.LayerNorm(coarse), nn.Linear(coarse, 1))
        pairs = list(itertools.pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(wide, narrow, 1) for narrow, wide in pairs)
        self.draw = nn.ModuleList(ResBlock2d(narrow, narrow) for narrow, _ in pairs)
        fine = widths[0]
        drawn = nn.Conv2d(fine, 1, 3, padding=1)
        self.mask = nn.Sequential(nn.GroupNorm(GROUPS, fine), nn.SiLU(), drawn)
        of_all = nn.Conv2d(fine, SEEN, 3, padding=1)
        self.all = nn.Sequential(nn.GroupNorm(GROUPS, fine), nn.SiLU(), of_all)

    def look(self, pictures: Tensor) -> list[Tensor]:
        """The trunk's maps of windows (B, 3, S, S) with colours in [-1, 1], S a multiple of 32."""
        fast = pictures.contiguous(memory_format=torch.channels_last)
        return [found.contiguous() for found in self.trunk(fast)]

    def forward(self, maps: list[Tensor], prompts: Tensor) -> Segmented:
        """Maps of ``look`` and prompts (B, 4, S / 2, S / 2), see PROMPTS, in [0, 1]."""
        drawn, tokens = self._draw(maps, prompts)
        logits = self.mask(drawn)
        quality = self.quality(tokens.mean(1))
        return Segmented(logits[:, 0], quality[:, 0])

    def everything(self, maps: list[Tensor]) -> Everything:
        """Maps of ``look`` -> where objects are, and which places are of the same one."""
        count, _, height, width = maps[0].shape
        nothing = maps[0].new_zeros(count, PROMPTS, height, width)
        planes = self.all(self._draw(maps, nothing)[0])
        return Everything(planes[:, 0], planes[:, 1:])

    def _draw(self, maps: list[Tensor], prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, S / 2, S / 2) to draw from, and the tokens that decided what is meant."""
        *seen, deepest = maps
        finer = []
        for level, found in zip(self.levels, seen):
            finer.append(level(found, prompts))
            prompts = F.avg_pool2d(prompts, 2)
        coarse = finer.pop()
        size = coarse.shape[-2:]
        h = coarse + F.interpolate(self.deepest(deepest), size=size, mode="bilinear")
        tokens = to_tokens(h)
        for block in self.blocks:
            tokens = block(tokens)
        h = to_grid(tokens, size)
        steps = list(zip(finer, self.up, self.draw))
        for level, up, draw in reversed(steps):
            h = draw(level + F.interpolate(up(h), scale_factor=2.0, mode="bilinear"))
        return h, tokens
