"""What may go wrong with a mask before minutes are spent on it: numbers per instance and warnings
as plain sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from maquette.types import InstanceMask

TINY = 64  # pixels; below, hardly any shape is visible
THIN = 4.0  # pixels across at the thickest place
SPECK_SHARE = 0.01  # of the instance; smaller components and holes are ragged edges, not parts
SPECK_PIXELS = 8
MANY_SPECKS = 20
LARGE_SHARE = 0.8  # of the photo
OVERLAP_SHARE = 0.1  # of the instance; outlines of neighbours may share a pixel or two
SAME_SHARE = 0.9  # of both instances


@dataclass(frozen=True)
class Diagnosis:
    """One instance in numbers."""

    label: int
    name: str
    pixels: int
    share: float  # of the photo
    box: tuple[int, int, int, int]  # x0, y0, x1, y1; x1 and y1 exclusive
    borders: tuple[
        str, ...
    ]  # of "left", "top", "right", "bottom": where the object is cut off by the photo
    fragments: int  # 8-connected components, without specks
    specks: int  # components too small to be parts
    holes: int  # enclosed background areas, without specks
    thickness: float  # diameter of the largest disc inside, pixels
    overlaps: tuple[
        tuple[int, float], ...
    ]  # (other label, share of this instance's pixels), largest first
    warnings: tuple[str, ...]


def diagnose(masks: Sequence[InstanceMask]) -> tuple[Diagnosis, ...]:
    """Measure each mask; all are (H, W) of one size with at least one pixel."""
    overlaps = _overlaps(masks)
    return tuple(
        _diagnosis(m, {masks[j].label: float(overlaps[k, j]) for j in np.flatnonzero(overlaps[k])})
        for k, m in enumerate(masks)
    )


def _overlaps(masks: Sequence[InstanceMask]) -> np.ndarray:
    """Pairwise overlap (K, K): pixels that k shares with j, as a share of k's pixels; 0 on the
    diagonal.
    """
    count = np.zeros(masks[0].mask.shape, np.uint8)
    for m in masks:
        count += m.mask
    shared = count > 1
    members = np.stack([m.mask[shared] for m in masks]).astype(np.float32)
    together = (members @ members.T).astype(np.float64)
    np.fill_diagonal(together, 0.0)
    return together / np.array([[m.mask.sum()] for m in masks])


def _diagnosis(instance: InstanceMask, overlaps: dict[int, float]) -> Diagnosis:
    mask = instance.mask
    height, width = mask.shape
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    inside = np.pad(mask[box[1] : box[3], box[0] : box[2]], 1).astype(np.uint8)
    pixels = int(inside.sum())
    least = max(SPECK_PIXELS, SPECK_SHARE * pixels)
    parts = _component_sizes(inside, 8)
    holes = _component_sizes(1 - inside, 4)[1:]  # the padding makes the outside the first component
    fragments = max(1, int((parts >= least).sum()))
    values = {
        "label": instance.label,
        "name": instance.name,
        "pixels": pixels,
        "share": pixels / mask.size,
        "box": box,
        "borders": tuple(
            side
            for side, touches in zip(
                ("left", "top", "right", "bottom"),
                (box[0] == 0, box[1] == 0, box[2] == width, box[3] == height),
            )
            if touches
        ),
        "fragments": fragments,
        "specks": len(parts) - fragments,
        "holes": int((holes >= least).sum()),
        "thickness": 2.0 * float(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max()) - 1.0,
        "overlaps": tuple(sorted(overlaps.items(), key=lambda pair: -pair[1])),
    }
    return Diagnosis(**values, warnings=tuple(_sentences(Diagnosis(**values, warnings=()))))


def _component_sizes(binary: np.ndarray, connectivity: int) -> np.ndarray:
    return cv2.connectedComponentsWithStats(binary, connectivity=connectivity)[2][
        1:, cv2.CC_STAT_AREA
    ]


def _sentences(d: Diagnosis) -> list[str]:
    who = f"label {d.label} ({d.name})" if d.name else f"label {d.label}"
    said = []
    if d.pixels < TINY:
        said.append(
            f"{who} has only {d.pixels} pixel{'s' * (d.pixels != 1)}; expect a rough guess of its shape"
        )
    elif d.thickness < THIN:
        said.append(f"{who} is at most {d.thickness:.0f} pixels thick; parts of it may be lost")
    if d.share > LARGE_SHARE:
        said.append(f"{who} covers {100 * d.share:.0f} % of the photo; is it the background?")
    elif d.borders:
        said.append(
            f"{who} is cut off at the {' and '.join(d.borders)} of the photo; what lies outside is guessed"
        )
    if d.fragments > 1:
        said.append(
            f"{who} falls into {d.fragments} parts; it is hidden in between, or these are several objects under one label"
        )
    if d.specks > MANY_SPECKS:
        said.append(f"{who} has {d.specks} specks; clean the mask")
    return said + _overlap_sentences(d, who)


def _overlap_sentences(d: Diagnosis, who: str) -> list[str]:
    large = [(other, share) for other, share in d.overlaps if share >= OVERLAP_SHARE]
    within = [other for other, share in large if share >= SAME_SHARE]
    if within:
        return [f"{who} lies within label {within[0]}; are they the same object, or a part of it?"]
    return [
        f"{who} shares {100 * share:.0f} % of its pixels with label {other}"
        for other, share in large[:1]
    ]
