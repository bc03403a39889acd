"""Schedules are values: descending noise levels from 1 to 0."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def shifted_schedule(
    steps: int, shift: float = 3.0, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " {steps}+1"]:
    """Levels shift t / (1 + (shift - 1) t) for t = 1 .. 0; shift = 1 is linear, larger
    stays noisy for longer.
    """
    t = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)
    return (shift * t / (1 + (shift - 1) * t)).to(dtype)
