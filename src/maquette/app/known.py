"""Known depth and camera of a photo as one file of ours, from its upload to the worker.

In the flow: ``geometry`` writes it beside the photo, jobs take it with them, the worker reads it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maquette.containers import MemoryBudget, read_npz
from maquette.output import atomic_write
from maquette.types import Focal, GivenGeometry, SceneInput

KNOWN = "geometry.npz"  # beside image.png
ARRAYS = ("depth", "intrinsics", "down")


def write_known(path: Path, known: GivenGeometry, focal: Focal | None) -> None:
    """Write what was given of a photo, and its focal length. Raises OutputError."""
    told = {key: getattr(known, key) for key in (*ARRAYS, "source", "metric")}
    if focal is not None:
        told |= {"focal": focal.ratio, "focal_source": focal.source}
    arrays: dict[str, Any] = {key: np.array(it) for key, it in told.items() if it is not None}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def with_known(given: SceneInput, path: Path) -> SceneInput:
    """The input with what ``write_known`` has left, if it has."""
    if not path.exists():
        return given
    found = read_npz(path, path, MemoryBudget())
    known = GivenGeometry(
        metric=bool(found["metric"]),
        source=str(found["source"]),
        **{key: found[key] for key in ARRAYS if key in found},
    )
    focal = given.focal
    if "focal" in found:
        focal = Focal(float(found["focal"]), str(found["focal_source"]))
    return replace(given, geometry=known, focal=focal)
