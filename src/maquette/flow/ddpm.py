"""Denoising diffusion (DDPM, arXiv 2006.11239) with a linear schedule, and its deterministic
sampler DDIM (arXiv 2010.02502).

The one place with another convention than ``path.py``: steps 0 .. T - 1, x_t = sqrt(a_t) x0 +
sqrt(1 - a_t) eps, and networks say eps. Networks still get a noise level in [0, 1]:
``level(step)``. Used by Coherent 3D Scene Diffusion (T = 1000, DDIM with 100 steps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PredictNoise = Callable[[Tensor, int], Tensor]  # (x_t (B, ...), step) -> eps (B, ...)


@dataclass(frozen=True)
class LinearSchedule:
    """Betas that rise linearly."""

    steps: int = 1000
    first: float = 1e-4
    last: float = 0.02

    def signal(self) -> Tensor:
        """(T,) float64 the cumulative a_t: share of the data's variance that is left after each
        step, from nearly 1 to nearly 0.
        """
        return torch.cumprod(
            1 - torch.linspace(self.first, self.last, self.steps, dtype=torch.float64), dim=0
        )

    def level(self, step: int | Tensor) -> float | Tensor:
        """Noise level in [0, 1] that stands for a step."""
        return step / (self.steps - 1)

    def ddim_steps(self, count: int) -> list[int]:
        """``count`` descending steps from the last to the first, evenly spaced."""
        return (
            torch.linspace(self.steps - 1, 0, min(count, self.steps), dtype=torch.float64)
            .round()
            .long()
            .tolist()
        )


def _like(signal_B: Tensor, x: Tensor) -> Tensor:
    return signal_B.reshape(-1, *([1] * (x.ndim - 1))).to(x)


def add_noise(x0: Tensor, noise: Tensor, signal_B: Tensor) -> Tensor:
    """x_t of data (B, ...) and noise (B, ...); ``signal_B`` (B,) are the cumulative a_t."""
    signal = _like(signal_B, x0)
    return signal.sqrt() * x0 + (1 - signal).sqrt() * noise


def data_from_noise(x_t: Tensor, noise: Tensor, signal_B: Tensor) -> Tensor:
    """x0 = (x_t - sqrt(1 - a_t) eps) / sqrt(a_t)."""
    signal = _like(signal_B, x_t)
    return (x_t - (1 - signal).sqrt() * noise) / signal.sqrt()


def angular_velocity(x0: Tensor, noise: Tensor, signal_B: Tensor) -> Tensor:
    """sqrt(a_t) eps - sqrt(1 - a_t) x0: what a network says that is to be right at all steps
    (Salimans and Ho, arXiv 2202.00512).

    eps alone says nothing of the data where there is nearly no signal, and its error is multiplied
    by 1 / sqrt(a_t) in the data.
    """
    signal = _like(signal_B, x0)
    return signal.sqrt() * noise - (1 - signal).sqrt() * x0


def noise_from_velocity(x_t: Tensor, velocity: Tensor, signal_B: Tensor) -> Tensor:
    """The noise: eps = sqrt(1 - a_t) x_t + sqrt(a_t) v."""
    signal = _like(signal_B, x_t)
    return (1 - signal).sqrt() * x_t + signal.sqrt() * velocity


def data_from_angular(x_t: Tensor, velocity: Tensor, signal_B: Tensor) -> Tensor:
    """x0 = sqrt(a_t) x_t - sqrt(1 - a_t) v: bounded at every step."""
    signal = _like(signal_B, x_t)
    return signal.sqrt() * x_t - (1 - signal).sqrt() * velocity


def ddim(
    predict: PredictNoise,
    noise: Tensor,
    schedule: LinearSchedule,
    count: int,
    bound: float | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """From noise (B, ...) to data in ``count`` deterministic steps. ``bound`` clips the predicted
    data, as DDPM samplers do, to [-b, b].
    """
    signal = schedule.signal()
    steps = schedule.ddim_steps(count)
    x = noise
    for done, step in enumerate(steps):
        here = signal[step].expand(len(x))
        eps = predict(x, step)
        x0 = data_from_noise(x, eps, here)
        if bound is not None:
            x0 = x0.clamp(-bound, bound)
            eps = (x - _like(here, x).sqrt() * x0) / (1 - _like(here, x)).sqrt()
        x = (
            x0
            if done + 1 == len(steps)
            else add_noise(x0, eps, signal[steps[done + 1]].expand(len(x)))
        )
        if callback is not None:
            callback(done, x)
    return x
