"""Where the networks run and how exactly they multiply: the one place that generation, training and
memory plans ask.

Stands before all networks in the flow; knows nothing but torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.backends import cuda, cudnn

from maquette.errors import InputError
from maquette.options import PRECISIONS


def choose_device(name: str) -> torch.device:
    """The device of a name: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` = cuda, else cpu.

    ``auto`` is never mps: maquette was not run there yet, so it has to be asked for. Of several
    graphics cards the numbered one becomes the current one of this process. InputError when a
    device is asked for that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, number = name.partition(":")
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind not in there or (colon and not (kind == "cuda" and number.isdecimal())):
        raise InputError(
            f"unknown device {name!r}; choose from auto (cuda, else cpu), {', '.join(there)}, "
            "or a numbered card such as cuda:1"
        )
    if not there[kind]:
        raise InputError(
            f"this machine has no {kind} device that torch can use; choose --device auto or cpu"
        )
    device = torch.device(name)
    if device.index is not None:
        count = torch.cuda.device_count()
        if device.index >= count:
            raise InputError(f"there is no {name} here; the last card is cuda:{count - 1}")
        torch.cuda.set_device(device)
    return device


def native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 matrix products are done in hardware; emulated ones are a hundred times
    slower. A card that is not in this machine, for which a plan is made, is taken for a recent one.
    """
    if device.type == "cuda":
        here = torch.cuda.is_available()
        return not here or torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # private names of torch, which need not be there in every version
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def resolved_precision(asked: str, device: torch.device) -> str:
    """What ``auto`` means on a device: tf32 on graphics cards, fp32 elsewhere. InputError for a
    precision that the device does not have.
    """
    if asked not in PRECISIONS:
        raise InputError(f"unknown precision {asked!r}; choose from {', '.join(PRECISIONS)}")
    if asked == "tf32" and device.type != "cuda":
        raise InputError(f"{device.type} has no tf32; choose --precision fp32 or bf16")
    if asked == "auto":
        return "tf32" if device.type == "cuda" else "fp32"
    return asked


@contextlib.contextmanager
def multiplying(precision: str, device: torch.device) -> Iterator[None]:
    """Run networks whose weights are float32 in a precision of ``resolved_precision``; fp32 on the
    processor leaves torch alone.
    """
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(_tensor_float(precision != "fp32"))
        if precision == "bf16":
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        yield


@contextlib.contextmanager
def _tensor_float(allowed: bool) -> Iterator[None]:
    """Allow or forbid products of float32 with 10 bits of mantissa on graphics cards meanwhile."""
    before = Multiplication.now()
    Multiplication(allowed, allowed).restore()
    try:
        yield
    finally:
        before.restore()


@dataclass(frozen=True)
class Multiplication:
    """Whether graphics cards may multiply in tf32: torch notes it for the whole process, not for
    each thread.
    """

    matrices: bool
    convolutions: bool

    @classmethod
    def now(cls) -> Multiplication:
        """As it is."""
        return cls(cuda.matmul.allow_tf32, cudnn.allow_tf32)

    def restore(self) -> None:
        """Make it so."""
        cuda.matmul.allow_tf32 = self.matrices
        cudnn.allow_tf32 = self.convolutions
