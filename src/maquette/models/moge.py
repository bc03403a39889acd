"""MoGe-2 and MoGe-3: points of everything that a photo shows, with its focal length and in metres.

In the flow: photo -> DINOv2 tokens of four depths -> one grid -> a pyramid of convolutions (the
neck), and one more for each of points and mask; the class token tells the scale. MoGe-3 refines the
points' depth in a sparse volume (``moge_refiner``). Points are known up to a shift along z, which
together with the focal length is what makes them lie on their rays. Source: MoGe (arXiv
2410.19115), MoGe-2 (arXiv 2507.02546), MoGe-3 (arXiv 2607.17967). Modules have the published names.
Shapes: B pictures, H x W pixels, h x w patches.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import least_squares
from torch import Tensor, nn

from maquette.models.moge_refiner import Refiner, RefinerConfig
from maquette.models.vision import VisionConfig, VisionTransformer, normalise_colours
from maquette.nn.blocks import to_grid
from maquette.photos.pixels import Size

TOKENS = 3600  # patches of a picture, about; the published range ends here
REFINEMENTS = 3  # of MoGe-3, as it was released
FITTED = 64  # points along each side that tell focal length and shift


@dataclass(frozen=True)
class PyramidConfig:
    """Channels of each level, coarse to fine; every level has twice the sides of the one before."""

    into: tuple[int | None, ...]  # of what comes in; None = as wide as the level
    widths: tuple[int, ...]
    out: tuple[int | None, ...]  # None = as wide as the level
    blocks: tuple[int, ...]  # residual blocks
    transposed: tuple[bool, ...]  # how each level but the last gets finer; else bilinear


@dataclass(frozen=True)
class MoGeConfig:
    """Sizes of all parts."""

    vision: VisionConfig
    layers: tuple[int, ...]  # blocks whose tokens are used
    features: int  # channels of the grid of tokens
    neck: PyramidConfig
    points_head: PyramidConfig
    mask_head: PyramidConfig
    scale_head: tuple[int, ...]  # widths, from the class token to one number
    refiner: RefinerConfig | None = None  # of MoGe-3


@dataclass(frozen=True, eq=False)
class Pointmap:
    """What the network says of B pictures."""

    points: Tensor  # (B, H, W, 3), x right, y down, z forward; up to scale and a shift along z
    mask: Tensor  # (B, H, W) in [0, 1], whether there is a surface
    scale: Tensor  # (B,) metres


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()

        def convolution() -> nn.Conv2d:
            return _convolution(width, width)

        # with the places of norms that these releases do not have
        self.layers = nn.Sequential(
            nn.Identity(), nn.ReLU(), convolution(), nn.Identity(), nn.ReLU(), convolution()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _residuals(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(count)))


def _convolution(into: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, padding=1, padding_mode="replicate")


def _finer(into: int, out: int, transposed: bool) -> nn.Sequential:
    if transposed:
        return nn.Sequential(nn.ConvTranspose2d(into, out, 2, stride=2), _convolution(out, out))
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), _convolution(into, out))


def _adapted(into: int | None, out: int | None) -> nn.Module:
    return nn.Identity() if into is None or out is None else nn.Conv2d(into, out, 1)


class Pyramid(nn.Module):
    """Features of all levels -> features of all levels."""

    def __init__(self, c: PyramidConfig):
        super().__init__()
        self.input_blocks = nn.ModuleList(map(_adapted, c.into, c.widths))
        self.resamplers = nn.ModuleList(map(_finer, c.widths[:-1], c.widths[1:], c.transposed))
        self.res_blocks = nn.ModuleList(map(_residuals, c.widths, c.blocks))
        self.output_blocks = nn.ModuleList(map(_adapted, c.widths, c.out))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of each level (B, C, h 2^k, w 2^k)."""
        found: list[Tensor] = []
        x = self.input_blocks[0](features[0])
        for level, block in enumerate(self.res_blocks):
            if level:
                x = self.resamplers[level - 1](x) + self.input_blocks[level](features[level])
            x = block(x)
            found.append(self.output_blocks[level](x))
        return found


class _Encoder(nn.Module):
    def __init__(self, c: MoGeConfig):
        super().__init__()
        self.layers = c.layers
        self.backbone = VisionTransformer(c.vision)
        self.output_projections = nn.ModuleList(
            nn.Conv2d(c.vision.width, c.features, 1) for _ in c.layers
        )

    def forward(self, image: Tensor, grid: Size) -> tuple[Tensor, Tensor]:
        """Grid of tokens (B, C, h, w), and the class token (B, width)."""
        patch = self.backbone.config.patch
        size = (grid[0] * patch, grid[1] * patch)
        small = F.interpolate(image, size, mode="bilinear", antialias=True)
        layers = self.backbone.after(normalise_colours(small), self.layers)
        normed = [self.backbone.norm(tokens) for tokens in layers]
        first = 1 + self.backbone.config.registers
        grids = [to_grid(tokens[:, first:], grid) for tokens in normed]
        summed = sum(project(each) for project, each in zip(self.output_projections, grids))
        return torch.as_tensor(summed), normed[-1][:, 0]


class MoGe(nn.Module):
    """See the module docstring."""

    def __init__(self, config: MoGeConfig):
        super().__init__()
        self.config = c = config
        self.encoder = _Encoder(c)
        self.neck = Pyramid(c.neck)
        self.points_head = Pyramid(c.points_head)
        self.mask_head = Pyramid(c.mask_head)
        steps: list[nn.Module] = []
        for into, out in itertools.pairwise(c.scale_head):
            steps += [nn.Linear(into, out), nn.ReLU()]
        self.scale_head = nn.Sequential(*steps[:-1])
        self.refiner = Refiner(c.refiner) if c.refiner else None

    def forward(self, image: Tensor, tokens: int = TOKENS) -> Pointmap:
        """Colours (B, 3, H, W) in [0, 1]; tokens: about how many patches are looked at."""
        height, width = image.shape[-2:]
        aspect = width / height
        grid = round((tokens / aspect) ** 0.5), round((tokens * aspect) ** 0.5)
        seen, class_token = self.encoder(image, grid)
        planes = []
        for level in range(len(self.config.neck.widths)):
            sides = (grid[0] << level, grid[1] << level)
            plane = view_plane(sides, aspect).to(image).expand(len(image), -1, -1, -1)
            planes.append(plane)
        placed = torch.cat([seen, planes[0]], dim=1)
        features = self.neck([placed, *planes[1:]])
        coordinates = self.points_head(features)[-1]
        if self.refiner is not None:
            coordinates = _refined(self.refiner, coordinates, placed)
        points = _on_pixels(coordinates, (height, width))
        mask = _on_pixels(self.mask_head(features)[-1], (height, width))
        slopes, log_depth = points.permute(0, 2, 3, 1).split([2, 1], dim=-1)
        depth = log_depth.exp()
        scale = self.scale_head(class_token)[:, 0].exp()
        mapped = torch.cat([slopes * depth, depth], -1)
        return Pointmap(mapped, mask[:, 0].sigmoid(), scale)


def _refined(refiner: Refiner, coordinates: Tensor, features: Tensor) -> Tensor:
    """Slopes and log depth (B, 3, h, w), the log depth corrected."""
    slopes, log_depth = coordinates.split([2, 1], dim=1)
    height, width = coordinates.shape[-2:]
    plane = view_plane((height, width), width / height)
    refined = log_depth[:, 0]
    for _ in range(REFINEMENTS):
        refined = refined + refiner(refined, plane, features)
    return torch.cat([slopes, refined[:, None]], dim=1)


def _on_pixels(plane: Tensor, size: Size) -> Tensor:
    return F.interpolate(plane, size, mode="bilinear")


def view_plane(size: Size, aspect: float) -> Tensor:
    """(2, H, W) x and y of pixel centres from the middle, over half the diagonal of a picture of
    this aspect.
    """
    height, width = size
    diagonal = (1 + aspect**2) ** 0.5

    def centres(side: int, span: float) -> Tensor:
        return torch.linspace(-1, 1, side) * span * (side - 1) / side

    x = centres(width, aspect / diagonal)
    y = centres(height, 1.0 / diagonal)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows])


def focal_and_shift(
    points: np.ndarray, mask: np.ndarray, focal: float | None = None
) -> tuple[float, float]:
    """Focal length, in longer sides of the picture, and the shift along z, with which points
    (H, W, 3) project to their own pixels best; mask: (H, W) bool the points that count; focal:
    where it is known.
    """
    height, width = mask.shape
    rows = np.arange(FITTED) * height // FITTED
    columns = np.arange(FITTED) * width // FITTED
    chosen = np.ix_(rows, columns)
    kept = mask[chosen]
    if kept.sum() < 2:
        return focal or 1.0, 0.0
    x, y = np.meshgrid(columns - (width - 1) / 2, rows - (height - 1) / 2)
    pixels = np.stack([x[kept], y[kept]], axis=-1) / max(height, width)
    there = points[chosen][kept].astype(np.float64)

    def projected(shift: float) -> np.ndarray:
        return there[:, :2] / (there[:, 2:] + shift)

    def length(slopes: np.ndarray) -> float:
        return focal or float((slopes * pixels).sum() / np.square(slopes).sum())

    def off(shift: np.ndarray) -> np.ndarray:
        slopes = projected(float(shift[0]))
        return (length(slopes) * slopes - pixels).ravel()

    shift = float(least_squares(off, 0.0, method="lm").x[0])
    return length(projected(shift)), shift
