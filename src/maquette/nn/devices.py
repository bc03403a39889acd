"""How small tables that the processor makes reach the device of a network."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor


def sent(table: Shaped[Tensor, "*any"], device: torch.device | str) -> Shaped[Tensor, "*any"]:
    """The tensor on a device, the same one if it is there; CUDA does not wait for the copy.

    CUDA stages a copy from ordinary memory, so the source may be freed at once. MPS does not, hence
    the plain copy there.
    """
    return table.to(device, non_blocking=torch.device(device).type == "cuda")
