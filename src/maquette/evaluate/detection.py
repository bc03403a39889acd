"""Average precision of boxes over a whole data set, as the SUN RGB-D papers report it (AP@15: a hit
from IoU 0.15 on).

Boxes are in one metric frame per scene, turned about the vertical. Total3D, Im3D, InstPIFu and
Coherent 3D Scene Diffusion follow the SUN RGB-D toolbox: detections in falling confidence, each
assigned to the true box of its scene and class that it overlaps most; the first on a true box is a
hit, later ones and those below the threshold are false. These methods give every box confidence 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maquette.geometry.oriented_boxes import OrientedBox, oriented_box_iou

OrientedBoxes = Mapping[str, OrientedBox]  # by node name


@dataclass(frozen=True, eq=False)
class Detection:
    """A box of one class in one scene, found or true."""

    scene: str
    label: str  # the class, such as "chair"
    box: OrientedBox
    confidence: float = 1.0  # of true boxes: unused


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """What became of the detections of one class, in falling confidence."""

    precision: np.ndarray  # (N,)
    recall: np.ndarray  # (N,)
    hits: np.ndarray  # (N,) bool
    average: float  # area under the curve, in [0, 1]


def precision_recall(
    found: Sequence[Detection], truth: Sequence[Detection], threshold: float = 0.15
) -> PrecisionRecall:
    """Compare detections with true boxes of ONE class; a hit overlaps with IoU >= ``threshold``
    (exact, any rotation).

    ``average`` is the area under the precision envelope (largest precision at this recall or
    beyond) at all recalls; 0 without detections or true boxes. Equal confidences keep the given
    order.
    """
    ranked = sorted(found, key=lambda detection: -detection.confidence)
    taken: set[int] = set()
    hits = np.zeros(len(ranked), dtype=bool)
    for k, detection in enumerate(ranked if truth else ()):
        overlaps = [
            oriented_box_iou(detection.box, true.box) if true.scene == detection.scene else -1.0
            for true in truth
        ]
        best = int(np.argmax(overlaps))
        hits[k] = overlaps[best] >= threshold and best not in taken
        if hits[k]:
            taken.add(best)
    counts = np.cumsum(hits)
    precision = counts / np.arange(1, len(hits) + 1)
    recall = counts / max(len(truth), 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    average = float((np.diff(recall, prepend=0.0) * envelope).sum()) if len(hits) else 0.0
    return PrecisionRecall(precision, recall, hits, average)


def average_precision(
    found: Sequence[Detection], truth: Sequence[Detection], threshold: float = 0.15
) -> dict[str, float]:
    """AP in percent by class, for every class that occurs in ``truth``, and their mean as
    ``"mean"`` (absent when there is no class).
    """
    result = {}
    for label in sorted({detection.label for detection in truth}):
        own_found = [detection for detection in found if detection.label == label]
        own_truth = [detection for detection in truth if detection.label == label]
        result[label] = 100.0 * precision_recall(own_found, own_truth, threshold).average
    if result:
        result["mean"] = float(np.mean(list(result.values())))
    return result


def detections(
    scene: str, boxes: OrientedBoxes, confidence: Mapping[str, float] | None = None
) -> list[Detection]:
    """Boxes by node name as detections; the class is the name without its number: ``chair_2`` and
    ``chair.002`` are chairs.
    """
    return [
        Detection(scene, class_of(name), box, (confidence or {}).get(name, 1.0))
        for name, box in boxes.items()
    ]


def class_of(name: str) -> str:
    """Node name without a trailing number."""
    return re.sub(r"[\s._-]*\d+$", "", name) or name
