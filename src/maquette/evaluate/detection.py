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
    for k, detection in enumerate(ranked):
        overlaps = [
            oriented_box_iou(detection.box, true.box) if true.scene == detection.scene else -1.0
            for true in truth
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= threshold and best not in taken:
            taken.add(best)
            hits[k] = True
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
    labels = sorted({detection.label for detection in truth})
    result = {
        label: 100.0
        * precision_recall(
            [d for d in found if d.label == label],
            [d for d in truth if d.label == label],
            threshold,
        ).average
        for label in labels
    }
    return result | ({"mean": float(np.mean(list(result.values())))} if result else {})


def detections(
    scene: str, boxes: Mapping[str, OrientedBox], confidence: Mapping[str, float] | None = None
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
