"""Depth and camera as a network of others sees them, in place of what a user would give.

In the flow: before ``perceive``. What a user gives comes first: focal length, camera and gravity
are kept, and a depth map leaves nothing to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from maquette.checkpoints.depth_networks import DepthNetwork, SeenDepth
from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_focal
from maquette.types import GivenGeometry, SceneInput

SHARE = 0.05  # robust scale of the fit of inverse depth, of its spread
LEAST_SHARE = 0.02  # of the median inverse depth; nearer to zero is beyond all that is fitted


def with_seen_depth(
    given: SceneInput, network: DepthNetwork, estimated: Callable[[SceneInput], np.ndarray]
) -> SceneInput:
    """The input with what a network sees of its depth and camera. estimated: our own depth
    (H, W) of an input, to which inverse depth without scale is fitted. InputError when a depth map
    is given as well.
    """
    known = given.geometry or GivenGeometry()
    if known.depth is not None:
        raise InputError(
            f"both a depth map ({known.source}) and --perception {network.name} are given; "
            "give one of the two"
        )
    height, width = given.image.shape[:2]
    longer = max(height, width)
    focal = given.focal.ratio if given.focal else None
    if known.intrinsics is not None:
        focal = float(known.intrinsics[0, 0]) / longer
    seen = network.look(given.image, focal)
    depth = seen.depth
    if seen.inverse:
        objects = np.any([mask.mask for mask in given.masks], axis=0)
        depth = from_inverse(seen, estimated(given), objects)
    if not np.isfinite(depth).any():
        raise InputError(f"{network.name} sees no surface in {given.source or 'the photo'}")
    intrinsics = known.intrinsics
    if intrinsics is None and seen.focal is not None:
        intrinsics = intrinsics_from_focal(seen.focal * longer, width, height)
    seen_geometry = replace(
        known,
        depth=depth,
        metric=seen.metric,
        intrinsics=intrinsics,
        source=network.name,
    )
    return replace(given, geometry=seen_geometry)


def from_inverse(seen: SeenDepth, estimated: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(H, W) z-depth of inverse depth up to a scale and a shift, as the estimated depth (H, W) of
    the objects (H, W) bool says them.
    """
    used = objects & (estimated > 0) & np.isfinite(seen.depth)
    there = seen.depth[used].astype(np.float64)
    wanted = 1.0 / estimated[used]
    design = np.stack([there, np.ones(len(there))], axis=1)
    start, *_ = np.linalg.lstsq(design, wanted, rcond=None)
    spread = SHARE * np.std(wanted) + 1e-9
    found = least_squares(
        lambda line: design @ line - wanted, start, loss="soft_l1", f_scale=spread
    )
    slope, shift = found.x
    if not slope > 0:  # it sees the reverse of what we see: our own mean depth, its order
        slope, shift = np.std(wanted) / max(np.std(there), 1e-9), 0.0
        shift = np.median(wanted) - slope * np.median(there)
    inverse = slope * seen.depth + shift
    least = LEAST_SHARE * float(np.median(wanted))
    return np.where(inverse > least, 1.0 / np.maximum(inverse, least), np.nan).astype(np.float32)
