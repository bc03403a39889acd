"""The one attention primitive of maquette: queries of group A over the keys and values of A and of further groups.

Shapes: B sequences, H heads, L tokens, D channels per head, C = H * D.
Self-attention, cross-attention, scene-context attention (I-Scene, section 3.2) and multi-instance attention (MIDI, section 3.2)
are the same call with other key groups. Layout and normalisation follow the published structure flow (``to_qkv`` is [3, H, D]).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attend(query_BHLD: Tensor, keys_BHLD: Sequence[Tensor], values_BHLD: Sequence[Tensor]) -> Tensor:
    """softmax(Q [K_1; K_2; ...]^T / sqrt(D)) [V_1; V_2; ...] -> (B, H, L, D). The groups may differ in length."""
    keys = keys_BHLD[0] if len(keys_BHLD) == 1 else torch.cat(tuple(keys_BHLD), dim=2)
    values = values_BHLD[0] if len(values_BHLD) == 1 else torch.cat(tuple(values_BHLD), dim=2)
    return F.scaled_dot_product_attention(query_BHLD, keys, values)


def scene_context_attention(query: Tensor, key: Tensor, value: Tensor, scene_of: Tensor) -> Tensor:
    """Scene-context attention (I-Scene, eq. 3): sequence b also sees the tokens of sequence ``scene_of[b]``.

    query, key, value: (B, H, L, D) of all sequences, instances and scenes alike, projected by the same weights.
    scene_of: (B,) int64, the row of each sequence's scene branch; -1 for sequences that only see themselves (the scene
    branches, and independent instances), which therefore get plain self-attention.
    """
    context = scene_of >= 0
    if not bool(context.any()):
        return attend(query, [key], [value])
    scene = scene_of[context]
    with_context = attend(query[context], [key[context], key[scene]], [value[context], value[scene]])
    if bool(context.all()):
        return with_context
    out = torch.empty_like(query)
    out[context] = with_context
    out[~context] = attend(query[~context], [key[~context]], [value[~context]])
    return out


class MultiHeadRMSNorm(nn.Module):
    """x / ||x|| * sqrt(D) * gamma with one gamma (H, D) per head, in float32 (query-key normalisation)."""

    def __init__(self, heads: int, head_width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, head_width))

    def forward(self, x_BLHD: Tensor) -> Tensor:
        """(B, L, H, D) -> the same shape and dtype."""
        normed = F.normalize(x_BLHD.float(), dim=-1) * self.gamma * x_BLHD.shape[-1] ** 0.5
        return normed.to(x_BLHD.dtype)


class SelfAttention(nn.Module):
    """Self-attention with optional query-key RMS norm; ``scene_of`` turns it into scene-context attention, same weights."""

    def __init__(self, width: int, heads: int, qk_norm: bool = True):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.q_rms_norm = MultiHeadRMSNorm(heads, width // heads) if qk_norm else nn.Identity()
        self.k_rms_norm = MultiHeadRMSNorm(heads, width // heads) if qk_norm else nn.Identity()
        self.to_out = nn.Linear(width, width)

    def forward(self, x_BLC: Tensor, scene_of: Tensor | None = None) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        query, key, value = self.to_qkv(x_BLC).unflatten(-1, (3, self.heads, -1)).unbind(2)
        query, key, value = (y.transpose(1, 2) for y in (self.q_rms_norm(query), self.k_rms_norm(key), value))
        if scene_of is None:
            out = attend(query, [key], [value])
        else:
            out = scene_context_attention(query, key, value, scene_of)
        return self.to_out(out.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Queries of the sequence over context tokens of another width; no normalisation of queries and keys."""

    def __init__(self, width: int, context_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(context_width, 2 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x_BLC: Tensor, context_BMC: Tensor) -> Tensor:
        """(B, L, C) and (B, M, context width) -> (B, L, C)."""
        query = self.to_q(x_BLC).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.to_kv(context_BMC).unflatten(-1, (2, self.heads, -1)).unbind(2)
        out = attend(query, [key.transpose(1, 2)], [value.transpose(1, 2)])
        return self.to_out(out.transpose(1, 2).flatten(2))
