"""What a depth map and a camera say of a photo, as numbers for people.

In the flow: beside generation, from the same reading (``fit``) that generation uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from maquette.errors import InputError
from maquette.geometry.ground import ground_down
from maquette.given.fit import (
    FittedGeometry,
    GeometrySource,
    Shown,
    centred_intrinsics,
    fit_geometry,
)
from maquette.masks.labels import painted_labels
from maquette.masks.read import MaskSource, load_masks
from maquette.options import GeometryOptions
from maquette.photos.read import read_photo
from maquette.types import InstanceMask, StrPath

LEVEL = np.array([0.0, 0.9, 0.436])  # where down is expected: the camera looks down by 26 degrees
TRIM = 0.02  # share of an object's pixels at either end that its size ignores


@dataclass(frozen=True)
class ObjectSize:
    """How large an object is, as far as it is seen."""

    label: int
    name: str
    known: float  # share of its pixels
    width: float  # along the picture's axes at its depth, metres or the map's unit
    height: float


@dataclass(frozen=True)
class Inspection:
    """How a depth map is understood."""

    source: str
    width: int  # pixels of the photo
    height: int
    unit: str  # and why
    metric: bool
    known: float  # share of the pixels
    nearest: float
    median: float
    farthest: float
    focal_pixels: float | None = None  # None = not known
    focal: str = ""  # who says so
    pitch_degrees: float | None = None  # of the camera above the ground; None = none was found
    sizes: tuple[ObjectSize, ...] = ()
    warnings: tuple[str, ...] = ()


def inspect_geometry(
    photo: StrPath, masks: MaskSource | None, options: GeometryOptions
) -> Inspection:
    """What the files say; masks: None = none. Raises InputError."""
    read = read_photo(photo)
    size = read.image.shape[:2]
    found: Sequence[InstanceMask] = ()
    if masks is not None:
        found = load_masks(masks, size, image_name=str(photo)).masks
    labels = painted_labels(found, size)
    source = GeometrySource(**asdict(options))
    fitted = fit_geometry(source, Shown(size, labels, read.focal, str(photo)))
    depth = fitted.geometry.depth
    if depth is None:
        raise InputError("nothing to inspect; give a depth map")
    matrix = fitted.geometry.intrinsics
    if matrix is None:
        matrix = centred_intrinsics(fitted.focal, size)
    inspection = _without_camera(fitted, depth)
    if matrix is None:
        return inspection
    return replace(
        inspection,
        focal_pixels=float(matrix[0, 0]),
        focal="" if fitted.focal is None else fitted.focal.source,
        pitch_degrees=_pitch(depth, matrix, labels > 0),
        sizes=tuple(_size_of(mask, depth, matrix) for mask in found),
    )


def _without_camera(fitted: FittedGeometry, depth: np.ndarray) -> Inspection:
    known = np.isfinite(depth)
    nearest, median, farthest = np.quantile(depth[known], [0.01, 0.5, 0.99]).tolist()
    height, width = depth.shape
    return Inspection(
        fitted.geometry.source,
        width,
        height,
        fitted.unit,
        fitted.geometry.metric,
        float(known.mean()),
        nearest,
        median,
        farthest,
        warnings=fitted.warnings,
    )


def _pitch(depth: np.ndarray, intrinsics: np.ndarray, objects: np.ndarray) -> float | None:
    down = ground_down(depth, intrinsics, objects, LEVEL / np.linalg.norm(LEVEL))
    return None if down is None else float(np.degrees(np.arcsin(np.clip(down[2], -1, 1))))


def _size_of(mask: InstanceMask, depth: np.ndarray, intrinsics: np.ndarray) -> ObjectSize:
    rows, columns = np.nonzero(mask.mask & np.isfinite(depth))
    share = len(rows) / max(int(mask.mask.sum()), 1)
    empty = ObjectSize(mask.label, mask.name, 0.0, 0.0, 0.0)
    if len(rows) == 0:
        return empty
    z = depth[rows, columns]
    sides = []
    for pixels, axis in ((columns, 0), (rows, 1)):
        from_centre = pixels + 0.5 - intrinsics[axis, 2]
        places = from_centre / intrinsics[axis, axis] * z
        low, high = np.quantile(places, [TRIM, 1 - TRIM])
        sides.append(float(high - low))
    return replace(
        empty,
        known=share,
        width=sides[0],
        height=sides[1],
    )
