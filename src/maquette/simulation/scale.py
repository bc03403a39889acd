"""How many metres a scene unit is, from what is known of one or several objects."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.options import METRES, ScaleOptions
from maquette.simulation.selection import Called, assigned
from maquette.types import Scene

ASSUMED = 1.0  # metres per unit when nobody knows, as the other formats write it, too
DISAGREEMENT = 1.15  # largest scale over smallest that several sizes may mean without a remark
UNKNOWN = "scale unknown, assuming that one scene unit is one metre (give --size)"


@dataclass(frozen=True, eq=False)
class ScaledScene:
    """A scene that knows its scale, and what there is to say of it."""

    scene: Scene  # metres_per_unit is a number
    is_known: bool
    remarks: tuple[str, ...]


def scaled_scene(scene: Scene, options: ScaleOptions) -> ScaledScene:
    """The scene with its scale: from metres_per_unit or the heights that are given, else its own,
    else ASSUMED. InputError when both are given, or an object has no height.
    """
    heights = heights_of(scene.instances, options)
    if heights:
        metres, remarks = _reconciled(scene, heights)
        return ScaledScene(dataclasses.replace(scene, metres_per_unit=metres), True, remarks)
    known = options.metres_per_unit or scene.metres_per_unit
    if known is None:
        assumed = dataclasses.replace(scene, metres_per_unit=ASSUMED)
        return ScaledScene(assumed, False, (UNKNOWN,))
    return ScaledScene(dataclasses.replace(scene, metres_per_unit=float(known)), True, ())


def heights_of(objects: Sequence[Called], options: ScaleOptions) -> dict[int, float]:
    """Label -> height in metres. InputError for a size of nothing, or a second scale."""
    heights = assigned(objects, options.size, "--size", _length)
    if options.metres_per_unit is not None and heights:
        raise InputError("--metres-per-unit and --size both set the scale; leave one of them out")
    return heights


def _reconciled(scene: Scene, heights: dict[int, float]) -> tuple[float, tuple[str, ...]]:
    """The scale with the least squared error of log heights, which is the geometric mean."""
    scales = []
    for label, height in heights.items():
        low, high = scene[label].box
        if high[1] - low[1] < 1e-9:
            raise InputError(f"--size: instance {label} is flat, it has no height; name another")
        scales.append(height / float(high[1] - low[1]))
    metres = float(np.exp(np.mean(np.log(scales))))
    spread = max(scales) / min(scales)
    if spread <= DISAGREEMENT:
        return metres, ()
    pairs = zip(heights, scales)
    said = ", ".join(f"{label}: {scale:.3g}" for label, scale in pairs)
    return metres, (f"the sizes disagree by {spread:.2f}x (metres per unit {said}); their mean",)


def _length(value: Any) -> float:
    """Metres of "0.9m", "90 cm", "12in"; a bare number is in metres."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d*\.?\d+(?:[eE][-+]?\d+)?)\s*([a-z]*)\s*", value)
        if match is None or (match[2] or "m") not in METRES:
            raise ValueError(f"expected a length such as 0.9m, 40cm or 12in, got {value!r}")
        value = float(match[1]) * METRES[match[2] or "m"]
    metres = float(value)
    if not 0 < metres < math.inf:
        raise ValueError("expected a length above 0")
    return metres
