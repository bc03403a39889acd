"""Time and peak memory of one call, honestly: the peak is reset before the call, so that it belongs
to this image and no earlier one.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """What a call cost; filled when the ``measured_cost`` block ends."""

    seconds: float = math.nan  # wall clock
    # MB of 2^20 bytes: highest resident memory of the process DURING the call, interpreter and
    # weights included
    peak_mb: float = math.nan
    gpu_peak_mb: float = (
        math.nan
    )  # MB: highest memory of tensors on the CUDA device during the call; nan without one


@contextlib.contextmanager
def measured_cost() -> Iterator[Cost]:
    """Measure the body.

    Linux resets and reports the high-water mark of a process (/proc/self/clear_refs, VmHWM); where
    that is not possible ``peak_mb`` stays nan rather than showing the peak of something else.
    """
    cost = Cost()
    cuda = _cuda()
    resettable = _reset_peak()
    if cuda is not None:
        cuda.synchronize()
        cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    try:
        yield cost
    finally:
        if cuda is not None:
            cuda.synchronize()
            cost.gpu_peak_mb = cuda.max_memory_allocated() / 2**20
        cost.seconds = time.perf_counter() - start
        cost.peak_mb = _peak_mb() if resettable else math.nan


def _cuda() -> object | None:
    """torch.cuda when torch is loaded already and its device is in use; never a reason to import
    torch.
    """
    torch = sys.modules.get("torch")
    return (
        torch.cuda
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
        else None
    )


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_mb() -> float:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM"))
