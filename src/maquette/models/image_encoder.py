"""Image networks: a small encoder of pictures into tokens, and the dense head that reads depth,
normals and the camera off a photo.

In the flow: photo and masks -> (a) picture tokens that the generator attends to, (b) the depth map
and camera that lift visible surfaces into the scene frame. Convolutions first, a few transformer
blocks at the coarsest level, then (b) a U-shaped decoder. The same layers look at every object once
more in a window of its own (relief.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.models.layout import LayoutHead, lift_points
from maquette.models.relief import Windows, centred, coarse_relief
from maquette.nn.blocks import ResBlock2d, TransformerBlock, zero_init


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
        widths = (config.channels, *config.widths, config.width)
        layers: list[nn.Module] = []
        for a, b in zip(widths[:-1], widths[1:]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.SiLU()]
        self.stem = nn.Sequential(*layers)
        self.pos_emb = nn.Parameter(0.02 * torch.randn(1, config.tokens, config.width))
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, picture: Tensor) -> Tensor:
        """Tokens of a picture with colours in [-1, 1] and masks in {0, 1}."""
        h = self.stem(picture).flatten(2).transpose(1, 2) + self.pos_emb
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


@dataclass(frozen=True)
class GeometryNetConfig:
    """Sizes of the depth and camera network."""

    size: int = 128  # pixels of the square, letterboxed photo
    channels: int = 6  # RGB, any object, outline between objects, inside the photo (letterbox)
    widths: tuple[int, ...] = (24, 48, 96, 160)  # at strides 2, 4, 8, 16
    deeper: tuple[int, ...] = (
        0,
        0,
        0,
        0,
    )  # residual blocks per stride after the first one; at coarse strides they cost little
    blocks: int = 4  # transformer blocks at stride 16
    heads: int = 4
    layout_blocks: int = (
        0  # transformer blocks over the instances that estimate their boxes; 0 = no boxes
    )
    # each coarse token also says how far above the horizon it looks; only training asks for it
    latitude: bool = False
    close: int = (
        0  # pixels of the square window in which it looks at one object once more; 0 = it does not
    )


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
    boxes: (
        Tensor | None
        # (B, N, 2, 3) scene frame, hidden parts included, row k = label k + 1; rows of absent labels
        # mean nothing
    )
    latitude: Tensor | None = (
        None  # (B, S / 16, S / 16) sine of the angle of each coarse pixel's ray above the horizon
    )
    relief: Tensor | None = (
        # (B, K, P, P) log depth of each window less the object's mean, over the window's width at
        # distance 1
        None
    )
    close_normal: Tensor | None = None  # (B, K, 3, P, P) as ``normal``


def unit(vectors: Tensor, least: float = 1e-6) -> Tensor:
    """Vectors (B, C, ...) of length 1. What ``F.normalize`` does, which takes far longer over a
    dimension that is not the last one.
    """
    return (
        vectors
        * sum(part.square() for part in vectors.unbind(1)).clamp(min=least**2).rsqrt()[:, None]
    )


class GeometryNet(nn.Module):
    """Photo and masks -> log relative depth, normals, camera, and a box for each instance."""

    def __init__(self, config: GeometryNetConfig):
        super().__init__()
        self.config = config
        w = config.widths
        self.stem = nn.Conv2d(config.channels, w[0], 4, stride=2, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(w[:-1], w[1:]))
        self.encode = nn.ModuleList(ResBlock2d(width, width) for width in w)
        self.deeper = nn.ModuleList(
            nn.Sequential(*(ResBlock2d(a, a) for _ in range(n))) for a, n in zip(w, config.deeper)
        )
        tokens = (config.size // 2 ** len(w)) ** 2
        self.pos_emb = nn.Parameter(0.02 * torch.randn(1, tokens, w[-1]))
        self.blocks = nn.ModuleList(
            TransformerBlock(w[-1], config.heads) for _ in range(config.blocks)
        )
        head = zero_init(nn.Linear(128, CAMERA_PARAMETERS))
        self.camera = nn.Sequential(
            nn.LayerNorm(2 * w[-1]), nn.Linear(2 * w[-1], 128), nn.SiLU(), head
        )
        self.decode = nn.ModuleList(ResBlock2d(a + b, a) for a, b in zip(w[:-1], w[1:]))
        self.dense = nn.Sequential(
            nn.GroupNorm(8, w[0]), nn.SiLU(), nn.Conv2d(w[0], 4 * 4, 3, padding=1)
        )
        self.layout = (
            LayoutHead(w[0], w[-1], blocks=config.layout_blocks) if config.layout_blocks else None
        )
        self.latitude = (
            nn.Sequential(nn.LayerNorm(w[-1]), zero_init(nn.Linear(w[-1], 1)))
            if config.latitude
            else None
        )
        # Own mask and coarse relief join the stem's six channels; both layers start at zero, where
        # a close look changes nothing.
        self.closer = (
            zero_init(nn.Conv2d(2, w[0], 4, stride=2, padding=1)) if config.close else None
        )
        self.relief = (
            nn.Sequential(
                nn.GroupNorm(8, w[0]), nn.SiLU(), zero_init(nn.Conv2d(w[0], 4, 3, padding=1))
            )
            if config.close
            else None
        )

    def _positions(self, size: torch.Size) -> Tensor:
        """Position embedding of a grid of tokens; another picture size than the configured one
        stretches it.
        """
        side = round(self.pos_emb.shape[1] ** 0.5)
        if size[0] == side:
            return self.pos_emb
        grid = self.pos_emb.transpose(1, 2).unflatten(2, (side, side))
        return (
            F.interpolate(grid, size=tuple(size), mode="bilinear", align_corners=False)
            .flatten(2)
            .transpose(1, 2)
        )

    def _features(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the stem -> fine features (B, F, S / 2, S / 2) and coarse tokens (B, T, C)."""
        skips = []
        for level, block in enumerate(self.encode):
            h = self.deeper[level](block(h if level == 0 else self.down[level - 1](h)))
            skips.append(h)
        size = h.shape[-2:]
        tokens = h.flatten(2).transpose(1, 2) + self._positions(size)
        for block in self.blocks:
            tokens = block(tokens)
        h = tokens.transpose(1, 2).unflatten(2, size)
        for level in reversed(range(len(self.decode))):
            h = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
            h = self.decode[level](torch.cat([skips[level], h], dim=1))
        return h, tokens

    def forward(
        self, picture: Tensor, labels: Tensor | None = None, windows: Windows | None = None
    ) -> Geometry:
        """picture: (B, channels, S, S), S a multiple of 16; labels: (B, S, S) int64, needed for
        boxes and windows, 0 = no object.
        """
        h, tokens = self._features(self.stem(picture))
        camera = self.camera(torch.cat([tokens.mean(1), tokens.amax(1)], dim=-1)).float()
        side = picture.shape[-1] // 2 ** len(self.config.widths)
        latitude = (
            None
            if self.latitude is None
            else self.latitude(tokens).float().squeeze(-1).unflatten(1, (side, side))
        )
        dense = F.pixel_shuffle(self.dense(h), 2).float()
        boxes = None
        count = int(labels.max()) if labels is not None else 0
        if self.layout is not None and count:
            boxes = self.layout(h, tokens, lift_points(dense[:, 0], camera), camera, labels, count)
        geometry = Geometry(dense[:, 0], unit(dense[:, 1:]), camera, boxes, latitude)
        if windows is None or self.relief is None or labels is None:
            return geometry
        return replace(
            geometry, **self.look_closely(geometry.depth.detach(), camera.detach(), labels, windows)
        )

    def look_closely(
        self, depth: Tensor, camera: Tensor, labels: Tensor, windows: Windows
    ) -> dict[str, Tensor]:
        """``relief`` and ``close_normal`` of windows, from what ``forward`` says of whole pictures.
        Only with ``config.close``.
        """
        coarse = coarse_relief(depth, camera, labels, windows)
        seen = torch.cat(
            [windows.pictures[:, :, 6:7], coarse[:, :, None].to(windows.pictures.dtype)], dim=2
        ).flatten(0, 1)
        h, _ = self._features(
            self.stem(windows.pictures[:, :, :6].flatten(0, 1)) + self.closer(seen)
        )
        normal = unit(F.pixel_shuffle(self.dense(h), 2)[:, 1:].float())
        relief = coarse + F.pixel_shuffle(self.relief(h), 2).float()[:, 0].unflatten(
            0, coarse.shape[:2]
        )
        return {
            "relief": centred(relief, windows.own),
            "close_normal": normal.unflatten(0, coarse.shape[:2]),
        }
