"""Blocks that networks are made of: the modulated transformer block, and 2D/3D convolution blocks
with channel norms.

Shapes: (B, L, C) for tokens, (B, C, ...) for grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maquette.errors import present
from maquette.nn.attention import (
    AttentionPlan,
    Context,
    CrossAttention,
    QKNorm,
    SelfAttention,
    Tokens,
)
from maquette.nn.layers import Layers, zero_init


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of OpenAI's CLIP."""

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Each number for itself."""
        return x * torch.sigmoid(1.702 * x)


# Three published families, three kinds of GELU.
Activation = Literal["gelu_tanh", "gelu", "quick_gelu"]


def activation_module(name: Activation) -> nn.Module:
    """The activation of a feed-forward layer; "gelu" is the exact one."""
    if name == "quick_gelu":
        return QuickGELU()
    return nn.GELU("tanh" if name == "gelu_tanh" else "none")


class FeedForward(nn.Module):
    """Linear, GELU (by default its tanh approximation), Linear."""

    def __init__(
        self,
        width: int,
        ratio: float = 4.0,
        activation: Activation = "gelu_tanh",
    ):
        super().__init__()
        hidden = int(width * ratio)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), activation_module(activation), nn.Linear(hidden, width)
        )

    def forward(self, x_BLC: Tokens) -> Tokens:
        """Each token for itself."""
        return self.mlp(x_BLC)


class LayerNorm(nn.LayerNorm):
    """Layer norm whose weights may be of higher precision than its input, as in released
    half-precision models.

    The kernels take means and variances in float32 whatever the input, so only the weights are
    rounded to the input's type.
    """

    def forward(self, x: Float[Tensor, "*any C"]) -> Float[Tensor, "*any C"]:
        """The same dtype."""
        if self.weight is None or self.weight.dtype == x.dtype:
            return super().forward(x)
        weight = self.weight.to(x.dtype)
        bias = self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and feed-forward without modulation, for encoders; optionally with a
    learnt scale of each branch.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float = 4.0,
        qk_norm: QKNorm | None = "head",
        eps: float = 1e-5,
        activation: Activation = "gelu_tanh",
        layer_scale: bool = False,
        affine: bool = True,
    ):
        super().__init__()
        self.norm1 = LayerNorm(width, eps=eps, elementwise_affine=affine)
        self.attn = SelfAttention(width, heads, qk_norm)
        self.norm2 = LayerNorm(width, eps=eps, elementwise_affine=affine)
        self.mlp = FeedForward(width, mlp_ratio, activation)
        self.scale1 = nn.Parameter(torch.ones(width)) if layer_scale else None
        self.scale2 = nn.Parameter(torch.ones(width)) if layer_scale else None

    def forward(self, x_BLC: Tokens, plan: AttentionPlan | None = None) -> Tokens:
        """``plan`` as in SelfAttention."""
        x_BLC = x_BLC + _scaled(self.scale1, self.attn(self.norm1(x_BLC), plan))
        return x_BLC + _scaled(self.scale2, self.mlp(self.norm2(x_BLC)))


def _scaled(scale: Tensor | None, branch: Tensor) -> Tensor:
    """A branch times its layer scale, if it has one."""
    return branch if scale is None else scale.to(branch.dtype) * branch


def modulation_layer(width: int) -> nn.Sequential:
    """Embedded noise levels (B, C) -> (B, 6 C) shifts, scales and gates of a modulated block."""
    return nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))


class ModulatedCrossBlock(nn.Module):
    """DiT block of the published structure flow: modulated self-attention, plain cross-attention,
    modulated feed-forward.

    ``share_modulation`` moves the modulation's linear layer to the network.
    """

    def __init__(
        self,
        width: int,
        context_width: int,
        heads: int,
        mlp_ratio: float = 4.0,
        qk_norm: bool = True,
        share_modulation: bool = False,
        qk_norm_cross: bool = False,
    ):
        super().__init__()
        self.norm1 = LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.norm2 = LayerNorm(width, eps=1e-6)
        self.norm3 = LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.self_attn = SelfAttention(width, heads, "head" if qk_norm else None)
        self.cross_attn = CrossAttention(
            width, context_width, heads, "head" if qk_norm_cross else None
        )
        self.mlp = FeedForward(width, mlp_ratio)
        self.adaLN_modulation = None if share_modulation else modulation_layer(width)

    def modulation(self, embedded_BC: Float[Tensor, "B C"]) -> Float[Tensor, "B 6*C"]:
        """Shifts, scales and gates of an embedded noise level; the same for all steps of equal
        noise level.
        """
        return present(self.adaLN_modulation, "modulation of each block")(embedded_BC)

    def forward(
        self,
        x_BLC: Tokens,
        modulation: Float[Tensor, "#B 6*C"],
        context: Float[Tensor, "B M context"] | Context,
        plan: AttentionPlan | None = None,
    ) -> Tokens:
        """``context`` as in CrossAttention; ``plan`` as in SelfAttention."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation[:, None].chunk(6, dim=-1)
        x_BLC = x_BLC + gate1 * self.self_attn(self.norm1(x_BLC) * (1 + scale1) + shift1, plan)
        x_BLC = x_BLC + self.cross_attn(self.norm2(x_BLC), context)
        return x_BLC + gate2 * self.mlp(self.norm3(x_BLC) * (1 + scale2) + shift2)


class VectorSetBlock(nn.Module):
    """Block of the vector-set family: pre-norm self-attention, cross-attention to each of several
    contexts, feed-forward.

    All cross-attentions read the same tokens and their outputs are added. No modulation, no
    positions: a noise level enters as a token. A ``skip`` block first joins the output of an
    earlier block: norm(linear([earlier, tokens])), in this order.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        contexts: Sequence[int] = (),
        attend_self: bool = True,
        qk_norm: QKNorm | None = "shared",
        skip: bool = False,
        norm_context: bool = False,
    ):
        super().__init__()
        self.skip_linear = nn.Linear(2 * width, width) if skip else None
        self.skip_norm = LayerNorm(width) if skip else nn.Identity()
        self.norm1 = LayerNorm(width) if attend_self else nn.Identity()
        self.self_attn = SelfAttention(width, heads, qk_norm, bias=False) if attend_self else None
        self.cross_norms: Layers[LayerNorm] = Layers(LayerNorm(width) for _ in contexts)
        self.context_norms: Layers[nn.Module] = Layers(
            LayerNorm(context) if norm_context else nn.Identity() for context in contexts
        )
        self.cross_attns: Layers[CrossAttention] = Layers(
            CrossAttention(width, context, heads, qk_norm, bias=False) for context in contexts
        )
        self.norm3 = LayerNorm(width)
        self.mlp = FeedForward(width, 4.0, "gelu")

    def prepare(
        self,
        contexts: Sequence[Float[Tensor, "_ _ _"] | None],
        singles: Sequence[Float[Tensor, "_ 1 _"] | None],
    ) -> list[Context]:
        """One prepared context for each cross-attention; see CrossAttention.prepare."""
        prepared = []
        layers = zip(self.context_norms, self.cross_attns)
        for (norm, attention), context, single in zip(layers, contexts, singles):
            tokens = None if context is None else norm(context)
            token = None if single is None else norm(single)
            prepared.append(attention.prepare(tokens, token))
        return prepared

    def forward(
        self,
        x_BLC: Tokens,
        contexts: Sequence[Float[Tensor, "B _ _"] | Context] = (),
        plan: AttentionPlan | None = None,
        skipped: Tokens | None = None,
    ) -> Tokens:
        """``contexts`` one for each cross-attention, tokens or prepared; ``skipped`` the earlier
        block's output.
        """
        if self.skip_linear is not None:
            if skipped is None:
                raise ValueError("a block with a skip needs the output of the earlier block")
            x_BLC = self.skip_norm(self.skip_linear(torch.cat([skipped, x_BLC], dim=-1)))
        if self.self_attn is not None:
            x_BLC = x_BLC + self.self_attn(self.norm1(x_BLC), plan)
        tokens = x_BLC
        layers = zip(self.cross_norms, self.context_norms, self.cross_attns)
        for (norm, norm_context, attention), context in zip(layers, contexts):
            if isinstance(context, Tensor):
                context = norm_context(context)
            x_BLC = x_BLC + attention(norm(tokens), context)
        return x_BLC + self.mlp(self.norm3(x_BLC))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, ...) grids, in float32."""

    def forward(self, x: Float[Tensor, "B C *cells"]) -> Float[Tensor, "B C *cells"]:
        """The same dtype."""
        normed = super().forward(x.movedim(1, -1).float())
        return normed.movedim(-1, 1).to(x.dtype)


class ResBlock3d(nn.Module):
    """x + conv(silu(norm(conv(silu(norm x))))): the residual block of the published structure
    VAE.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = ChannelNorm(channels)
        self.conv2 = zero_init(nn.Conv3d(channels, channels, 3, padding=1))

    def forward(self, x: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C X Y Z"]:
        """Features of the same cells."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution, in training as a matrix product: the gradient in bfloat16 on a CPU then
    takes a tenth of oneDNN's time.

    Not without gradients: two networks of equal weights must say the same bit for bit, and matrix
    products do not.
    """

    def __init__(self, channels_in: int, channels: int):
        super().__init__(channels_in, channels, 1)

    def forward(self, x: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B C H W"]:
        """Features of the same pixels."""
        if self.bias is None or not torch.is_grad_enabled():
            return super().forward(x)
        product = self.weight.flatten(1) @ x.flatten(2)
        return product.unflatten(2, x.shape[2:]) + self.bias[:, None, None]


class ResBlock2d(nn.Module):
    """Residual block of the image networks: group norm, two 3x3 convolutions, optional change of
    channels.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        groups: int = 8,
    ):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = zero_init(nn.Conv2d(channels, channels, 3, padding=1))
        same = channels_in == channels
        self.skip = nn.Identity() if same else PointwiseConv2d(channels_in, channels)

    def forward(self, x: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B C H W"]:
        """Features of the same pixels."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(hidden)))


def space_to_depth(
    x: Float[Tensor, "B C _ _ _"], patch: int
) -> Float[Tensor, "B C*{patch}**3 X Y Z"]:
    """(B, C, pX, pY, pZ) -> (B, C p^3, X, Y, Z), channels ordered (c, px, py, pz)."""
    for axis in (2, 4, 6):
        x = x.unflatten(axis, (-1, patch))
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def depth_to_space(
    x: Float[Tensor, "B _ X Y Z"], patch: int
) -> Float[Tensor, "B C {patch}*X {patch}*Y {patch}*Z"]:
    """(B, C p^3, X, Y, Z) -> (B, C, pX, pY, pZ): the inverse of ``space_to_depth`` (3D pixel
    shuffle).
    """
    folded = x.unflatten(1, (-1, patch, patch, patch))
    x = folded.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def to_tokens(grid: Float[Tensor, "B C *cells"]) -> Tokens:
    """One token for each cell, in row order."""
    return grid.flatten(2).transpose(1, 2)


def to_grid(tokens: Tokens, size: Sequence[int]) -> Float[Tensor, "B C *size"]:
    """The inverse of ``to_tokens``."""
    return tokens.transpose(1, 2).unflatten(2, tuple(size))


def without_weights(tokens: Float[Tensor, "*any C"]) -> Float[Tensor, "*any C"]:
    """Layer norm of tokens without weights."""
    return F.layer_norm(tokens, tokens.shape[-1:])
