"""Several photos at once: the networks of the embedded methods, whose rows come from all of them.

A method is not written for it. Each photo is made by a task of its own (execute/lockstep.py) with
networks that ask for what they are called with; what is asked for at the same time goes through the
network as one batch, and each gets its rows back. Rows of different photos do not see each other:
attention keeps to the plans that the photos came with. So a scene is what it would be alone, but
for rounding; noise is drawn by each photo from its own seed.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from maquette.execute.lockstep import Call, Lockstep
from maquette.hardware import Multiplication
from maquette.methods.base import Method, Weights
from maquette.models.generator import Generator
from maquette.models.image_encoder import GeometryNet
from maquette.models.multi_instance import MultiInstanceGenerator
from maquette.models.volume_vae import VolumeVAE
from maquette.nn.attention import SceneContext
from maquette.types import JsonObject

# what of a network takes rows and gives rows: its tensors begin with the number of rows
_OF_ROWS: dict[type[nn.Module], tuple[str, ...]] = {
    Generator: ("forward", "encode"),
    MultiInstanceGenerator: ("forward",),
    VolumeVAE: ("decode",),
    GeometryNet: ("forward", "look_closely"),
}


def gains_by_company(method: Method) -> bool:
    """Whether photos of a method can be made together: it has networks of rows, and does not spend
    its time on arranging.
    """
    return "generator" in method.kinds and method.tuned is None


def lockstep() -> Lockstep:
    """Where tasks meet whose networks are ``SharedWeights``."""
    return Lockstep(_answered)


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """Weights whose networks are called together with those of the other tasks of a lockstep."""

    own: Weights
    meeting: Lockstep

    def models(self, kinds: Iterable[str], device: torch.device | str = "cpu") -> list[Any]:
        """See ``Weights``."""
        return [_shared(model, self.meeting) for model in self.own.models(kinds, device)]

    def has(self, kind: str) -> bool:
        """See ``Weights``."""
        return self.own.has(kind)

    def provenance(self, kinds: Iterable[str]) -> JsonObject:
        """See ``Weights``."""
        return self.own.provenance(kinds)


def _shared(model: Any, meeting: Lockstep) -> Any:
    """A network with the same weights, whose calls are asked for at a meeting."""
    names = _OF_ROWS.get(type(model))
    if names is None:
        return model
    twin = copy.copy(model)
    twin._modules = {name: _shared(part, meeting) for name, part in model._modules.items()}
    for name in names:
        setattr(twin, name, partial(_ask, meeting, getattr(model, name)))
    return twin


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a network is called with, and how exactly it is to multiply."""

    function: Any  # a bound method
    given: Any  # positional and named arguments
    multiplication: Multiplication

    @property
    def kind(self) -> Hashable:
        """Equal for what can be asked with one call."""
        owner = id(self.function.__self__)
        return self.function.__func__, owner, self.multiplication, _form(self.given)


def _ask(
    meeting: Lockstep,
    function: Callable[..., Any],
    *positional: Any,
    **named: Any,
) -> Any:
    """Call a function of rows, or have it called with the rows of others."""
    asked = _Asked(function, (positional, named), Multiplication.now())
    try:
        return meeting.ask(Call(asked.kind, asked))
    finally:
        asked.multiplication.restore()  # others may have left theirs


def _answered(calls: Sequence[Call]) -> Sequence[Any]:
    """What a function gives for each of several calls, by calling it once."""
    first: _Asked = calls[0].arguments
    first.multiplication.restore()
    given = [call.arguments.given for call in calls]
    counts = [next(_tensors(each)).shape[0] for each in given]
    positional, named = given[0]
    if len(calls) > 1:
        positional, named = _joined(given, [0, *accumulate(counts)])
    return _parts(first.function(*positional, **named), counts)


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a value, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif not isinstance(value, nn.Module):
        for part in _fields(value):
            yield from _tensors(part)


def _fields(value: Any) -> Sequence[Any]:
    """What a tuple, a dictionary or a dataclass holds; nothing of other values."""
    if isinstance(value, dict):
        return tuple(value.values())
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return value if isinstance(value, (tuple, list)) else ()


def _with_fields(value: Any, fields: Sequence[Any]) -> Any:
    """A value that holds other things than ``value``, in the same places."""
    if isinstance(value, dict):
        return dict(zip(value, fields))
    if dataclasses.is_dataclass(value):
        made_of: Any = type(value)
        return made_of(*fields)
    return tuple(fields)


def _form(value: Any) -> Hashable:
    """Equal for values whose rows can stand in one batch."""
    if isinstance(value, Tensor):
        return value.shape[1:], value.dtype, value.device
    if isinstance(value, (SceneContext, nn.Module)) or _is_counts(value):
        return (type(value),)
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    return type(value), *map(_form, _fields(value))


def _is_counts(value: Any) -> bool:
    """Whether a value says how many rows belong together (``Joint``)."""
    return isinstance(value, tuple) and all(isinstance(count, int) for count in value)


def _joined(values: Sequence[Any], starts: Sequence[int]) -> Any:
    """One value with the rows of several, which begin at ``starts``."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, SceneContext):
        return _joined_plan(values, starts)
    if _is_counts(first):
        return sum(values, ())
    fields = [_fields(value) for value in values]
    if isinstance(first, nn.Module) or not fields[0]:
        return first
    return _with_fields(first, [_joined(parts, starts) for parts in zip(*fields, strict=True)])


def _joined_plan(plans: Sequence[SceneContext], starts: Sequence[int]) -> SceneContext:
    """One plan for all, whose numbers of rows count from the first row of all."""
    rows = []
    others = []
    sources = []
    for plan, start in zip(plans, starts):
        rows.append(plan.rows + start)
        others.append(plan.others + start)
        sources.append(plan.sources + start)
    return SceneContext(*map(torch.cat, (rows, others, sources)))


def _parts(value: Any, counts: Sequence[int]) -> Sequence[Any]:
    """The rows of each of several in one value."""
    if isinstance(value, Tensor):
        return value.split(list(counts))
    if value is None:
        return [None] * len(counts)
    fields = [_parts(field, counts) for field in _fields(value)]
    return [_with_fields(value, part) for part in zip(*fields, strict=True)]
