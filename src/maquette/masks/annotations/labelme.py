"""LabelMe JSON: shapes with labels, of which those of one group_id are one object."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from maquette.errors import InputError, contained
from maquette.masks.annotations.drawn import (
    Drawing,
    Size,
    ellipse_mask,
    finite_numbers,
    left_out,
    pasted,
    picture_size,
    polygon_mask,
    records,
)
from maquette.photos.pixels import encoded
from maquette.photos.read import check_size
from maquette.types import InstanceMask, JsonObject

VERSION = "5.5.0"  # of the format that is written


def is_labelme(document: Any) -> bool:
    """Whether a JSON document is one of LabelMe."""
    return isinstance(document, dict) and "shapes" in document


def labelme_drawings(
    document: JsonObject,
    photo: Size | None,
    name: str,
    warnings: list[str],
) -> Iterator[Drawing]:
    """Every shape that has an area; of others a warning is added. Raises InputError."""
    size = picture_size(document.get("imageHeight"), document.get("imageWidth"), photo, name)
    for k, shape in enumerate(records(document["shapes"], name)):
        label = str(shape.get("label") or "")
        where = f"{name}: shape {k + 1} ({label})"
        kind = shape.get("shape_type") or "polygon"
        mask = _mask(shape, kind, size, where)
        if mask is None:
            warnings.append(left_out(f"shape {k + 1} ({label})", kind, "rectangle"))
            continue
        yield Drawing(label, mask, shape.get("group_id"))


def _mask(
    shape: JsonObject,
    kind: str,
    size: Size,
    where: str,
) -> np.ndarray | None:
    points = finite_numbers(shape.get("points") or [], where).reshape(-1, 2)
    if kind == "polygon":
        return polygon_mask(points, size, where)
    if kind == "circle" and len(points) == 2:
        radius = math.dist(points[0], points[1])
        return ellipse_mask(points[0], (radius, radius), size, where)
    if kind == "mask" and len(points) > 0:
        left, top = points[0]
        return pasted(_bitmap(shape.get("mask"), where), left, top, size, where)
    return None


def _bitmap(text: Any, where: str) -> np.ndarray:
    """The picture that stands in the JSON as text, (h, w) bool."""
    with contained(f"{where}: its mask is not a PNG in base64", "export it again"):
        try:
            content = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise InputError(f"{where}: its mask is not base64; export it again") from error
        with Image.open(io.BytesIO(content)) as picture:
            check_size(picture.size, where)
            return np.asarray(picture.convert("L")) > 0


def labelme_document(masks: Iterable[InstanceMask], size: Size, photo: str) -> JsonObject:
    """Masks of a picture of ``size`` -> the JSON document; each is a bitmap, so nothing is lost."""
    document: JsonObject = {"version": VERSION, "flags": {}}
    document["shapes"] = [_shape(mask) for mask in masks]
    height, width = size
    picture = {
        "imagePath": photo,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return document | picture


def _shape(instance: InstanceMask) -> JsonObject:
    rows = np.flatnonzero(instance.mask.any(axis=1))
    columns = np.flatnonzero(instance.mask.any(axis=0))
    low = int(columns[0]), int(rows[0])
    high = int(columns[-1]), int(rows[-1])
    across, down = (slice(first, last + 1) for first, last in zip(low, high))
    part = instance.mask[down, across]
    content = encoded(Image.fromarray(part.astype(np.uint8) * 255), "PNG")
    label = instance.name or f"object_{instance.label}"
    shape: JsonObject = {"label": label, "points": [list(low), list(high)]}
    shape |= {
        "group_id": instance.label,
        "description": "",
        "shape_type": "mask",
        "flags": {},
    }
    shape["mask"] = base64.b64encode(content).decode("ascii")
    return shape
