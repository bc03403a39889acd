"""Classifier-free guidance v_u + w (v_c - v_u); w = 1 is off."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

from maquette.flow.path import Rows

Velocity = Callable[[Tensor, float], Tensor]  # (x_t (B, ...), t) -> v (B, ...)


def at_one_level(network: Callable[[Tensor, Tensor], Tensor]) -> Velocity:
    """What samplers integrate, from a network of x_t (B, ...) and noise levels (B,)."""

    def velocity(x_t: Rows, t: float) -> Rows:
        return network(x_t, torch.full((len(x_t),), t, device=x_t.device, dtype=x_t.dtype))

    return velocity


def guided_noise(
    network: Callable[[Tensor, Tensor], Tensor],
    x_t: Rows,
    steps: Shaped[Tensor, " B"],
    weight: float,
) -> Rows:
    """What a network of pictures (B, c, S, S) and steps (B,) says, guided; it gets both in one
    batch, those that are told the words first.
    """
    told, untold = network(x_t.repeat(2, 1, 1, 1), steps.repeat(2)).chunk(2)
    return untold + weight * (told - untold)


def guide(
    conditional: Velocity,
    unconditional: Velocity,
    weight: float,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Velocity:
    """A velocity guided with ``weight`` for t inside ``interval``; outside it, or with weight 1,
    only the conditional one runs.
    """
    return guide_pair(
        lambda x_t, t: (conditional(x_t, t), unconditional(x_t, t)), conditional, weight, interval
    )


def guide_pair(
    pair: Callable[[Tensor, float], tuple[Tensor, Tensor]],
    conditional: Velocity,
    weight: float,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Velocity:
    """``guide`` for networks that evaluate both, conditional first, in one batch; outside the
    interval ``conditional`` runs alone.
    """

    def velocity(x_t: Rows, t: float) -> Rows:
        if weight == 1.0 or not interval[0] <= t <= interval[1]:
            return conditional(x_t, t)
        v_c, v_u = pair(x_t, t)
        return v_u + weight * (v_c - v_u)

    return velocity
