"""Blocks that networks are made of: the modulated transformer block, and 2D/3D convolution blocks with channel norms.

Shapes: (B, L, C) for tokens, (B, C, ...) for grids.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.nn.attention import CrossAttention, SelfAttention


class FeedForward(nn.Module):
    """Linear, tanh-GELU, Linear."""

    def __init__(self, width: int, ratio: float = 4.0):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, int(width * ratio)), nn.GELU(approximate="tanh"), nn.Linear(int(width * ratio), width))

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        return self.mlp(x_BLC)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and feed-forward without modulation, for encoders."""

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, mlp_ratio)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        x_BLC = x_BLC + self.attn(self.norm1(x_BLC))
        return x_BLC + self.mlp(self.norm2(x_BLC))


class ModulatedCrossBlock(nn.Module):
    """DiT block of the published structure flow: modulated self-attention, plain cross-attention, modulated feed-forward.

    ``share_modulation`` moves the modulation's linear layer to the network, which then passes its (B, 6 C) output in.
    """

    def __init__(self, width: int, context_width: int, heads: int, mlp_ratio: float = 4.0, qk_norm: bool = True,
                 share_modulation: bool = False):  # fmt: skip
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.norm3 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.self_attn = SelfAttention(width, heads, qk_norm)
        self.cross_attn = CrossAttention(width, context_width, heads)
        self.mlp = FeedForward(width, mlp_ratio)
        if not share_modulation:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.share_modulation = share_modulation

    def forward(self, x_BLC: Tensor, modulation: Tensor, context_BMC: Tensor, scene_of: Tensor | None = None) -> Tensor:
        """(B, L, C); ``modulation`` is (B, C), or (B, 6 C) when shared; ``scene_of`` as in scene_context_attention."""
        chunks = modulation if self.share_modulation else self.adaLN_modulation(modulation)
        shift1, scale1, gate1, shift2, scale2, gate2 = chunks[:, None].chunk(6, dim=-1)
        x_BLC = x_BLC + gate1 * self.self_attn(self.norm1(x_BLC) * (1 + scale1) + shift1, scene_of)
        x_BLC = x_BLC + self.cross_attn(self.norm2(x_BLC), context_BMC)
        return x_BLC + gate2 * self.mlp(self.norm3(x_BLC) * (1 + scale2) + shift2)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, ...) grids, in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape and dtype."""
        return super().forward(x.movedim(1, -1).float()).movedim(-1, 1).to(x.dtype)


class ResBlock3d(nn.Module):
    """x + conv(silu(norm(conv(silu(norm x))))), the residual block of the published structure VAE."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = ChannelNorm(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> the same shape."""
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class ResBlock2d(nn.Module):
    """Residual block of the image networks: group norm, two 3x3 convolutions, optional change of channels."""

    def __init__(self, channels_in: int, channels: int, groups: int = 8):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Identity() if channels_in == channels else nn.Conv2d(channels_in, channels, 1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H, W)."""
        return self.skip(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


def space_to_depth(x: Tensor, patch: int) -> Tensor:
    """(B, C, pX, pY, pZ) -> (B, C p^3, X, Y, Z), channels ordered (c, px, py, pz)."""
    b, c, *size = x.shape
    x = x.reshape(b, c, size[0] // patch, patch, size[1] // patch, patch, size[2] // patch, patch)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * patch**3, *(s // patch for s in size))


def depth_to_space(x: Tensor, patch: int) -> Tensor:
    """(B, C p^3, X, Y, Z) -> (B, C, pX, pY, pZ): the inverse of ``space_to_depth`` (3D pixel shuffle)."""
    b, c, *size = x.shape
    x = x.reshape(b, c // patch**3, patch, patch, patch, *size)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // patch**3, *(s * patch for s in size))


def zero_init(module: nn.Linear | nn.Conv2d | nn.Conv3d) -> nn.Module:
    """Set weight and bias to zero, so that a block or head starts as nothing."""
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    return module
