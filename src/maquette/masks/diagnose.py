"""What may go wrong with a mask before minutes are spent on it: numbers per instance and warnings
as plain sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maquette.geometry.boxes import PixelBox, pixel_box
from maquette.photos.pixels import connected_parts
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
    box: PixelBox  # x0, y0, x1, y1; x1 and y1 exclusive
    # of "left", "top", "right", "bottom": where the object is cut off by the photo
    borders: tuple[str, ...]
    fragments: int  # 8-connected components, without specks
    specks: int  # components too small to be parts
    holes: int  # enclosed background areas, without specks
    thickness: float  # diameter of the largest disc inside, pixels
    # (other label, share of this instance's pixels), largest first
    overlaps: tuple[tuple[int, float], ...]
    warnings: tuple[str, ...] = ()


def diagnose(masks: Sequence[InstanceMask]) -> tuple[Diagnosis, ...]:
    """Measure each mask; all are (H, W) of one size with at least one pixel."""
    overlaps = _overlaps(masks)
    diagnoses = []
    for instance, shares in zip(masks, overlaps):
        sharing = {masks[j].label: float(shares[j]) for j in np.flatnonzero(shares).tolist()}
        measured = _measured(instance, sharing)
        diagnoses.append(replace(measured, warnings=tuple(_sentences(measured))))
    return tuple(diagnoses)


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


def _measured(instance: InstanceMask, overlaps: dict[int, float]) -> Diagnosis:
    mask = instance.mask
    height, width = mask.shape
    x0, y0, x1, y1 = pixel_box(mask)
    inside = np.pad(mask[y0:y1, x0:x1], 1).astype(np.uint8)
    pixels = int(inside.sum())
    least = max(SPECK_PIXELS, SPECK_SHARE * pixels)
    parts = connected_parts(inside)[1][1:]
    # the padding makes the outside the first part of the background
    holes = connected_parts(1 - inside, connectivity=4)[1][2:]
    fragments = max(1, int((parts >= least).sum()))
    touching = {
        "left": x0 == 0,
        "top": y0 == 0,
        "right": x1 == width,
        "bottom": y1 == height,
    }
    deepest = float(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max())
    largest_first = sorted(overlaps.items(), key=lambda pair: -pair[1])
    return Diagnosis(
        label=instance.label,
        name=instance.name,
        pixels=pixels,
        share=pixels / mask.size,
        box=(x0, y0, x1, y1),
        borders=tuple(side for side, touches in touching.items() if touches),
        fragments=fragments,
        specks=len(parts) - fragments,
        holes=int((holes >= least).sum()),
        thickness=2.0 * deepest - 1.0,
        overlaps=tuple(largest_first),
    )


def _sentences(d: Diagnosis) -> list[str]:
    who = f"label {d.label} ({d.name})" if d.name else f"label {d.label}"
    said = []
    if d.pixels < TINY:
        pixels = f"{d.pixels} pixel{'s' * (d.pixels != 1)}"
        said.append(f"{who} has only {pixels}; expect a rough guess of its shape")
    elif d.thickness < THIN:
        said.append(f"{who} is at most {d.thickness:.0f} pixels thick; parts of it may be lost")
    if d.share > LARGE_SHARE:
        said.append(f"{who} covers {100 * d.share:.0f} % of the photo; is it the background?")
    elif d.borders:
        sides = " and ".join(d.borders)
        said.append(f"{who} is cut off at the {sides} of the photo; what lies outside is guessed")
    if d.fragments > 1:
        said.append(
            f"{who} falls into {d.fragments} parts; it is hidden in between, "
            "or these are several objects under one label"
        )
    if d.specks > MANY_SPECKS:
        said.append(f"{who} has {d.specks} specks; clean the mask")
    return said + _overlap_sentences(d, who)


def _overlap_sentences(d: Diagnosis, who: str) -> list[str]:
    large = [(other, share) for other, share in d.overlaps if share >= OVERLAP_SHARE]
    if not large:
        return []
    other, share = large[0]
    if share >= SAME_SHARE:
        return [f"{who} lies within label {other}; are they the same object, or a part of it?"]
    return [f"{who} shares {100 * share:.0f} % of its pixels with label {other}"]
