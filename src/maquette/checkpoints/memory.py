"""A memory plan: precision, staging and chunks with which a release stays within what there is, and
the measurement of what it took.

In the flow: estimates -> a MemoryPlan -> ``released.Networks`` and the methods follow it.
``--memory`` is the peak that must not be exceeded on the device; without it the plan takes what is
free.
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

SHARE = 0.85  # of the free memory, when no budget is given
LIBRARIES = 150 * 2**20  # bytes that libraries take on the processor at first use
DTYPE_NAMES = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


@dataclass(frozen=True)
class ReleaseSize:
    """What the memory that a release takes depends on."""

    name: str  # of the release
    configs: Mapping[str, Config]  # of its networks
    sizes: Mapping[str, int]  # parameters of each


@dataclass(frozen=True)
class MemoryPlan:
    """How a release is run. Everything but the precision leaves the result as it is, up to
    rounding.
    """

    # of the large matrices; norms, latents and softmax stay float32
    dtype: torch.dtype = torch.float32
    # a stage's networks are loaded, used and freed; False = all stay on the device
    staged: bool = True
    # where staged networks wait: "disk" (read again) or "memory" (of the machine, for a graphics
    # card)
    keep: str = "disk"
    batch: int = 0  # instances in one forward pass; 0 = all
    points: int = 65536  # of a field that are asked for at once
    savings: Savings = ALL
    estimates: dict[str, float] = field(default_factory=dict)  # stage -> estimated peak in MB
    lacking: float = 0.0  # bytes by which the peak is above what is free

    @property
    def peak(self) -> float:
        """Estimated peak in MB."""
        return max(self.estimates.values(), default=0.0)

    def describe(self) -> str:
        """One line for people."""
        places = {
            (True, "disk"): "one stage's networks at a time",
            (True, "memory"): "networks wait in the machine's memory",
        }
        place = places.get((self.staged, self.keep), "all networks stay loaded")
        together = f"{self.batch} at a time" if self.batch else "all objects at once"
        said = [DTYPE_NAMES[self.dtype], place, together]
        if not self.savings.one_batch:
            said.append("guidance passes one after the other")
        said.append(f"{self.points} points at a time")
        if self.lacking:
            said.append(f"about {self.lacking / 2**30:.1f} GB more than are free")
        return ", ".join(said)


def choose_plan(
    release: ReleaseSize,
    device: torch.device,
    instances: int,
    budget: float | None = None,
    *,
    precision: str = "auto",
    loaded: float = 0.0,
) -> MemoryPlan:
    """The fastest plan that stays within a budget in bytes, by default most of what is free.

    precision: of the large matrices, see ``hardware.PRECISIONS``. loaded: bytes of the release's
    networks that are on the device already. Raises InputError when even the most careful plan needs
    more than a given budget; without one it is returned, and says what it lacks.
    """
    candidates = [
        estimated(plan, release, device, instances, loaded)
        for plan in _by_speed(precisions(device, precision), device, instances)
    ]
    limit = SHARE * (free_memory(device) + loaded) if budget is None else budget
    for plan in candidates:
        if plan.peak * 2**20 <= limit:
            return plan
    least = min(candidates, key=lambda plan: plan.peak)
    if budget is None:
        return replace(least, lacking=least.peak * 2**20 - limit)
    needed = f"{least.peak / 1024:.1f} GB ({least.describe()})"
    allowed = f"--memory allows {budget / 2**30:.1f} GB"
    raise InputError(
        f"{release.name} with {instances} objects needs about {needed}, but {allowed}; allow more "
        "or make fewer objects (--only)"
    )


def _by_speed(
    dtypes: tuple[torch.dtype, ...], device: torch.device, instances: int
) -> Iterator[MemoryPlan]:
    """Plans from the fastest to the most careful."""
    waiting = ("memory", "disk") if device.type == "cuda" else ("disk",)
    staging = [(False, "disk"), *((True, keep) for keep in waiting)]
    batches = [0, *(size for size in (16, 8, 4, 2, 1) if size < instances)]
    for dtype in dtypes:
        for (staged, keep), batch in itertools.product(staging, batches):
            yield MemoryPlan(dtype, staged, keep, batch)
        careful = MemoryPlan(dtype, True, waiting[-1], batches[-1])
        for points in (16384, 4096):
            yield replace(careful, points=points, savings=replace(ALL, one_batch=False))


def precisions(device: torch.device, asked: str = "auto") -> tuple[torch.dtype, ...]:
    """Precisions of the large matrices on a device, the preferred one first."""
    if asked in ("fp32", "tf32"):
        return (torch.float32,)
    if asked == "bf16" or native_bf16(device):
        return (torch.bfloat16,)
    if device.type == "cpu":  # emulated bfloat16 saves memory but costs time
        return (torch.float32, torch.bfloat16)
    return (torch.float16,)  # older cards and mps: what the releases were run in


def estimated(
    plan: MemoryPlan,
    release: ReleaseSize,
    device: torch.device,
    instances: int,
    loaded: float = 0.0,
) -> MemoryPlan:
    """The plan with its estimated peaks in MB by stage.

    On the processor what the process holds already counts (but for the ``loaded`` bytes of the
    release itself), and while a network is loaded its file is in memory too.
    """
    width = plan.dtype.itemsize
    batch = min(plan.batch or instances, instances)
    load = Load(width, instances, batch, plan.points, 2 if plan.savings.one_batch else 1)
    on_processor = device.type == "cpu"
    held = resident_memory() - loaded + LIBRARIES if on_processor else 0.0
    everything = sum(release.sizes.values())
    peaks: dict[str, float] = {}
    for stage, parts, active in stages_of(release.name, release.configs, load):
        own = sum(release.sizes[part] for part in parts)
        resident = width * (own if plan.staged else everything)
        file = 2.0 * own if on_processor else 0.0  # as stored, in half precision
        peak = (held + resident + max(active, file)) / 2**20
        peaks[stage] = max(peaks.get(stage, 0.0), peak)
    return replace(plan, estimates=peaks)


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device, torch's own cache among them; of the whole machine for the
    processor and MPS, infinite where the system does not tell.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + cached)
    return _told("/proc/meminfo", "MemAvailable", float("inf"))


def resident_memory() -> float:
    """Bytes that this process holds; 0 where the system does not tell."""
    return _told("/proc/self/status", "VmRSS", 0.0)


def _told(path: str, name: str, otherwise: float) -> float:
    """Bytes that Linux tells in kB under a name of a file."""
    if sys.platform != "linux":
        return otherwise
    found = re.search(rf"{name}:\s+(\d+) kB", Path(path).read_text())
    return float(found[1]) * 1024 if found else otherwise


def reset_peak(device: torch.device) -> bool:
    """Start a new measurement of the peak. False where the system does not allow that: then the
    peak is that of the whole run.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or a container that does not permit it
        return False
    return True


def peak_memory(device: torch.device) -> float:
    """Peak in MB since the last ``reset_peak``: allocated on a CUDA device, resident for the
    processor; nan where it is not told.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _told("/proc/self/status", "VmHWM", float("nan")) / 2**20


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process in MB for provenance, also of systems that cannot begin
    anew; on Linux since ``reset_peak``, as ``peak_memory``. None on Windows, which does not tell.
    """
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
