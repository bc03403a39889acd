"""Guided sampling of the published networks: a conditional and an unconditional pass, in one batch
or one after the other, with what does not change from step to step made once.

Every saving is a switch and exact; see models/savings.py. A *part* of a batch has all rows of one
pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity, guide, guide_pair
from maquette.flow.trellis import levels
from maquette.models.savings import Savings
from maquette.models.structure_flow import StructureFlow
from maquette.nn.attention import AttentionPlan, Context

Contexts = TypeVar("Contexts")
Modulations = TypeVar("Modulations")
Parts = tuple[bool, ...]  # of a batch: True = conditional, False = unconditional
# -> a function of (x_t, t) that says the velocities (parts, ...) of all parts
Passes = Callable[[Parts], Velocity]


def guided_velocity(
    passes: Passes,
    weight: float,
    interval: tuple[float, float],
    savings: Savings,
) -> Velocity:
    """The velocity guided with ``weight`` at noise levels inside ``interval``."""

    def single(conditional: bool) -> Velocity:
        evaluate = passes((conditional,))
        return lambda x, t: evaluate(x, t)[0]

    if not savings.one_batch:
        return guide(single(True), single(False), weight, interval)
    both = passes((True, False))
    return guide_pair(lambda x, t: tuple(both(x, t)), single(True), weight, interval)


def for_parts(tokens: Tensor, parts: Parts) -> list[Tensor]:
    """The tokens for every conditional part, zeros for the others."""
    return [tokens if conditional else torch.zeros_like(tokens) for conditional in parts]


def with_constants(tokens: Tensor, parts: Parts) -> tuple[Tensor | None, Tensor | None]:
    """Of one or two parts, what the conditional one attends to (N, M, C), and one zero token (N, 1,
    C), whose attention is a constant, for the unconditional one; None where there is no such part.
    """
    single = None if all(parts) else torch.zeros_like(tokens[:, :1])
    return tokens if any(parts) else None, single


class Kept(Generic[Contexts, Modulations]):
    """Contexts and modulations of a run, made when first needed and, with ``cache``, kept."""

    def __init__(
        self,
        make_contexts: Callable[[], Contexts],
        make_modulations: Callable[[Tensor], Modulations],
        device: torch.device,
        cache: bool,
    ):
        self._make_contexts = make_contexts
        self._make_modulations = make_modulations
        self._device = device
        self._cache = cache
        self._contexts: Contexts | None = None
        self._modulations: dict[float, Modulations] = {}

    def contexts(self) -> Contexts:
        """What the cross-attentions need of the picture."""
        if self._contexts is None or not self._cache:
            self._contexts = self._make_contexts()
        return self._contexts

    def modulations(self, t: float) -> Modulations:
        """What the noise level contributes to the network, the same for all rows."""
        if t not in self._modulations or not self._cache:
            self._modulations[t] = self._make_modulations(levels(t, 1, self._device))
        return self._modulations[t]


def in_one_batch(network: Velocity, parts: Parts) -> Velocity:
    """Velocities (parts, N, ...) of x_t (N, ...) from a network that sees the rows of all parts."""
    count = len(parts)
    return lambda x, t: network(torch.cat([x] * count), t).unflatten(0, (count, -1))


def structure_pass(
    network: StructureFlow,
    context: Tensor,
    parts: Parts,
    savings: Savings,
    plans: Sequence[AttentionPlan | None],
) -> Velocity:
    """Velocities (parts, N, channels, R, R, R) of x_t (N, channels, R, R, R), from tokens (N, M,
    C).
    """

    def contexts() -> list[Context]:
        if savings.constants:
            return network.prepare(*with_constants(context, parts))
        return network.prepare(torch.cat(for_parts(context, parts)))

    kept = Kept(contexts, network.modulations, context.device, savings.cache)

    def velocity(rows: Tensor, t: float) -> Tensor:
        return network.velocity(rows, kept.modulations(t), kept.contexts(), plans)

    return in_one_batch(velocity, parts)
