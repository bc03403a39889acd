"""Every option of a command that Python and the app have, too, declared once.

Stands at the very start of the flow, so that the command line can show its help without loading
anything: no arrays, no networks. What an option does is said where it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from maquette.declare import check, option
from maquette.errors import InputError

METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254, "ft": 0.3048}  # of units of length
BYTES = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}  # of units of memory
PRECISIONS = ("auto", "fp32", "tf32", "bf16")
EMBEDDED = "embedded"  # the model that ships with the package
AUTO, NONE = "auto", "none"  # instead of a number of pixels of a texture
ESTIMATE = "estimate"  # instead of a field of view: do not believe the photo's file
TUNING = ("prompt", "iterations", "layout", "prior")  # options of methods that arrange
ARRANGING = "--method comboverse"
DEVICE_HELP = "auto (cuda, else cpu), cpu, cuda, cuda:1 or mps"


def parse_memory(text: str) -> int:
    """``8GB``, ``8G``, ``7.5 GiB``, ``600MB`` -> bytes (a giga is 2^30); InputError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"memory is a size such as 8GB or 600MB, got {text!r}")
    return int(float(match[1]) * BYTES[match[2]])


@dataclass(frozen=True)
class SceneOptions:
    """Everything that decides a scene besides the photo, the masks and the weights."""

    method: Any = option(
        "iscene",
        kind=object,
        read=str,
        metavar="NAME",
        help="iscene (default), midi, coherent, comboverse, independent, or FILE.py:NAME",
    )
    seed: int = option(
        0,
        least=0,
        most=2**32 - 1,
        metavar="N",
        help="same seed, same machine, same result (default 0)",
    )
    samples: int = option(
        1, least=1, metavar="K", help="tries per photo, the best by the self-check is kept"
    )
    steps: int | None = option(
        None, kind=int, least=1, metavar="N", help="sampling steps of each pass"
    )
    guidance: float | None = option(
        None, kind=float, metavar="W", help="strength of classifier-free guidance; 1 is off"
    )
    device: str = option("auto", metavar="DEVICE", help=f"{DEVICE_HELP} (default: auto)")
    fit: bool = option(
        True,
        flags=("--no-fit",),
        help="the generator alone: volumes are not held to mask and visible surface",
    )
    texture: int | str = option(
        AUTO,
        kind=int,
        least=16,
        most=8192,
        words=(AUTO, NONE),
        metavar="PIXELS",
        help="longer side of each object's texture, auto (as sharp as the photo, 1024 at most; "
        "the default) or none: colours per vertex",
    )
    triangles: int | None = option(
        None,
        kind=int,
        least=100,
        metavar="N",
        help="at most so many triangles per object (default: about 8,000 for large ones)",
    )
    model: str = option(EMBEDDED, metavar="NAME", help="a published model (see `maquette models`)")
    memory: int | None = option(
        None,
        kind=int,
        least=1,
        read=parse_memory,
        metavar="SIZE",
        help="memory that a published model may take on the device, such as 8GB",
    )
    fov: float | str | None = option(
        None,
        kind=float,
        least=0.1,
        most=179.9,
        words=(ESTIMATE,),
        metavar="DEGREES",
        help="vertical field of view of the photo, or `estimate` "
        "(default: as its EXIF data tell, else estimated)",
    )
    prompt: str | None = option(
        None,
        kind=str,
        metavar="TEXT",
        group=ARRANGING,
        help="what the photo shows, such as 'a lamp on a box' (default: says it itself)",
    )
    iterations: int | None = option(
        None,
        kind=int,
        metavar="N",
        group=ARRANGING,
        help="of arranging the objects (default 300)",
    )
    layout: str | None = option(
        None,
        kind=str,
        metavar="HOW",
        group=ARRANGING,
        help="none, depth, sds or ssds (default): what arranges the objects",
    )
    prior: str | None = option(
        None,
        kind=object,
        read=str,
        metavar="DIR",
        group=ARRANGING,
        help="folder of a Stable Diffusion pipeline instead of the embedded model",
    )
    precision: str = option(
        "auto", choices=PRECISIONS, help="of the networks (default: auto, fp32 on the processor)"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class FileSpace:
    """How coordinates of OBJ, PLY and STL files are to be read."""

    unit: str | None = option(
        None,
        kind=str,
        choices=tuple(METRES),
        metavar="UNIT",
        help="of OBJ, PLY and STL: mm, cm, m, in or ft (default: m when the scale is known)",
    )
    size: float | None = option(
        None,
        kind=float,
        least=1e-6,
        metavar="LENGTH",
        help="longest side of the whole scene in OBJ, PLY and STL, in their unit",
    )
    up: str = option(
        "y", choices=("y", "z"), help="upward axis of OBJ, PLY and STL (default: y; slicers: z)"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_asked_for(self) -> bool:
        """Whether anything differs from what a scene has anyway."""
        return self != FileSpace()
