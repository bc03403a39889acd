"""Published names and ours: one table per family, read in both directions.

A rule says how one of our tensors is called in the published file. Fused projections (``to_qkv``,
``to_kv``) are several tensors there: stacked as they are, or with the rows of all of them
interleaved by head, as the vector-set family stores them. In the flow: the ``load`` and ``shapes``
of a family module are ``from_published`` and ``published_shapes`` with its rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maquette.checkpoints.layouts import StateDict
from maquette.checkpoints.published.base import (
    Shapes,
    Tensors,
    check_shapes,
    fill,
    precision,
)
from maquette.errors import CheckpointError


@dataclass(frozen=True)
class Rule:
    """Our tensor -> its published parts; the first rule that matches is taken."""

    ours: str  # regular expression of our whole key
    # templates of the published keys, with the groups of ``ours`` as \\1, \\2, ...
    theirs: tuple[str, ...]
    # 0 = the parts are stacked; otherwise their rows are interleaved: [heads, parts, head width]
    heads: int = 0
    drop_leading: int = 0  # published with so many leading axes of size one fewer than ours


def rules_of(
    table: Mapping[str, str | tuple[str, ...]],
    ours: str = "",
    theirs: str = "",
    heads: int = 0,
) -> tuple[Rule, ...]:
    """Rules for keys below a prefix of ours and one of theirs; several published keys are the parts
    of a fused tensor.
    """
    rules = []
    for key, published in table.items():
        parts = (published,) if isinstance(published, str) else published
        rules.append(Rule(ours + key, tuple(theirs + part for part in parts), heads))
    return tuple(rules)


def parts_of(key: str, rules: Sequence[Rule]) -> tuple[Rule, tuple[str, ...]]:
    """The rule and the published keys of our key; a key without a rule keeps its name."""
    for rule in rules:
        match = re.fullmatch(rule.ours, key)
        if match:
            return rule, tuple(match.expand(template) for template in rule.theirs)
    return Rule(key, (key,)), (key,)


def split(tensor: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Our fused tensor (parts * C, ...) -> the published ones (C, ...) each."""
    if heads and parts > 1:
        tensor = tensor.unflatten(0, (parts, heads, -1)).transpose(0, 1).flatten(0, 2)
    return tensor.chunk(parts)


def fuse(tensors: Sequence[Tensor], heads: int) -> Tensor:
    """The inverse of ``split``: published tensors -> ours, with plain [parts, heads, head width]
    rows.
    """
    if len(tensors) == 1:
        return tensors[0]
    stacked = torch.cat(list(tensors))
    if not heads:
        return stacked
    by_head = stacked.unflatten(0, (heads, len(tensors), -1))
    return by_head.transpose(0, 1).flatten(0, 2)


def to_published(tensors: Tensors, rules: Sequence[Rule]) -> StateDict:
    """Our state dict under published names, for example to write a checkpoint in the original
    layout.
    """
    published: StateDict = {}
    for key, tensor in tensors.items():
        rule, names = parts_of(key, rules)
        tensor = tensor.reshape(tensor.shape[rule.drop_leading :])
        published |= zip(names, split(tensor, len(names), rule.heads))
    return published


def published_shapes(network: nn.Module, rules: Sequence[Rule]) -> Shapes:
    """Keys and shapes of the published file of a network, which may be on the meta device."""
    return {
        key: tuple(tensor.shape)
        for key, tensor in to_published(network.state_dict(), rules).items()
    }


def from_published(
    network: nn.Module,
    tensors: Tensors,
    dtype: torch.dtype = torch.float32,
    *,
    rules: Sequence[Rule],
    trunk: tuple[str, ...] = ("blocks",),
) -> None:
    """Load a published state dict strictly; the network may be on the meta device. Precision as in
    ``base.precision``.
    """
    check_shapes(published_shapes(network, rules), tensors)
    kinds = precision(network, dtype, trunk)
    state = {}
    for key, expected in network.state_dict().items():
        rule, names = parts_of(key, rules)
        fused = fuse([tensors[name] for name in names], rule.heads)
        state[key] = fused.reshape(expected.shape).to(kinds[key])
    fill(network, state)


def without_prefix(tensors: Tensors, prefix: str) -> StateDict:
    """Tensors of one component, whose names all start with ``prefix``, under their own names.
    Raises CheckpointError.
    """
    foreign = [key for key in tensors if not key.startswith(prefix)]
    if foreign:
        raise CheckpointError(
            f"{len(foreign)} tensors do not start with {prefix!r} ({foreign[0]}, ...); pass this "
            "component's weights"
        )
    return {key.removeprefix(prefix): value for key, value in tensors.items()}
