"""COCO panoptic: JSON that names the segments of a picture whose colours are their numbers,
R + 256 G + 65536 B.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.masks.annotations.drawn import Drawing, base_name, of_photo, records
from maquette.photos.read import open_image
from maquette.types import JsonObject


def is_panoptic(document: Any) -> bool:
    """Whether a JSON document is of COCO's panoptic form."""
    annotations = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(annotations, list):
        return False
    return any(isinstance(entry, dict) and "segments_info" in entry for entry in annotations)


def panoptic_drawings(
    document: JsonObject,
    path: Path,
    photo_name: str | None,
    warnings: list[str],
) -> Iterator[Drawing]:
    """Every segment of a thing; of other stuff, such as sky and floor, a warning. InputError."""
    name = str(path)
    annotations = records(document["annotations"], name)
    files = {k: str(entry.get("file_name", "")) for k, entry in enumerate(annotations)}
    annotation = annotations[of_photo(files, photo_name, name)]
    segments = records(annotation.get("segments_info") or [], name)
    categories = {
        entry.get("id"): entry for entry in records(document.get("categories") or [], name)
    }
    numbers = _numbers(_picture(path, annotation))
    present = set(np.unique(numbers).tolist())
    for segment in segments:
        category = categories.get(segment.get("category_id"), {})
        label = str(category.get("name", ""))
        if not category.get("isthing", 1):
            warnings.append(f"segment {segment.get('id')} ({label}) is no thing, and is left out")
            continue
        identifier = segment.get("id")
        if isinstance(identifier, int) and identifier in present:
            yield Drawing(label, numbers == identifier)
        else:
            warnings.append(f"segment {segment.get('id')} ({label}) has no pixel, and is left out")


def _picture(path: Path, annotation: JsonObject) -> Path:
    """The picture of an annotation: beside the JSON, or in the folder of its name."""
    file = base_name(annotation.get("file_name", ""))
    places = [path.parent / file, path.with_suffix("") / file]
    for place in places:
        if file and place.is_file():
            return place
    raise InputError(
        f"{path}: is COCO panoptic, and its picture {file!r} was not found; put it beside the JSON"
    )


def _numbers(path: Path) -> np.ndarray:
    """The number (H, W) of the segment of every pixel."""
    picture = open_image(path).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(picture, np.int64), -1, 0)
    return red + 256 * green + 65536 * blue
