"""Denoising diffusion (DDPM, arXiv 2006.11239) with a linear schedule, and its deterministic
sampler DDIM (arXiv 2010.02502).

The one place with another convention than ``path.py``: steps 0 .. T - 1, x_t = sqrt(a_t) x0 +
sqrt(1 - a_t) eps, and networks say eps. Networks still get a noise level in [0, 1]:
``level(step)``. Used by Coherent 3D Scene Diffusion (T = 1000, DDIM with 100 steps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maquette.flow.path import Levels, Rows, per_row
from maquette.flow.sample import StepCallback
from maquette.nn.devices import sent

PredictNoise = Callable[[Tensor, int], Tensor]  # (x_t (B, ...), step) -> eps (B, ...)


Step = TypeVar("Step", float, Tensor)


@dataclass(frozen=True)
class LinearSchedule:
    """Betas that rise linearly."""

    steps: int = 1000
    first: float = 1e-4
    last: float = 0.02

    def signal(self) -> Float64[Tensor, " {self.steps}"]:
        """On the CPU, the cumulative a_t: share of the data's variance that is left
        after each step, from nearly 1 to nearly 0.
        """
        betas = torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)
        return torch.cumprod(1 - betas, dim=0)

    def level(self, step: Step) -> Step:
        """Noise level in [0, 1] that stands for a step."""
        return step / (self.steps - 1)

    def ddim_steps(self, count: int) -> list[int]:
        """``count`` descending steps from the last to the first, evenly spaced."""
        count = min(count, self.steps)
        steps = torch.linspace(self.steps - 1, 0, count, dtype=torch.float64)
        return steps.round().long().tolist()


def table_for(x: Rows, table: Float64[Tensor, " steps"]) -> Float[Tensor, " steps"]:
    """A float64 table of the CPU, such as a schedule's signal, in the type and on the device of
    ``x``. Not every device has float64.
    """
    return sent(table.to(x.dtype), x.device)


def add_noise(x0: Rows, noise: Rows, signal_B: Levels) -> Rows:
    """x_t of data (B, ...) and noise (B, ...); ``signal_B`` (B,) are the cumulative a_t."""
    signal = per_row(signal_B, x0)
    return signal.sqrt() * x0 + (1 - signal).sqrt() * noise


def data_from_noise(x_t: Rows, noise: Rows, signal_B: Levels) -> Rows:
    """x0 = (x_t - sqrt(1 - a_t) eps) / sqrt(a_t)."""
    signal = per_row(signal_B, x_t)
    return (x_t - (1 - signal).sqrt() * noise) / signal.sqrt()


def noise_from_data(x_t: Rows, x0: Rows, signal_B: Levels) -> Rows:
    """The noise: eps = (x_t - sqrt(a_t) x0) / sqrt(1 - a_t)."""
    signal = per_row(signal_B, x_t)
    return (x_t - signal.sqrt() * x0) / (1 - signal).sqrt()


# Data and noise are turned into x_t and velocity as a vector's two coordinates are: the way back is
# the same turn with the roles exchanged.


def angular_velocity(x0: Rows, noise: Rows, signal_B: Levels) -> Rows:
    """sqrt(a_t) eps - sqrt(1 - a_t) x0: what a network says that is to be right at all steps
    (Salimans and Ho, arXiv 2202.00512).

    eps alone says nothing of the data where there is nearly no signal, and its error is multiplied
    by 1 / sqrt(a_t) in the data.
    """
    signal = per_row(signal_B, x0)
    return signal.sqrt() * noise - (1 - signal).sqrt() * x0


def noise_from_velocity(
    x_t: Rows,
    velocity: Rows,
    signal_B: Levels,
) -> Rows:
    """The noise: eps = sqrt(1 - a_t) x_t + sqrt(a_t) v."""
    return add_noise(velocity, x_t, signal_B)


def data_from_angular(
    x_t: Rows,
    velocity: Rows,
    signal_B: Levels,
) -> Rows:
    """x0 = sqrt(a_t) x_t - sqrt(1 - a_t) v: bounded at every step."""
    return angular_velocity(velocity, x_t, signal_B)


def ddim(
    predict: PredictNoise,
    noise: Rows,
    schedule: LinearSchedule,
    count: int,
    bound: float | None = None,
    callback: StepCallback | None = None,
) -> Rows:
    """From noise to data in ``count`` deterministic steps. ``bound`` clips the predicted
    data, as DDPM samplers do, to [-b, b].
    """
    signal = table_for(noise, schedule.signal())
    steps = schedule.ddim_steps(count)
    x = noise
    for done, (step, following) in enumerate(zip(steps, [*steps[1:], None])):
        eps = predict(x, step)
        x0 = data_from_noise(x, eps, signal[step])
        if bound is not None:
            x0 = x0.clamp(-bound, bound)
            eps = noise_from_data(x, x0, signal[step])
        x = x0 if following is None else add_noise(x0, eps, signal[following])
        if callback is not None:
            callback(done, x)
    return x
