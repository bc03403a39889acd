"""TRELLIS's sampler in maquette's terms: its time, guidance and noise conventions, translated here
and nowhere else.

Its ``cfg_strength`` s means (1 + s) v_c - s v_u, which is guidance of weight 1 + s; its
``rescale_t`` is the schedule's shift; noise levels are float64 until they meet the network;
``sigma_min`` enters the prediction of the data only, never the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maquette.flow.guidance import Velocity, guide
from maquette.flow.path import Rows
from maquette.flow.sample import euler
from maquette.flow.schedule import shifted_schedule

SamplerTrace = Callable[[int, Tensor, Tensor], None]  # step, x_t, predicted x_0


@dataclass(frozen=True)
class TrellisSampling:
    """Settings of one stage; the defaults are those of the released pipeline for pictures."""

    steps: int = 25
    strength: float = 5.0  # cfg_strength; 0 = no guidance
    interval: tuple[float, float] = (0.5, 1.0)  # noise levels that are guided, both ends included
    shift: float = 3.0  # rescale_t
    sigma_min: float = 1e-5

    @property
    def weight(self) -> float:
        """Guidance weight in maquette's convention, 1 = off."""
        return 1.0 + self.strength

    @property
    def schedule(self) -> Float64[Tensor, " {self.steps}+1"]:
        """Noise levels from 1 to 0."""
        return shifted_schedule(self.steps, self.shift, torch.float64)


def sampling_from_config(config: Mapping[str, Any]) -> TrellisSampling:
    """From a sampler's entry of pipeline.json: its class (``name`` or ``cls``), ``args`` and
    ``params``, nested or flat.
    """
    flat = {
        **config,
        **config.get("args", {}),
        **config.get("params", {}),
    }
    kind = str(flat.get("name") or flat.get("cls") or "")
    low, high = flat.get("cfg_interval", (0.0, 1.0))
    guided = kind != "FlowEulerSampler"
    strength = float(flat.get("cfg_strength", 3.0)) if guided else 0.0
    shift = float(flat.get("rescale_t", 1.0))
    sigma_min = float(flat.get("sigma_min", 1e-5))
    steps = int(flat.get("steps", 50))
    return TrellisSampling(steps, strength, (float(low), float(high)), shift, sigma_min)


def levels(t: float, rows: int, device: torch.device | str = "cpu") -> Float[Tensor, " {rows}"]:
    """One noise level for a network; float64 where the device has it, so that 1000 t is
    rounded once.
    """
    kind = torch.float32 if torch.device(device).type == "mps" else torch.float64
    return torch.full((rows,), t, dtype=kind, device=device)


def sample_guided(
    conditional: Velocity,
    unconditional: Velocity,
    noise: Rows,
    sampling: TrellisSampling,
    trace: SamplerTrace | None = None,
) -> Rows:
    """Samples from noise with two separate passes; ``trace`` gets what each step makes."""
    guided = guide(conditional, unconditional, sampling.weight, sampling.interval)
    return integrate(guided, noise, sampling, trace)


def integrate(
    velocity: Velocity,
    noise: Rows,
    sampling: TrellisSampling,
    trace: SamplerTrace | None = None,
) -> Rows:
    """Samples from noise by Euler steps of an already guided velocity."""
    if trace is None:
        return euler(velocity, noise, sampling.schedule)
    predicted: list[Tensor] = []

    def watched(x_t: Rows, t: float) -> Rows:
        v = velocity(x_t, t)
        predicted.append(predict_data(x_t, v, t, sampling.sigma_min))
        return v

    return euler(watched, noise, sampling.schedule, lambda step, x: trace(step, x, predicted[-1]))


def predict_data(
    x_t: Rows,
    velocity: Rows,
    t: float,
    sigma_min: float = 1e-5,
) -> Rows:
    """x_0 = (1 - s) x_t - (s + (1 - s) t) v, with s = sigma_min."""
    return (1 - sigma_min) * x_t - (sigma_min + (1 - sigma_min) * t) * velocity
