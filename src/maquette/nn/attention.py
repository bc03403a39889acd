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
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from maquette.nn.devices import sent

Tokens = Float[Tensor, "B L C"]
SplitTokens = Float[Tensor, "B L H D"]  # each token in as many parts as there are heads
Heads = Float[Tensor, "B H L D"]

# One gain per head and channel, or one per channel shared by all heads; None = no norm.
QKNorm = Literal["head", "shared"]
# Query, key, value (B, H, L, D) -> (B, H, L, D).
AttentionPlan = Callable[[Tensor, Tensor, Tensor, "ExternalKeys | None"], Tensor]

SHORT = 128  # keys; see ``attend``


def attend(
    query_BHLD: Heads,
    keys_BHLD: Sequence[Float[Tensor, "B H _ D"]],
    values_BHLD: Sequence[Float[Tensor, "B H _ D"]],
    seen: Bool[Tensor, "#B #H #L M"] | None = None,
) -> Heads:
    """softmax(Q [K_1; K_2; ...]^T / sqrt(D)) [V_1; V_2; ...] -> (B, H, L, D). The groups may differ
    in length.

    seen: bool, broadcast to (B, H, L, M), which keys each query sees; None = all.
    """
    keys = _in_one(keys_BHLD)
    values = _in_one(values_BHLD)
    trained_on_cpu = query_BHLD.requires_grad and query_BHLD.device.type == "cpu"
    if trained_on_cpu and query_BHLD.dtype == torch.bfloat16 and keys.shape[2] <= SHORT:
        # With so few keys the gradient of the fused kernel takes five times as long as that of
        # matrix products (docs/log.md).
        logits = query_BHLD @ keys.transpose(-1, -2) * query_BHLD.shape[-1] ** -0.5
        if seen is not None:
            logits = logits.masked_fill(~seen, -torch.inf)
        return logits.softmax(-1) @ values
    return F.scaled_dot_product_attention(query_BHLD, keys, values, attn_mask=seen)


def _in_one(groups: Sequence[Tensor]) -> Tensor:
    """Keys or values of several groups as one sequence."""
    return groups[0] if len(groups) == 1 else torch.cat(tuple(groups), dim=2)


def split_heads(
    projected: Float[Tensor, "B L _"], heads: int, parts: int
) -> tuple[Float[Tensor, "B L {heads} D"], ...]:
    """(B, L, parts * C) -> ``parts`` tensors (B, L, H, D), such as query, key and value."""
    return projected.unflatten(-1, (parts, heads, -1)).unbind(2)


def merge_heads(x_BHLD: Heads) -> Float[Tensor, "B L H*D"]:
    """(B, H, L, D) -> (B, L, C)."""
    return x_BHLD.transpose(1, 2).flatten(2)


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

    def forward(self, source: int, key_BHLD: Heads) -> Heads:
        """The keys as the queries of another sequence see them; same shape and dtype."""
        if self.k_type_bias is not None:
            shift = self.scale * self.k_type_bias[source].float().tanh()
            key_BHLD = key_BHLD + shift.to(key_BHLD.dtype)[:, None]
        if self.ext_gate is not None:
            gate = self.ext_gate[source].float().sigmoid()
            key_BHLD = key_BHLD * gate.to(key_BHLD.dtype)[:, None, None]
        return key_BHLD


@dataclass(frozen=True, eq=False)
class SceneContext:
    """Plan: sequence ``rows[i]`` also sees the sequences ``sources[i]``; all others see themselves
    only (I-Scene, eq. 3).
    """

    rows: Int64[Tensor, " N"]  # ascending
    others: Int64[Tensor, " others"]  # the sequences that are not in ``rows``
    sources: Int64[Tensor, "N S"]

    @classmethod
    def of(cls, scene_of: Int64[Tensor, " B *S"]) -> SceneContext:
        """From ``scene_of`` (B,) or (B, S) int64: the sequences that each sequence also sees; -1 =
        it sees none, as the scene branches and independent instances.

        How many rows there are has to be known to the processor: give ``scene_of`` on the CPU and
        move the plan with ``to``, then nothing waits for the device. Make it once for all steps.
        """
        sources = scene_of.reshape(len(scene_of), -1).cpu()
        sees = sources[:, 0] >= 0
        (rows,) = torch.nonzero(sees, as_tuple=True)
        (others,) = torch.nonzero(~sees, as_tuple=True)
        return cls(rows, others, sources[rows]).to(scene_of.device)

    def to(self, device: torch.device | str) -> SceneContext:
        """The same plan on a device."""
        rows, others, sources = (sent(t, device) for t in (self.rows, self.others, self.sources))
        return SceneContext(rows, others, sources)

    def __call__(
        self,
        query: Heads,
        key: Heads,
        value: Heads,
        external: ExternalKeys | None = None,
    ) -> Heads:
        """Attention of all sequences."""
        if not len(self.rows):
            return attend(query, [key], [value])
        keys = [key[rows] for rows in self.sources.unbind(1)]
        values = [value[rows] for rows in self.sources.unbind(1)]
        if external is not None:
            keys = [external(source, seen) for source, seen in enumerate(keys)]
        own = self.rows
        with_context = attend(query[own], [key[own], *keys], [value[own], *values])
        if not len(self.others):
            return with_context
        alone = self.others
        out = torch.empty_like(query)
        out[own] = with_context
        out[alone] = attend(query[alone], [key[alone]], [value[alone]])
        return out


@dataclass(frozen=True)
class Joint:
    """Plan: consecutive sequences form groups (the instances of a scene); every sequence sees all
    tokens of its group.

    Groups of equal size are one attention over a view of all tokens: keys and values are not copied
    for each instance.
    """

    groups: tuple[int, ...]  # sequences of each group; they sum to B

    def __call__(
        self,
        query: Heads,
        key: Heads,
        value: Heads,
        external: ExternalKeys | None = None,
    ) -> Heads:
        """Attention of all sequences."""
        if len(set(self.groups)) == 1:
            return _attend_jointly(query, key, value, self.groups[0])
        sizes = list(self.groups)
        parts = zip(query.split(sizes), key.split(sizes), value.split(sizes), sizes)
        return torch.cat([_attend_jointly(*part) for part in parts])


def join_sequences(x_BHLD: Heads, size: int) -> Float[Tensor, "B//{size} H {size}*L D"]:
    """(B, H, L, D) -> (B / size, H, size L, D): the tokens of consecutive sequences in one row; a
    view of projected tokens.
    """
    return x_BHLD.unflatten(0, (-1, size)).transpose(1, 2).flatten(2, 3)


def _attend_jointly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    size: int,
) -> Tensor:
    """Attention among the tokens of ``size`` sequences that follow each other."""
    query, key, value = (join_sequences(tensor, size) for tensor in (query, key, value))
    out = attend(query, [key], [value])
    return out.unflatten(2, (size, -1)).transpose(1, 2).flatten(0, 1)


class MultiHeadRMSNorm(nn.Module):
    """x / ||x|| * sqrt(D) * gamma with one gamma (H, D) per head, in float32 (query-key
    normalisation).
    """

    def __init__(self, heads: int, head_width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, head_width))

    def forward(self, x_BLHD: SplitTokens) -> SplitTokens:
        """The same shape and dtype."""
        directions = F.normalize(x_BLHD.float(), dim=-1)
        return (directions * self.gamma * x_BLHD.shape[-1] ** 0.5).to(x_BLHD.dtype)


class SharedRMSNorm(nn.RMSNorm):
    """Root-mean-square norm of each head with one weight (D,) for all heads (the vector-set
    family's query-key norm).
    """

    def __init__(self, head_width: int):
        super().__init__(head_width, eps=1e-6)

    def forward(self, x_BLHD: SplitTokens) -> SplitTokens:
        """(B, L, H, D) -> the same shape and dtype; sums are taken in float32."""
        return F.rms_norm(x_BLHD, self.normalized_shape, self.weight.to(x_BLHD.dtype), self.eps)


def _head_norms(kind: QKNorm | None, heads: int, width: int) -> tuple[nn.Module, nn.Module]:
    """The normalisations of queries and of keys of a kind."""
    return _head_norm(kind, heads, width // heads), _head_norm(kind, heads, width // heads)


def _head_norm(kind: QKNorm | None, heads: int, head_width: int) -> nn.Module:
    if kind is None:
        return nn.Identity()
    return MultiHeadRMSNorm(heads, head_width) if kind == "head" else SharedRMSNorm(head_width)


class SelfAttention(nn.Module):
    """Self-attention with optional query-key norm; a plan shows it other sequences too, with the
    same weights.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        qk_norm: QKNorm | None = "head",
        bias: bool = True,
    ):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=bias)
        self.q_rms_norm, self.k_rms_norm = _head_norms(qk_norm, heads, width)
        self.to_out = nn.Linear(width, width)
        # Set by networks that gate the keys of other sequences.
        self.external: ExternalKeys | None = None

    def forward(self, x_BLC: Tokens, plan: AttentionPlan | None = None) -> Tokens:
        """Tokens that have looked at the others."""
        query, key, value = split_heads(self.to_qkv(x_BLC), self.heads, 3)
        query = self.q_rms_norm(query).transpose(1, 2)
        key = self.k_rms_norm(key).transpose(1, 2)
        value = value.transpose(1, 2)
        if plan is None:
            return self.to_out(merge_heads(attend(query, [key], [value])))
        return self.to_out(merge_heads(plan(query, key, value, self.external)))


@dataclass(frozen=True, eq=False)
class Context:
    """What a cross-attention needs of its context. Nothing here depends on the queries, so samplers
    make it once for all steps.

    The first A sequences attend to keys and values. The context of the others is one token (or
    equal ones, such as the zeros of the unconditional pass): the softmax is then 1 whatever the
    query, and the output a constant.
    """

    # of the first A sequences
    keys_values: tuple[Float[Tensor, "A H M D"], Float[Tensor, "A H M D"]] | None
    constant: Float[Tensor, "_ 1 C"] | None  # after the output layer


class CrossProjections(nn.Module):
    """Weights of a cross-attention: queries of the sequence, keys and values of context tokens of
    another width.
    """

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
        self.q_rms_norm, self.k_rms_norm = _head_norms(qk_norm, heads, width)
        self.to_out = nn.Linear(width, width)

    def query(self, x_BLC: Tokens) -> Heads:
        """Queries of tokens."""
        (query,) = split_heads(self.to_q(x_BLC), self.heads, 1)
        return self.q_rms_norm(query).transpose(1, 2)

    def keys_values(
        self, context_BMC: Float[Tensor, "B M context"]
    ) -> tuple[Float[Tensor, "B H M D"], Float[Tensor, "B H M D"]]:
        """Keys and values of context tokens."""
        key, value = split_heads(self.to_kv(context_BMC), self.heads, 2)
        return self.k_rms_norm(key).transpose(1, 2), value.transpose(1, 2)


class CrossAttention(CrossProjections):
    """Queries of the sequence over context tokens of another width."""

    def prepare(
        self,
        context_BMC: Float[Tensor, "A M context"] | None,
        single_B1C: Float[Tensor, "_ 1 context"] | None = None,
    ) -> Context:
        """Everything that does not depend on the queries; exact.

        ``context_BMC`` (A, M, context width) belongs to the first A sequences, ``single_B1C`` (B -
        A, 1, context width) to those after them, whose context is this one token or copies of it.
        """
        constant = None
        if single_B1C is not None:
            _, value = self.to_kv(single_B1C).chunk(2, dim=-1)
            constant = self.to_out(value)
        return Context(None if context_BMC is None else self.keys_values(context_BMC), constant)

    def forward(
        self, x_BLC: Tokens, context: Float[Tensor, "B M context"] | Context
    ) -> Float[Tensor, "B _ C"]:
        """(B, L, C) and context tokens (B, M, context width) or a prepared context -> (B, L, C), or
        (B, 1, C) if it is constant.
        """
        if isinstance(context, Tensor):
            context = self.prepare(context)
        parts = []
        if context.keys_values is not None:
            key, value = context.keys_values
            query = self.query(x_BLC[: len(key)])
            parts.append(self.to_out(merge_heads(attend(query, [key], [value]))))
        if context.constant is not None:
            width = x_BLC.shape[1] if parts else 1
            parts.append(context.constant.expand(-1, width, -1))
        return parts[0] if len(parts) == 1 else torch.cat(parts)
