"""Scalar field -> mesh. Volumes index as [x, y, z]; cell (i, j, k) has its centre at ((i, j, k) +
0.5) / R - 0.5.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int32
from skimage.measure import marching_cubes


def extract_isosurface(
    field: Float[np.ndarray, "R R R"], level: float = 0.0
) -> tuple[Float32[np.ndarray, "V 3"], Int32[np.ndarray, "F 3"]]:
    """Zero set of a signed field, negative inside -> vertices in [-0.5, 0.5]^3 and faces, outward.

    The field is padded with "outside", so that the surface is always closed. Both arrays are empty
    when nothing is inside.
    """
    resolution = field.shape[0]
    if not (field < level).any():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    outside = max(float(field.max()), level + 1e-3)
    padded = np.pad(field.astype(np.float32), 1, constant_values=outside)
    vertices, faces, _, _ = marching_cubes(padded, level=level, gradient_direction="descent")
    return ((vertices - 1.0 + 0.5) / resolution - 0.5).astype(np.float32), faces.astype(np.int32)
