"""A memory plan: precision, staging and chunks with which a release stays within what there is, and
the measurement of what it took.

In the flow: estimates -> a Plan -> ``released.Networks`` and the methods follow it. ``--memory`` is
the peak that must not be exceeded on the device; without it the plan takes what is free.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from maquette.checkpoints.estimates import Load, stages_of
from maquette.checkpoints.published.base import Config
from maquette.errors import InputError
from maquette.hardware import native_bf16
from maquette.models.savings import ALL, Savings

UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SHARE = 0.85  # of the free memory, when no budget is given
LIBRARIES = 150 * 2**20  # bytes that libraries take on the processor at first use
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


@dataclass(frozen=True)
class Plan:
    """How a release is run. Everything but the precision leaves the result as it is, up to
    rounding.
    """

    dtype: torch.dtype = (
        torch.float32
    )  # of the large matrices; norms, latents and softmax stay float32
    staged: bool = (
        True  # a stage's networks are loaded, used and freed; False = all stay on the device
    )
    # where staged networks wait: "disk" (read again) or "memory" (of the machine, for a graphics
    # card)
    keep: str = "disk"
    batch: int = 0  # instances in one forward pass; 0 = all
    points: int = 65536  # of a field that are asked for at once
    savings: Savings = ALL
    budget: float | None = None  # bytes
    estimates: dict[str, float] = field(default_factory=dict)  # stage -> estimated peak in MB

    @property
    def peak(self) -> float:
        """Estimated peak in MB."""
        return max(self.estimates.values(), default=0.0)

    def describe(self) -> str:
        """One line for people."""
        waiting = {
            "disk": "one stage's networks at a time",
            "memory": "networks wait in the machine's memory",
        }[self.keep]
        return ", ".join(
            [
                NAMES[self.dtype],
                waiting if self.staged else "all networks stay loaded",
                f"{self.batch} at a time" if self.batch else "all objects at once",
                *([] if self.savings.one_batch else ["guidance passes one after the other"]),
                f"{self.points} points at a time",
            ]
        )


def parse_memory(text: str) -> int:
    """``8GB``, ``8G``, ``7.5 GiB``, ``600MB`` -> bytes (a giga is 2^30); InputError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"memory is a size such as 8GB or 600MB, got {text!r}")
    return int(float(match[1]) * UNITS[match[2]])


def choose_plan(
    model: str,
    configs: Mapping[str, Config],
    sizes: Mapping[str, int],
    device: torch.device,
    instances: int,
    budget: float | None = None,
) -> Plan:
    """The fastest plan that stays within a budget in bytes, by default most of what is free.

    sizes: parameters of each network. Raises InputError when even the most careful plan needs more
    than a given budget.
    """
    limit = SHARE * free_memory(device) if budget is None else budget
    candidates = [
        estimated(plan, model, configs, sizes, device, instances)
        for plan in _by_speed(device, instances)
    ]
    for plan in candidates:
        if plan.peak * 2**20 <= limit:
            return replace(plan, budget=budget)
    least = min(candidates, key=lambda plan: plan.peak)
    if budget is not None:
        raise InputError(
            f"{model} with {instances} objects needs about {least.peak / 1024:.1f} GB ({least.describe()}), "
            f"but --memory allows {budget / 2**30:.1f} GB; allow more or make fewer objects (--only)"
        )
    return least


def _by_speed(device: torch.device, instances: int) -> Iterator[Plan]:
    """Plans from the fastest to the most careful."""
    waiting = ("memory", "disk") if device.type == "cuda" else ("disk",)
    staging = [(False, "disk"), *((True, keep) for keep in waiting)]
    batches = sorted(
        {0, *(2**k for k in range(5) if 2**k < instances)}, key=lambda b: -(b or instances)
    )
    for dtype in precisions(device):
        for (staged, keep), batch in itertools.product(staging, batches):
            yield Plan(dtype, staged, keep, batch)
        for points in (16384, 4096):
            yield Plan(dtype, True, waiting[-1], batches[-1], points, replace(ALL, one_batch=False))


def precisions(device: torch.device) -> tuple[torch.dtype, ...]:
    """Precisions of the large matrices on a device, the preferred one first."""
    if native_bf16(device):
        return (torch.bfloat16,)
    if device.type == "cpu":  # emulated bfloat16 saves memory but costs time
        return (torch.float32, torch.bfloat16)
    return (torch.float16,)  # older cards and mps: what the releases were run in


def estimated(
    plan: Plan,
    model: str,
    configs: Mapping[str, Config],
    sizes: Mapping[str, int],
    device: torch.device,
    instances: int,
) -> Plan:
    """The plan with its estimated peaks in MB by stage.

    On the processor what the process holds already counts, and while a network is loaded its file
    is in memory too.
    """
    width = torch.tensor([], dtype=plan.dtype).element_size()
    load = Load(
        width,
        instances,
        min(plan.batch or instances, instances),
        plan.points,
        2 if plan.savings.one_batch else 1,
    )
    weights = {name: size * width for name, size in sizes.items()}
    held = resident_memory() + LIBRARIES if device.type == "cpu" else 0.0
    peaks = {}
    for stage, parts, active in stages_of(model, configs, load):
        own = sum(weights[part] for part in parts)
        resident = own if plan.staged else sum(weights.values())
        file = (
            2.0 * sum(sizes[part] for part in parts) if device.type == "cpu" else 0.0
        )  # as stored, in half precision
        peaks[stage] = max(peaks.get(stage, 0.0), (held + resident + max(active, file)) / 2**20)
    return replace(plan, estimates=peaks)


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device; of the whole machine for the processor and MPS, infinite
    where the system does not tell.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if sys.platform == "linux":
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if found:
            return float(found[1]) * 1024
    return float("inf")


def resident_memory() -> float:
    """Bytes that this process holds; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return float(found[1]) * 1024 if found else 0.0


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
    """Peak in MB since the last ``reset_peak``: allocated on a CUDA device, resident for the
    processor; nan where it is not told.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "linux":
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) / 2**10 if found else float("nan")
    return float("nan")
