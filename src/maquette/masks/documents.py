"""Files of annotation tools -> instances: which tool wrote this one?

Between ``masks``, which finds out what kind of source it has, and the modules of the formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette.containers import MemoryBudget, read_json
from maquette.masks.annotations.cvat import cvat_drawings
from maquette.masks.annotations.drawn import instances
from maquette.masks.annotations.label_studio import is_label_studio, label_studio_drawings
from maquette.masks.annotations.labelme import is_labelme, labelme_drawings
from maquette.masks.annotations.panoptic import is_panoptic, panoptic_drawings
from maquette.masks.annotations.via import is_via, via_drawings
from maquette.masks.annotations.yolo import yolo_drawings
from maquette.masks.coco import masks_from_coco
from maquette.photos.pixels import Size
from maquette.types import InstanceMask

SUFFIXES = (".json", ".xml", ".txt")


@dataclass(frozen=True)
class Reading:
    """What is known of the photo while its masks are read, and what they lack."""

    name: str  # of the source, for messages
    photo_name: str | None  # file name
    size: Size | None  # (H, W)
    warnings: list[str]


def masks_from_file(path: Path, reading: Reading) -> Iterator[InstanceMask]:
    """The objects of a .json, .xml or .txt file. Raises InputError."""
    suffix = path.suffix.lower()
    if suffix == ".xml":
        drawings = cvat_drawings(path, reading.size, reading.photo_name, reading.warnings)
        return instances(drawings, reading.name, reading.warnings)
    if suffix == ".txt":
        drawings = yolo_drawings(path, reading.size, reading.warnings)
        return instances(drawings, reading.name, reading.warnings)
    document = read_json(path, "export it again", MemoryBudget())
    if is_panoptic(document):
        drawings = panoptic_drawings(document, path, reading.photo_name, reading.warnings)
        return instances(drawings, reading.name, reading.warnings)
    return masks_from_document(document, reading)


def masks_from_document(document: Any, reading: Reading) -> Iterator[InstanceMask]:
    """The objects of a JSON document. Raises InputError."""
    given = (reading.size, reading.photo_name, reading.name, reading.warnings)
    if is_labelme(document):
        drawings = labelme_drawings(document, reading.size, reading.name, reading.warnings)
    elif is_label_studio(document):
        drawings = label_studio_drawings(document, *given)
    elif is_via(document):
        drawings = via_drawings(document, *given)
    else:
        return masks_from_coco(document, reading.name, reading.photo_name, reading.warnings)
    return instances(drawings, reading.name, reading.warnings)
