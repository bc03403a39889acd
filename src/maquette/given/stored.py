"""A depth map as its file holds it: what the readers of ``given`` make, and ``fit`` takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class StoredDepth:
    """A depth map as its file holds it."""

    values: np.ndarray  # (h, w) float64; nan where the file says that nothing is known
    whole: bool  # whole numbers, as sensors write millimetres
    bits: int  # of a stored value
    name: str
    intrinsics: np.ndarray | None = None  # (3, 3) when the file has them, as it has them
    points: np.ndarray | None = None  # (h, w, 3) in the camera's axes, when the file has no depth
