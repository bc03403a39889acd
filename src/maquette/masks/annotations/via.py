"""VGG Image Annotator (VIA 1 and 2) JSON: regions of every picture of a project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.masks.annotations.drawn import (
    Drawing,
    Size,
    ellipse_mask,
    finite_numbers,
    left_out,
    of_photo,
    picture_size,
    polygon_mask,
    records,
)
from maquette.types import JsonObject

NAMING = ("name", "label", "class", "type", "category", "object")  # attributes
PROJECT = "_via_img_metadata"


def is_via(document: Any) -> bool:
    """Whether a JSON document is a project or an export of VIA."""
    if not isinstance(document, dict) or not document:
        return False
    if PROJECT in document or {"project", "metadata", "attribute"} <= set(document):
        return True
    return all(isinstance(entry, dict) and "regions" in entry for entry in document.values())


def via_drawings(
    document: JsonObject,
    photo: Size | None,
    photo_name: str | None,
    name: str,
    warnings: list[str],
) -> Iterator[Drawing]:
    """Every region with an area of the photo; of others a warning is added. Raises InputError."""
    pictures = document.get(PROJECT, document)
    if "attribute" in document and PROJECT not in document:
        raise InputError(f"{name}: is a project of VIA 3; export it as COCO")
    records(pictures, name)
    files = {key: str(picture.get("filename", "")) for key, picture in pictures.items()}
    picture = pictures[of_photo(files, photo_name, name)]
    size = picture_size(None, None, photo, name)
    for k, region in enumerate(records(picture.get("regions") or [], name), start=1):
        shape = region.get("shape_attributes") or {}
        label = _label(region.get("region_attributes"))
        where = f"{name}: region {k} ({label})"
        mask = _mask(shape, size, where)
        if mask is None:
            warnings.append(left_out(f"region {k} ({label})", shape.get("name"), "rect"))
            continue
        yield Drawing(label, mask)


def _label(attributes: Any) -> str:
    """The first attribute that says something: a text, or the first choice that is ticked. Those
    that are called as names are come first.
    """
    given = attributes if isinstance(attributes, dict) else {}
    ordered = sorted(given, key=lambda key: str(key).lower() not in NAMING)
    for value in (given[key] for key in ordered):
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, dict):
            ticked = [str(choice) for choice, chosen in value.items() if chosen]
            if ticked:
                return ticked[0]
    return ""


def _mask(shape: JsonObject, size: Size, where: str) -> np.ndarray | None:
    kind = shape.get("name")
    if kind in ("polygon", "polyline"):
        x = finite_numbers(shape.get("all_points_x") or [], where)
        y = finite_numbers(shape.get("all_points_y") or [], where)
        if len(x) != len(y):
            raise InputError(f"{where}: has {len(x)} x and {len(y)} y coordinates; export it again")
        return polygon_mask(np.stack([x, y], axis=1), size, where)
    if kind in ("circle", "ellipse"):
        across = shape.get("r", shape.get("rx"))
        radii = (across, shape.get("ry", across))
        centre = (shape.get("cx"), shape.get("cy"))
        return ellipse_mask(centre, radii, size, where, shape.get("theta") or 0.0)
    return None
