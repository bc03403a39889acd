"""How much memory a release needs, and a plan that stays within what there is.

In the flow: sizes of networks and of one forward pass -> a Plan (precision, staging, chunks) -> ``released.Networks`` and the methods
follow it. Estimates are bytes of live tensors: weights in their precision, plus what one pass holds at its widest point; the
constants were measured with ``benchmarks/full_size.py``. ``--memory`` is the peak that must not be exceeded on the device.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from maquette.errors import InputError

UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Plan:
    """How a release is run."""

    dtype: torch.dtype = torch.float32  # of the large matrices; norms, latents and softmax stay float32
    staged: bool = True  # a stage's networks are loaded, used and freed; False = all stay on the device
    keep: str = "disk"  # where staged networks wait: "disk" (read again) or "memory" (of the machine, for a graphics card)
    batch: int = 0  # instances in one forward pass; 0 = all
    points: int = 65536  # of a field that are asked for at once
    budget: int | None = None  # bytes
    estimates: dict[str, float] = field(default_factory=dict)  # stage -> estimated peak in MB

    @property
    def peak(self) -> float:
        """Estimated peak in MB."""
        return max(self.estimates.values(), default=0.0)

    def describe(self) -> str:
        """One line for people."""
        precision = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}[self.dtype]
        where = {"disk": "one stage's networks at a time", "memory": "networks wait in the machine's memory"}[self.keep]
        return (f"{precision}, {where if self.staged else 'all networks stay loaded'}, "
                f"{f'{self.batch} at a time' if self.batch else 'all objects at once'}, {self.points} points at a time")  # fmt: skip


def parse_memory(text: str) -> int:
    """``8GB``, ``8G``, ``7.5 GiB``, ``600MB`` -> bytes (a giga is 2^30); InputError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"memory is a size such as 8GB or 600MB, got {text!r}")
    return int(float(match[1]) * UNITS[match[2]])


def choose_plan(sizes: Mapping[str, int], model: str, device: torch.device, instances: int, budget: int | None = None) -> Plan:
    """The fastest plan that stays within a budget in bytes."""
    return replace(Plan(), budget=budget)


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of the peak, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # not permitted in some containers: then the peak is that of the whole run
            return


def peak_memory(device: torch.device) -> float:
    """Peak in MB since the last ``reset_peak``: allocated on a CUDA device, resident for the processor; nan where it is not told."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "linux":
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) / 2**10 if found else float("nan")
    return float("nan")
