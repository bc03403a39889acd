"""The one attention primitive of maquette: queries of group A over the keys and values of A and of
further groups.

Shapes: B sequences, H heads, L tokens, M context tokens, D channels per head, C = H * D. Whose
tokens a sequence sees is a *plan*, a function of all sequences' queries, keys and values: none =
its own (self-attention), ``SceneContext`` = its own and those of its scene branch (I-Scene, section
3.2), ``Joint`` = those of all instances of its scene (MIDI, section 3.2). The weights are the same
in every plan. Layouts are the published structure flow's (``to_qkv`` is [3, H, D]).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QKNorm = Literal[
    "head", "shared"
]  # one gain per head and channel, or one per channel shared by all heads; None = no norm
Plan = Callable[
    [Tensor, Tensor, Tensor, "ExternalKeys | None"], Tensor
]  # query, key, value (B, H, L, D) -> (B, H, L, D)


SHORT = 128  # keys; see ``attend``


def attend(
    query_BHLD: Tensor,
    keys_BHLD: Sequence[Tensor],
    values_BHLD: Sequence[Tensor],
    seen: Tensor | None = None,
) -> Tensor:
    """softmax(Q [K_1; K_2; ...]^T / sqrt(D)) [V_1; V_2; ...] -> (B, H, L, D). The groups may differ
    in length.

    seen: bool, broadcast to (B, H, L, M), which keys each query sees; None = all.
    """
    keys = keys_BHLD[0] if len(keys_BHLD) == 1 else torch.cat(tuple(keys_BHLD), dim=2)
    values = values_BHLD[0] if len(values_BHLD) == 1 else torch.cat(tuple(values_BHLD), dim=2)
    if (
        query_BHLD.requires_grad
        and query_BHLD.device.type == "cpu"
        and query_BHLD.dtype == torch.bfloat16
        and keys.shape[2] <= SHORT
    ):
        # With so few keys the gradient of the fused kernel takes five times as long as that of this
        # (docs/log.md).
        logits = query_BHLD @ keys.transpose(-1, -2) * query_BHLD.shape[-1] ** -0.5
        return (logits if seen is None else logits.masked_fill(~seen, -torch.inf)).softmax(
            -1
        ) @ values
    return F.scaled_dot_product_attention(query_BHLD, keys, values, attn_mask=seen)


class ExternalKeys(nn.Module):
    """What the released I-Scene does to keys of other sequences: k' = (k + scale * tanh(bias)) *
    sigmoid(gate), per head.

    One gate and one bias per source (0 = the scene branch, 1 = the canonical crop); values are left
    alone. A closed gate does not remove a source: its logits become 0, so its values enter with
    equal weights. To switch a source off, do not show it.
    """

    def __init__(
        self,
        sources: int,
        heads: int,
        head_width: int,
        gate: bool = True,
        bias: bool = True,
        scale: float = 0.2,
    ):
        super().__init__()
        self.scale = scale
        self.ext_gate = nn.Parameter(torch.zeros(sources, heads)) if gate else None
        self.k_type_bias = nn.Parameter(torch.zeros(sources, heads, head_width)) if bias else None

    def forward(self, source: int, key_BHLD: Tensor) -> Tensor:
        """The keys as the queries of another sequence see them; same shape and dtype."""
        if self.k_type_bias is not None:
            key_BHLD = (
                key_BHLD
                + (self.scale * self.k_type_bias[source].float().tanh()).to(key_BHLD.dtype)[:, None]
            )
        if self.ext_gate is not None:
            key_BHLD = (
                key_BHLD * self.ext_gate[source].float().sigmoid().to(key_BHLD.dtype)[:, None, None]
            )
        return key_BHLD


@dataclass(frozen=True, eq=False)
class SceneContext:
    """Plan: sequence ``rows[i]`` also sees the sequences ``sources[i]``; all others see themselves
    only.
    """

    rows: Tensor  # (N,) int64, ascending
    others: Tensor  # (B - N,) int64, the sequences that are not in ``rows``
    sources: Tensor  # (N, S) int64

    @classmethod
    def of(cls, scene_of: Tensor) -> SceneContext:
        """From ``scene_of`` (B,) or (B, S): the sequences that each sequence also sees; -1 = it
        sees none.
        """
        sources = scene_of.reshape(len(scene_of), -1)
        sees = sources[:, 0] >= 0
        return cls(torch.nonzero(sees)[:, 0], torch.nonzero(~sees)[:, 0], sources[sees])

    def to(self, device: torch.device | str) -> SceneContext:
        """The same plan on a device; make it on the CPU first where the numbers of rows are known,
        nothing then waits for the device.
        """
        return SceneContext(self.rows.to(device), self.others.to(device), self.sources.to(device))

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, external: ExternalKeys | None = None
    ) -> Tensor:
        """Attention of all sequences, (B, H, L, D)."""
        if not len(self.rows):
            return attend(query, [key], [value])
        seen = [key[self.sources[:, j]] for j in range(self.sources.shape[1])]
        if external is not None:
            seen = [external(j, k) for j, k in enumerate(seen)]
        values = [value[self.sources[:, j]] for j in range(self.sources.shape[1])]
        with_context = attend(
            query[self.rows], [key[self.rows], *seen], [value[self.rows], *values]
        )
        if not len(self.others):
            return with_context
        out = torch.empty_like(query)
        out[self.rows] = with_context
        out[self.others] = attend(query[self.others], [key[self.others]], [value[self.others]])
        return out


def scene_context_attention(query: Tensor, key: Tensor, value: Tensor, scene_of: Tensor) -> Tensor:
    """Scene-context attention (I-Scene, eq. 3): sequence b also sees the tokens of sequence
    ``scene_of[b]``.

    query, key, value: (B, H, L, D) of all sequences, instances and scenes alike, projected by the
    same weights. scene_of: (B,) int64, the row of each sequence's scene branch; -1 for sequences
    that only see themselves (the scene branches, and independent instances), which therefore get
    plain self-attention.
    """
    return SceneContext.of(scene_of)(query, key, value)


@dataclass(frozen=True)
class Joint:
    """Plan: consecutive sequences form groups (the instances of a scene); every sequence sees all
    tokens of its group.

    Groups of equal size are one attention over a view of all tokens: keys and values are not copied
    for each instance.
    """

    groups: tuple[int, ...]  # sequences of each group; they sum to B

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, external: ExternalKeys | None = None
    ) -> Tensor:
        """Attention of all sequences, (B, H, L, D)."""
        if len(set(self.groups)) == 1:
            return _joined(query, key, value, self.groups[0])
        parts = zip(*(tensor.split(list(self.groups)) for tensor in (query, key, value)))
        return torch.cat([_joined(*part, size) for part, size in zip(parts, self.groups)])


def join_sequences(x_BHLD: Tensor, size: int) -> Tensor:
    """(B, H, L, D) -> (B / size, H, size L, D): the tokens of consecutive sequences in one row; a
    view of projected tokens.
    """
    return x_BHLD.unflatten(0, (-1, size)).transpose(1, 2).flatten(2, 3)


def _joined(query: Tensor, key: Tensor, value: Tensor, size: int) -> Tensor:
    out = attend(
        join_sequences(query, size), [join_sequences(key, size)], [join_sequences(value, size)]
    )
    return out.unflatten(2, (size, -1)).transpose(1, 2).flatten(0, 1)


class MultiHeadRMSNorm(nn.Module):
    """x / ||x|| * sqrt(D) * gamma with one gamma (H, D) per head, in float32 (query-key
    normalisation).
    """

    def __init__(self, heads: int, head_width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, head_width))

    def forward(self, x_BLHD: Tensor) -> Tensor:
        """(B, L, H, D) -> the same shape and dtype."""
        normed = F.normalize(x_BLHD.float(), dim=-1) * self.gamma * x_BLHD.shape[-1] ** 0.5
        return normed.to(x_BLHD.dtype)


class SharedRMSNorm(nn.RMSNorm):
    """Root-mean-square norm of each head with one weight (D,) for all heads (the vector-set
    family's query-key norm).
    """

    def __init__(self, head_width: int):
        super().__init__(head_width, eps=1e-6)

    def forward(self, x_BLHD: Tensor) -> Tensor:
        """(B, L, H, D) -> the same shape and dtype; sums are taken in float32."""
        return F.rms_norm(x_BLHD, self.normalized_shape, self.weight.to(x_BLHD.dtype), self.eps)


def _head_norm(kind: QKNorm | None, heads: int, head_width: int) -> nn.Module:
    if kind is None:
        return nn.Identity()
    return MultiHeadRMSNorm(heads, head_width) if kind == "head" else SharedRMSNorm(head_width)


class SelfAttention(nn.Module):
    """Self-attention with optional query-key norm; a plan shows it other sequences too, with the
    same weights.
    """

    def __init__(self, width: int, heads: int, qk_norm: QKNorm | None = "head", bias: bool = True):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=bias)
        self.q_rms_norm = _head_norm(qk_norm, heads, width // heads)
        self.k_rms_norm = _head_norm(qk_norm, heads, width // heads)
        self.to_out = nn.Linear(width, width)
        self.external: ExternalKeys | None = (
            None  # set by networks that gate the keys of other sequences
        )

    def forward(self, x_BLC: Tensor, plan: Plan | None = None) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        query, key, value = self.to_qkv(x_BLC).unflatten(-1, (3, self.heads, -1)).unbind(2)
        query, key, value = (
            y.transpose(1, 2) for y in (self.q_rms_norm(query), self.k_rms_norm(key), value)
        )
        out = (
            attend(query, [key], [value])
            if plan is None
            else plan(query, key, value, self.external)
        )
        return self.to_out(out.transpose(1, 2).flatten(2))


@dataclass(frozen=True, eq=False)
class Context:
    """What a cross-attention needs of its context. Nothing here depends on the queries, so samplers
    make it once for all steps.

    The first A sequences attend to keys and values. The context of the others is one token (or
    equal ones, such as the zeros of the unconditional pass): the softmax is then 1 whatever the
    query, and the output a constant.
    """

    key: Tensor | None  # (A, H, M, D)
    value: Tensor | None  # (A, H, M, D)
    constant: Tensor | None  # (B - A, 1, C), after the output layer


class CrossAttention(nn.Module):
    """Queries of the sequence over context tokens of another width."""

    def __init__(
        self,
        width: int,
        context_width: int,
        heads: int,
        qk_norm: QKNorm | None = None,
        bias: bool = True,
    ):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=bias)
        self.to_kv = nn.Linear(context_width, 2 * width, bias=bias)
        self.q_rms_norm = _head_norm(qk_norm, heads, width // heads)
        self.k_rms_norm = _head_norm(qk_norm, heads, width // heads)
        self.to_out = nn.Linear(width, width)

    def keys_values(self, context_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, D) of context tokens (B, M, context width)."""
        key, value = self.to_kv(context_BMC).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return self.k_rms_norm(key).transpose(1, 2), value.transpose(1, 2)

    def prepare(self, context_BMC: Tensor | None, single_B1C: Tensor | None = None) -> Context:
        """Everything that does not depend on the queries; exact.

        ``context_BMC`` (A, M, context width) belongs to the first A sequences, ``single_B1C`` (B -
        A, 1, context width) to those after them, whose context is this one token or copies of it.
        """
        key, value = (None, None) if context_BMC is None else self.keys_values(context_BMC)
        constant = (
            None if single_B1C is None else self.to_out(self.to_kv(single_B1C).chunk(2, dim=-1)[1])
        )
        return Context(key, value, constant)

    def forward(self, x_BLC: Tensor, context: Tensor | Context) -> Tensor:
        """(B, L, C) and context tokens (B, M, context width) or a prepared context -> (B, L, C), or
        (B, 1, C) if it is constant.
        """
        if isinstance(context, Tensor):
            context = Context(*self.keys_values(context), None)
        if context.key is None:
            return context.constant
        attending = x_BLC[: len(context.key)]
        query = self.q_rms_norm(self.to_q(attending).unflatten(-1, (self.heads, -1))).transpose(
            1, 2
        )
        out = self.to_out(attend(query, [context.key], [context.value]).transpose(1, 2).flatten(2))
        if context.constant is None:
            return out
        return torch.cat([out, context.constant.expand(-1, x_BLC.shape[1], -1)])
