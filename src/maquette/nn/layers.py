"""Lists of layers that know what they hold, and how layers are made, found and started.

``torch`` says of a part of a network only that it is a module or a tensor; here it has a type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar, overload

import torch
from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)
Weighted = TypeVar("Weighted", nn.Linear, nn.Conv2d, nn.Conv3d)
P = ParamSpec("P")


class Layers(nn.ModuleList, Generic[Layer]):
    """A module list of one kind of layer; its weights have the names that ModuleList gives."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Layer]: ...

        @overload
        def __getitem__(self, idx: slice) -> Layers[Layer]: ...

        @overload
        def __getitem__(self, idx: int) -> Layer: ...

        def __getitem__(self, idx: int | slice) -> Layer | Layers[Layer]: ...


def repeated(
    count: int,
    make: Callable[P, Layer],
    *arguments: P.args,
    **options: P.kwargs,
) -> Layers[Layer]:
    """So many modules of one kind, each with weights of its own."""
    return Layers(make(*arguments, **options) for _ in range(count))


def of_kind(part: object, kind: type[Layer]) -> Layer:
    """A part of a network that was asked for by name or number; TypeError where it is not of the
    expected kind.
    """
    if not isinstance(part, kind):
        raise TypeError(f"a part of the network is a {type(part).__name__}, expected {kind}")
    return part


def matrix_dtype(module: nn.Module) -> torch.dtype:
    """Precision of a module's matrices, which its inputs must have: released models keep the blocks
    in half precision, not the rest.
    """
    return next(layer.weight.dtype for layer in module.modules() if isinstance(layer, nn.Linear))


def middle_blocks(blocks: int, count: int) -> range:
    """Indices of the ``count`` middle ones of ``blocks`` blocks."""
    first = blocks // 2 - count // 2
    return range(first, first + count)


def zero_init(layer: Weighted) -> Weighted:
    """Set weight and bias of a layer to zero, so that a block or head starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
