"""Time and peak memory of one call, honestly: the peak is reset before the call, so that it belongs
to this image and no earlier one.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from maquette.checkpoints.memory import peak_memory, reset_peak

CPU = torch.device("cpu")
GPU = torch.device("cuda")


@dataclass
class Cost:
    """What a call cost; filled when the ``measured_cost`` block ends. MB of 2^20 bytes."""

    seconds: float = math.nan  # wall clock
    # highest resident memory of the process DURING the call, interpreter and weights included
    peak_mb: float = math.nan
    # highest memory of tensors on the CUDA device during the call; nan without one
    gpu_peak_mb: float = math.nan


@contextlib.contextmanager
def measured_cost() -> Iterator[Cost]:
    """Measure the body.

    Linux resets and reports the high-water mark of a process (/proc/self/clear_refs, VmHWM); where
    that is not possible ``peak_mb`` stays nan rather than showing the peak of something else.
    """
    cost = Cost()
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    if on_gpu:
        torch.cuda.synchronize()
        reset_peak(GPU)
    was_reset = reset_peak(CPU)
    start = time.perf_counter()
    try:
        yield cost
    finally:
        if on_gpu:
            torch.cuda.synchronize()
            cost.gpu_peak_mb = peak_memory(GPU)
        cost.seconds = time.perf_counter() - start
        if was_reset:
            cost.peak_mb = peak_memory(CPU)
