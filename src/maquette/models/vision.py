"""Vision transformers whose tokens condition the published models: DINOv2 (with or without
registers, 3 or 7 channels) and CLIP.

In the flow: normalised pictures -> tokens [class, registers, patches in row order]. One network
serves both families; they differ in a few switches of the configuration (CLIP: norm before the
blocks, quick GELU, no layer scale, a projection of the class token). Sources: DINOv2 (arXiv
2304.07193), registers (arXiv 2309.16588), CLIP (arXiv 2103.00020). Shapes: B pictures, H x W
pixels, h x w patches, C width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.errors import present
from maquette.nn.blocks import (
    Activation,
    LayerNorm,
    TransformerBlock,
    to_grid,
    to_tokens,
    without_weights,
)
from maquette.nn.devices import sent
from maquette.nn.layers import matrix_dtype, repeated

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionConfig:
    """Sizes and switches; the defaults are DINOv2 ViT-L/14 with four registers."""

    image_size: int = 518  # pixels of a side that the position embedding was trained for
    patch: int = 14
    channels: int = 3
    width: int = 1024
    blocks: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    registers: int = 4
    eps: float = 1e-6  # of all norms
    activation: Activation = "gelu"
    layer_scale: bool = True
    # CLIP: a norm before the first block, and no bias in the patch convolution
    norm_first: bool = False
    projection: int | None = None  # CLIP: width of the projected class token
    # when the position embedding is stretched to another picture size; transformers' DINOv2 has
    # False
    antialias: bool = True
    # patches that the stretched embedding is thought to be larger, as DINOv2 without registers has
    # it: 0.1
    stretch_offset: float = 0.0

    @property
    def patches(self) -> int:
        """Patches of a square picture of the trained size."""
        return (self.image_size // self.patch) ** 2

    @property
    def tokens(self) -> int:
        """Tokens of a square picture of the trained size."""
        return 1 + self.registers + self.patches


def clip_config(
    width: int = 1024,
    blocks: int = 24,
    heads: int = 16,
    image_size: int = 224,
    projection: int = 768,
    mlp_ratio: float = 4.0,
    activation: Activation = "quick_gelu",
    patch: int = 14,
) -> VisionConfig:
    """CLIP's image tower with projection; the defaults are OpenAI's ViT-L/14."""
    return VisionConfig(
        image_size=image_size,
        patch=patch,
        width=width,
        blocks=blocks,
        heads=heads,
        mlp_ratio=mlp_ratio,
        registers=0,
        eps=1e-5,
        activation=activation,
        layer_scale=False,
        norm_first=True,
        projection=projection,
    )


class VisionTransformer(nn.Module):
    """See the module docstring."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = c = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.width))
        self.register_tokens = None
        if c.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, c.registers, c.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + c.patches, c.width))
        self.patch_embed = nn.Conv2d(
            c.channels, c.width, c.patch, stride=c.patch, bias=not c.norm_first
        )
        self.norm_before = LayerNorm(c.width, eps=c.eps) if c.norm_first else None
        sizes = (c.width, c.heads, c.mlp_ratio)
        self.blocks = repeated(
            c.blocks,
            TransformerBlock,
            *sizes,
            qk_norm=None,
            eps=c.eps,
            activation=c.activation,
            layer_scale=c.layer_scale,
        )
        self.norm = LayerNorm(c.width, eps=c.eps)
        self.projection = nn.Linear(c.width, c.projection, bias=False) if c.projection else None

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) normalised, sides multiples of the patch -> (B, 1 + registers + h w,
        C), before the last norm.
        """
        return self.after(images, [len(self.blocks) - 1])[0]

    def after(self, images: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """The same after each of some blocks, by their ascending numbers."""
        images = images.to(self.patch_embed.weight.dtype)
        patches = self.patch_embed(images)
        class_token = self.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat([class_token, to_tokens(patches)], dim=1)
        square = images.shape[-2] == images.shape[-1]
        tokens = tokens + self.positions(patches.shape[-2:], square)
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        if self.norm_before is not None:
            tokens = self.norm_before(tokens)
        tokens = tokens.to(matrix_dtype(self.blocks))
        found = []
        for number, block in enumerate(self.blocks):
            tokens = block(tokens)
            if number in wanted:
                found.append(tokens.to(self.norm.weight.dtype))
        return found

    def positions(self, grid: Sequence[int], square: bool = True) -> Tensor:
        """(1, 1 + h w, C) position embedding, stretched (bicubic, in float32) unless the picture
        has the trained size.
        """
        side = int(self.config.patches**0.5)
        if square and tuple(grid) == (side, side):
            return self.pos_embed
        first, of_patches = self.pos_embed.split([1, self.config.patches], dim=1)
        offset = self.config.stretch_offset
        wanted: dict[str, Any] = {"size": tuple(grid)}
        if offset:
            wanted = {"scale_factor": tuple((length + offset) / side for length in grid)}
        stretched = F.interpolate(
            to_grid(of_patches.float(), (side, side)),
            mode="bicubic",
            antialias=self.config.antialias,
            **wanted,
        )
        return torch.cat([first, to_tokens(stretched).to(first.dtype)], dim=1)

    def normed(self, images: Tensor) -> Tensor:
        """(B, tokens, C) after the last norm (transformers' ``last_hidden_state``)."""
        return self.norm(self(images))

    def summary(self, images: Tensor) -> Tensor:
        """(B, projection) the projected class token (CLIP's image embedding)."""
        return present(self.projection, "projection")(self.norm(self(images)[:, 0]))


def trellis_tokens(encoder: VisionTransformer, images: Tensor) -> Tensor:
    """(B, tokens, C) condition of TRELLIS and I-Scene from colours in [0, 1]: tokens before the
    last norm, then a norm without weights.
    """
    return without_weights(encoder(normalise_colours(images)))


def normalise_colours(
    images: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """Subtract the mean and divide by the deviation of every full group of three channels; channels
    left over pass unchanged.

    images: (B, channels, H, W) in [0, 1].
    """
    groups = images.shape[1] // 3
    table = torch.tensor([mean, std], dtype=images.dtype).repeat(1, groups)[..., None, None]
    shift, scale = sent(table, images.device)
    colours = (images[:, : 3 * groups] - shift) / scale
    return torch.cat([colours, images[:, 3 * groups :]], dim=1)


def widened_patches(weight: Tensor, channels: int) -> Tensor:
    """(C, channels, p, p) patch weights for more input channels: copies of the three colours'
    weights, one after the other.
    """
    copies = -(-channels // weight.shape[1])
    return weight.repeat(1, copies, 1, 1)[:, :channels]
