"""Which way a generator's scene faces, for the ablation in the canonical frame: its volumes have
the azimuth of the data, not of the view.

In the flow: volumes of a generator with ``frame = "canonical"`` -> the turn that brings them onto
what the photo shows. A view-centric generator needs none of this, and that is the point of the
ablation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.transforms import rotation_y
from maquette.geometry.volumes import sample_volume

CANDIDATES = 72  # azimuths that are tried, 5 degrees apart


def view_azimuth(distances: Mapping[int, Tensor], points: Mapping[int, np.ndarray]) -> float:
    """Turn (radians, about +Y) of volumes onto what is seen: at it, the seen surface of each object
    is nearest to the volume's.

    distances: label -> (R, R, R) signed distances in one cube, in the data's axes. points: label ->
    (N, 3) visible surface in the same cube, in the view's axes; labels without any are left out. 0
    when nothing is seen.
    """
    seen = {
        label: torch.from_numpy(np.asarray(p, np.float32))
        for label, p in points.items()
        if len(p) and label in distances
    }
    if not seen:
        return 0.0
    yaws = 2 * np.pi * np.arange(CANDIDATES) / CANDIDATES
    errors = [sum(_error(distances[label], p, yaw) for label, p in seen.items()) for yaw in yaws]
    return float(yaws[int(np.argmin(errors))])


def _error(distance: Tensor, points: Tensor, yaw: float) -> float:
    """Mean distance of the turned surface to the volume's, in units of the truncation."""
    turned = points @ torch.from_numpy(rotation_y(yaw)).float()  # rows: R(-yaw) x
    return float(sample_volume(distance[None], turned).abs().mean())
