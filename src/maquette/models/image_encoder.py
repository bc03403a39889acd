"""Image networks: a small encoder of pictures into tokens, and the dense head that reads depth,
normals and the camera off a photo.

In the flow: photo and masks -> (a) picture tokens that the generator attends to, (b) the depth map
and camera that lift visible surfaces into the scene frame. Convolutions first, a few transformer
blocks at the coarsest level, then (b) a U-shaped decoder. The same layers look at every object once
more in a window of its own (relief.py).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.errors import present
from maquette.models.backbone import Backbone
from maquette.models.layout import LayoutHead, lift_points
from maquette.models.relief import Windows, centred, coarse_relief
from maquette.nn.blocks import ResBlock2d, TransformerBlock, to_grid, to_tokens
from maquette.nn.embeddings import learned_positions
from maquette.nn.layers import repeated, zero_init


@dataclass(frozen=True)
class PictureEncoderConfig:
    """Sizes of the token encoder of one square picture."""

    size: int = 64  # pixels
    channels: int = 5  # RGB, own mask, other objects' mask
    width: int = 128
    widths: tuple[int, ...] = (32, 64)  # of the stride-2 convolutions before the last one
    blocks: int = 2
    heads: int = 2

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return (self.size // 2 ** (len(self.widths) + 1)) ** 2


class PictureEncoder(nn.Module):
    """(B, channels, size, size) -> (B, tokens, width)."""

    def __init__(self, config: PictureEncoderConfig):
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = config.channels
        for width in (*config.widths, config.width):
            layers.append(nn.Conv2d(before, width, 3, stride=2, padding=1))
            layers += [nn.GroupNorm(8, width), nn.SiLU()]
            before = width
        self.stem = nn.Sequential(*layers)
        self.pos_emb = learned_positions(1, config.tokens, config.width)
        self.blocks = repeated(config.blocks, TransformerBlock, config.width, config.heads)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, picture: Tensor) -> Tensor:
        """Tokens of a picture with colours in [-1, 1] and masks in {0, 1}."""
        h = to_tokens(self.stem(picture)) + self.pos_emb
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


@dataclass(frozen=True)
class GeometryNetConfig:
    """Sizes of the depth and camera network."""

    size: int = 128  # pixels of the square, letterboxed photo
    channels: int = 6  # RGB, any object, outline between objects, inside the photo (letterbox)
    widths: tuple[int, ...] = (24, 48, 96, 160)  # at strides 2, 4, 8, 16
    # residual blocks per stride after the first one; at coarse strides they cost little
    deeper: tuple[int, ...] = (0, 0, 0, 0)
    blocks: int = 4  # transformer blocks at stride 16
    heads: int = 4
    # transformer blocks over the instances that estimate their boxes; 0 = no boxes
    layout_blocks: int = 0
    # each coarse token also says how far above the horizon it looks; only training asks for it
    latitude: bool = False
    # pixels of the square window in which it looks at one object once more; 0 = it does not
    close: int = 0
    # the maps of a trunk that was trained on photographs are added at every stride (backbone.py)
    backbone: bool = False

    @property
    def tokens(self) -> int:
        """Number of coarse tokens of a picture of this size."""
        return (self.size // 2 ** len(self.widths)) ** 2


# pitch, log focal, projected scene centre x and y, log span: see conditioning.camera_parameters
CAMERA_PARAMETERS = 5


@dataclass(frozen=True, eq=False)
class Geometry:
    """What GeometryNet reads off B square pictures with S pixels a side."""

    depth: Tensor  # (B, S, S) log(z / z_c), z_c = z-depth of the scene's centre
    # (B, 3, S, S) unit, camera axes (OpenCV): slant is seen there, and the ground's normal tells
    # the camera's pitch
    normal: Tensor
    camera: Tensor  # (B, 5) see conditioning.camera_parameters
    # (B, N, 2, 3) scene frame, hidden parts included, row k = label k + 1; rows of absent labels
    # mean nothing
    boxes: Tensor | None
    # (B, S / 16, S / 16) sine of the angle of each coarse pixel's ray above the horizon
    latitude: Tensor | None = None
    # (B, K, P, P) log depth of each window less the object's mean, over the window's width at
    # distance 1
    relief: Tensor | None = None
    close_normal: Tensor | None = None  # (B, K, 3, P, P) as ``normal``


def unit(vectors: Tensor, least: float = 1e-6) -> Tensor:
    """Vectors (B, C, ...) of length 1. What ``F.normalize`` does, which takes far longer over a
    dimension that is not the last one.
    """
    squared = reduce(torch.add, (part.square() for part in vectors.unbind(1)))
    return vectors * squared.clamp(min=least**2).rsqrt()[:, None]


def _residual_blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*repeated(count, ResBlock2d, width, width))


def _camera_head(width: int) -> nn.Sequential:
    head = zero_init(nn.Linear(128, CAMERA_PARAMETERS))
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 128), nn.SiLU(), head)


def _latitude_head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), zero_init(nn.Linear(width, 1)))


def _dense_head(width: int, out: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), out)


class GeometryNet(nn.Module):
    """Photo and masks -> log relative depth, normals, camera, and a box for each instance."""

    def __init__(self, config: GeometryNetConfig):
        super().__init__()
        self.config = config
        w = config.widths
        fine = w[0]
        coarse = w[-1]
        pairs = list(itertools.pairwise(w))
        self.stem = nn.Conv2d(config.channels, fine, 4, stride=2, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.encode = nn.ModuleList(ResBlock2d(width, width) for width in w)
        self.deeper = nn.ModuleList(map(_residual_blocks, w, config.deeper))
        self.pos_emb = learned_positions(1, config.tokens, coarse)
        self.blocks = repeated(config.blocks, TransformerBlock, coarse, config.heads)
        self.camera = _camera_head(2 * coarse)
        self.decode = nn.ModuleList(ResBlock2d(a + b, a) for a, b in pairs)
        self.dense = _dense_head(fine, nn.Conv2d(fine, 4 * 4, 3, padding=1))
        self.layout = None
        if config.layout_blocks:
            self.layout = LayoutHead(fine, coarse, blocks=config.layout_blocks)
        self.latitude = _latitude_head(coarse) if config.latitude else None
        self.backbone = Backbone(w) if config.backbone else None
        # Own mask and coarse relief join the stem's six channels; both layers start at zero, where
        # a close look changes nothing.
        self.closer = None
        self.relief = None
        if config.close:
            self.closer = zero_init(nn.Conv2d(2, fine, 4, stride=2, padding=1))
            self.relief = _dense_head(fine, zero_init(nn.Conv2d(fine, 4, 3, padding=1)))

    def _positions(self, size: torch.Size) -> Tensor:
        """Position embedding of a grid of tokens; another picture size than the configured one
        stretches it.
        """
        side = round(self.pos_emb.shape[1] ** 0.5)
        if size[0] == side:
            return self.pos_emb
        stretched = F.interpolate(
            to_grid(self.pos_emb, (side, side)), size=tuple(size), mode="bilinear"
        )
        return to_tokens(stretched)

    def _features(self, h: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the stem, and the colours (B, 3, S, S) of its picture -> fine features
        (B, F, S / 2, S / 2) and coarse tokens (B, T, C).
        """
        skips = []
        added = self.backbone(colours) if self.backbone is not None else None
        for level, (block, deeper) in enumerate(zip(self.encode, self.deeper)):
            if level > 0:
                h = self.down[level - 1](h)
            if added is not None:
                h = h + added[level]
            h = deeper(block(h))
            skips.append(h)
        size = h.shape[-2:]
        tokens = to_tokens(h) + self._positions(size)
        for block in self.blocks:
            tokens = block(tokens)
        h = to_grid(tokens, size)
        for block, skip in zip(reversed(self.decode), reversed(skips[:-1])):
            h = F.interpolate(h, scale_factor=2.0, mode="bilinear")
            h = block(torch.cat([skip, h], dim=1))
        return h, tokens

    def forward(
        self,
        picture: Tensor,
        labels: Tensor | None = None,
        windows: Windows | None = None,
        count: int | None = None,
    ) -> Geometry:
        """picture: (B, channels, S, S), S a multiple of 16; labels: (B, S, S) int64, needed for
        boxes and windows, 0 = no object; count: number of boxes, at least the greatest label
        (``None``: that one, for which a device has to be waited for).
        """
        h, tokens = self._features(self.stem(picture), picture[:, :3])
        summary = torch.cat([tokens.mean(1), tokens.amax(1)], dim=-1)
        camera = self.camera(summary).float()
        dense = F.pixel_shuffle(self.dense(h), 2).float()
        depth = dense[:, 0]
        boxes = None
        if self.layout is not None and labels is not None:
            count = int(labels.max()) if count is None else count
            if count:
                boxes = self.layout(h, tokens, lift_points(depth, camera), camera, labels, count)
        latitude = None
        if self.latitude is not None:
            side = picture.shape[-1] // 2 ** len(self.config.widths)
            latitude = self.latitude(tokens).float()[..., 0].unflatten(1, (side, side))
        geometry = Geometry(depth, unit(dense[:, 1:]), camera, boxes, latitude)
        if windows is None or self.relief is None or labels is None:
            return geometry
        closer = self.look_closely(depth.detach(), camera.detach(), labels, windows)
        return replace(geometry, **closer)

    def look_closely(
        self,
        depth: Tensor,
        camera: Tensor,
        labels: Tensor,
        windows: Windows,
    ) -> dict[str, Tensor]:
        """``relief`` and ``close_normal`` of windows, from what ``forward`` says of whole pictures.
        Only with ``config.close``.
        """
        coarse = coarse_relief(depth, camera, labels, windows)
        pictures, mask = windows.pictures.split([6, 1], dim=2)
        flat = pictures.flatten(0, 1)
        seen = torch.cat([mask, coarse[:, :, None].to(mask.dtype)], dim=2)
        closer = present(self.closer, "close look")
        stem = self.stem(flat) + closer(seen.flatten(0, 1))
        h, _ = self._features(stem, flat[:, :3])
        normal = unit(F.pixel_shuffle(self.dense(h), 2)[:, 1:].float())
        finer = F.pixel_shuffle(present(self.relief, "close look")(h), 2).float()[:, 0]
        batch = coarse.shape[:2]
        return {
            "relief": centred(coarse + finer.unflatten(0, batch), windows.own),
            "close_normal": normal.unflatten(0, batch),
        }
